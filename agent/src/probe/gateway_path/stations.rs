//! What lies at the end of the way: a place in the internet, the Deskside server, the help desk; each reached as its users would.

use std::net::{IpAddr, SocketAddr};

use super::link::Begins;
use super::quality::{self, Quality};
use super::{Path, Said, certificate, failed, not_done, ok, unknown};
use crate::host::{Host, IcmpError, Knock};
use crate::probe::captive::{Check, check, page};
use crate::probe::reached::CONNECT_MAX;
use crate::probe::targets::place::{Place, host_and_port, joined};
use crate::probe::{Asked, Unrun, targets};

/// Ports at which TLS is spoken.
const SECURE: [u16; 3] = [443, 636, 8443];

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 2;

/// The usual port of a place that is named without one.
const PORT: u16 = 443;

/// A place that is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Station {
    /// The step.
    pub(super) step: &'static str,
    /// As a sentence names it.
    pub(super) name: &'static str,
    /// Host and port.
    pub(super) place: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// The only CA that may have signed for it; empty where the machine's roots may.
    pub(super) ca: Vec<u8>,
}

impl Station {
    fn read(text: &str, step: &'static str, name: &'static str) -> Result<Self, String> {
        let (host, port) = host_and_port(text).ok_or_else(|| format!("{text:?} is no host with a port"))?;
        let (host, port) = (Place::read(host)?.to_string(), port.unwrap_or(PORT));
        Ok(Self { step, name, place: joined(&host, port), host, port, ca: Vec::new() })
    }

    pub(super) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    pub(super) fn is_secure(&self) -> bool {
        !self.ca.is_empty() || SECURE.contains(&self.port)
    }
}

/// The places that are known.
pub(super) fn of(host: &dyn Host, asked: &Asked) -> Result<Vec<Station>, Unrun> {
    let mut all: Vec<Station> = Vec::new();
    let mut add = |station: Result<Station, String>| {
        // A line of the settings that names no place is none.
        let Ok(station) = station else { return };
        if !all.iter().any(|known| known.place == station.place) {
            all.push(station);
        }
    };
    if let Some(address) = asked.server.addresses.first() {
        let station = Station::read(address, "server", "the Deskside server");
        add(station.map(|station| Station { ca: asked.server.ca.clone(), ..station }));
    }
    match asked.get("target") {
        Some(target) => {
            let station = Station::read(target, "help desk", "the place that was asked for").map_err(Unrun::Refused)?;
            targets::allowed(host, &asked.policy, &station.host, Some(station.port))?;
            add(Ok(station));
        }
        None => add(Station::read(&asked.policy.help_desk, "help desk", "the help desk")),
    }
    let internet = asked.policy.targets.iter().find_map(|line| {
        let station = Station::read(line, "internet", "the internet").ok()?;
        (!asked.server.addresses.contains(line) && *line != asked.policy.help_desk).then_some(station)
    });
    if let Some(station) = internet {
        let known = all.iter().any(|known| known.place == station.place);
        if !known {
            all.insert(0, station);
        }
    }
    Ok(all)
}

/// Takes the steps from the gateway on.
pub(super) fn test(
    path: &mut Path<'_, '_, '_>,
    stations: &[Station],
    asked: &Asked,
    begins: &Begins,
) -> Result<(), Unrun> {
    if let Some(known) = check(path.host) {
        let target = known.url.clone();
        path.take("internet", &target, |host| portal(host, &known, true).unwrap_or_else(unknown))?;
    }
    let mut measured = false;
    for station in stations {
        let address = reach(path, station, asked, begins)?;
        let Some(address) = address else { continue };
        if !measured {
            measured = true;
            measure(path, station, address, begins)?;
        }
        if station.is_secure() {
            path.take("certificate", &station.place, |host| certificate::test(host, station, address))?;
        }
    }
    Ok(())
}

