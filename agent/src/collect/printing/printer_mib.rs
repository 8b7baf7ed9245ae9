//! What a printer's SNMP objects are called (RFC 3805 Printer-MIB, RFC 2790 Host Resources MIB), and their numbers in the words of these RFCs.

use std::collections::BTreeMap;

use crate::host::{Oid, SnmpAnswer, SnmpValue};

/// Columns below an entry of a table.
pub(super) mod entry {
    /// hrDeviceEntry: 3 description, 5 status.
    pub(in crate::collect::printing) const DEVICE: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 3, 2, 1];
    /// hrPrinterEntry: 1 status, 2 detected error state.
    pub(in crate::collect::printing) const PRINTER: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 3, 5, 1];
    /// prtGeneralEntry: 16 name, 17 serial number.
    pub(in crate::collect::printing) const GENERAL: &[u64] = &[1, 3, 6, 1, 2, 1, 43, 5, 1, 1];
    /// prtInputEntry.
    pub(in crate::collect::printing) const INPUT: &[u64] = &[1, 3, 6, 1, 2, 1, 43, 8, 2, 1];
    /// prtMarkerEntry: 3 counter unit, 4 life count, 5 power-on count.
    pub(in crate::collect::printing) const MARKER: &[u64] = &[1, 3, 6, 1, 2, 1, 43, 10, 2, 1];
    /// prtMarkerSuppliesEntry.
    pub(in crate::collect::printing) const SUPPLY: &[u64] = &[1, 3, 6, 1, 2, 1, 43, 11, 1, 1];
    /// prtMarkerColorantEntry: 4 value.
    pub(in crate::collect::printing) const COLORANT: &[u64] = &[1, 3, 6, 1, 2, 1, 43, 12, 1, 1];
    /// prtConsoleDisplayBufferEntry: 2 text.
    pub(in crate::collect::printing) const DISPLAY: &[u64] = &[1, 3, 6, 1, 2, 1, 43, 16, 5, 1];
    /// prtAlertEntry.
    pub(in crate::collect::printing) const ALERT: &[u64] = &[1, 3, 6, 1, 2, 1, 43, 18, 1, 1];
}

/// sysDescr, sysUpTime (RFC 3418).
const DESCRIPTION: &[u64] = &[1, 3, 6, 1, 2, 1, 1, 1];
const UP_TIME: &[u64] = &[1, 3, 6, 1, 2, 1, 1, 3];

/// The subtrees that all tables together need: asked in one walk, so that one answer serves them all.
pub(super) fn subtrees() -> Vec<Oid> {
    let all = [
        DESCRIPTION,
        UP_TIME,
        entry::DEVICE,
        entry::PRINTER,
        entry::GENERAL,
        entry::INPUT,
        entry::MARKER,
        entry::SUPPLY,
        entry::COLORANT,
        entry::DISPLAY,
        entry::ALERT,
    ];
    all.map(Oid::new).to_vec()
}

/// One device's objects.
#[derive(Debug)]
pub(super) struct Mib(pub(super) SnmpAnswer);

/// A row of one of its tables.
#[derive(Debug, Default)]
pub(super) struct Entry<'a>(BTreeMap<u64, &'a SnmpValue>);

impl Mib {
    /// The rows of a table, by their index.
    pub(super) fn rows(&self, entry: &[u64]) -> BTreeMap<Vec<u64>, Entry<'_>> {
        let entry = Oid::new(entry);
        let mut rows: BTreeMap<Vec<u64>, Entry<'_>> = BTreeMap::new();
        for (name, value) in &self.0.objects {
            if let Some((column, index)) = name.below(&entry).and_then(<[u64]>::split_first) {
                rows.entry(index.to_vec()).or_default().0.insert(*column, value);
            }
        }
        rows
    }

    pub(super) fn description(&self) -> String {
        self.single(DESCRIPTION).map(text_of).unwrap_or_default()
    }

    /// Hundredths of a second since the printer was started.
    pub(super) fn up_ticks(&self) -> Option<u64> {
        match self.single(UP_TIME) {
            Some(SnmpValue::Ticks(ticks)) => Some(*ticks),
            _ => None,
        }
    }

    fn single(&self, name: &[u64]) -> Option<&SnmpValue> {
        let name = Oid::new(&[name, &[0]].concat());
        self.0.objects.iter().find(|(known, _value)| *known == name).map(|(_name, value)| value)
    }
}

