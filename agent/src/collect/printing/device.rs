//! Which printers the machine's queues lead to: their device URIs read, and nothing beyond them. No other host is ever asked.

use std::collections::BTreeMap;

use ipp::model::{DelimiterTag, Operation};
use ipp::value::IppValue;

use crate::collect::printing::cups::{self, decoded};
use crate::host::Host;

/// What is asked of the print server.
const ASKED: &[&str] = &["device-uri", "printer-name"];

/// Where a printer answers IPP, if its queue does not say (RFC 8011 and IPP Everywhere, 4.1).
const IPP_PATH: &str = "/ipp/print";
const IPP_PORT: u16 = 631;

/// How a device is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// At a host of the network.
    Network,
    /// By the name under which it announces itself (RFC 6763).
    Announced,
    /// By a cable at this machine.
    Usb,
}

/// One printer, and the queues that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// Address, host name, announced name, or the URI of a printer at a cable.
    pub(super) host: String,
    pub(super) way: Way,
    pub(super) queues: Vec<String>,
    pub(super) schemes: Vec<String>,
    /// The port to which the queues send.
    pub(super) port: Option<u16>,
    /// Where it is asked by IPP.
    pub(super) ipp_uri: String,
    /// The UUID that a queue knows it by.
    pub(super) uuid: String,
}

/// The printers behind the print server's queues, by host.
pub(super) fn of_queues(host: &dyn Host) -> anyhow::Result<Vec<Device>> {
    let details = [
        ("requested-attributes", cups::keywords(ASKED)?),
        ("limit", IppValue::Integer(i32::try_from(cups::OBJECTS_MAX)?)),
    ];
    let queues = cups::ask(host, Operation::CupsGetPrinters, DelimiterTag::PrinterAttributes, &details)?;
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    for queue in &queues {
        let Some(found) = of_uri(&queue.text("device-uri")) else { continue };
        let device = devices.entry(found.host.clone()).or_insert_with(|| found.clone());
        device.queues.push(queue.text("printer-name"));
        device.schemes.extend(found.schemes);
        device.schemes.sort();
        device.schemes.dedup();
        // A queue that speaks IPP knows the path; one that does not was only guessed.
        if device.schemes.iter().any(|scheme| scheme.starts_with("ipp")) && found.ipp_uri != guessed(&found.host) {
            device.ipp_uri = found.ipp_uri;
        }
    }
    Ok(devices.into_values().collect())
}

/// The printer that a device URI leads to; absent where that is none that can be asked (a file, a class, another machine's share).
fn of_uri(uri: &str) -> Option<Device> {
    let (scheme, rest) = uri.split_once(':')?;
    let scheme = scheme.to_lowercase();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let device = |host: &str, way, port, ipp_uri| Device {
        host: host.to_owned(),
        way,
        queues: Vec::new(),
        schemes: vec![scheme.clone()],
        port,
        ipp_uri,
        uuid: of_query(query, "uuid").unwrap_or_default(),
    };
    let usual = match scheme.as_str() {
        "usb" => return Some(device(uri, Way::Usb, None, String::new())),
        "hp" => {
            let place = of_query(query, "ip").or_else(|| of_query(query, "hostname"));
            let place = place.or_else(|| of_query(query, "zc").map(|name| format!("{name}.local")))?;
            return path.starts_with("/net/").then(|| device(&place, Way::Network, Some(9100), guessed(&place)));
        }
        "dnssd" => None,
        "ipp" | "ipps" => Some(IPP_PORT),
        "http" => Some(80),
        "https" => Some(443),
        "socket" => Some(9100),
        "lpd" => Some(515),
        _ => return None,
    };
    let authority = path.strip_prefix("//")?;
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    let place = authority.rsplit_once('@').map_or(authority, |(_login, place)| place);
    let (name, port) = with_port(place)?;
    let name = decoded(name).to_lowercase();
    if usual.is_none() || name.contains("._tcp") {
        // Why as written: names of announcements have capitals and spaces.
        let announced = decoded(place.trim_end_matches('/'));
        return Some(device(&announced, Way::Announced, None, String::new()));
    }
    let port = port.or(usual)?;
    let ipp_uri = match scheme.as_str() {
        "socket" | "lpd" => guessed(&name),
        _ => format!("{scheme}://{}:{port}{}", bracketed(&name), if path.is_empty() { "/" } else { path }),
    };
    Some(device(&name, Way::Network, Some(port), ipp_uri))
}

