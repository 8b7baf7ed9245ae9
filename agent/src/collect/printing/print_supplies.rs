//! Toner, ink and waste boxes, as the printers themselves tell of them.

use std::collections::BTreeMap;

use deskside_proto::rows::Row;
use deskside_proto::v1::PrintSupply;

use crate::collect::printing::conversation::{self, Spoken};
use crate::collect::printing::cups::Described;
use crate::collect::printing::printer_mib::{self, Entry, Measure, Mib, entry, index_text, measure};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_SUPPLIES: Collector =
    Collector { table: PrintSupply::TABLE, systems: &[Os::Linux], cadence: Cadence::Far(conversation::EVERY), look };

/// Most supplies of one printer.
const SUPPLIES_MAX: usize = 64;

/// The class of supplies that are filled (PWG 5100.13, RFC 3805).
const RECEPTACLE: &str = "receptacleThatIsFilled";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    Ok(conversation::converse(host, false)?.rows(rows))
}

/// By SNMP where it tells of any, else by IPP. Why not both: they are the same supplies in two words.
fn rows(spoken: &Spoken) -> Vec<PrintSupply> {
    let mut rows = spoken.snmp.as_ref().map(of_mib).unwrap_or_default();
    if let (true, Ok(described)) = (rows.is_empty(), &spoken.ipp) {
        rows = of_supplies(described);
        if rows.is_empty() {
            rows = of_markers(described);
        }
    }
    rows.truncate(SUPPLIES_MAX);
    for row in &mut rows {
        (row.host, row.queues) = (spoken.device.host.clone(), spoken.device.queues.clone());
    }
    rows
}

fn of_mib(mib: &Mib) -> Vec<PrintSupply> {
    let colorants = mib.rows(entry::COLORANT);
    let row = |(index, supply): (&Vec<u64>, &Entry<'_>)| {
        let receptacle = supply.number(4) == Some(printer_mib::RECEPTACLE);
        let in_percent = supply.number(7) == Some(printer_mib::PERCENT);
        let colorant = index.first().zip(supply.count(3)).map(|(device, colorant)| vec![*device, colorant]);
        let color = colorant.and_then(|index| colorants.get(&index)).map(|colorant| colorant.text(4));
        let row = PrintSupply {
            index: index_text(index),
            source: "SNMP".into(),
            name: supply.text(6),
            kind: supply.word(5, printer_mib::SUPPLY_TYPES),
            receptacle,
            color: color.unwrap_or_default(),
            part_number: part_number(&supply.text(6)),
            unit: supply.word(7, printer_mib::UNITS),
            ..PrintSupply::default()
        };
        measured(row, &measure(supply.number(9), supply.number(8), in_percent))
    };
    mib.rows(entry::SUPPLY).iter().map(row).collect()
}

/// The level of a supply. Of a receptacle RFC 3805 counts the space that is left.
fn measured(row: PrintSupply, measure: &Measure) -> PrintSupply {
    let (left, full) = if row.receptacle {
        (None, measure.percent.map(|space| 100_u32.saturating_sub(space)))
    } else {
        (measure.percent, None)
    };
    PrintSupply {
        level: measure.level,
        capacity: measure.capacity,
        percent_left: left,
        percent_full: full,
        level_said: measure.said.into(),
        ..row
    }
}

/// printer-supply (PWG 5100.13): "index=1;class=supplyThatIsConsumed;type=toner;unit=percent;maxcapacity=100;level=3;colorantname=black;"
fn of_supplies(described: &Described) -> Vec<PrintSupply> {
    let names = described.texts("printer-supply-description");
    let supplies = described.texts("printer-supply");
    let row = |(place, supply): (usize, &String)| {
        let keys = keys(supply);
        let key = |name: &str| keys.get(name).copied().unwrap_or_default().to_owned();
        let number = |name: &str| keys.get(name).and_then(|value| value.parse::<i64>().ok());
        let index = key("index");
        let row = PrintSupply {
            index: if index.is_empty() { (place + 1).to_string() } else { index },
            source: "IPP".into(),
            name: names.get(place).cloned().unwrap_or_default(),
            kind: key("type"),
            receptacle: key("class") == RECEPTACLE,
            color: key("colorantname"),
            unit: key("unit"),
            ..PrintSupply::default()
        };
        measured(row, &measure(number("level"), number("maxcapacity"), key("unit") == "percent"))
    };
    supplies.iter().enumerate().map(row).map(|row| with_mark(row, described)).collect()
}

/// "name=value;name=value;"
pub(super) fn keys(text: &str) -> BTreeMap<&str, &str> {
    text.split(';').filter_map(|part| part.split_once('=')).collect()
}

