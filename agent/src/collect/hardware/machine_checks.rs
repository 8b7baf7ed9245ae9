//! Hardware errors that the processor (machine check architecture: Intel SDM volume 3B chapter 16, AMD APM volume 2 chapter 9) or the
//! firmware (APEI) reported, from the kernel's log, folded by processor, bank, kind and severity.

use std::collections::BTreeMap;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::MachineCheck;

use crate::collect::kernel_log::{self, Line};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const MACHINE_CHECKS: Collector = Collector {
    table: MachineCheck::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

const LOGGED: &str = r"\[Hardware Error\]";
const MARK: &str = "[Hardware Error]: ";

/// Different errors that are shown; the latest are kept.
const ROWS_MAX: usize = 200;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Bits of `MCi_STATUS`: not corrected; the processor's state is lost.
const UNCORRECTED: u64 = 1 << 61;
const CONTEXT_CORRUPT: u64 = 1 << 57;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let found = kernel_log::lines(host, LOGGED)?;
    let mut folded = fold(&records(&found.lines), host.now_ms());
    folded.sort_by_key(|row| std::cmp::Reverse(row.last_ms));
    let many = folded.len().saturating_sub(ROWS_MAX);
    folded.truncate(ROWS_MAX);
    let mut rows: Rows = folded.into_iter().collect();
    found.missing.into_iter().for_each(|missing| rows.ends_early(missing));
    if many > 0 {
        rows.missing(format!("{many} older kinds of error"));
    }
    Ok(rows)
}

/// One error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    cpu: Option<u32>,
    bank: Option<u32>,
    kind: String,
    severity: &'static str,
    status: String,
    at_ms: i64,
    message: String,
}

/// The kernel writes several lines an error: the one that names the bank or the severity begins it, a later one may name it better.
fn records(lines: &[Line]) -> Vec<Record> {
    let (mut records, mut undecoded) = (Vec::<Record>::new(), Vec::new());
    for line in lines {
        let Some((_source, said)) = line.text.split_once(MARK) else { continue };
        let begun = raw(said).or_else(|| decoded(said)).or_else(|| firmware(said));
        if let Some(record) = begun {
            records.push(Record { at_ms: line.at_ms, message: line.text.clone(), ..record });
        } else if let Some(kind) = better(said) {
            if let Some(last) = records.last_mut() {
                kind.clone_into(&mut last.kind);
            }
        } else if said.starts_with("Machine check events logged") {
            undecoded.push(Record {
                kind: "not decoded".into(),
                severity: "corrected",
                at_ms: line.at_ms,
                message: line.text.clone(),
                ..Record::default()
            });
        }
    }
    // That line stands beside the others too. Alone, it is all that there is: a program took the details.
    if records.is_empty() { undecoded } else { records }
}

/// "CPU 2: Machine Check: 0 Bank 7: cc0000c3000800c2", "CPU 2: Machine Check Exception: 5 Bank 6: be00000000800400".
fn raw(said: &str) -> Option<Record> {
    let (cpu, rest) = said.strip_prefix("CPU ")?.split_once(": Machine Check")?;
    let (bank, status) = rest.split_once(" Bank ")?.1.split_once(": ")?;
    let status = status.split_whitespace().next()?;
    let bits = u64::from_str_radix(status, 16).ok()?;
    Some(Record {
        cpu: Some(cpu.parse().ok()?),
        bank: Some(bank.parse().ok()?),
        kind: kind(bits).into(),
        severity: severity(bits),
        status: status.to_owned(),
        ..Record::default()
    })
}

