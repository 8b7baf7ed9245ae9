//! What printers warn of, as they tell it themselves.

use deskside_proto::rows::Row;
use deskside_proto::v1::PrintAlert;

use crate::collect::printing::conversation::{self, Spoken};
use crate::collect::printing::cups::Described;
use crate::collect::printing::print_supplies::keys;
use crate::collect::printing::printer_mib::{Entry, Mib, entry, index_text};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

mod codes;

pub(in crate::collect) const PRINT_ALERTS: Collector =
    Collector { table: PrintAlert::TABLE, systems: &[Os::Linux], cadence: Cadence::Far(conversation::EVERY), look };

/// Most alerts of one printer.
const ALERTS_MAX: usize = 64;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let now_ms = host.now_ms();
    Ok(conversation::converse(host, false)?.rows(|spoken| rows(spoken, now_ms)))
}

/// By SNMP where it tells of any, else by IPP.
fn rows(spoken: &Spoken, now_ms: i64) -> Vec<PrintAlert> {
    let mut rows = spoken.snmp.as_ref().map(|mib| of_mib(mib, now_ms)).unwrap_or_default();
    if let (true, Ok(described)) = (rows.is_empty(), &spoken.ipp) {
        rows = of_described(described, now_ms);
    }
    rows.truncate(ALERTS_MAX);
    for row in &mut rows {
        (row.host, row.queues) = (spoken.device.host.clone(), spoken.device.queues.clone());
    }
    rows
}

fn of_mib(mib: &Mib, now_ms: i64) -> Vec<PrintAlert> {
    let up = mib.up_ticks();
    let row = |(index, alert): (&Vec<u64>, &Entry<'_>)| PrintAlert {
        index: index_text(index),
        source: "SNMP".into(),
        severity: alert.word(2, codes::SEVERITIES),
        training: alert.word(3, codes::TRAINING),
        group: alert.word(4, codes::GROUPS),
        group_index: known(alert.number(5)).map(|number| number.to_string()).unwrap_or_default(),
        location: known(alert.number(6)).and_then(|number| i32::try_from(number).ok()),
        code: alert.word(7, codes::CODES),
        description: alert.text(8),
        // Both are hundredths of a second since the printer was started.
        since_ms: up.zip(alert.count(9)).and_then(|(up, at)| since(now_ms, up.checked_sub(at)?.saturating_mul(10))),
        ..PrintAlert::default()
    };
    mib.rows(entry::ALERT).iter().map(row).collect()
}

/// -1 and -2 say that there is none, or that it is not known.
fn known(number: Option<i64>) -> Option<i64> {
    number.filter(|number| *number >= 0)
}

fn since(now_ms: i64, ago_ms: u64) -> Option<i64> {
    now_ms.checked_sub(i64::try_from(ago_ms).ok()?)
}

/// printer-alert (PWG 5100.9): "index=1;severity=critical;group=mediaPath;groupindex=1;location=2;code=jam;time=120"
fn of_described(described: &Described, now_ms: i64) -> Vec<PrintAlert> {
    let texts = described.texts("printer-alert-description");
    let up_s = described.count("printer-up-time");
    let row = |(place, alert): (usize, &String)| {
        let keys = keys(alert);
        let key = |name: &str| keys.get(name).copied().unwrap_or_default().to_owned();
        let at_s = keys.get("time").and_then(|seconds| seconds.parse::<u32>().ok());
        PrintAlert {
            index: Some(key("index")).filter(|index| !index.is_empty()).unwrap_or_else(|| (place + 1).to_string()),
            source: "IPP".into(),
            severity: key("severity"),
            training: key("training"),
            group: key("group"),
            group_index: key("groupindex"),
            location: keys.get("location").and_then(|place| place.parse().ok()).filter(|place| *place >= 0),
            code: key("code"),
            description: texts.get(place).cloned().unwrap_or_default(),
            since_ms: up_s.zip(at_s).and_then(|(up, at)| since(now_ms, u64::from(up.checked_sub(at)?) * 1000)),
            ..PrintAlert::default()
        }
    };
    let alerts = described.texts("printer-alert");
    // A printer without alerts tells an empty one.
    alerts.iter().filter(|alert| alert.contains('=')).enumerate().map(row).collect()
}