/// marker-* (CUPS, and most printers that speak IPP): percent that is left; of a waste box, percent that is full.
fn of_markers(described: &Described) -> Vec<PrintSupply> {
    let (names, kinds) = (described.texts("marker-names"), described.texts("marker-types"));
    let (colors, levels) = (described.texts("marker-colors"), described.numbers("marker-levels"));
    let (low, high) = (described.numbers("marker-low-levels"), described.numbers("marker-high-levels"));
    let row = |(place, level): (usize, &i32)| {
        let kind = kinds.get(place).cloned().unwrap_or_default();
        let receptacle = kind.to_lowercase().starts_with("waste");
        let read = measure(Some(i64::from(*level)), Some(100), true);
        let mark = if receptacle { high.get(place) } else { low.get(place) };
        let reached = mark.filter(|mark| (1..=100).contains(*mark) && *level >= 0);
        PrintSupply {
            index: (place + 1).to_string(),
            source: "IPP".into(),
            name: names.get(place).cloned().unwrap_or_default(),
            kind,
            receptacle,
            color: colors.get(place).filter(|color| *color != "none").cloned().unwrap_or_default(),
            unit: "percent".into(),
            level: read.level.map(|level| if receptacle { 100_u32.saturating_sub(level) } else { level }),
            capacity: Some(100),
            percent_left: read.percent.filter(|_percent| !receptacle),
            percent_full: read.percent.filter(|_percent| receptacle),
            level_said: read.said.into(),
            low: reached.map(|mark| if receptacle { level >= mark } else { level <= mark }),
            ..PrintSupply::default()
        }
    };
    levels.iter().enumerate().map(row).collect()
}

/// The printer's own mark for a supply, from the marker of the same name, else from the one at the same place.
fn with_mark(row: PrintSupply, described: &Described) -> PrintSupply {
    let markers = of_markers(described);
    let same = markers.iter().find(|marker| marker.name == row.name && !row.name.is_empty());
    PrintSupply { low: same.and_then(|marker| marker.low), ..row }
}

/// A part number in a description, as printers write it: "Black Cartridge HP CF280A", "Toner PN:54G0H00".
fn part_number(description: &str) -> String {
    let named = ["PN:", "PN ", "P/N:", "Part Number:"].iter().find_map(|mark| description.split_once(*mark));
    let behind = named.and_then(|(_before, after)| after.split([';', ',']).next()).map(str::trim);
    if let Some(number) = behind.filter(|number| !number.is_empty()) {
        return number.to_owned();
    }
    let coded = |word: &&str| {
        let letters = word.chars().filter(char::is_ascii_uppercase).count();
        let digits = word.chars().filter(char::is_ascii_digit).count();
        word.len() >= 5 && letters >= 2 && digits >= 2 && letters + digits + word.matches('-').count() == word.len()
    };
    description.split([' ', ';', ',', '(', ')']).find(coded).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Oid, SnmpAnswer, SnmpValue};

    fn mib(columns: &[(u64, u64, SnmpValue)]) -> Mib {
        let name = |column: u64, row: u64| Oid::new(&[entry::SUPPLY, &[column, 1, row]].concat());
        let objects = columns.iter().map(|(column, row, value)| (name(*column, *row), value.clone())).collect();
        Mib(SnmpAnswer { objects, ..SnmpAnswer::default() })
    }

    fn number(number: i64) -> SnmpValue {
        SnmpValue::Integer(number)
    }

    #[test]
    fn a_waste_box_is_full_where_no_space_is_left() {
        let supply = |row, class, capacity, level| {
            vec![(4, row, number(class)), (8, row, number(capacity)), (9, row, number(level))]
        };
        let all = [supply(1, 3, 200, 6), supply(2, 4, 100, 5), supply(3, 4, -2, -3), supply(4, 3, 100, -3)].concat();
        let rows = of_mib(&mib(&all));
        let seen: Vec<_> =
            rows.iter().map(|row| (row.percent_left, row.percent_full, row.level_said.as_str())).collect();
        let expected =
            [(Some(3), None, ""), (None, Some(95), ""), (None, None, "some left"), (None, None, "some left")];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_part_number_is_found_in_a_description() {
        assert_eq!(part_number("Black Cartridge HP CF280A"), "CF280A");
        assert_eq!(part_number("Toner;SN:1234;PN:54G0H00;"), "54G0H00");
        for none in ["Black Toner", "Cartouche noire", "Waste Toner Box 2", ""] {
            assert_eq!(part_number(none), "", "{none}");
        }
    }

    #[test]
    fn keys_of_a_supply_are_read() {
        let supply = keys("index=1;class=supplyThatIsConsumed;level=3;broken;");
        assert_eq!((supply.get("level"), supply.get("broken")), (Some(&"3"), None));
    }
}
