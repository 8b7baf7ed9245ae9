//! How names are resolved: who keeps /etc/resolv.conf, in what order sources are asked, and what systemd-resolved does on each link.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::NameResolution;
use serde_json::Value;

use super::bus::{self, Properties};
use super::dhcp;
use super::resolved::{self, Resolved};
use super::resolvers::{RESOLV_CONF, SERVERS_MAX};
use super::rtnetlink::Names;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const NAME_RESOLUTION: Collector = Collector {
    table: NameResolution::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(10)),
    look,
};

/// Most lines of one file that are read.
const LINES_MAX: usize = 100_000;

/// Who leaves its name in the comments of /etc/resolv.conf.
const AUTHORS: [(&str, &str); 12] = [
    ("systemd-resolved", "systemd-resolved"),
    ("NetworkManager", "NetworkManager"),
    ("resolvconf", "resolvconf"),
    ("dhcpcd", "dhcpcd"),
    ("dhclient", "dhclient"),
    ("tailscale", "tailscale"),
    ("vpnc-script", "openconnect"),
    ("openvpn", "openvpn"),
    ("AnyConnect", "anyconnect"),
    ("netconfig", "netconfig"),
    ("connman", "connman"),
    ("WSL", "wsl"),
];

/// Bits of `ScopesMask` (org.freedesktop.resolve1(5)).
const SCOPES: [&str; 5] = ["dns", "llmnr/ipv4", "llmnr/ipv6", "mdns/ipv4", "mdns/ipv6"];

/// Levels of a server, from the worst; without DNSSEC and DNS over TLS the third is all that is wanted.
const LEVELS: [&str; 6] = ["TCP", "UDP", "UDP+EDNS0", "TLS+EDNS0", "UDP+EDNS0+DO", "TLS+EDNS0+DO"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut missing = Vec::new();
    let mut machine = machine(host, &mut missing);
    match dhcp::network_manager(host) {
        Ok(objects) => {
            let of = objects.as_ref().and_then(|all| all.get("/org/freedesktop/NetworkManager/DnsManager"));
            if let Some(dns) = of.and_then(|of| of.get("org.freedesktop.NetworkManager.DnsManager")) {
                machine.network_manager_mode = bus::text(dns, "Mode");
                machine.network_manager_rc_manager = bus::text(dns, "RcManager");
            }
        }
        Err(error) => missing.push(format!("NetworkManager's way with names: {error:#}")),
    }
    let names = Names::ask(host)?;
    let mut links = Vec::new();
    match resolved::ask(host, &names) {
        Ok(Some(found)) => {
            machine.resolved = Some(true);
            links = with_resolved(host, &mut machine, &found, &names);
            if found.unasked > 0 {
                missing.push(format!("{} links after the first {}", found.unasked, resolved::LINKS_MAX));
            }
        }
        Ok(None) => machine.resolved = Some(false),
        Err(error) => missing.push(format!("systemd-resolved: {error:#}")),
    }
    let mut rows: Rows = std::iter::once(machine).chain(links).collect();
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// What files say of the machine as a whole.
fn machine(host: &dyn Host, missing: &mut Vec<String>) -> NameResolution {
    let mut row = NameResolution { resolv_conf_mode: "missing".into(), ..NameResolution::default() };
    if let Ok(text) = host.text(RESOLV_CONF) {
        row.resolv_conf_mode = "file".into();
        row.resolv_conf_author = author(&text);
        let servers = text.lines().take(LINES_MAX).filter(|line| line.split_whitespace().next() == Some("nameserver"));
        row.servers_ignored = u32::try_from(servers.count()).unwrap_or(u32::MAX).saturating_sub(SERVERS_MAX);
    }
    row.resolv_conf_target = host.link(RESOLV_CONF).unwrap_or_default();
    match host.text("/etc/nsswitch.conf") {
        Ok(text) => row.hosts_order = hosts_order(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => missing.push(format!("/etc/nsswitch.conf: {error}")),
    }
    let own = host.line("/proc/sys/kernel/hostname").or_else(|| host.line("/etc/hostname")).unwrap_or_default();
    row.hosts_overrides = host.text("/etc/hosts").ok().map(|text| overrides(&text, &own));
    row
}

fn author(text: &str) -> String {
    let comments = text.lines().take(LINES_MAX).filter(|line| line.starts_with(['#', ';']));
    let named = comments.filter_map(|line| AUTHORS.iter().find(|(mark, _name)| line.contains(mark)));
    named.map(|(_mark, name)| (*name).to_owned()).next().unwrap_or_default()
}

/// nsswitch.conf(5). What stands in brackets belongs to the source before it.
fn hosts_order(text: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("hosts:"));
    let line = line.and_then(|line| line.split('#').next()).unwrap_or_default();
    let mut order: Vec<String> = Vec::new();
    let mut open = false;
    for word in line.split_whitespace() {
        match order.last_mut() {
            Some(last) if open || word.starts_with('[') => *last = format!("{last} {word}"),
            _ => order.push(word.to_owned()),
        }
        open = (open || word.starts_with('[')) && !word.ends_with(']');
    }
    order
}

/// Lines that name another host than this one. Multicast names that distributions write are none, nor is Debian's line of the own name.
fn overrides(text: &str, own: &str) -> u32 {
    let short = own.split('.').next().unwrap_or_default();
    let is_own =
        |name: &str| name == own || name == short || name.starts_with("localhost") || name.ends_with("-localhost");
    let names_another = |line: &&str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next() else { return false };
        let conventional = address.starts_with("ff0")
            || address.starts_with("fe00::")
            || ["255.255.255.255", "127.0.1.1"].contains(&address);
        let names: Vec<&str> = words.collect();
        // An alias of this machine's own line ("10.0.0.7 desk17.example desk17") names this machine.
        !conventional && !names.is_empty() && !names.iter().any(|name| is_own(name)) && !names.contains(&"ip6-loopback")
    };
    u32::try_from(text.lines().take(LINES_MAX).filter(names_another).count()).unwrap_or(u32::MAX)
}

