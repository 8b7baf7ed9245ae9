//! Where a queue's jobs go, as its device URI says (CUPS: "backend://host:port/resource?options").

use data_encoding::HEXLOWER_PERMISSIVE;

/// How a device on the network is asked how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By IPP at the queue's own URI.
    Ipp,
    /// By SNMP, since its port takes pages and answers nothing.
    Snmp,
    /// Not at all: another machine stands before it.
    Behind,
}

/// Where jobs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A host and a port.
    Network {
        /// Name or address, as the URI has it.
        host: String,
        port: u16,
        way: Way,
        /// A queue of another print server, and not a printer.
        remote_queue: bool,
    },
    /// A name that the printer announces by multicast DNS: "Acme Laser._ipp._tcp.local".
    Announced {
        /// The whole name of the instance.
        instance: String,
    },
    /// Attached to this machine.
    Attached(&'static str),
    /// A file, or nothing.
    File,
    /// A class of queues.
    Class,
    /// A backend of which nothing is known.
    Other(String),
}

/// Reads a device URI.
pub(super) fn of(uri: &str, is_class: bool) -> Place {
    if is_class {
        return Place::Class;
    }
    let Some((scheme, rest)) = uri.split_once(':') else { return Place::Other(String::new()) };
    let scheme = scheme.to_ascii_lowercase();
    let (port, way) = match scheme.as_str() {
        "ipp" | "ipps" => (631, Way::Ipp),
        "http" => (80, Way::Ipp),
        "https" => (443, Way::Ipp),
        "socket" => (9100, Way::Snmp),
        "lpd" => (515, Way::Snmp),
        "smb" => (445, Way::Behind),
        "dnssd" | "mdns" => return announced(rest).unwrap_or(Place::Other(scheme)),
        "usb" => return Place::Attached("USB"),
        "parallel" => return Place::Attached("a parallel port"),
        "serial" => return Place::Attached("a serial port"),
        "hp" | "hpfax" => return hplip(rest, scheme),
        "file" => return Place::File,
        _ => return Place::Other(scheme),
    };
    let Some((authority, path)) = rest.strip_prefix("//").map(authority) else { return Place::Other(scheme) };
    let (host, own_port) = host_and_port(authority);
    if host.is_empty() {
        return Place::Other(scheme);
    }
    let remote_queue = way == Way::Ipp && (path.starts_with("/printers/") || path.starts_with("/classes/"));
    Place::Network { host: unescaped(host), port: own_port.unwrap_or(port), way, remote_queue }
}

/// What stands before the path, without a login; and the path.
fn authority(rest: &str) -> (&str, &str) {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (authority.rsplit_once('@').map_or(authority, |(_login, host)| host), path)
}

/// `host`, `host:port`, `[address]:port`, with the zone of a link-local address as CUPS writes it.
fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (
            address.strip_prefix("v1.").unwrap_or(address),
            rest.strip_prefix(':').and_then(|port| port.parse().ok()),
        );
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

/// "//Acme%20Laser._ipp._tcp.local/?uuid=…"
fn announced(rest: &str) -> Option<Place> {
    let instance = unescaped(authority(rest.strip_prefix("//")?).0);
    instance.contains("._tcp").then_some(Place::Announced { instance })
}

/// HPLIP: "/net/Model?ip=192.0.2.9", "/net/Model?hostname=name", "/usb/Model?serial=…"
fn hplip(rest: &str, scheme: String) -> Place {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    let option = |name: &str| options.split('&').find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    match option("ip").or_else(|| option("hostname")).or_else(|| option("zc")) {
        Some(host) if path.starts_with("/net/") => {
            Place::Network { host: unescaped(host), port: 9100, way: Way::Snmp, remote_queue: false }
        }
        _ if path.starts_with("/usb/") => Place::Attached("USB"),
        _ if path.starts_with("/par/") => Place::Attached("a parallel port"),
        _ => Place::Other(scheme),
    }
}

/// `%` and two hex digits are a byte (RFC 3986, 2.1).
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.as_bytes().split_at_checked(2);
        let byte = digits.and_then(|(digits, rest)| Some((HEXLOWER_PERMISSIVE.decode(digits).ok()?, rest)));
        let (byte, rest) = byte.unwrap_or_else(|| (b"%".to_vec(), part.as_bytes()));
        bytes.extend(byte);
        bytes.extend(rest);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(host: &str, port: u16, way: Way, remote_queue: bool) -> Place {
        Place::Network { host: host.into(), port, way, remote_queue }
    }

    #[test]
    fn each_kind_of_uri_says_where_jobs_go() {
        for (uri, place) in [
            ("socket://192.0.2.9", network("192.0.2.9", 9100, Way::Snmp, false)),
            ("socket://192.0.2.9:9101/?contimeout=2", network("192.0.2.9", 9101, Way::Snmp, false)),
            ("socket://[2001:db8::9]:9100", network("2001:db8::9", 9100, Way::Snmp, false)),
            ("lpd://print.example/queue?reserve=none", network("print.example", 515, Way::Snmp, false)),
            ("ipp://anna@print.example/ipp/print", network("print.example", 631, Way::Ipp, false)),
            ("ipps://print.example:8631/ipp/print", network("print.example", 8631, Way::Ipp, false)),
            ("ipp://server/printers/front", network("server", 631, Way::Ipp, true)),
            ("smb://DOMAIN/server/front", network("DOMAIN", 445, Way::Behind, false)),
            ("hp:/net/LaserJet?ip=192.0.2.9", network("192.0.2.9", 9100, Way::Snmp, false)),
            ("hp:/usb/LaserJet?serial=X", Place::Attached("USB")),
            ("usb://Acme/Laser?serial=X", Place::Attached("USB")),
            ("file:///dev/null", Place::File),
            ("cups-pdf:/", Place::Other("cups-pdf".into())),
            ("", Place::Other(String::new())),
            (
                "dnssd://Acme%20Laser%20%5B1%5D._ipp._tcp.local/?uuid=1",
                Place::Announced { instance: "Acme Laser [1]._ipp._tcp.local".into() },
            ),
        ] {
            assert_eq!(of(uri, false), place, "{uri}");
        }
        assert_eq!(of("", true), Place::Class);
    }

    proptest! {
        #[test]
        fn no_uri_breaks_it(uri in "[a-z]{0,5}:?/?/?[\\PC%@:\\[\\]/?]{0,60}") {
            of(&uri, false);
        }
    }
}
