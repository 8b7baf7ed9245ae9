//! Print queues, as CUPS describes them.

use deskside_proto::rows::Row;
use deskside_proto::v1::Printer;
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::backlog::{self, Backlog};
use crate::collect::printing::cups::{self, Described};
use crate::collect::printing::reasons::{self, Severity};
use crate::collect::printing::{CHANGES, EVERY};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINTERS: Collector =
    Collector { table: Printer::TABLE, systems: &[Os::Linux], cadence: Cadence::EveryAndOn(EVERY, CHANGES), look };

const ASKED: &[&str] = &[
    "auth-info-required",
    "color-supported",
    "device-uri",
    "job-sheets-default",
    "marker-levels",
    "marker-names",
    "media-default",
    "media-ready",
    "member-names",
    "printer-config-change-time",
    "printer-error-policy",
    "printer-info",
    "printer-is-accepting-jobs",
    "printer-is-shared",
    "printer-is-temporary",
    "printer-location",
    "printer-make-and-model",
    "printer-name",
    "printer-op-policy",
    "printer-state",
    "printer-state-change-time",
    "printer-state-message",
    "printer-state-reasons",
    "printer-type",
    "printer-uuid",
    "queued-job-count",
    "sides-supported",
];

/// Bits of `printer-type` (CUPS's cups.h).
const TYPE_CLASS: i32 = 0x0001;
const TYPE_REMOTE: i32 = 0x0002;
const TYPE_DEFAULT: i32 = 0x2_0000;

/// `printer-state` of a queue that prints, and of one that is stopped.
const PROCESSING: i32 = 4;
const STOPPED: i32 = 5;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let details = [
        ("requested-attributes", cups::keywords(ASKED)?),
        ("limit", IppValue::Integer(i32::try_from(cups::OBJECTS_MAX)?)),
    ];
    let queues = cups::ask(host, Operation::CupsGetPrinters, DelimiterTag::PrinterAttributes, &details)?;
    let full = queues.len() == cups::OBJECTS_MAX;
    // Why only then: an idle machine is asked one question and not two.
    let busy = queues.iter().any(|queue| queue.count("queued-job-count").is_some_and(|jobs| jobs > 0));
    let (backlogs, uncounted) = if busy { backlog::of_queues(host)? } else { Default::default() };
    let mut rows: Rows = queues.iter().map(|queue| row(queue, backlogs.get(&queue.text("printer-name")))).collect();
    if full {
        rows.missing(format!("queues after the first {}", cups::OBJECTS_MAX));
    }
    if uncounted {
        rows.missing(format!("held and waiting jobs after the first {}", backlog::JOBS_MAX));
    }
    Ok(rows)
}

fn row(queue: &Described, backlog: Option<&Backlog>) -> Printer {
    let state = queue.number("printer-state");
    let reasons = queue.reasons("printer-state-reasons");
    let kind = queue.number("printer-type").unwrap_or_default();
    let message = queue.text("printer-state-message");
    let model = queue.text("printer-make-and-model");
    let stopped = state == Some(STOPPED);
    Printer {
        name: queue.text("printer-name"),
        state: state_name(state),
        troubles: reasons::troubles(&reasons),
        severity: reasons::worst(&reasons).map_or("", Severity::name).to_owned(),
        reasons_stale: state != Some(PROCESSING) && reasons.iter().any(|reason| !reasons::of_the_queue(reason)),
        paused_by: if stopped { backlog::paused_by(&reasons, &message, backlog).to_owned() } else { String::new() },
        state_reasons: reasons,
        state_message: message,
        state_changed_ms: queue.time_ms("printer-state-change-time"),
        accepting_jobs: queue.flag("printer-is-accepting-jobs"),
        queued_jobs: queue.count("queued-job-count").unwrap_or_default(),
        waiting_jobs: Some(backlog.map_or(0, |backlog| backlog.waiting)),
        held_jobs: Some(backlog.map_or(0, |backlog| backlog.held)),
        device_uri: without_password(&queue.text("device-uri")),
        driver: driver(&model, kind & TYPE_CLASS != 0).to_owned(),
        make_and_model: model,
        info: queue.text("printer-info"),
        location: queue.text("printer-location"),
        is_default: kind & TYPE_DEFAULT != 0,
        shared: queue.flag("printer-is-shared"),
        error_policy: queue.text("printer-error-policy"),
        is_class: kind & TYPE_CLASS != 0,
        markers: markers(&queue.texts("marker-names"), &queue.numbers("marker-levels")),
        uuid: queue.text("printer-uuid").trim_start_matches("urn:uuid:").to_owned(),
        op_policy: queue.text("printer-op-policy"),
        job_sheets: banners(queue.texts("job-sheets-default")),
        auth_info_required: queue.reasons("auth-info-required"),
        media_default: queue.text("media-default"),
        media_ready: queue.texts("media-ready"),
        color: queue.flag_if_told("color-supported"),
        duplex: two_sided(&queue.texts("sides-supported")),
        is_temporary: queue.flag("printer-is-temporary"),
        is_remote: kind & TYPE_REMOTE != 0,
        members: queue.texts("member-names"),
        config_changed_ms: queue.time_ms("printer-config-change-time"),
    }
}

fn state_name(state: Option<i32>) -> String {
    match state {
        Some(3) => "idle".into(),
        Some(PROCESSING) => "processing".into(),
        Some(STOPPED) => "stopped".into(),
        Some(other) => format!("state {other}"),
        None => String::new(),
    }
}

/// How documents become the printer's language. CUPS and cups-filters say in the model's name which queues they made without a driver.
pub(super) fn driver(model: &str, class: bool) -> &str {
    match model {
        _ if class => "",
        "Local Raw Printer" | "Remote Printer" => "raw",
        model if model.contains("IPP Everywhere") || model.contains("driverless") => "driverless",
        model => model,
    }
}

/// Banner pages, empty where each of them is none.
fn banners(sheets: Vec<String>) -> Vec<String> {
    if sheets.iter().all(|sheet| sheet == "none") { Vec::new() } else { sheets }
}

/// Both sides; not known where nothing is said of sides.
fn two_sided(sides: &[String]) -> Option<bool> {
    (!sides.is_empty()).then(|| sides.iter().any(|side| side.starts_with("two-sided")))
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
    fn a_queue_is_driverless_raw_or_has_a_driver() {
        let kinds = [
            ("Acme LaserJet 9 - IPP Everywhere", "driverless"),
            ("Acme LaserJet 9, driverless, cups-filters 1.28.17", "driverless"),
            ("Local Raw Printer", "raw"),
            ("Acme LaserJet 9 Foomatic/Postscript", "Acme LaserJet 9 Foomatic/Postscript"),
        ];
        for (model, expected) in kinds {
            assert_eq!(driver(model, false), expected);
        }
        assert_eq!(driver("Local Printer Class", true), "");
    }

    #[test]
    fn banners_and_sides_are_told_where_there_are_any() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(banners(list(&["none", "none"])).is_empty());
        assert_eq!(banners(list(&["none", "secret"])), ["none", "secret"]);
        assert_eq!(two_sided(&list(&["one-sided", "two-sided-long-edge"])), Some(true));
        assert_eq!((two_sided(&list(&["one-sided"])), two_sided(&[])), (Some(false), None));
    }

    #[test]
    fn a_level_that_is_not_known_is_not_a_low_one() {
        let names = ["Black", "Waste", "Cyan", "Magenta"].map(str::to_owned);
        assert_eq!(markers(&names, &[3, -2, -3]), ["Black 3 %", "Waste unknown", "Cyan some left"]);
    }
}