/// Puts systemd-resolved's word on the machine's row, and makes one of each link.
fn with_resolved(
    host: &dyn Host,
    machine: &mut NameResolution,
    found: &Resolved,
    names: &Names,
) -> Vec<NameResolution> {
    let mode = bus::text(&found.properties, "ResolvConfMode");
    if !mode.is_empty() {
        machine.resolv_conf_mode = mode;
    }
    settings(machine, &found.properties);
    let mut links: Vec<NameResolution> = found.links.iter().map(|(index, of)| link(names.get(*index), of)).collect();
    for (interface, server, level, possible) in server_states(host) {
        let row = links.iter_mut().find(|row| row.interface == interface && row.current_server == server);
        let Some(row) = row.or_else(|| interface.is_empty().then_some(&mut *machine)) else { continue };
        row.degraded = degraded(&row.dnssec, &row.dns_over_tls, &possible);
        row.feature_level = level;
    }
    links
}

fn link(interface: String, of: &Properties) -> NameResolution {
    let mut row = NameResolution { interface, ..NameResolution::default() };
    settings(&mut row, of);
    row.default_route = of.get("DefaultRoute").and_then(Value::as_bool);
    let mask = of.get("ScopesMask").and_then(Value::as_u64).unwrap_or_default();
    let scopes = SCOPES.iter().enumerate().filter(|(bit, _scope)| mask >> bit & 1 == 1);
    row.scopes = scopes.map(|(_bit, scope)| (*scope).to_owned()).collect();
    row
}

fn settings(row: &mut NameResolution, of: &Properties) {
    row.dnssec = bus::text(of, "DNSSEC");
    row.dns_over_tls = bus::text(of, "DNSOverTLS");
    row.llmnr = bus::text(of, "LLMNR");
    row.multicast_dns = bus::text(of, "MulticastDNS");
    row.current_server = resolved::current(of).map(|ip| ip.to_string()).unwrap_or_default();
    let on = !row.dnssec.is_empty() && row.dnssec != "no";
    row.dnssec_supported = of.get("DNSSECSupported").and_then(Value::as_bool).filter(|_supported| on);
}

/// Interface, server, verified and possible level of each server. Only systemd 254 and later know, and only to root before 257; elsewhere
/// the columns stay absent.
fn server_states(host: &dyn Host) -> Vec<(String, String, String, String)> {
    let Ok(ran) = host.run("resolvectl", &["--json=short", "show-server-state"]) else { return Vec::new() };
    let states = serde_json::Deserializer::from_slice(&ran.stdout).into_iter::<Value>().map_while(Result::ok);
    let states = states.flat_map(|state| match state {
        Value::Array(several) => several,
        one => vec![one],
    });
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = |state: Value| {
        let level = text(&state, "VerifiedFeatureLevel");
        let known = LEVELS.contains(&level.as_str());
        known.then(|| (text(&state, "Interface"), text(&state, "Server"), level, text(&state, "PossibleFeatureLevel")))
    };
    states.filter_map(of).collect()
}

/// Whether a server does less than what is asked of it: EDNS0 of every one, and what DNSSEC and DNS over TLS need where they are on.
fn degraded(dnssec: &str, dns_over_tls: &str, possible: &str) -> Option<bool> {
    let place = LEVELS.iter().position(|level| *level == possible)?;
    let signed = !dnssec.is_empty() && dnssec != "no";
    let sealed = dns_over_tls == "opportunistic" || dns_over_tls == "yes";
    Some(place < 2 || (signed && !possible.ends_with("+DO")) || (sealed && !possible.starts_with("TLS")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_sources_keeps_what_stands_in_brackets_with_its_source() {
        let text =
            "passwd: files\nhosts:  files mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL = return] dns # end\n";
        let order = ["files", "mdns4_minimal [NOTFOUND=return]", "resolve [!UNAVAIL = return]", "dns"];
        assert_eq!(hosts_order(text), order);
        assert_eq!(hosts_order("passwd: files"), Vec::<String>::new());
    }

    #[test]
    fn lines_of_hosts_that_name_others_are_counted() {
        let text = "127.0.0.1 localhost\n127.0.1.1 desk17.office.example desk17\n::1 localhost ip6-localhost ip6-loopback\n\
                    ff02::1 ip6-allnodes\n# 10.0.0.1 old\n10.0.0.9 intranet.example\n0.0.0.0 ads.example # block\n10.0.0.10\n";
        assert_eq!(overrides(text, "desk17"), 2);
        assert_eq!(overrides("", ""), 0);
    }

    #[test]
    fn who_wrote_the_file_is_read_from_its_comments() {
        assert_eq!(author("# Generated by NetworkManager\nnameserver 192.0.2.1\n"), "NetworkManager");
        assert_eq!(author("# This file is managed by man:systemd-resolved(8). Do not edit.\n"), "systemd-resolved");
        assert_eq!(author("nameserver 192.0.2.1 # NetworkManager\n"), "");
    }

    #[test]
    fn a_server_is_degraded_by_what_is_asked_of_it() {
        assert_eq!(degraded("no", "no", "UDP+EDNS0"), Some(false));
        assert_eq!(degraded("no", "no", "UDP"), Some(true));
        assert_eq!(degraded("allow-downgrade", "no", "UDP+EDNS0"), Some(true));
        assert_eq!(degraded("no", "opportunistic", "UDP+EDNS0+DO"), Some(true));
        assert_eq!(degraded("no", "no", "n/a"), None);
    }
}