/// Where a host is asked by IPP whose queue does not speak it.
pub(super) fn guessed(host: &str) -> String {
    format!("ipp://{}:{IPP_PORT}{IPP_PATH}", bracketed(host))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// "host", "host:port", "[address]:port".
fn with_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => match place.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (place, None),
        },
    };
    if name.is_empty() {
        return None;
    }
    Some((name, port.and_then(|port| port.parse().ok())))
}

fn of_query(query: &str, name: &str) -> Option<String> {
    let parts = query.split(['&', ';']).filter_map(|part| part.split_once('='));
    parts.filter(|(key, _value)| *key == name).map(|(_key, value)| decoded(value)).find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_leads_to_its_printer() {
        let cases = [
            ("ipp://192.0.2.9/ipp/print", "192.0.2.9", 631, "ipp://192.0.2.9:631/ipp/print"),
            ("ipps://Printer.Example:8631/ipp", "printer.example", 8631, "ipps://printer.example:8631/ipp"),
            ("socket://192.0.2.9", "192.0.2.9", 9100, "ipp://192.0.2.9:631/ipp/print"),
            ("socket://[2001:db8::9]:9101?waiteof=false", "2001:db8::9", 9101, "ipp://[2001:db8::9]:631/ipp/print"),
            ("lpd://anna:pw@host.example/queue", "host.example", 515, "ipp://host.example:631/ipp/print"),
            ("http://192.0.2.9:631/ipp", "192.0.2.9", 631, "http://192.0.2.9:631/ipp"),
            ("hp:/net/LaserJet_400?ip=192.0.2.9", "192.0.2.9", 9100, "ipp://192.0.2.9:631/ipp/print"),
            ("hp:/net/LaserJet_400?zc=NPI1A2B3C", "NPI1A2B3C.local", 9100, "ipp://NPI1A2B3C.local:631/ipp/print"),
        ];
        for (uri, host, port, ipp_uri) in cases {
            let found = of_uri(uri).unwrap();
            let seen = (found.host.as_str(), found.port, found.ipp_uri.as_str(), found.way);
            assert_eq!(seen, (host, Some(port), ipp_uri, Way::Network), "{uri}");
        }
    }

    #[test]
    fn a_printer_at_a_cable_and_one_that_announces_itself_are_told_apart() {
        let announced = of_uri("dnssd://HP%20LaserJet%20%5B1A2B%5D._ipp._tcp.local/?uuid=564e-1").unwrap();
        assert_eq!(announced.host, "HP LaserJet [1A2B]._ipp._tcp.local");
        assert_eq!((announced.way, announced.uuid.as_str()), (Way::Announced, "564e-1"));
        assert_eq!(of_uri("ipps://Brother%20HL._ipps._tcp.local/").unwrap().way, Way::Announced);
        assert_eq!(of_uri("usb://HP/LaserJet?serial=X").unwrap().way, Way::Usb);
    }

    #[test]
    fn what_is_no_printer_that_can_be_asked_is_left_alone() {
        for uri in [
            "file:///dev/null",
            "implicitclass://front/",
            "smb://server/share",
            "hp:/usb/LaserJet",
            "socket://",
            "ipp:",
            "x",
            "",
        ] {
            assert_eq!(of_uri(uri), None, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn no_uri_breaks_it(uri in "(ipp|socket|dnssd|hp|usb)?:?/{0,2}[a-z%@:\\[\\]/?&=.0-9ü]{0,40}") {
            drop(of_uri(&uri));
        }
    }
}
