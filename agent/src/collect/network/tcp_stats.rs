//! How TCP, UDP, IP and ICMP fare, as the kernel counts it (RFC 1213, RFC 4022, `Documentation/networking/snmp_counter.rst`): what was gained since
//! the look before.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::TcpStats;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Before, Host};

pub(in crate::collect) const TCP_STATS: Collector =
    Collector { table: TcpStats::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

const SNMP: &str = "/proc/net/snmp";
const NETSTAT: &str = "/proc/net/netstat";
const SNMP6: &str = "/proc/net/snmp6";

/// The counters that are looked at, by protocol and name; those of `SNMP6` have their protocol in their name.
const WANTED: [&str; 25] = [
    "Tcp InSegs",
    "Tcp OutSegs",
    "Tcp RetransSegs",
    "Tcp ActiveOpens",
    "Tcp AttemptFails",
    "Tcp EstabResets",
    "Tcp OutRsts",
    "TcpExt TCPTimeouts",
    "TcpExt TCPAbortOnTimeout",
    "TcpExt ListenOverflows",
    "TcpExt ListenDrops",
    "TcpExt TCPMTUPFail",
    "TcpExt TCPMTUPSuccess",
    "Icmp InDestUnreachs",
    "Icmp InErrors",
    "Udp InDatagrams",
    "Udp RcvbufErrors",
    "Udp NoPorts",
    "Ip InHdrErrors",
    "Ip OutNoRoutes",
    "Ip ReasmFails",
    "Icmp6InPktTooBigs",
    "Icmp6InDestUnreachs",
    "Udp6RcvbufErrors",
    "Udp6InDatagrams",
];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut now = Counters::default();
    let snmp = host.text(SNMP).with_context(|| format!("reading {SNMP}"))?;
    now.take_table(&snmp);
    let established = established(&snmp);
    let mut missing = Vec::new();
    match host.text(NETSTAT) {
        Ok(text) => now.take_table(&text),
        Err(error) => missing.push(format!("{NETSTAT}: {error}")),
    }
    // A kernel without IPv6 has no such file, and counts none of it.
    if let Ok(text) = host.text(SNMP6) {
        now.take_list(&text);
    }
    let before = host.recall("tcp_stats", now.note());
    let then = before.as_ref().map(|before| (Counters::noted(before), before.at_ms));
    let over_ms = then.as_ref().and_then(|(_then, at_ms)| host.now_ms().checked_sub(*at_ms)).filter(|ms| *ms > 0);
    let gained = then.as_ref().and_then(|(then, _at_ms)| now.since(then)).zip(over_ms);
    let mut rows = Rows::one(TcpStats { established, ..row(&now, gained) });
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// Counters by protocol and name. One that the kernel does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// "Tcp: NAME NAME", and below it "Tcp: NUMBER NUMBER".
    fn take_table(&mut self, text: &str) {
        for (protocol, name, value) in table(text) {
            if let (Some(wanted), Ok(value)) = (wanted(protocol, name), value.parse()) {
                self.0.insert(wanted, value);
            }
        }
    }

    /// A name and a number a line.
    fn take_list(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
            let wanted = WANTED.iter().find(|wanted| **wanted == name);
            if let (Some(wanted), Ok(value)) = (wanted, value.parse()) {
                self.0.insert(wanted, value);
            }
        }
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Of both IP versions.
    fn both(&self, name: &str, name6: &str) -> Option<u64> {
        let four = self.get(name)?;
        Some(four.saturating_add(self.get(name6).unwrap_or_default()))
    }

    fn note(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n")
    }

    fn noted(before: &Before) -> Self {
        let line = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((*WANTED.iter().find(|wanted| **wanted == name)?, value.parse().ok()?))
        };
        Self(before.text.lines().filter_map(line).collect())
    }

    /// Absent where one ran backwards: then another network namespace or another start of the machine counts.
    fn since(&self, then: &Self) -> Option<Self> {
        let mut gained = BTreeMap::new();
        for (name, now) in &self.0 {
            if let Some(then) = then.0.get(name) {
                gained.insert(*name, now.checked_sub(*then)?);
            }
        }
        Some(Self(gained))
    }
}

/// The name as [`WANTED`] has it.
fn wanted(protocol: &str, name: &str) -> Option<&'static str> {
    let fits = |wanted: &&&str| wanted.split_once(' ') == Some((protocol, name));
    WANTED.iter().find(fits).copied()
}

/// Protocol, name and value of everything in a table of pairs of lines.
fn table(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs: Vec<(&str, &str, &str)> = lines
        .windows(2)
        .filter_map(|pair| match pair {
            [names, values] => {
                let (protocol, names) = names.split_once(": ")?;
                let (same, values) = values.split_once(": ")?;
                (protocol == same).then_some((protocol, names, values))
            }
            _ => None,
        })
        .collect();
    pairs.into_iter().flat_map(|(protocol, names, values)| {
        names.split_whitespace().zip(values.split_whitespace()).map(move |(name, value)| (protocol, name, value))
    })
}

/// Connections that stand now: a level, and no counter.
fn established(snmp: &str) -> Option<u64> {
    let found = table(snmp).find(|(protocol, name, _value)| (*protocol, *name) == ("Tcp", "CurrEstab"));
    found?.2.parse().ok()
}

