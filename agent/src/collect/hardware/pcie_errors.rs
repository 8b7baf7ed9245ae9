//! Errors of PCI Express links: the kernel's counters (Documentation/ABI/testing/sysfs-bus-pci-devices-aer), and its log for the ports
//! that had some before this start.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::PcieError;

use super::pci::{DEVICES, DEVICES_MAX, Device, address_in};
use crate::collect::kernel_log::{self, Line};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PCIE_ERRORS: Collector = Collector {
    table: PcieError::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

/// What the kernel writes for an error; the address of the device stands in front.
const LOGGED: &str = "PCIe Bus Error: severity=";

/// A rate is told of no less than this; and its base is kept for this long. Why: a technician may ask twice in a minute.
const RATE_MS: i64 = 5 * 60 * 1000;
const BASE_MS: i64 = 30 * 60 * 1000;

/// Kinds of error that are named.
const KINDS_MAX: usize = 12;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let addresses = match host.list(DEVICES) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Rows::unsupported("this machine has no PCI bus"));
        }
        addresses => addresses.with_context(|| format!("listing {DEVICES}"))?,
    };
    let mut rows = Rows::none();
    let (mut errors, mut counts) = (BTreeMap::new(), false);
    for address in addresses.iter().take(DEVICES_MAX) {
        let device = Device::new(host, address);
        let totals = ["correctable", "nonfatal", "fatal"]
            .map(|kind| device.line(&format!("aer_dev_{kind}")).map(|text| parse(&text)));
        counts |= totals.iter().any(Option::is_some);
        if totals.iter().flatten().any(|total| total.all > 0) {
            errors.insert(address.clone(), row(address, &totals));
        }
    }
    match kernel_log::lines(host, LOGGED) {
        Ok(found) => {
            add_logged(&mut errors, &found.lines);
            found.missing.into_iter().for_each(|missing| rows.ends_early(missing));
        }
        Err(error) if !counts => {
            return Err(error).context("the kernel counts no errors of PCI Express links here, and of its log");
        }
        Err(error) => rows.missing(format!("errors before this start: {error:#}")),
    }
    let before = Base::remember(host, &errors);
    for row in errors.values_mut() {
        let device = Device::new(host, &row.address);
        (row.name, row.driver) = (device.name(), device.driver());
        row.correctable_an_hour = before.as_ref().and_then(|before| before.an_hour(host.now_ms(), row));
        rows.push(row);
    }
    Ok(rows)
}

/// One of a device's three files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    all: u64,
    kinds: Vec<(String, u64)>,
}

/// Lines `BadTLP 12`, the last of them `TOTAL_ERR_COR 12`.
fn parse(text: &str) -> Total {
    let mut total = Total::default();
    for line in text.lines() {
        let Some((kind, count)) = line.rsplit_once(' ') else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        if kind.starts_with("TOTAL_ERR") {
            total.all = count;
        } else if count > 0 && total.kinds.len() < KINDS_MAX {
            total.kinds.push((kind.trim().to_owned(), count));
        }
    }
    total
}

fn row(address: &str, totals: &[Option<Total>; 3]) -> PcieError {
    let [correctable, nonfatal, fatal] = totals.each_ref().map(|total| total.as_ref().map(|total| total.all));
    let kinds = totals.iter().flatten().flat_map(|total| &total.kinds);
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{kind} {count}")).collect();
    PcieError {
        address: address.to_owned(),
        correctable,
        nonfatal,
        fatal,
        kinds: kinds.join(", "),
        ..PcieError::default()
    }
}

fn add_logged(errors: &mut BTreeMap<String, PcieError>, lines: &[Line]) {
    for line in lines {
        let Some(address) = address_in(&line.text) else { continue };
        if errors.len() >= DEVICES_MAX && !errors.contains_key(address) {
            continue;
        }
        let new = || PcieError { address: address.to_owned(), ..PcieError::default() };
        let row = errors.entry(address.to_owned()).or_insert_with(new);
        row.logged = row.logged.saturating_add(1);
        row.last_ms = Some(line.at_ms);
        if row.kinds.is_empty() {
            // "severity=Corrected, type=Physical Layer, (Receiver ID)"
            let what = line.text.split_once(LOGGED).map_or("", |(_device, what)| what);
            what.split(", (").next().unwrap_or_default().clone_into(&mut row.kinds);
        }
    }
}