/// Resolves and connects; the address, where it is open.
fn reach(
    path: &mut Path<'_, '_, '_>,
    station: &Station,
    asked: &Asked,
    begins: &Begins,
) -> Result<Option<IpAddr>, Unrun> {
    let resolved = path.host.resolve(&station.host);
    let addresses: Vec<IpAddr> = resolved.iter().flatten().take(ADDRESSES_MAX).copied().collect();
    if addresses.is_empty() {
        let why = resolved.err().map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
        let sentence = format!("The name of {}, {}, cannot be resolved: {why}.", station.name, station.host);
        path.take(station.step, &station.place, |_host| failed("unresolved", &why, &sentence))?;
        return Ok(None);
    }
    let mut reached = None;
    path.take(station.step, &station.place, |host| {
        let mut first = None;
        for address in addresses {
            let said = knocked(host, station, address, begins);
            // Why one is enough: programs try all addresses of a name (RFC 8305).
            if said.problem.is_empty() {
                reached = Some(address);
                return said;
            }
            first.get_or_insert(said);
        }
        // Why asked after a failure alone: where the way is open there is no portal.
        held(host, station, asked).or(first).unwrap_or_else(|| unknown("no address was tried".into()))
    })?;
    Ok(reached)
}

/// A portal that answers in the place of a station.
fn held(host: &dyn Host, station: &Station, asked: &Asked) -> Option<Said> {
    targets::allowed(host, &asked.policy, &station.host, Some(80)).ok()?;
    let known = Check { url: format!("http://{}/", joined(&station.host, 80)), expect: String::new() };
    portal(host, &known, false).ok().filter(|said| said.problem == "captive")
}

/// Fetches a page; whether a portal answers. `known` says that its right answer is known.
fn portal(host: &dyn Host, check: &Check, known: bool) -> Result<Said, String> {
    let row = page(host, check);
    match row.problem.as_str() {
        "portal" => {
            let place = if row.location.is_empty() { String::new() } else { format!(" at {}", row.location) };
            let sentence = format!("A portal of this network holds the machine until somebody signs in{place}.");
            Ok(failed("captive", &row.found, &sentence))
        }
        "intercepted" if known => {
            let sentence =
                format!("Somebody on the way answers in the place of {}: a portal, or a filter.", row.target);
            Ok(failed("captive", &row.found, &sentence))
        }
        "" if row.outcome == "ok" => Ok(ok("the way into the internet is open")),
        _ => Err(row.found),
    }
}

/// Opens a connection; why it does not open.
fn knocked(host: &dyn Host, station: &Station, address: IpAddr, begins: &Begins) -> Said {
    let (name, place) = (station.name, &station.place);
    let (knock, _took) = match host.wire().knock(SocketAddr::new(address, station.port), CONNECT_MAX) {
        Ok(knocked) => knocked,
        Err(error) => return unknown(error.to_string()),
    };
    let at = SocketAddr::new(address, station.port);
    match knock {
        Knock::Open(_segment) => ok(&format!("{at} is open")),
        Knock::Reset => failed(
            "reset",
            "opened, and broken off at once",
            &format!("The connection to {name}, {place}, is broken off (reset) as soon as it is open."),
        ),
        Knock::Refused => {
            let sentence = format!(
                "The connection to {name}, {place}, is refused (reset): nobody listens there, or a firewall answers in its place."
            );
            failed("reset", "connection refused", &sentence)
        }
        Knock::Told(told) => icmp(&told, station),
        Knock::NoWay(kind) => failed(
            "unreachable",
            &format!("this machine has no way there ({kind})"),
            &format!("This machine has no way to {name}, {place}: {kind}."),
        ),
        Knock::Silent => silent(host, station, address, begins),
    }
}

/// What somebody on the way says (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1).
fn icmp(told: &IcmpError, station: &Station) -> Said {
    let (name, place, from) = (station.name, &station.place, told.from);
    let forbids = matches!(
        (from, told.kind, told.code),
        (IpAddr::V4(_), 3, 2 | 3 | 9 | 10 | 13) | (IpAddr::V6(_), 1, 1 | 4 | 5 | 6)
    );
    let found = format!("{from} says: ICMP type {}, code {}", told.kind, told.code);
    if forbids {
        return failed(
            "prohibited",
            &found,
            &format!("A firewall at {from} forbids the connection to {name}, {place}."),
        );
    }
    failed("unreachable", &found, &format!("{from} says that {name}, {place}, cannot be reached from there."))
}

