//! How one printer is, in its own words: asked by IPP, or by SNMP where it does not speak IPP. For a test of one queue's way; the tables ask all.

use anyhow::Context;
use ipp::model::Operation;

use crate::collect::printing::{cups, reasons};
use crate::host::{Host, Oid, SNMP_PORT, SnmpAnswer, SnmpAsk, SnmpValue};

/// What is asked by IPP (RFC 8011 5.4).
const ASKED: &[&str] = &[
    "printer-is-accepting-jobs",
    "printer-make-and-model",
    "printer-state",
    "printer-state-message",
    "printer-state-reasons",
];

/// `printer-state` of a printer that prints nothing.
const STOPPED: i32 = 5;

/// sysDescr (RFC 3418).
const DESCRIPTION: [u64; 8] = [1, 3, 6, 1, 2, 1, 1, 1];
/// hrDeviceStatus, hrPrinterDetectedErrorState (RFC 2790).
const DEVICE_STATUS: [u64; 11] = [1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 5];
const DETECTED_ERRORS: [u64; 11] = [1, 3, 6, 1, 2, 1, 25, 3, 5, 1, 2];
/// prtAlertDescription (RFC 3805).
const ALERTS: [u64; 11] = [1, 3, 6, 1, 2, 1, 43, 18, 1, 1, 8];

/// `hrDeviceStatus`: running; running with a warning; down.
const RUNNING: i64 = 2;
const WARNING: i64 = 3;
const DOWN: i64 = 5;

/// The bits of hrPrinterDetectedErrorState, the most significant of the first byte first, and whether each keeps the printer from printing
/// (RFC 2790, hrPrinterDetectedErrorState).
const ERRORS: [(&str, bool); 15] = [
    ("low on paper", false),
    ("out of paper", true),
    ("low on toner", false),
    ("out of toner", true),
    ("door open", true),
    ("paper jam", true),
    ("offline", true),
    ("service requested", true),
    ("a tray is missing", true),
    ("an output tray is missing", true),
    ("a cartridge is missing", true),
    ("output tray almost full", false),
    ("output tray full", true),
    ("a tray is empty", false),
    ("maintenance is overdue", false),
];

/// Alerts that are told.
const ALERTS_MAX: usize = 4;

/// Longest text of a printer that is told, in characters.
const TEXT_CHARS_MAX: usize = 120;

/// How a printer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Make and model, or what it calls itself.
    pub(crate) model: String,
    /// It prints nothing as it is.
    pub(crate) stopped: bool,
    /// What it lacks or suffers, in plain words.
    pub(crate) troubles: Vec<String>,
    /// Its own sentence.
    pub(crate) message: String,
    /// How it was asked: "IPP", "SNMP 2c".
    pub(crate) way: String,
}

impl Condition {
    /// In words.
    pub(crate) fn words(&self) -> String {
        let troubles = self.troubles.join(", ");
        let state = if self.stopped { "stopped" } else { "ready" };
        let said = if self.message.is_empty() { String::new() } else { format!(" (\"{}\")", self.message) };
        if troubles.is_empty() { format!("{state}{said}") } else { format!("{state}: {troubles}{said}") }
    }
}

/// Asks by IPP.
pub(crate) fn by_ipp(host: &dyn Host, uri: &str) -> anyhow::Result<Condition> {
    let details = [("printer-uri", cups::uri(uri)?), ("requested-attributes", cups::keywords(ASKED)?)];
    let answer = host.device_ipp(uri, &cups::question(Operation::GetPrinterAttributes, &details)?)?;
    let said = cups::read_device(&answer)?;
    let reasons = said.reasons("printer-state-reasons");
    let closed = said.flag_if_told("printer-is-accepting-jobs") == Some(false);
    let mut troubles = reasons::troubles(&reasons);
    troubles.extend(closed.then(|| "takes no jobs".to_owned()));
    Ok(Condition {
        model: told(&said.text("printer-make-and-model")),
        stopped: said.number("printer-state") == Some(STOPPED) || closed,
        troubles,
        message: told(&said.text("printer-state-message")),
        way: "IPP".into(),
    })
}

/// Asks by SNMP.
pub(crate) fn by_snmp(host: &dyn Host, address: &str) -> anyhow::Result<Condition> {
    let subtrees = [&DESCRIPTION[..], &DEVICE_STATUS, &DETECTED_ERRORS, &ALERTS].map(Oid::new).to_vec();
    let answer = host.snmp(&SnmpAsk { host: address.to_owned(), port: SNMP_PORT, subtrees })?;
    read(&answer).context("it answers SNMP, but tells nothing of itself")
}

