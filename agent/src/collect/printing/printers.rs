//! Print queues, as CUPS describes them.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Printer;
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::cups::{self, Described};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINTERS: Collector =
    Collector { table: Printer::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

const ASKED: &[&str] = &[
    "device-uri",
    "marker-levels",
    "marker-names",
    "printer-error-policy",
    "printer-info",
    "printer-is-accepting-jobs",
    "printer-is-shared",
    "printer-location",
    "printer-make-and-model",
    "printer-name",
    "printer-state",
    "printer-state-change-time",
    "printer-state-message",
    "printer-state-reasons",
    "printer-type",
    "queued-job-count",
];

/// Bits of `printer-type` (CUPS's cups.h).
const TYPE_CLASS: i32 = 0x0001;
const TYPE_DEFAULT: i32 = 0x2_0000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let details = [
        ("requested-attributes", cups::keywords(ASKED)?),
        ("limit", IppValue::Integer(i32::try_from(cups::OBJECTS_MAX)?)),
    ];
    let queues = cups::ask(host, Operation::CupsGetPrinters, DelimiterTag::PrinterAttributes, &details)?;
    let full = queues.len() == cups::OBJECTS_MAX;
    let rows: Rows = queues.iter().map(row).collect();
    Ok(if full { rows.without(format!("queues after the first {}", cups::OBJECTS_MAX)) } else { rows })
}

fn row(queue: &Described) -> Printer {
    let kind = queue.number("printer-type").unwrap_or_default();
    Printer {
        name: queue.text("printer-name"),
        state: match queue.number("printer-state") {
            Some(3) => "idle".into(),
            Some(4) => "processing".into(),
            Some(5) => "stopped".into(),
            Some(other) => format!("state {other}"),
            None => String::new(),
        },
        state_reasons: queue.reasons("printer-state-reasons"),
        state_message: queue.text("printer-state-message"),
        state_changed_ms: queue.time_ms("printer-state-change-time"),
        accepting_jobs: queue.flag("printer-is-accepting-jobs"),
        queued_jobs: queue.count("queued-job-count").unwrap_or_default(),
        device_uri: without_password(&queue.text("device-uri")),
        make_and_model: queue.text("printer-make-and-model"),
        info: queue.text("printer-info"),
        location: queue.text("printer-location"),
        is_default: kind & TYPE_DEFAULT != 0,
        shared: queue.flag("printer-is-shared"),
        error_policy: queue.text("printer-error-policy"),
        is_class: kind & TYPE_CLASS != 0,
        markers: markers(&queue.texts("marker-names"), &queue.numbers("marker-levels")),
    }
}

/// Supplies and their levels. Negative levels are RFC 3805's: -3 some is left, all others not known.
fn markers(names: &[String], levels: &[i32]) -> Vec<String> {
    let level = |level: i32| match level {
        -3 => "some left".to_owned(),
        ..0 => "unknown".to_owned(),
        _ => format!("{level} %"),
    };
    names.iter().zip(levels).map(|(name, percent)| format!("{name} {}", level(*percent))).collect()
}

/// `scheme://user:password@host` with the password taken out.
fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(ends);
    let Some((login, host)) = authority.rsplit_once('@') else { return uri.to_owned() };
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_a_uri_and_nothing_else_is() {
        let cases = [
            ("ipp://anna:s3cret@print.example/ipp/print", "ipp://anna@print.example/ipp/print"),
            ("smb://anna:p@ss@host/queue", "smb://anna@host/queue"),
            ("socket://192.0.2.1:9100?contimeout=2", "socket://192.0.2.1:9100?contimeout=2"),
            ("lpd://host/queue?reserve=a@b:c", "lpd://host/queue?reserve=a@b:c"),
            ("file:/dev/null", "file:/dev/null"),
            ("", ""),
        ];
        for (uri, expected) in cases {
            assert_eq!(without_password(uri), expected);
        }
    }

    #[test]
    fn a_level_that_is_not_known_is_not_a_low_one() {
        let names = ["Black", "Waste", "Cyan", "Magenta"].map(str::to_owned);
        assert_eq!(markers(&names, &[3, -2, -3]), ["Black 3 %", "Waste unknown", "Cyan some left"]);
    }
}
