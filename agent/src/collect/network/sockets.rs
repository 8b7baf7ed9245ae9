//! Sockets that wait for others: listening TCP, and UDP bound to a port of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Socket;

use super::owners::Owners;
use super::procnet::{self, Line};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const SOCKETS: Collector =
    Collector { table: Socket::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(15)), look };

/// Most rows.
const ROWS_MAX: usize = 1_000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let clients = procnet::client_ports(host);
    let mut waiting = Vec::new();
    let mut missing = procnet::each(host, |line| waiting.extend(waits(line, clients).then_some(*line)))?;
    let mut owners = if waiting.is_empty() { Owners::default() } else { Owners::look(host) };
    let mut folded: BTreeMap<(&str, String, u16, String), Socket> = BTreeMap::new();
    let mut nameless = 0;
    for line in waiting {
        let owner = owners.of(host, line.inode);
        nameless += usize::from(owner.program.is_empty());
        let address = line.local.to_string();
        let row = folded
            .entry((line.protocol, address.clone(), line.local_port, owner.program.clone()))
            .or_insert_with(|| Socket {
                protocol: line.protocol.into(),
                address,
                port: line.local_port.into(),
                local_only: line.local.is_loopback(),
                program: owner.program,
                unit: owner.unit,
                uid: Some(line.uid),
                ..Socket::default()
            });
        row.count = row.count.saturating_add(1);
        row.waiting = row.waiting.saturating_add(line.rx_queue);
        row.dropped = row.dropped.saturating_add(line.drops);
    }
    missing.extend(owners.confess(nameless));
    if folded.len() > ROWS_MAX {
        missing.push(format!("{} sockets after the first {ROWS_MAX}", folded.len() - ROWS_MAX));
    }
    let mut rows: Rows = folded.into_values().take(ROWS_MAX).collect();
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// Why not all of UDP: a port from the range for clients is an answer that somebody waits for, and another one at each look.
fn waits(line: &Line, clients: (u16, u16)) -> bool {
    match line.protocol {
        "tcp" => line.state == procnet::LISTEN,
        _ => line.remote_port == 0 && line.local_port != 0 && !(clients.0..=clients.1).contains(&line.local_port),
    }
}
