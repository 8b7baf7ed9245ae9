//! Connections, folded by program, state and the other end.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Connection;

use super::owners::{Owner, Owners};
use super::procnet::{self, Line};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const CONNECTIONS: Collector = Collector {
    table: Connection::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

/// Most rows that name the other end; the rest is told by state alone.
const ROWS_MAX: usize = 100;

/// What connections have in common that are one row.
type Key = (&'static str, u8, String, String, Option<IpAddr>, u16, bool);

/// What is added up.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: u32,
    unsent: u64,
    unread: u64,
    retransmits: u32,
}

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let (mut listening, mut open) = (HashSet::new(), Vec::new());
    let mut missing = procnet::each(host, |line| {
        if line.protocol == "tcp" && line.state == procnet::LISTEN {
            listening.insert(line.local_port);
        } else if line.remote_port != 0 {
            open.push(*line);
        }
    })?;
    let mut owners = if open.is_empty() { Owners::default() } else { Owners::look(host) };
    let (mut folded, mut nameless): (HashMap<Key, Sum>, usize) = (HashMap::new(), 0);
    for line in &open {
        let owner = owners.of(host, line.inode);
        nameless += usize::from(owner.program.is_empty() && line.inode != 0);
        add(folded.entry(key(line, owner, &listening)).or_default(), &Sum::of(line));
    }
    missing.extend(owners.confess(nameless));
    let mut rows: Rows = bounded(folded).into_iter().map(|(key, sum)| row(key, sum)).collect();
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

impl Sum {
    fn of(line: &Line) -> Self {
        // A connection that is over has no queues; what the kernel shows there is nothing to wait for.
        let live = line.state != procnet::TIME_WAIT;
        let of = |value: u64| if live { value } else { 0 };
        Self {
            count: 1,
            unsent: of(line.tx_queue),
            unread: of(line.rx_queue),
            retransmits: if live { line.retransmits } else { 0 },
        }
    }
}

fn add(sum: &mut Sum, more: &Sum) {
    sum.count = sum.count.saturating_add(more.count);
    sum.unsent = sum.unsent.saturating_add(more.unsent);
    sum.unread = sum.unread.saturating_add(more.unread);
    sum.retransmits = sum.retransmits.max(more.retransmits);
}

fn key(line: &Line, owner: Owner, listening: &HashSet<u16>) -> Key {
    let incoming = line.protocol == "tcp" && listening.contains(&line.local_port);
    let port = if incoming { line.local_port } else { line.remote_port };
    // Why without the other end: of what is over, the number is all that matters.
    let remote = (line.state != procnet::TIME_WAIT).then_some(line.remote);
    (line.protocol, line.state, owner.program, owner.unit, remote, port, incoming)
}

/// The most of them by number, those in trouble first; all others by state alone, so that the sum stays right.
fn bounded(folded: HashMap<Key, Sum>) -> Vec<(Key, Sum)> {
    let mut all: Vec<(Key, Sum)> = folded.into_iter().collect();
    let quiet = |key: &Key| key.0 == "udp" || [procnet::ESTABLISHED, procnet::TIME_WAIT].contains(&key.1);
    all.sort_by_cached_key(|(key, sum)| (quiet(key), Reverse(sum.count), key.clone()));
    let rest = all.split_off(ROWS_MAX.min(all.len()));
    let mut others: HashMap<(&'static str, u8), Sum> = HashMap::new();
    for (key, sum) in rest {
        add(others.entry((key.0, key.1)).or_default(), &sum);
    }
    let mut others: Vec<_> = others.into_iter().collect();
    others.sort_unstable_by_key(|(key, _sum)| *key);
    let nameless = |(protocol, state)| (protocol, state, String::new(), String::new(), None, 0, false);
    all.extend(others.into_iter().map(|(key, sum)| (nameless(key), sum)));
    all
}

fn row((protocol, state, program, unit, remote, port, incoming): Key, sum: Sum) -> Connection {
    Connection {
        protocol: protocol.into(),
        state: procnet::state(protocol, state).into(),
        program,
        unit,
        remote_address: remote.map(|ip| ip.to_string()).unwrap_or_default(),
        port: port.into(),
        incoming,
        count: sum.count,
        unsent_bytes: sum.unsent,
        unread_bytes: sum.unread,
        retransmits: sum.retransmits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: u8, remote: [u8; 4], local_port: u16) -> Line {
        Line {
            protocol: "tcp",
            local: [192, 0, 2, 10].into(),
            local_port,
            remote: remote.into(),
            remote_port: 443,
            state,
            tx_queue: 5,
            rx_queue: 0,
            retransmits: 2,
            uid: 0,
            inode: 0,
            drops: 0,
        }
    }

    #[test]
    fn what_came_in_is_told_by_the_own_port_and_what_is_over_without_the_other_end() {
        let listening = HashSet::from([22]);
        let of = |line: &Line| key(line, Owner::default(), &listening);
        let came = of(&line(1, [198, 51, 100, 7], 22));
        assert_eq!((came.4, came.5, came.6), (Some([198, 51, 100, 7].into()), 22, true));
        let went = of(&line(2, [198, 51, 100, 7], 50_000));
        assert_eq!((went.5, went.6), (443, false));
        assert_eq!(of(&line(procnet::TIME_WAIT, [198, 51, 100, 7], 50_000)).4, None);
        assert_eq!(Sum::of(&line(procnet::TIME_WAIT, [198, 51, 100, 7], 50_000)).unsent, 0);
    }

    #[test]
    fn rows_are_bounded_and_the_sum_stays_right() {
        let mut folded = HashMap::new();
        for host in 0..=255 {
            let sum = Sum::of(&line(1, [198, 51, 100, host], 50_000));
            add(
                folded
                    .entry(key(&line(1, [198, 51, 100, host], 50_000), Owner::default(), &HashSet::new()))
                    .or_default(),
                &sum,
            );
        }
        let stuck = line(2, [203, 0, 113, 1], 50_001);
        add(folded.entry(key(&stuck, Owner::default(), &HashSet::new())).or_default(), &Sum::of(&stuck));
        let rows: Vec<Connection> = bounded(folded).into_iter().map(|(key, sum)| row(key, sum)).collect();
        assert_eq!(rows.len(), ROWS_MAX + 1);
        assert_eq!(rows.first().map(|row| (row.state.as_str(), row.retransmits)), Some(("syn_sent", 2)));
        assert_eq!(rows.iter().map(|row| row.count).sum::<u32>(), 257);
        assert_eq!(rows.last().map(|row| (row.count, row.remote_address.as_str())), Some((157, "")));
    }
}