/// Where the way ends of which nothing comes back.
fn silent(host: &dyn Host, station: &Station, address: IpAddr, begins: &Begins) -> Said {
    let (name, place) = (station.name, &station.place);
    let found = "no answer in time";
    match quality::end_of_way(host, address, &begins.interface) {
        Err(_unable) => failed("unreachable", found, &format!("Nothing comes back from {name}, {place}.")),
        Ok(Some(last)) if last == address => {
            // A way that loses much loses the packets that open connections too.
            let gateway = begins.gateway;
            let nearby = || gateway.and_then(|gateway| quality::measure(host, gateway, &begins.interface).ok());
            let lossy =
                quality::measure(host, address, &begins.interface).ok().map(|quality| quality.said(name, nearby));
            if let Some(said) = lossy.filter(|said| said.problem == "loss") {
                return said;
            }
            let sentence = format!(
                "The host of {name} answers, but connections to {place} are dropped by a firewall on the way or there."
            );
            failed("dropped", found, &sentence)
        }
        Ok(Some(last)) if Some(last) != begins.gateway => failed(
            "unreachable",
            found,
            &format!("The way to {name}, {place}, ends behind {last}: nothing comes back from there on."),
        ),
        Ok(_nothing_beyond) => {
            let gateway = begins.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
            let sentence = format!(
                "The gateway {gateway} is there, but nothing comes back from behind it: it forwards nothing, or its line is down."
            );
            failed("gateway-forwards-nothing", found, &sentence)
        }
    }
}

/// Loss, delay and large packets on the way to the first place that is open.
fn measure(path: &mut Path<'_, '_, '_>, station: &Station, address: IpAddr, begins: &Begins) -> Result<(), Unrun> {
    let (interface, gateway) = (begins.interface.clone(), begins.gateway);
    let mut quality = None;
    path.take("quality", &address.to_string(), |host| match quality::measure(host, address, &interface) {
        Ok(Quality { answered: 0, .. }) => not_done("this host answers no echo requests"),
        Ok(found) => {
            let nearby = || gateway.and_then(|gateway| quality::measure(host, gateway, &interface).ok());
            let said = found.said(station.name, nearby);
            quality = Some(found);
            said
        }
        Err(error) => not_done(&error.to_string()),
    })?;
    if quality.is_some() {
        path.take("large packets", &address.to_string(), |host| {
            quality::large(host, station.name, address, &interface)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(from: &str, kind: u8, code: u8) -> &'static str {
        let station = Station::read("desk.example", "help desk", "the help desk").unwrap();
        icmp(&IcmpError { from: from.parse().unwrap(), kind, code, mtu: None }, &station).problem
    }

    #[test]
    fn who_forbids_is_told_from_who_knows_no_way() {
        assert_eq!([told("192.0.2.1", 3, 13), told("192.0.2.1", 3, 3), told("2001:db8::1", 1, 1)], ["prohibited"; 3]);
        assert_eq!([told("192.0.2.1", 3, 0), told("192.0.2.1", 3, 1), told("2001:db8::1", 1, 0)], ["unreachable"; 3]);
    }

    #[test]
    fn a_place_is_read_with_its_usual_port() {
        let station = Station::read("[2001:db8::7]:8443", "server", "it").unwrap();
        assert_eq!(
            (station.place.as_str(), station.is_address(), station.is_secure()),
            ("[2001:db8::7]:8443", true, true)
        );
        assert_eq!(Station::read("desk.example", "help desk", "it").unwrap().port, 443);
        for wrong in ["", "*", "*.example", "10.0.0.0/8"] {
            assert!(Station::read(wrong, "internet", "it").is_err(), "{wrong}");
        }
    }
}
