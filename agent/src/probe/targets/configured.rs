//! What the machine is set up to use of the network: gateways, name servers, DHCP servers, proxies, time servers, printers, file servers.

use std::net::IpAddr;

use deskside_proto::v1::{Dhcp, Mount, Printer, Resolver, Route};

use super::place::Place;
use super::proxies::Proxies;
use super::{EACH_MAX, is_here};
use crate::host::Host;
use crate::probe::now;
use crate::probe::print_path::on_network;

/// Most lines of a settings file that are read.
const LINES_MAX: usize = 2_000;

/// Most files of one folder of settings.
const FILES_MAX: usize = 32;

/// Ports of gateways that are tried: to resolve names, and the pages of their own.
const GATEWAY_PORTS: &[u16] = &[53, 80, 443];

/// DNS, and DNS over TLS (RFC 7858).
const NAME_PORTS: &[u16] = &[53, 853];

/// DHCP (RFC 2131).
const DHCP_PORTS: &[u16] = &[67];

/// NTP, and the key establishment of NTS (RFC 8915).
const TIME_PORTS: &[u16] = &[123, 4460];

/// LPD, IPP, socket, SNMP, SMB and the pages of their own.
const PRINTER_PORTS: &[u16] = &[80, 161, 443, 445, 515, 631, 9100];

/// SMB, NFS, the port mapper, SSH.
const FILE_PORTS: &[u16] = &[22, 111, 139, 445, 2049];

/// Whether the machine is set up to use a target, at this port where one is meant.
pub(super) fn uses(host: &dyn Host, place: &Place, port: Option<u16>) -> bool {
    let is_port = |ports: &[u16]| port.is_none_or(|port| ports.contains(&port));
    let is = |text: &str| Place::read(text).is_ok_and(|other| other == *place);
    let is_address = |address: &IpAddr| *place == Place::Address(address.to_canonical());
    is_here(place)
        || (is_port(GATEWAY_PORTS) && gateways(host).iter().any(|(address, _interface)| is_address(address)))
        || (is_port(NAME_PORTS) && name_servers(host).iter().any(is_address))
        || (is_port(TIME_PORTS) && time_servers(host).iter().any(|server| is(server)))
        || (is_port(DHCP_PORTS) && dhcp_servers(host).iter().any(is_address))
        || (is_port(FILE_PORTS) && file_servers(host).iter().any(|server| is(server)))
        || printers(host).iter().any(|(server, own)| is(server) && (is_port(PRINTER_PORTS) || port == Some(*own)))
        || Proxies::of(host).all().any(|proxy| is(&proxy.host) && port.is_none_or(|port| port == proxy.port))
}

/// The gateways of the default routes, the preferred first, with their interface.
pub(in crate::probe) fn gateways(host: &dyn Host) -> Vec<(IpAddr, String)> {
    let mut routes = now::rows::<Route>(host).unwrap_or_default();
    routes.retain(|route| route.destination == "default" && route.r#type == "unicast");
    routes.sort_by_key(|route| (route.family != "inet", route.metric));
    let gateways = routes.iter().filter_map(|route| Some((route.gateway.parse().ok()?, route.interface.clone())));
    let mut all: Vec<(IpAddr, String)> = gateways.take(EACH_MAX).collect();
    all.dedup();
    all
}

/// The name servers that programs are told, and those behind a stub, in their order.
pub(in crate::probe) fn name_servers(host: &dyn Host) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for row in now::rows::<Resolver>(host).unwrap_or_default() {
        if let (true, Ok(address)) = (row.kind == "nameserver", row.value.parse::<IpAddr>())
            && !all.contains(&address)
            && all.len() < EACH_MAX
        {
            all.push(address);
        }
    }
    all
}

/// The domains that names are searched in.
pub(in crate::probe) fn search_domains(host: &dyn Host) -> Vec<String> {
    let rows = now::rows::<Resolver>(host).unwrap_or_default();
    rows.into_iter()
        .filter(|row| row.kind == "search" && row.value != ".")
        .map(|row| row.value)
        .take(EACH_MAX)
        .collect()
}

/// The servers that gave this machine the leases it holds.
fn dhcp_servers(host: &dyn Host) -> Vec<IpAddr> {
    let leases = now::rows::<Dhcp>(host).unwrap_or_default().into_iter().filter(|lease| lease.state == "bound");
    leases.filter_map(|lease| lease.server.parse().ok()).take(EACH_MAX).collect()
}