fn row(now: &Counters, gained: Option<(Counters, i64)>) -> TcpStats {
    let totals = TcpStats {
        segments_out_total: now.get("Tcp OutSegs"),
        retransmitted_total: now.get("Tcp RetransSegs"),
        mtu_probes_failed_total: now.get("TcpExt TCPMTUPFail"),
        listen_overflows_total: now.get("TcpExt ListenOverflows"),
        udp_receive_buffer_errors_total: now.both("Udp RcvbufErrors", "Udp6RcvbufErrors"),
        ..TcpStats::default()
    };
    let Some((gained, over_ms)) = gained else { return totals };
    let over_s = over_ms as f64 / 1e3;
    let per_second = |count: Option<u64>| count.map(|count| count as f64 / over_s);
    let (sent, again) = (gained.get("Tcp OutSegs"), gained.get("Tcp RetransSegs"));
    // OutSegs leaves out what holds only segments sent again (RFC 4022).
    let share = sent.zip(again).map(|(sent, again)| (again as f64, sent as f64 + again as f64));
    TcpStats {
        segments_in_per_second: per_second(gained.get("Tcp InSegs")),
        segments_out_per_second: per_second(sent),
        retransmitted_percent: share.filter(|(_again, all)| *all > 0.0).map(|(again, all)| again / all * 100.0),
        retransmitted: again,
        timeouts: gained.get("TcpExt TCPTimeouts"),
        opened: gained.get("Tcp ActiveOpens"),
        failed_attempts: gained.get("Tcp AttemptFails"),
        resets_received: gained.get("Tcp EstabResets"),
        resets_sent: gained.get("Tcp OutRsts"),
        aborted_on_timeout: gained.get("TcpExt TCPAbortOnTimeout"),
        listen_overflows: gained.get("TcpExt ListenOverflows"),
        listen_drops: gained.get("TcpExt ListenDrops"),
        mtu_probes_failed: gained.get("TcpExt TCPMTUPFail"),
        mtu_probes_passed: gained.get("TcpExt TCPMTUPSuccess"),
        too_big_in: gained.get("Icmp6InPktTooBigs"),
        unreachable_in: gained.both("Icmp InDestUnreachs", "Icmp6InDestUnreachs"),
        icmp_errors_in: gained.get("Icmp InErrors"),
        udp_in_per_second: per_second(gained.both("Udp InDatagrams", "Udp6InDatagrams")),
        udp_receive_buffer_errors: gained.both("Udp RcvbufErrors", "Udp6RcvbufErrors"),
        udp_no_ports: gained.get("Udp NoPorts"),
        ip_header_errors: gained.get("Ip InHdrErrors"),
        ip_no_routes: gained.get("Ip OutNoRoutes"),
        reassembly_failures: gained.get("Ip ReasmFails"),
        over_s: Some(over_s),
        ..totals
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SNMP_TEXT: &str = "Ip: Forwarding InHdrErrors\nIp: 2 0\nIcmpMsg: InType3\nIcmpMsg: 611\n\
                             Tcp: MaxConn ActiveOpens CurrEstab InSegs OutSegs RetransSegs\nTcp: -1 9 3 500 900 100\n\
                             Udp: InDatagrams RcvbufErrors\nUdp: 10 2\n";

    fn counters(text: &str) -> Counters {
        let mut counters = Counters::default();
        counters.take_table(text);
        counters.take_list("Udp6RcvbufErrors                \t1\nIp6InOctets 5\ngarbage\n");
        counters
    }

    #[test]
    fn what_was_gained_is_told_and_what_the_kernel_does_not_count_is_absent() {
        let (now, then) = (counters(SNMP_TEXT), counters(&SNMP_TEXT.replace("500 900 100", "400 0 50")));
        assert_eq!(now.0.len(), 8);
        let row = row(&now, now.since(&then).map(|gained| (gained, 10_000)));
        assert_eq!((row.segments_in_per_second, row.segments_out_per_second), (Some(10.0), Some(90.0)));
        assert!(row.retransmitted_percent.is_some_and(|share| (5.2..5.3).contains(&share)), "{row:?}");
        assert_eq!((row.retransmitted, row.retransmitted_total, row.opened), (Some(50), Some(100), Some(0)));
        assert_eq!((row.udp_receive_buffer_errors_total, row.listen_overflows, row.timeouts), (Some(3), None, None));
        assert_eq!(established(SNMP_TEXT), Some(3));
    }

    #[test]
    fn the_first_look_and_counters_that_ran_backwards_tell_totals_alone() {
        let now = counters(SNMP_TEXT);
        assert_eq!(now.since(&counters(&SNMP_TEXT.replace("900", "901"))), None);
        let row = row(&now, None);
        assert_eq!((row.retransmitted_percent, row.segments_out_total), (None, Some(900)));
    }

    #[test]
    fn a_quiet_time_has_no_share() {
        let now = counters(SNMP_TEXT);
        assert_eq!(row(&now, now.since(&now).map(|gained| (gained, 1))).retransmitted_percent, None);
    }

    #[test]
    fn notes_are_read_as_written() {
        let now = counters(SNMP_TEXT);
        assert_eq!(Counters::noted(&Before { at_ms: 0, text: now.note() }), now);
        assert_eq!(Counters::noted(&Before { at_ms: 0, text: "x=1\nTcp OutSegs=x\n=\n".into() }), Counters::default());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,200}", cut in 0_usize..250) {
            let cut: String = SNMP_TEXT.chars().take(cut).collect();
            counters(&text);
            counters(&cut);
            established(&cut);
        }
    }
}
