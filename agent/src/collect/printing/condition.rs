//! How one printer is, in its own words: asked by IPP, or by SNMP where it does not speak IPP. For a test of one queue's way; the tables ask all.

use std::net::IpAddr;

use anyhow::Context;
use deskside_proto::v1::PrintDriver;
use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::printer_mib::{Mib, detected_errors, entry};
use crate::collect::printing::{announced, cups, print_drivers, reasons};
use crate::host::{Host, Oid, SNMP_PORT, SnmpAnswer, SnmpAsk};

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
const DESCRIPTION: &[u64] = &[1, 3, 6, 1, 2, 1, 1, 1];

/// Columns: hrDeviceStatus, hrPrinterDetectedErrorState (RFC 2790), prtAlertDescription (RFC 3805).
const STATUS: u64 = 5;
const DETECTED: u64 = 2;
const ALERT: u64 = 8;

/// `hrDeviceStatus`: running; running with a warning; down.
const RUNNING: i64 = 2;
const WARNING: i64 = 3;
const DOWN: i64 = 5;

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

/// The print server's version, as any of its queues tells it.
pub(crate) fn print_server_version(host: &dyn Host) -> Option<String> {
    let details = [("requested-attributes", cups::keywords(&["cups-version"]).ok()?), ("limit", IppValue::Integer(1))];
    let queues = cups::ask(host, Operation::CupsGetPrinters, DelimiterTag::PrinterAttributes, &details).ok()?;
    queues.first().map(|queue| told(&queue.text("cups-version"))).filter(|version| !version.is_empty())
}

/// The driver of one queue, with the filters that it needs and lacks.
pub(crate) fn driver(host: &dyn Host, queue: &str) -> anyhow::Result<PrintDriver> {
    print_drivers::of_queue(host, queue)
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
    let column = |entry: &[u64], column: u64| Oid::new(&[entry, &[column]].concat());
    let subtrees = vec![
        Oid::new(DESCRIPTION),
        column(entry::DEVICE, STATUS),
        column(entry::PRINTER, DETECTED),
        column(entry::ALERT, ALERT),
    ];
    let answer = host.snmp(&SnmpAsk { host: address.to_owned(), port: SNMP_PORT, subtrees })?;
    read(answer).context("it answers SNMP, but tells nothing of itself")
}

fn read(answer: SnmpAnswer) -> Option<Condition> {
    let mib = Mib(answer);
    let (devices, printers, alerts) = (mib.rows(entry::DEVICE), mib.rows(entry::PRINTER), mib.rows(entry::ALERT));
    let (index, printer) = printers.iter().next().unzip();
    // The printer's own status among those of the device's parts (network card, memory); a device without a printer table has one line.
    let device = index.and_then(|index| devices.get(index)).or_else(|| devices.values().next());
    let status = device.and_then(|device| device.number(STATUS));
    let model = told(&mib.description());
    if model.is_empty() && printer.is_none() && status.is_none() {
        return None;
    }
    let octets = printer.map(|printer| printer.octets(DETECTED)).unwrap_or_default();
    let errors: Vec<_> = detected_errors(octets).collect();
    let runs = matches!(status, Some(RUNNING | WARNING));
    let alerts: Vec<String> =
        alerts.values().map(|alert| told(&alert.text(ALERT))).filter(|text| !text.is_empty()).collect();
    Some(Condition {
        model,
        stopped: status == Some(DOWN) || (!runs && errors.iter().any(|error| error.stops)),
        troubles: errors.iter().map(|error| error.words.to_owned()).collect(),
        message: alerts.into_iter().take(ALERTS_MAX).collect::<Vec<_>>().join(", "),
        way: format!("SNMP {}", mib.0.version),
    })
}

/// Where a printer that announces itself is.
pub(crate) struct Announced {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    /// Where it is asked by IPP.
    pub(crate) uri: String,
}

/// The printer that announces itself by this name: "Acme Laser._ipp._tcp.local". Absent where none does.
pub(crate) fn announced(host: &dyn Host, instance: &str) -> anyhow::Result<Option<Announced>> {
    let found = announced::browse(host)?.into_iter().find(|found| found.name.eq_ignore_ascii_case(instance));
    Ok(found.map(|found| Announced { uri: found.ipp_uri(), port: found.port, addresses: found.addresses }))
}

/// A printer's own text, on one line and not too long.
fn told(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SnmpValue;

    fn answer(objects: &[(&[u64], SnmpValue)]) -> SnmpAnswer {
        let objects = objects.iter().map(|(name, value)| (Oid::new(name), value.clone())).collect();
        SnmpAnswer { version: "2c".into(), objects, cut: None }
    }

    fn object(subtree: &[u64], last: &[u64]) -> Vec<u64> {
        [subtree, last].concat()
    }

    #[test]
    fn a_printer_whose_tray_is_empty_and_that_runs_is_not_stopped_and_a_jammed_one_is() {
        let (status, bits) = (object(entry::DEVICE, &[5, 9]), object(entry::PRINTER, &[2, 9]));
        let network = object(entry::DEVICE, &[5, 2]);
        let of = |device: i64, octets: &[u8]| {
            let found = answer(&[
                (&status, SnmpValue::Integer(device)),
                (&network, SnmpValue::Integer(RUNNING)),
                (&bits, SnmpValue::Octets(octets.to_vec())),
            ]);
            read(found).unwrap()
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
        assert_eq!(read(answer(&[])), None);
        let name = object(DESCRIPTION, &[0]);
        let found = read(answer(&[(&name, SnmpValue::Octets(b"Acme\x07 Laser".to_vec()))])).unwrap();
        assert_eq!((found.model.as_str(), found.stopped, found.words().as_str()), ("Acme Laser", false, "ready"));
    }
}