/// The time servers that chrony, systemd-timesyncd and ntpd are told, names or addresses.
pub(in crate::probe) fn time_servers(host: &dyn Host) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for file in
        settings(host, &["/etc/chrony/chrony.conf", "/etc/chrony.conf"], &["/etc/chrony/conf.d", "/etc/chrony.d"])
    {
        all.extend(served(&file));
    }
    for file in settings(host, &[], &["/etc/chrony/sources.d", "/run/chrony-dhcp"]) {
        all.extend(served(&file));
    }
    for file in settings(host, &["/etc/ntp.conf", "/etc/ntpsec/ntp.conf"], &["/etc/ntpsec/ntp.d"]) {
        all.extend(served(&file));
    }
    for file in settings(
        host,
        &["/etc/systemd/timesyncd.conf"],
        &["/etc/systemd/timesyncd.conf.d", "/run/systemd/timesyncd.conf.d"],
    ) {
        all.extend(timesyncd(&file));
    }
    // What the network told, as systemd-networkd writes it down.
    for file in settings(host, &["/run/systemd/netif/state"], &[]) {
        all.extend(named(&file, "NTP"));
    }
    let mut known = Vec::new();
    all.retain(|server| {
        Place::read(server).is_ok() && !known.contains(server) && {
            known.push(server.clone());
            true
        }
    });
    all.truncate(EACH_MAX);
    all
}

/// The texts of settings files that are there.
fn settings(host: &dyn Host, files: &[&str], folders: &[&str]) -> Vec<String> {
    let mut texts: Vec<String> = files.iter().filter_map(|file| host.text(file).ok()).collect();
    for folder in folders {
        for name in host.list(folder).unwrap_or_default().iter().take(FILES_MAX) {
            texts.extend(host.text(&format!("{folder}/{name}")).ok());
        }
    }
    texts
}

/// `server`, `pool` and `peer` lines (chrony.conf(5), ntp.conf(5)).
fn served(text: &str) -> Vec<String> {
    let lines = text.lines().take(LINES_MAX).map(str::split_whitespace);
    let servers = lines.filter_map(|mut words| match words.next() {
        Some("server" | "pool" | "peer") => words.find(|word| *word != "-4" && *word != "-6").map(str::to_owned),
        _ => None,
    });
    servers.take(EACH_MAX).collect()
}

/// `NTP=` and, where it names none, `FallbackNTP=` (timesyncd.conf(5)).
fn timesyncd(text: &str) -> Vec<String> {
    let own = named(text, "NTP");
    if own.is_empty() { named(text, "FallbackNTP") } else { own }
}

/// The words of lines "key=one two".
fn named(text: &str, key: &str) -> Vec<String> {
    let lines =
        text.lines().take(LINES_MAX).filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
    lines.flat_map(str::split_whitespace).map(str::to_owned).take(EACH_MAX).collect()
}

/// Servers of network file systems that are mounted or are to be, as NFS, SMB and SSH write them.
fn file_servers(host: &dyn Host) -> Vec<String> {
    let mounts = now::rows::<Mount>(host).unwrap_or_default();
    let servers = mounts.iter().filter(|mount| mount.network).filter_map(|mount| file_server(&mount.source));
    servers.take(EACH_MAX).collect()
}

fn file_server(source: &str) -> Option<String> {
    if let Some(rest) = source.strip_prefix("//") {
        return rest.split('/').next().map(str::to_owned);
    }
    let (server, _path) = source.split_once(":/").or_else(|| source.rsplit_once(':'))?;
    let server = server.rsplit_once('@').map_or(server, |(_user, server)| server);
    Some(server.trim_matches(['[', ']']).to_owned())
}

/// Hosts of the queues' printers, with the port that the queue uses.
fn printers(host: &dyn Host) -> Vec<(String, u16)> {
    let queues = now::rows::<Printer>(host).unwrap_or_default();
    let hosts = queues.iter().filter_map(|queue| on_network(&queue.device_uri, queue.is_class));
    hosts.take(EACH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_time_services_name_their_servers() {
        let chrony = "# server no.example\nserver -4 ntp.example iburst\npool 2.pool.example maxsources 4\npeer 192.0.2.5\nmakestep 1 3\nserver\n";
        assert_eq!(served(chrony), ["ntp.example", "2.pool.example", "192.0.2.5"]);
        assert_eq!(
            timesyncd("[Time]\n#NTP=no.example\nNTP=a.example b.example\nFallbackNTP=c.example\n"),
            ["a.example", "b.example"]
        );
        assert_eq!(timesyncd("[Time]\nNTP=\nFallbackNTP=c.example\n"), ["c.example"]);
    }

    #[test]
    fn sources_of_shares_name_their_server() {
        for (source, server) in [
            ("files.example:/home", "files.example"),
            ("//files.example/share", "files.example"),
            ("anna@files.example:/", "files.example"),
            ("[2001:db8::4]:/home", "2001:db8::4"),
        ] {
            assert_eq!(file_server(source).as_deref(), Some(server), "{source}");
        }
        assert_eq!(file_server("tmpfs"), None);
    }
}
