//! The first steps, on this machine and its link: a carrier, an address of its own, a gateway that is there.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use deskside_proto::v1::{Address, Interface, Neighbor};

use super::{Path, Said, failed, not_done, ok, unknown};
use crate::host::{Hear, Host, mac_text};
use crate::probe::targets::configured;
use crate::probe::{Unrun, now, reached};

/// How long answers to ARP are waited for.
const ARP_MAX: Duration = Duration::from_millis(600);

/// A port that gateways often answer at, and if only by refusing.
const NAMES: u16 = 53;

/// Where the way begins.
pub(super) struct Begins {
    /// Interface of the default route; of the first address where there is none.
    pub(super) interface: String,
    /// The gateway.
    pub(super) gateway: Option<IpAddr>,
}

/// Takes the steps; absent where the way ends here.
pub(super) fn test(path: &mut Path<'_, '_, '_>) -> Result<Option<Begins>, Unrun> {
    let gateway = configured::gateways(path.host).into_iter().next();
    let interfaces = now::rows::<Interface>(path.host);
    let named = gateway.as_ref().map(|(_address, interface)| interface.as_str());
    let (interface, said) = link(&interfaces, named);
    if !path.take("link", &interface, |_host| said)? {
        return Ok(None);
    }
    let addresses = match now::rows::<Address>(path.host) {
        Ok(addresses) => addresses,
        Err(why) => {
            path.take("address", &interface, |_host| unknown(why))?;
            Vec::new()
        }
    };
    let own: Vec<&Address> =
        addresses.iter().filter(|address| interface.is_empty() || address.interface == interface).collect();
    if !path.take("address", &interface, |_host| addressed(&own))? {
        return Ok(None);
    }
    let four = own.iter().find_map(|address| address.address.parse::<Ipv4Addr>().ok());
    if let Some(four) = four
        && !path.take("duplicate", &four.to_string(), |host| duplicate(host, &interface, four))?
    {
        return Ok(None);
    }
    let Some((address, _interface)) = gateway else {
        let none = failed(
            "no-gateway",
            "no default route: nothing beyond the own network can be reached",
            "This machine has no gateway, so it reaches nothing beyond its own network; DHCP or its settings name none.",
        );
        path.take("gateway", "", |_host| none)?;
        return Ok(None);
    };
    let on = interface.clone();
    if !path.take("gateway", &address.to_string(), |host| answering(host, &on, address))? {
        return Ok(None);
    }
    Ok(Some(Begins { interface, gateway: Some(address) }))
}

/// A carrier at the interface of the default route; without one, at any that is no loopback.
fn link(interfaces: &Result<Vec<Interface>, String>, named: Option<&str>) -> (String, Said) {
    let all = match interfaces {
        Ok(all) => all,
        Err(why) => return (named.unwrap_or_default().to_owned(), unknown(why.clone())),
    };
    let candidates: Vec<&Interface> = match named {
        Some(name) => all.iter().filter(|interface| interface.name == name).collect(),
        None => all
            .iter()
            .filter(|interface| {
                matches!(interface.kind.as_str(), "ethernet" | "wifi" | "bridge" | "bond" | "vlan" | "virtual")
            })
            .collect(),
    };
    let carries = |interface: &&&Interface| interface.admin_up && interface.carrier == Some(true);
    if let Some(found) = candidates.iter().find(carries) {
        return (found.name.clone(), ok("has a carrier"));
    }
    let Some(first) = candidates.iter().find(|interface| interface.admin_up).or(candidates.first()) else {
        return (
            String::new(),
            failed("no-carrier", "there is no network interface", "This machine has no network interface."),
        );
    };
    let name = first.name.clone();
    let said = if first.admin_up {
        let what = if first.kind == "wifi" {
            "is not connected to any Wi-Fi"
        } else {
            "has no carrier: its cable is unplugged or the other end is off"
        };
        failed("no-carrier", what, &format!("The network interface {name} {what}."))
    } else {
        failed("no-carrier", "is switched off", &format!("The network interface {name} is switched off."))
    };
    (name, said)
}

/// An address that somebody gave the machine.
fn addressed(own: &[&Address]) -> Said {
    if let Some(twice) = own.iter().find(|address| address.flags.iter().any(|flag| flag == "duplicate")) {
        return in_use(&twice.address, "another machine of this network has it too");
    }
    let given: Vec<&str> = own
        .iter()
        .filter(|address| !address.link_local && address.scope != "host")
        .map(|address| address.address.as_str())
        .collect();
    if !given.is_empty() {
        return ok(&given.join(", "));
    }
    match own.iter().find(|address| address.family == "inet") {
        Some(own) => failed(
            "link-local",
            &format!("{} only, which it gave itself", own.address),
            &format!("No DHCP server gave this machine an address: it has {} only, which it gave itself.", own.address),
        ),
        None => failed(
            "no-address",
            "no address",
            "This machine has no address on its network: neither DHCP nor its settings gave it one.",
        ),
    }
}

