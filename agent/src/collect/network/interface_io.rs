//! What network interfaces carry, from the kernel's counters of two looks (`rtnl_link_stats64`).

use std::collections::BTreeMap;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::InterfaceIo;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, Stats64};

use super::{interfaces, rtnetlink};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Before, Host, Netlink};

pub(in crate::collect) const INTERFACE_IO: Collector = Collector {
    table: InterfaceIo::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

/// Interfaces that are told of.
const INTERFACES_MAX: usize = 64;

/// Counters of one interface: bytes, packets, errors, dropped; of each, received and sent.
const COUNTERS: usize = 8;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Links)?;
    let now: Vec<Counted> = rtnetlink::links(&listing).filter_map(counted).take(INTERFACES_MAX).collect();
    let note: Vec<String> = now.iter().map(Counted::note).collect();
    let before = host.recall("interface_io", note.join("\n"));
    let earlier = before.as_ref().map(noted).unwrap_or_default();
    let over_ms = before.as_ref().and_then(|before| host.now_ms().checked_sub(before.at_ms)).filter(|ms| *ms > 0);
    let mut rows = Rows::none();
    for counted in &now {
        let gained = earlier.get(&counted.index).and_then(|then| gained(then, &counted.counters));
        let speed = if counted.carrier { interfaces::speed_of(host, &counted.name) } else { None };
        rows.push(&row(counted, gained.zip(over_ms), speed));
    }
    listing.confess(&mut rows);
    Ok(rows)
}

/// The counters of an interface that is switched on.
struct Counted {
    name: String,
    index: u32,
    carrier: bool,
    counters: [u64; COUNTERS],
}

impl Counted {
    fn note(&self) -> String {
        let numbers: Vec<String> = self.counters.iter().map(u64::to_string).collect();
        format!("{} {}", self.index, numbers.join(" "))
    }
}

/// The loopback is left out: what it carries says nothing of the network.
fn counted(link: &LinkMessage) -> Option<Counted> {
    let flags = link.header.flags;
    if flags.contains(LinkFlags::Loopback) || !flags.contains(LinkFlags::Up) {
        return None;
    }
    let counters = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(counters) => Some(of(counters)),
        _ => None,
    })?;
    let carrier = flags.contains(LinkFlags::LowerUp);
    Some(Counted { name: rtnetlink::name(link)?, index: link.header.index, carrier, counters })
}

fn of(counters: &Stats64) -> [u64; COUNTERS] {
    [
        counters.rx_bytes,
        counters.tx_bytes,
        counters.rx_packets,
        counters.tx_packets,
        counters.rx_errors,
        counters.tx_errors,
        counters.rx_dropped,
        counters.tx_dropped,
    ]
}

/// By the number of the interface: one that was made anew under the same name has another.
fn noted(before: &Before) -> BTreeMap<u32, [u64; COUNTERS]> {
    let line = |line: &str| {
        let (index, rest) = line.split_once(' ')?;
        let numbers: Vec<u64> = rest.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some((index.parse().ok()?, numbers.try_into().ok()?))
    };
    before.text.lines().filter_map(line).collect()
}

/// Absent where a counter ran backwards: then the driver began to count anew.
fn gained(then: &[u64; COUNTERS], now: &[u64; COUNTERS]) -> Option<[u64; COUNTERS]> {
    let mut gained = [0; COUNTERS];
    for ((gain, now), then) in gained.iter_mut().zip(now).zip(then) {
        *gain = now.checked_sub(*then)?;
    }
    Some(gained)
}

fn row(counted: &Counted, gained: Option<([u64; COUNTERS], i64)>, speed: Option<u64>) -> InterfaceIo {
    let alone = InterfaceIo { interface: counted.name.clone(), ..InterfaceIo::default() };
    let Some((gained, over_ms)) = gained else { return alone };
    let over_s = over_ms as f64 / 1e3;
    let [rx_bytes, tx_bytes, rx_packets, tx_packets, rx_errors, tx_errors, rx_dropped, tx_dropped] =
        gained.map(|count| Some(count as f64 / over_s));
    let busier = rx_bytes.into_iter().chain(tx_bytes).fold(0.0, f64::max);
    InterfaceIo {
        rx_bytes_per_second: rx_bytes,
        tx_bytes_per_second: tx_bytes,
        rx_packets_per_second: rx_packets,
        tx_packets_per_second: tx_packets,
        rx_errors_per_second: rx_errors,
        tx_errors_per_second: tx_errors,
        rx_dropped_per_second: rx_dropped,
        tx_dropped_per_second: tx_dropped,
        used_percent: speed.map(|speed| (busier * 8.0 / speed as f64 * 100.0).min(100.0)),
        over_s: Some(over_s),
        ..alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eth0(counters: [u64; COUNTERS]) -> Counted {
        Counted { name: "eth0".into(), index: 2, carrier: true, counters }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let (then, now) = ([0; COUNTERS], [25_000_000, 1_000, 200, 20, 2, 0, 4, 0]);
        let row = row(&eth0(now), gained(&then, &now).map(|gained| (gained, 2_000)), Some(1_000_000_000));
        assert_eq!((row.rx_bytes_per_second, row.tx_packets_per_second), (Some(12_500_000.0), Some(10.0)));
        assert_eq!((row.rx_errors_per_second, row.rx_dropped_per_second), (Some(1.0), Some(2.0)));
        assert_eq!((row.used_percent, row.over_s), (Some(10.0), Some(2.0)));
    }

    #[test]
    fn the_first_look_and_an_interface_that_counts_anew_have_no_rates() {
        let now = [5; COUNTERS];
        assert_eq!(gained(&[6; COUNTERS], &now), None);
        let row = row(&eth0(now), None, Some(1));
        assert_eq!((row.interface.as_str(), row.rx_bytes_per_second, row.used_percent), ("eth0", None, None));
    }

    #[test]
    fn notes_are_read_as_written_and_garbage_is_left() {
        let text = format!("garbage\n3 1 2\nx 1 1 1 1 1 1 1 1\n{}", eth0([7; COUNTERS]).note());
        assert_eq!(noted(&Before { at_ms: 0, text }), BTreeMap::from([(2, [7; COUNTERS])]));
    }
}