impl Entry<'_> {
    pub(super) fn text(&self, column: u64) -> String {
        self.0.get(&column).map(|value| text_of(value)).unwrap_or_default()
    }

    pub(super) fn number(&self, column: u64) -> Option<i64> {
        match self.0.get(&column)? {
            SnmpValue::Integer(number) => Some(*number),
            SnmpValue::Counter(number) | SnmpValue::Gauge(number) | SnmpValue::Ticks(number) => {
                i64::try_from(*number).ok()
            }
            _ => None,
        }
    }

    pub(super) fn count(&self, column: u64) -> Option<u64> {
        self.number(column).and_then(|number| u64::try_from(number).ok())
    }

    pub(super) fn octets(&self, column: u64) -> &[u8] {
        match self.0.get(&column) {
            Some(SnmpValue::Octets(octets)) => octets,
            _ => &[],
        }
    }

    /// A number in words; itself where it has none, empty where it is absent.
    pub(super) fn word(&self, column: u64, words: &[(i64, &str)]) -> String {
        self.number(column).map(|number| word(number, words)).unwrap_or_default()
    }
}

/// A number in words; itself where it has none.
pub(super) fn word(number: i64, words: &[(i64, &str)]) -> String {
    let known = words.iter().find(|(known, _word)| *known == number);
    known.map_or_else(|| number.to_string(), |(_number, word)| (*word).to_owned())
}

/// Text as a person reads it. Why filtered: some printers end theirs with NUL and put line ends into displays.
fn text_of(value: &SnmpValue) -> String {
    let SnmpValue::Octets(octets) = value else { return String::new() };
    let text: String = String::from_utf8_lossy(octets).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// An index as it is written: "1.2".
pub(super) fn index_text(index: &[u64]) -> String {
    Oid::new(index).to_string()
}

/// A level, and how much of the whole it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) level: Option<u32>,
    pub(super) capacity: Option<u32>,
    pub(super) percent: Option<u32>,
    /// What the level says where it is no number.
    pub(super) said: &'static str,
}

/// Reads level and capacity as RFC 3805 says: -1 is no restriction, -2 unknown, -3 "there is some". None of them is low.
pub(super) fn measure(level: Option<i64>, capacity: Option<i64>, in_percent: bool) -> Measure {
    let said = match level {
        Some(-1) => "not restricted",
        Some(-3) => "some left",
        Some(..0) | None => "unknown",
        Some(_) => "",
    };
    let positive = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let (level, capacity) = (positive(level), positive(capacity).filter(|capacity| *capacity > 0));
    let whole = capacity.or_else(|| in_percent.then_some(100));
    // Why rounded up: nought is said only of what is empty.
    let percent = level.zip(whole).map(|(level, whole)| (u64::from(level) * 100).div_ceil(u64::from(whole)).min(100));
    Measure { level, capacity, percent: percent.and_then(|percent| u32::try_from(percent).ok()), said }
}

/// `PrtMarkerSuppliesSupplyUnitTC`, `PrtCapacityUnitTC` and `PrtMarkerCounterUnitTC`: one numbering.
pub(super) const UNITS: &[(i64, &str)] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "tenThousandthsOfInches"),
    (4, "micrometers"),
    (5, "characters"),
    (6, "lines"),
    (7, "impressions"),
    (8, "sheets"),
    (9, "dotRow"),
    (11, "hours"),
    (12, "thousandthsOfOunces"),
    (13, "tenthsOfGrams"),
    (14, "hundrethsOfFluidOunces"),
    (15, "tenthsOfMilliliters"),
    (16, "feet"),
    (17, "meters"),
    (18, "items"),
    (19, "percent"),
];

/// The number of "percent" among [`UNITS`].
pub(super) const PERCENT: i64 = 19;

/// `PrtMarkerSuppliesTypeTC`.
pub(super) const SUPPLY_TYPES: &[(i64, &str)] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "toner"),
    (4, "wasteToner"),
    (5, "ink"),
    (6, "inkCartridge"),
    (7, "inkRibbon"),
    (8, "wasteInk"),
    (9, "opc"),
    (10, "developer"),
    (11, "fuserOil"),
    (12, "solidWax"),
    (13, "ribbonWax"),
    (14, "wasteWax"),
    (15, "fuser"),
    (16, "coronaWire"),
    (17, "fuserOilWick"),
    (18, "cleanerUnit"),
    (19, "fuserCleaningPad"),
    (20, "transferUnit"),
    (21, "tonerCartridge"),
    (22, "fuserOiler"),
    (23, "water"),
    (24, "wasteWater"),
    (25, "glueWaterAdditive"),
    (26, "wastePaper"),
    (27, "bindingSupply"),
    (28, "bandingSupply"),
    (29, "stitchingWire"),
    (30, "shrinkWrap"),
    (31, "paperWrap"),
    (32, "staples"),
    (33, "inserts"),
    (34, "covers"),
];