fn in_use(address: &str, found: &str) -> Said {
    failed(
        "duplicate",
        found,
        &format!(
            "Another machine of this network has the same address as this one, {address}, so connections break at random."
        ),
    )
}

/// Whether somebody else has the own address too (RFC 5227).
fn duplicate(host: &dyn Host, interface: &str, own: Ipv4Addr) -> Said {
    match host.wire().arp(interface, own, ARP_MAX, Hear::First) {
        Ok(others) => match others.first() {
            Some(other) => in_use(&own.to_string(), &format!("{} has it too", mac_text(other))),
            None => ok("nobody else has it"),
        },
        Err(error) if error.kind() == ErrorKind::TimedOut => ok("nobody else has it"),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            not_done("asking by ARP needs the capability CAP_NET_RAW")
        }
        Err(error) => not_done(&error.to_string()),
    }
}

/// Whether somebody answers for the gateway's address on the link.
fn answering(host: &dyn Host, interface: &str, gateway: IpAddr) -> Said {
    if let IpAddr::V4(four) = gateway {
        match host.wire().arp(interface, four, ARP_MAX, Hear::First) {
            Ok(heard) if !heard.is_empty() => {
                let macs: Vec<String> = heard.iter().map(|mac| mac_text(mac)).collect();
                return ok(&format!("answers ARP as {}", macs.join(" and ")));
            }
            Ok(_nobody) => return silent(gateway),
            Err(error) if error.kind() == ErrorKind::TimedOut => return silent(gateway),
            Err(_unable) => {}
        }
    }
    // Without the means to ask, the kernel does: a connection, even one that is refused, makes it look for the gateway.
    let tried = reached::connect(host, gateway, NAMES);
    let known = now::rows::<Neighbor>(host).unwrap_or_default();
    let known =
        known.into_iter().find(|neighbor| neighbor.interface == interface && neighbor.address.parse() == Ok(gateway));
    match (tried, known) {
        (_, Some(neighbor)) if !neighbor.mac.is_empty() && neighbor.state != "failed" => {
            ok(&format!("is {} ({})", neighbor.mac, neighbor.state))
        }
        (Ok(_) | Err(reached::Obstacle::Refused), _) => ok("answers"),
        (Err(_), Some(_failed)) => silent(gateway),
        (Err(_), None) => not_done("the kernel tells nothing of it"),
    }
}

fn silent(gateway: IpAddr) -> Said {
    failed(
        "gateway-silent",
        "nobody answers for this address",
        &format!(
            "Nobody on this network has the address of the gateway, {gateway}: the gateway is off, or its address is set wrong."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, kind: &str, admin_up: bool, carrier: Option<bool>) -> Interface {
        Interface { name: name.into(), kind: kind.into(), admin_up, carrier, ..Interface::default() }
    }

    fn address(text: &str, link_local: bool, flags: &[&str]) -> Address {
        let family = if text.contains(':') { "inet6" } else { "inet" };
        Address {
            address: text.into(),
            family: family.into(),
            link_local,
            flags: flags.iter().map(ToString::to_string).collect(),
            ..Address::default()
        }
    }

    #[test]
    fn a_carrier_is_looked_for_where_the_way_leads() {
        let all = Ok(vec![
            interface("lo", "loopback", true, Some(true)),
            interface("eth0", "ethernet", true, Some(false)),
            interface("wlan0", "wifi", true, Some(true)),
        ]);
        assert_eq!(link(&all, Some("eth0")).1.problem, "no-carrier");
        assert_eq!(link(&all, None).0, "wlan0");
        let none = Ok(vec![interface("lo", "loopback", true, Some(true))]);
        assert_eq!(link(&none, None).1.problem, "no-carrier");
        assert_eq!(link(&Err("denied".into()), None).1.problem, "", "what was not seen is not broken");
    }

    #[test]
    fn an_address_is_one_that_somebody_gave() {
        let own = [address("169.254.7.7", true, &[]), address("fe80::1", true, &[])];
        let said = |all: &[Address]| addressed(&all.iter().collect::<Vec<_>>()).problem;
        assert_eq!(said(&own), "link-local");
        assert_eq!(said(&own[1..]), "no-address");
        assert_eq!(said(&[address("192.0.2.9", false, &["dynamic"])]), "");
        assert_eq!(said(&[address("2001:db8::9", false, &["duplicate"])]), "duplicate");
    }
}
