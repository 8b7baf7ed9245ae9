//! Which way leads to an address by the kernel's tables, and whether somebody answers for the next hop.

use std::net::IpAddr;

use deskside_proto::v1::{Address, Neighbor, Route};

use super::{Outcome, Said};
use crate::host::Host;
use crate::probe::now::rows;

/// Number of the main table; those beside it count where it leads nowhere.
const MAIN: u32 = 254;

/// The way that the kernel would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// It is this machine itself.
    Here,
    /// Over an interface, through a gateway or straight.
    Out { interface: String, gateway: Option<IpAddr> },
    /// A route that forbids it: blackhole, unreachable, prohibit.
    Barred(String),
    /// No route.
    Nowhere,
    /// The tables could not be read.
    Unseen(String),
}

/// Asks the kernel's tables.
pub(super) fn to(host: &dyn Host, target: IpAddr) -> Lead {
    let (routes, addresses) = match (rows::<Route>(host), rows::<Address>(host)) {
        (Ok(routes), Ok(addresses)) => (routes, addresses),
        (Err(why), _) | (_, Err(why)) => return Lead::Unseen(why),
    };
    let own = addresses.iter().any(|address| address.address.parse() == Ok(target));
    if own || target.is_loopback() {
        return Lead::Here;
    }
    lead(&routes, target)
}

/// The longest prefix wins, then the lowest metric.
fn lead(routes: &[Route], target: IpAddr) -> Lead {
    let best = |of_main: bool| {
        let fit = routes.iter().filter(|route| (route.table == MAIN) == of_main);
        let fit = fit.filter_map(|route| Some((prefix(route, target)?, route)));
        fit.max_by_key(|(length, route)| (*length, u32::MAX - route.metric)).map(|(_length, route)| route)
    };
    let Some(route) = best(true).or_else(|| best(false)) else { return Lead::Nowhere };
    match route.r#type.as_str() {
        "unicast" => Lead::Out { interface: route.interface.clone(), gateway: route.gateway.parse().ok() },
        other => Lead::Barred(other.to_owned()),
    }
}

/// How many bits of the target a route's destination fits; absent where it does not.
fn prefix(route: &Route, target: IpAddr) -> Option<u8> {
    let family = if target.is_ipv4() { "inet" } else { "inet6" };
    if route.family != family {
        return None;
    }
    if route.destination == "default" {
        return Some(0);
    }
    let (network, length) = route.destination.split_once('/')?;
    let (network, length): (IpAddr, u8) = (network.parse().ok()?, length.parse().ok()?);
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let passed = 128_u32.checked_sub(u32::from(length))?;
    let same = (bits(network) ^ bits(target)).checked_shr(passed).unwrap_or_default() == 0;
    same.then_some(length)
}

/// What the kernel thinks of the next hop; absent where it has not asked for it.
pub(super) fn neighbor(host: &dyn Host, next: IpAddr, interface: &str) -> Option<Neighbor> {
    let neighbors = rows::<Neighbor>(host).ok()?;
    let at = |neighbor: &Neighbor| neighbor.interface == interface && neighbor.address.parse() == Ok(next);
    neighbors.into_iter().find(at)
}

/// The step in words, with what the kernel learnt of the next hop while the port was tried. `silent` says that nothing came back from there.
pub(super) fn said(host: &dyn Host, lead: &Lead, target: IpAddr, silent: bool) -> Said {
    let (interface, gateway) = match lead {
        Lead::Here => return (Outcome::Ok, "this machine itself".into()),
        Lead::Nowhere => return (Outcome::Failed, "no route leads there".into()),
        Lead::Barred(kind) => return (Outcome::Failed, format!("a route of the kind {kind} bars the way")),
        Lead::Unseen(why) => return (Outcome::Unknown, format!("the routes could not be read: {why}")),
        Lead::Out { interface, gateway } => (interface, gateway),
    };
    let next = gateway.unwrap_or(target);
    let over = match gateway {
        Some(gateway) => format!("over {interface} through {gateway}"),
        None => format!("over {interface}, on the same link"),
    };
    let asked = if next.is_ipv4() { "ARP" } else { "neighbour discovery" };
    match neighbor(host, next, interface) {
        Some(found) if silent && matches!(found.state.as_str(), "failed" | "incomplete") => {
            let who = if gateway.is_some() { "the gateway does not" } else { "nobody" };
            let answers = if gateway.is_some() { "answer" } else { "answers" };
            (Outcome::Failed, format!("{over}, but {who} {answers} for {next} ({asked}: {})", found.state))
        }
        Some(found) if !found.mac.is_empty() => {
            (Outcome::Ok, format!("{over}; {next} is {} ({asked}: {})", found.mac, found.state))
        }
        _ => (Outcome::Ok, over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, gateway: &str, metric: u32, table: u32, kind: &str) -> Route {
        let family = if destination.contains(':') || gateway.contains(':') { "inet6" } else { "inet" };
        Route {
            destination: destination.into(),
            gateway: gateway.into(),
            interface: format!("eth{metric}"),
            metric,
            family: family.into(),
            r#type: kind.into(),
            table,
            ..Route::default()
        }
    }

    #[test]
    fn the_longest_prefix_wins_and_then_the_lowest_metric() {
        let routes = [
            route("default", "192.0.2.1", 1, 254, "unicast"),
            route("default", "192.0.2.2", 0, 254, "unicast"),
            route("198.51.100.0/24", "", 3, 254, "unicast"),
            route("198.51.100.128/25", "", 4, 254, "blackhole"),
            route("203.0.113.0/24", "", 5, 1077, "unicast"),
            route("2001:db8::/32", "", 6, 254, "unicast"),
        ];
        let to = |target: &str| lead(&routes, target.parse().unwrap());
        let out = |interface: &str, gateway: Option<&str>| Lead::Out {
            interface: interface.into(),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        };
        assert_eq!(to("192.0.2.99"), out("eth0", Some("192.0.2.2")));
        assert_eq!(to("198.51.100.7"), out("eth3", None));
        assert_eq!(to("198.51.100.200"), Lead::Barred("blackhole".into()));
        assert_eq!(to("203.0.113.9"), out("eth0", Some("192.0.2.2")), "the main table comes first");
        assert_eq!(to("2001:db8::9"), out("eth6", None));
        assert_eq!(to("2001:db9::9"), Lead::Nowhere);
    }
}