/// `PrtInputTypeTC`.
pub(super) const INPUT_TYPES: &[(i64, &str)] = &[
    (1, "other"),
    (2, "unknown"),
    (3, "sheetFeedAutoRemovableTray"),
    (4, "sheetFeedAutoNonRemovableTray"),
    (5, "sheetFeedManual"),
    (6, "continuousRoll"),
    (7, "continuousFanFold"),
];

/// The value of prtMarkerSuppliesClass for what is filled.
pub(super) const RECEPTACLE: i64 = 4;

/// What a printer may detect of itself (RFC 2790, hrPrinterDetectedErrorState).
pub(super) struct DetectedError {
    /// As the standard names it.
    pub(super) name: &'static str,
    /// In plain words.
    pub(super) words: &'static str,
    /// It keeps the printer from printing.
    pub(super) stops: bool,
}

/// The bits in order, the first being the most significant of the first byte.
const DETECTED_ERRORS: [DetectedError; 15] = [
    error("lowPaper", "low on paper", false),
    error("noPaper", "out of paper", true),
    error("lowToner", "low on toner", false),
    error("noToner", "out of toner", true),
    error("doorOpen", "door open", true),
    error("jammed", "paper jam", true),
    error("offline", "offline", true),
    error("serviceRequested", "service requested", true),
    error("inputTrayMissing", "a tray is missing", true),
    error("outputTrayMissing", "an output tray is missing", true),
    error("markerSupplyMissing", "a cartridge is missing", true),
    error("outputNearFull", "output tray almost full", false),
    error("outputFull", "output tray full", true),
    error("inputTrayEmpty", "a tray is empty", false),
    error("overduePreventMaint", "maintenance is overdue", false),
];

const fn error(name: &'static str, words: &'static str, stops: bool) -> DetectedError {
    DetectedError { name, words, stops }
}

/// The errors whose bits are set.
pub(super) fn detected_errors(octets: &[u8]) -> impl Iterator<Item = &'static DetectedError> {
    let set = |place: usize| octets.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0);
    DETECTED_ERRORS.iter().enumerate().filter(move |(place, _error)| set(*place)).map(|(_place, error)| error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_not_known_is_not_a_low_one() {
        let level = |level, capacity| measure(Some(level), Some(capacity), false);
        assert_eq!(level(3, 100), Measure { level: Some(3), capacity: Some(100), percent: Some(3), said: "" });
        assert_eq!(level(-2, 100), Measure { capacity: Some(100), said: "unknown", ..Measure::default() });
        assert_eq!(level(-3, 100).said, "some left");
        assert_eq!(level(-1, -1).said, "not restricted");
        assert_eq!(level(5, -2), Measure { level: Some(5), ..Measure::default() });
        assert_eq!(measure(None, None, true).said, "unknown");
    }

    #[test]
    fn nought_percent_is_said_of_what_is_empty_alone() {
        assert_eq!(measure(Some(1), Some(1_000), false).percent, Some(1));
        assert_eq!(measure(Some(0), Some(1_000), false).percent, Some(0));
        assert_eq!(measure(Some(40), None, true).percent, Some(40));
        assert_eq!(measure(Some(i64::MAX), Some(i64::MAX), false).percent, None);
        assert_eq!(measure(Some(i64::from(u32::MAX)), Some(1), false).percent, Some(100));
    }

    #[test]
    fn rows_are_read_by_index_and_odd_objects_are_passed_over() {
        let object = |name: &[u64], value| (Oid::new(name), value);
        let text = |text: &str| SnmpValue::Octets(text.as_bytes().to_vec());
        let mib = Mib(SnmpAnswer {
            objects: vec![
                object(&[1, 3, 6, 1, 2, 1, 1, 1, 0], text("Acme\r\nLaser\0")),
                object(&[entry::SUPPLY, &[6, 1, 1]].concat(), text("Black")),
                object(&[entry::SUPPLY, &[9, 1, 1]].concat(), SnmpValue::Integer(-3)),
                object(&[entry::SUPPLY, &[9, 1, 2]].concat(), text("no number")),
                object(entry::SUPPLY, text("no column")),
            ],
            ..SnmpAnswer::default()
        });
        let rows = mib.rows(entry::SUPPLY);
        assert_eq!(rows.keys().cloned().collect::<Vec<_>>(), [vec![1, 1], vec![1, 2]]);
        assert_eq!((rows[&vec![1, 1]].text(6), rows[&vec![1, 1]].number(9)), ("Black".to_owned(), Some(-3)));
        assert_eq!(rows[&vec![1, 2]].number(9), None);
        assert_eq!(mib.description(), "Acme  Laser");
        assert_eq!(mib.up_ticks(), None);
    }
}
