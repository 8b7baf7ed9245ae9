//! Name servers and search domains: what programs are told, and what stands behind systemd-resolved's stub.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Resolver;

use super::resolved::{self, Resolved};
use super::routes;
use super::rtnetlink::{self, Listing, Names};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink};

pub(in crate::collect) const RESOLVERS: Collector =
    Collector { table: Resolver::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

pub(super) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where systemd-resolved writes the servers that its stub asks (systemd-resolved.service(8)).
const UPLINK: &str = "/run/systemd/resolve/resolv.conf";

/// The addresses of systemd-resolved's stub.
pub(super) const STUBS: [&str; 2] = ["127.0.0.53", "127.0.0.54"];

/// Name servers that the C library asks (`MAXNS`, resolv.conf(5)).
pub(super) const SERVERS_MAX: u32 = 3;

/// Most lines of one file that are read.
const LINES_MAX: usize = 1_000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let told = host.text(RESOLV_CONF).context("no name servers are configured here; reading /etc/resolv.conf")?;
    let mut all = parse(RESOLV_CONF, &told);
    let mut missing = Vec::new();
    match behind(host, &all) {
        Ok((more, part)) => {
            all.extend(more);
            missing.extend(part);
        }
        Err(error) => missing.push(format!("the servers behind systemd-resolved's stub: {error:#}")),
    }
    match rtnetlink::ask(host, Netlink::Routes) {
        Ok(listing) => all.iter_mut().for_each(|row| row.unreachable = unreachable(row, &listing)),
        // The table of routes says so itself.
        Err(error) => tracing::debug!(%error, "no routes to compare name servers with"),
    }
    let mut rows: Rows = all.into_iter().collect();
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// What stands behind systemd-resolved: by its own word, else by the file that it keeps.
fn behind(host: &dyn Host, all: &[Resolver]) -> anyhow::Result<(Vec<Resolver>, Option<String>)> {
    let names = Names::ask(host).ok();
    let asked = names.as_ref().map(|names| resolved::ask(host, names)).transpose();
    match asked {
        Ok(Some(Some(found))) => {
            let unasked = (found.unasked > 0).then(|| format!("links after the first {}", resolved::LINKS_MAX));
            return Ok((names.map(|names| rows(&found, &names)).unwrap_or_default(), unasked));
        }
        Ok(_silent) => {}
        Err(error) => tracing::debug!(%error, "systemd-resolved did not answer"),
    }
    if !all.iter().any(|row| row.kind == "nameserver" && STUBS.contains(&row.value.as_str())) {
        return Ok((Vec::new(), None));
    }
    let uplink = host.text(UPLINK).with_context(|| format!("reading {UPLINK}"))?;
    Ok((parse("systemd-resolved", &uplink), None))
}

/// The servers and domains of each link, in their order.
fn rows(found: &Resolved, names: &Names) -> Vec<Resolver> {
    let interface = |index: u32| if index == 0 { String::new() } else { names.get(index) };
    let current = |index: u32| {
        let of = found.links.iter().find(|(link, _of)| *link == index).map(|(_link, of)| of);
        let of = if index == 0 { Some(&found.properties) } else { of };
        of.and_then(resolved::current)
    };
    let mut all: Vec<Resolver> = Vec::new();
    let mut push = |kind: &str, value: String, index: u32| {
        let interface = interface(index);
        let before = all.iter().filter(|row| row.kind == kind && row.interface == interface).count();
        let position = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        let (source, kind) = ("systemd-resolved".into(), kind.into());
        all.push(Resolver { source, kind, value, position, interface, ..Resolver::default() });
        all.len() - 1
    };
    let mut told = Vec::new();
    for (kind, servers) in [("nameserver", &found.servers), ("fallback", &found.fallback)] {
        told.extend(servers.iter().map(|server| (push(kind, server.address.to_string(), server.index), server)));
    }
    for (index, domain, routes) in &found.domains {
        push(if *routes { "routing" } else { "search" }, domain.clone(), *index);
    }
    for (place, server) in told {
        if let Some(row) = all.get_mut(place) {
            row.current = current(server.index).map(|current| current == server.address);
            row.port = (server.port != 0 && server.port != 53).then_some(server.port);
            row.server_name.clone_from(&server.name);
        }
    }
    all
}

/// Whether no route leads to a name server; not asked of the machine's own addresses.
fn unreachable(row: &Resolver, routes: &Listing) -> Option<bool> {
    let address: IpAddr = row.value.parse().ok().filter(|_address| row.kind == "nameserver")?;
    let at_home = address.is_loopback() || address.is_unspecified();
    (!at_home).then(|| !routes::leads(routes, address))
}

/// resolv.conf(5). The last of `domain` and `search` stands.
fn parse(source: &str, text: &str) -> Vec<Resolver> {
    let (mut servers, mut domains, mut options) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines().take(LINES_MAX).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => servers.extend(words.next()),
            Some("domain") => domains = words.take(1).collect(),
            Some("search") => domains = words.collect(),
            Some("options") => options.extend(words),
            _ => {}
        }
    }
    let kinds = [("nameserver", servers), ("search", domains), ("option", options)];
    kinds.into_iter().flat_map(|(kind, values)| numbered(source, kind, values)).collect()
}

fn numbered(source: &str, kind: &str, values: Vec<String>) -> impl Iterator<Item = Resolver> {
    values.into_iter().zip(1..).map(move |(value, position)| {
        // Why split: a link-local server is written with the interface that it is on.
        let (value, interface) = match value.split_once('%') {
            Some((address, interface)) => (address.to_owned(), interface.to_owned()),
            None => (value, String::new()),
        };
        let ignored = kind == "nameserver" && position > SERVERS_MAX && source == RESOLV_CONF;
        Resolver {
            source: source.into(),
            kind: kind.into(),
            value,
            position,
            interface,
            ignored,
            ..Resolver::default()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_servers_is_kept_and_the_last_search_list_stands() {
        let text = "# by hand\nnameserver 192.0.2.1\n;nameserver 192.0.2.9\nnameserver fe80::1%eth0\nnameserver\n\
                    domain old.example\nsearch a.example b.example\noptions ndots:2 timeout:1\nsortlist 192.0.2.0\n";
        let rows = parse("/etc/resolv.conf", text);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.kind.as_str(), row.position, row.value.as_str(), row.interface.as_str()))
            .collect();
        let expected = [
            ("nameserver", 1, "192.0.2.1", ""),
            ("nameserver", 2, "fe80::1", "eth0"),
            ("search", 1, "a.example", ""),
            ("search", 2, "b.example", ""),
            ("option", 1, "ndots:2", ""),
            ("option", 2, "timeout:1", ""),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_fourth_server_is_not_asked_by_the_c_library() {
        let text = "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let ignored = |source| parse(source, text).iter().map(|row| row.ignored).collect::<Vec<_>>();
        assert_eq!(ignored(RESOLV_CONF), [false, false, false, true]);
        assert_eq!(ignored("systemd-resolved"), [false; 4]);
    }

    #[test]
    fn garbage_names_nobody() {
        assert!(parse("x", "\u{fffd}\u{0}nameserver\n\n=== \n").is_empty());
    }
}