fn read(answer: &SnmpAnswer) -> Option<Condition> {
    let below = |subtree: &[u64]| {
        let subtree = Oid::new(subtree);
        answer.objects.iter().filter(move |(name, _value)| name.below(&subtree).is_some()).map(|(_name, value)| value)
    };
    let text = |value: &SnmpValue| match value {
        SnmpValue::Octets(octets) => Some(told(&String::from_utf8_lossy(octets))).filter(|text| !text.is_empty()),
        _ => None,
    };
    let model = below(&DESCRIPTION).find_map(text);
    let errors = below(&DETECTED_ERRORS).find_map(|value| match value {
        SnmpValue::Octets(octets) => Some(errors(octets)),
        _ => None,
    });
    // A device has several of them (its network card is one); a printer's own errors are those beside its error state.
    let statuses: Vec<i64> = below(&DEVICE_STATUS)
        .filter_map(|value| match value {
            SnmpValue::Integer(status) => Some(*status),
            _ => None,
        })
        .collect();
    let printer = answer.objects.iter().find_map(|(name, _value)| name.below(&Oid::new(&DETECTED_ERRORS))?.first());
    let own = printer.and_then(|index| {
        let name = Oid::new(&[&DEVICE_STATUS[..], &[*index]].concat());
        answer.objects.iter().find_map(|(other, value)| match value {
            SnmpValue::Integer(status) if *other == name => Some(*status),
            _ => None,
        })
    });
    let status = own.or(statuses.first().copied().filter(|_only| statuses.len() == 1));
    if model.is_none() && errors.is_none() && status.is_none() {
        return None;
    }
    let errors = errors.unwrap_or_default();
    let runs = matches!(status, Some(RUNNING | WARNING));
    let alerts: Vec<String> = below(&ALERTS).filter_map(text).take(ALERTS_MAX).collect();
    Some(Condition {
        model: model.unwrap_or_default(),
        stopped: status == Some(DOWN) || (!runs && errors.iter().any(|(_words, keeps)| *keeps)),
        troubles: errors.into_iter().map(|(words, _keeps)| words.to_owned()).collect(),
        message: alerts.join(", "),
        way: format!("SNMP {}", answer.version),
    })
}

fn errors(octets: &[u8]) -> Vec<(&'static str, bool)> {
    let set = |place: usize| octets.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0);
    ERRORS.iter().enumerate().filter(|(place, _error)| set(*place)).map(|(_place, error)| *error).collect()
}

/// A printer's own text, on one line and not too long.
fn told(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(objects: &[(&[u64], SnmpValue)]) -> SnmpAnswer {
        let objects = objects.iter().map(|(name, value)| (Oid::new(name), value.clone())).collect();
        SnmpAnswer { version: "2c".into(), objects, cut: None }
    }

    fn object(subtree: &[u64], last: &[u64]) -> Vec<u64> {
        [subtree, last].concat()
    }

    #[test]
    fn a_printer_whose_tray_is_empty_and_that_runs_is_not_stopped_and_a_jammed_one_is() {
        let (status, bits) = (object(&DEVICE_STATUS, &[1]), object(&DETECTED_ERRORS, &[1]));
        let network = object(&DEVICE_STATUS, &[2]);
        let of = |device: i64, octets: &[u8]| {
            let found = answer(&[
                (&status, SnmpValue::Integer(device)),
                (&network, SnmpValue::Integer(RUNNING)),
                (&bits, SnmpValue::Octets(octets.to_vec())),
            ]);
            read(&found).unwrap()
        };
        let low = of(WARNING, &[0x80, 0x04]);
        assert_eq!((low.stopped, low.words().as_str()), (false, "ready: low on paper, a tray is empty"));
        let jammed = of(DOWN, &[0x04]);
        assert_eq!((jammed.stopped, jammed.words().as_str()), (true, "stopped: paper jam"));
        assert!(!of(RUNNING, &[]).stopped);
        assert!(of(1, &[0x40]).stopped, "a status of its own that is not known leaves it to the bits");
    }

    #[test]
    fn a_device_that_tells_nothing_is_no_condition() {
        assert_eq!(read(&answer(&[])), None);
        let name = object(&DESCRIPTION, &[0]);
        let found = read(&answer(&[(&name, SnmpValue::Octets(b"Acme\x07 Laser".to_vec()))])).unwrap();
        assert_eq!((found.model.as_str(), found.stopped, found.words().as_str()), ("Acme Laser", false, "ready"));
    }
}