/// As the kernel decodes AMD's: `CPU:0 (17:1:1) MC15_STATUS[Over|CE|MiscV|-|-]: 0xdc2041000000011b`.
fn decoded(said: &str) -> Option<Record> {
    let (cpu, rest) = said.strip_prefix("CPU:")?.split_once(' ')?;
    let (bank, rest) = rest.split_once("MC")?.1.split_once("_STATUS[")?;
    let (flags, status) = rest.split_once("]: 0x")?;
    let status = status.split_whitespace().next()?;
    let bits = u64::from_str_radix(status, 16).ok()?;
    let deferred = bits & UNCORRECTED == 0 && flags.split('|').any(|flag| flag == "Deferred");
    Some(Record {
        cpu: Some(cpu.parse().ok()?),
        bank: Some(bank.parse().ok()?),
        kind: kind(bits).into(),
        severity: if deferred { "deferred" } else { severity(bits) },
        status: status.to_owned(),
        ..Record::default()
    })
}

/// "event severity: corrected" (UEFI specification, appendix N).
fn firmware(said: &str) -> Option<Record> {
    let severity = match said.trim().strip_prefix("event severity: ")? {
        "corrected" => "corrected",
        "recoverable" => "uncorrected",
        "fatal" => "fatal",
        _information => return None,
    };
    Some(Record { kind: "reported by the firmware".into(), severity, ..Record::default() })
}

/// A name for the error that was begun: the firmware's section, or AMD's part of the processor.
fn better(said: &str) -> Option<&str> {
    let section = said.trim().strip_prefix("section_type: ");
    section.or_else(|| said.split_once(" Ext. Error Code: ").map(|(part, _code)| part))
}

fn severity(status: u64) -> &'static str {
    match (status & UNCORRECTED != 0, status & CONTEXT_CORRUPT != 0) {
        (true, true) => "fatal",
        (true, false) => "uncorrected",
        (false, _) => "corrected",
    }
}

/// The lower 16 bits: simple codes, then compound ones by their highest bit that is set (Intel SDM 16.9). Bit 12 says only that such
/// corrected errors are filtered.
fn kind(status: u64) -> &'static str {
    let code = status & 0xefff;
    match code {
        0x0000 => "no error code",
        0x0001 => "unclassified",
        0x0002 => "microcode ROM parity",
        0x0003 => "external",
        0x0004 => "redundancy check",
        0x0005 => "internal parity",
        0x0006 => "system management",
        0x000b => "input and output",
        0x0400 => "internal timer",
        code if code & 0x0800 != 0 => "bus or interconnect",
        code if code & 0x0400 != 0 => "internal",
        code if code & 0x0100 != 0 => "cache",
        code if code & 0x0080 != 0 => "memory",
        code if code & 0x0010 != 0 => "TLB",
        code if code & 0x000c == 0x000c => "generic cache",
        _ => "unclassified",
    }
}

