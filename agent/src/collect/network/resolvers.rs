//! Name servers and search domains: what programs are told, and what stands behind systemd-resolved's stub.

use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Resolver;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const RESOLVERS: Collector =
    Collector { table: Resolver::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(2)), look };

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where systemd-resolved writes the servers that its stub asks (systemd-resolved.service(8)).
const UPLINK: &str = "/run/systemd/resolve/resolv.conf";

/// The addresses of systemd-resolved's stub.
const STUBS: [&str; 2] = ["127.0.0.53", "127.0.0.54"];

/// Most lines of one file that are read.
const LINES_MAX: usize = 1_000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let told = host.text(RESOLV_CONF).context("no name servers are configured here; reading /etc/resolv.conf")?;
    let mut all = parse("/etc/resolv.conf", &told);
    let behind_stub = all.iter().any(|row| row.kind == "nameserver" && STUBS.contains(&row.value.as_str()));
    let mut missing = None;
    if behind_stub {
        match host.text(UPLINK) {
            Ok(uplink) => all.extend(parse("systemd-resolved", &uplink)),
            Err(error) => missing = Some(format!("the servers behind systemd-resolved's stub ({UPLINK}: {error})")),
        }
    }
    let rows: Rows = all.into_iter().collect();
    Ok(match missing {
        Some(missing) => rows.without(missing),
        None => rows,
    })
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
        Resolver { source: source.into(), kind: kind.into(), value, position, interface }
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
    fn garbage_names_nobody() {
        assert!(parse("x", "\u{fffd}\u{0}nameserver\n\n=== \n").is_empty());
    }
}