/// The counters that a rate is taken from: the time, then lines "0000:03:00.0 12".
struct Base {
    at_ms: i64,
    text: String,
}

impl Base {
    /// The base of this look, which becomes the next one's as well until it is old enough.
    fn remember(host: &dyn Host, errors: &BTreeMap<String, PcieError>) -> Option<Self> {
        let now_ms = host.now_ms();
        let before = host.recall("pcie_errors", String::new()).and_then(|before| Self::read(&before.text));
        let mut note = now_ms.to_string();
        for row in errors.values() {
            let line = ["\n", &row.address, " ", &row.correctable.unwrap_or_default().to_string()];
            note.extend(line);
        }
        let kept = before.as_ref().filter(|before| (0..BASE_MS).contains(&now_ms.saturating_sub(before.at_ms)));
        host.recall("pcie_errors", kept.map_or(note, |before| format!("{}\n{}", before.at_ms, before.text)));
        before
    }

    fn read(note: &str) -> Option<Self> {
        let (at_ms, text) = note.split_once('\n').unwrap_or((note, ""));
        Some(Self { at_ms: at_ms.parse().ok()?, text: text.to_owned() })
    }

    /// Absent where the counter began again, or too little time has passed.
    fn an_hour(&self, now_ms: i64, row: &PcieError) -> Option<u64> {
        let then = self.text.lines().find_map(|line| line.strip_prefix(row.address.as_str())?.strip_prefix(' '));
        // No line: it had no errors then.
        let then = then.map_or(Some(0), |count| count.parse::<u64>().ok())?;
        let passed_ms = now_ms.checked_sub(self.at_ms).filter(|passed| *passed >= RATE_MS)?;
        let grown = u128::from(row.correctable?.checked_sub(then)?);
        u64::try_from(grown * 3_600_000 / u128::try_from(passed_ms).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counters_are_read_by_kind() {
        let total = parse("RxErr 3\nBadTLP 0\nBadDLLP 9\nTOTAL_ERR_COR 12");
        assert_eq!(total, Total { all: 12, kinds: vec![("RxErr".into(), 3), ("BadDLLP".into(), 9)] });
        assert_eq!(parse("garbage\nBadTLP -1\nTOTAL_ERR_COR 99999999999999999999"), Total::default());
    }

    #[test]
    fn a_storm_is_what_grew_in_the_time_between() {
        let base = Base::read("0\n0000:03:00.0 100").unwrap();
        let row = |address: &str, count| PcieError {
            address: address.into(),
            correctable: Some(count),
            ..PcieError::default()
        };
        assert_eq!(base.an_hour(1_800_000, &row("0000:03:00.0", 350)), Some(500));
        assert_eq!(base.an_hour(1_800_000, &row("0000:04:00.0", 10)), Some(20));
        assert_eq!(base.an_hour(60_000, &row("0000:03:00.0", 350)), None);
        assert_eq!(base.an_hour(1_800_000, &row("0000:03:00.0", 50)), None);
        assert!(Base::read("garbage").is_none());
    }

    proptest! {
        #[test]
        fn no_counters_and_no_note_make_it_panic(text in r"([A-Za-z_]{0,9} ?-?[0-9]{0,21}\n?){0,6}", now_ms: i64, at_ms: i64, count: u64) {
            let total = parse(&text);
            prop_assert!(total.kinds.len() <= KINDS_MAX);
            let row = PcieError { address: "a".into(), correctable: Some(count), ..PcieError::default() };
            let _rate = Base { at_ms, text }.an_hour(now_ms, &row);
        }
    }

    #[test]
    fn the_log_tells_of_devices_without_counters() {
        let text = "pcieport 0000:00:1c.5: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)";
        let line = |at_ms| Line { at_ms, boot_id: String::new(), text: text.into() };
        let mut errors = BTreeMap::new();
        add_logged(&mut errors, &[line(5), line(9)]);
        let row = &errors["0000:00:1c.5"];
        assert_eq!((row.logged, row.last_ms, row.correctable), (2, Some(9), None));
        assert_eq!(row.kinds, "Corrected, type=Physical Layer");
    }
}