fn fold(records: &[Record], now_ms: i64) -> Vec<MachineCheck> {
    let mut folded = BTreeMap::new();
    for record in records {
        let key = (record.cpu, record.bank, record.kind.as_str(), record.severity);
        let row = folded.entry(key).or_insert_with(|| MachineCheck {
            cpu: record.cpu,
            bank: record.bank,
            kind: record.kind.clone(),
            severity: record.severity.into(),
            first_ms: record.at_ms,
            ..MachineCheck::default()
        });
        row.count = row.count.saturating_add(1);
        row.last_day = row.last_day.saturating_add(u32::from(now_ms.saturating_sub(record.at_ms) <= DAY_MS));
        row.last_ms = record.at_ms;
        row.status.clone_from(&record.status);
        row.message.clone_from(&record.message);
    }
    folded.into_values().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(texts: &[&str]) -> Vec<Record> {
        let line = |(text, at_ms): (&&str, i64)| Line { at_ms, boot_id: String::new(), text: (*text).to_owned() };
        records(&texts.iter().zip(1..).map(line).collect::<Vec<_>>())
    }

    fn told(record: &Record) -> (Option<u32>, Option<u32>, &str, &str) {
        (record.cpu, record.bank, &record.kind, record.severity)
    }

    #[test]
    fn a_banks_status_tells_kind_and_severity() {
        let found = seen(&[
            "mce: [Hardware Error]: Machine check events logged",
            "mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 7: cc0000c3000800c2",
            "mce: [Hardware Error]: TSC 0 ADDR 3c7e5b000 MISC 142003080200c00",
            "mce: [Hardware Error]: PROCESSOR 0:306e4 TIME 1443111111 SOCKET 0 APIC 4 microcode 42d",
            "mce: [Hardware Error]: CPU 9: Machine Check: 0 Bank 5: bea0000000000108",
            "mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 3: be00000000800400",
        ]);
        let found: Vec<_> = found.iter().map(told).collect();
        assert_eq!(
            found,
            [
                (Some(2), Some(7), "memory", "corrected"),
                (Some(9), Some(5), "cache", "fatal"),
                (Some(1), Some(3), "internal timer", "fatal"),
            ]
        );
    }

    /// As Linux 6.1 wrote it when an error was injected into a virtual machine.
    #[test]
    fn what_a_kernel_wrote_is_read() {
        let found = seen(&[
            "mce: [Hardware Error]: Machine check events logged",
            "mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 7: 8c000040000100c2",
            "mce: [Hardware Error]: TSC 0 ADDR 3c7e5b000 MISC 8c ",
            "mce: [Hardware Error]: PROCESSOR 2:60fb1 TIME 1795322546 SOCKET 0 APIC 0 microcode 1000065",
        ]);
        assert_eq!(found.iter().map(told).collect::<Vec<_>>(), [(Some(0), Some(7), "memory", "corrected")]);
        assert_eq!(found[0].status, "8c000040000100c2");
    }

    #[test]
    fn what_the_kernel_decoded_of_amds_is_named_by_its_part() {
        let found = seen(&[
            "[Hardware Error]: Corrected error, no action required.",
            "[Hardware Error]: CPU:0 (17:1:1) MC15_STATUS[Over|CE|MiscV|AddrV|-|-|SyndV|CECC|-|-|-]: 0xdc2041000000011b",
            "[Hardware Error]: Error Addr: 0x000000036e701c80",
            "[Hardware Error]: Unified Memory Controller Ext. Error Code: 0, DRAM ECC error.",
            "[Hardware Error]: CPU:3 (19:21:0) MC0_STATUS[-|-|-|-|-|-|-|-|Deferred|-|-]: 0x8000100000000135",
        ]);
        let found: Vec<_> = found.iter().map(told).collect();
        assert_eq!(
            found,
            [(Some(0), Some(15), "Unified Memory Controller", "corrected"), (Some(3), Some(0), "cache", "deferred")]
        );
    }

    #[test]
    fn the_firmwares_reports_carry_their_section() {
        let found = seen(&[
            "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 4",
            "{1}[Hardware Error]: event severity: corrected",
            "{1}[Hardware Error]:  Error 0, type: corrected",
            "{1}[Hardware Error]:   section_type: PCIe error",
            "{2}[Hardware Error]: event severity: info",
        ]);
        assert_eq!(found.iter().map(told).collect::<Vec<_>>(), [(None, None, "PCIe error", "corrected")]);
    }

    #[test]
    fn events_whose_details_went_elsewhere_are_still_told() {
        let found = seen(&["mce: [Hardware Error]: Machine check events logged"]);
        assert_eq!(found.iter().map(told).collect::<Vec<_>>(), [(None, None, "not decoded", "corrected")]);
    }

    #[test]
    fn the_same_error_is_one_row() {
        let text = "mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 7: cc0000c3000800c2";
        let mut found = seen(&[text, text, text]);
        found[0].at_ms = 0;
        let rows = fold(&found, DAY_MS + 1);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count, rows[0].last_day, rows[0].first_ms, rows[0].last_ms), (3, 2, 0, 3));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(text in r"(mce: )?(\{[0-9]\})?\[Hardware Error\]: (CPU[ :]?[0-9]{0,12}|.{0,8})(: Machine Check: 0 Bank |.{0,20}MC[0-9]*_STATUS\[)?.{0,40}") {
            let _records = seen(&[&text]);
        }
    }
}
