//! One sentence for the way: it is whole, it ends somewhere, or packets are lost from some hop on.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::v1::Trace;

use super::hops::{End, Hop, Hops};
use crate::probe::icmp;
use crate::probe::ping::tally::ms;

/// Loss at the end of the way that is a fault: so many at least, and this share.
const LOST_MIN: u16 = 2;
const LOSS_MIN: f64 = 0.1;

/// A hop has part in the loss where it loses at least this share of what the end loses. Why less than all: few packets are counted at each.
const PART: f64 = 0.4;

/// The rows of the hops, and the verdict.
pub(super) fn rows(target: &str, address: IpAddr, hops: &Hops) -> Vec<Trace> {
    let found = judge(target, address, hops);
    let last = hops.all().len();
    let mut rows: Vec<Trace> =
        (1..).zip(hops.all()).map(|(number, hop)| row(number, hop, &found, number == last)).collect();
    rows.push(Trace {
        step: "verdict".into(),
        address: address.to_string(),
        outcome: found.outcome.into(),
        found: found.sentence,
        way: found.way.into(),
        broken_at: found.broken_at.and_then(|hop| u32::try_from(hop).ok()),
        ..Trace::default()
    });
    rows
}

/// Nothing was asked.
pub(super) fn unseen(address: &str, outcome: &str, why: &str) -> Trace {
    let found = crate::probe::sentence(&format!("the way was not followed: {why}"));
    Trace { step: "verdict".into(), address: address.into(), outcome: outcome.into(), found, ..Trace::default() }
}

/// Nothing could be sent.
pub(super) fn unsent(target: &str, address: IpAddr, error: &io::Error) -> Trace {
    match error.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            let found = format!("No way leads from this machine to {target}: {error}.");
            Trace { way: "ended".into(), broken_at: Some(0), found, ..unseen(&address.to_string(), "failed", "") }
        }
        _ => unseen(&address.to_string(), "unknown", &error.to_string()),
    }
}

struct Found {
    outcome: &'static str,
    way: &'static str,
    broken_at: Option<usize>,
    sentence: String,
}

fn judge(target: &str, address: IpAddr, hops: &Hops) -> Found {
    let all = hops.all();
    let named = if target == address.to_string() { target.to_owned() } else { format!("{target} ({address})") };
    let number = all.len();
    let whole = |sentence| Found { outcome: "ok", way: "whole", broken_at: None, sentence };
    let ended = |at, sentence| Found { outcome: "failed", way: "ended", broken_at: Some(at), sentence };
    match hops.end() {
        Some(End::Told(error)) => {
            let who = if number <= 1 && all.first().is_none_or(|hop| hop.sent == 0) {
                String::new()
            } else {
                format!(" at hop {number}")
            };
            return ended(
                number,
                format!("The way to {named} ends{who}: {} says that {}.", error.from, icmp::words(&error)),
            );
        }
        None => {
            let before = all.iter().rposition(|hop| hop.received() > 0).map(|place| (place + 1, name(all.get(place))));
            return match before {
                Some((at, router)) => ended(
                    at + 1,
                    format!(
                        "The way to {named} can be followed to hop {at} ({router}); behind it nobody answers: it ends there, or something drops echo requests."
                    ),
                ),
                None => {
                    ended(1, format!("The way to {named} ends at once: nobody answers, not even the first router."))
                }
            };
        }
        Some(End::Reached) => {}
    }
    let hops = if number == 1 { "one hop".to_owned() } else { format!("{number} hops") };
    let took = all.last().and_then(|hop| median(&hop.times)).map(|time| format!(" within {:.1} ms", ms(time)));
    let took = took.unwrap_or_default();
    let Some(at) = lossy_from(all) else {
        return whole(format!("The way to {named} works: {hops}, answered{took}."));
    };
    let end = all.last().map_or(0.0, Hop::loss) * 100.0;
    let router = name(all.get(at));
    let clean = all.get(..at).unwrap_or_default().iter().rposition(|hop| hop.received() > 0);
    let (way, before) = match clean {
        None => ("lossy_local", ": the fault is on this machine's own link or at its router".to_owned()),
        Some(place) => {
            ("lossy_upstream", format!(", and none before, at hop {} ({})", place + 1, name(all.get(place))))
        }
    };
    let hop = at + 1;
    let sentence =
        format!("On the way to {named} packets are lost from hop {hop} ({router}) on, {end:.0} % at the end{before}.");
    Found { outcome: "failed", way, broken_at: Some(hop), sentence }
}

/// The first hop that loses packets as all behind it do; absent where the end loses none. Hops that say nothing are passed over: a router may route
/// and not answer.
fn lossy_from(all: &[Hop]) -> Option<usize> {
    let end = all.last()?;
    if end.lost() < LOST_MIN || end.loss() < LOSS_MIN {
        return None;
    }
    let part = |hop: &Hop| hop.loss() >= end.loss() * PART;
    let mut first = None;
    for (place, hop) in all.iter().enumerate().rev().filter(|(_place, hop)| hop.received() > 0) {
        if !part(hop) {
            break;
        }
        first = Some(place);
    }
    first
}

fn name(hop: Option<&Hop>) -> String {
    hop.and_then(|hop| hop.addresses.first()).map_or_else(|| "silent".to_owned(), ToString::to_string)
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).copied()
}

fn row(number: usize, hop: &Hop, found: &Found, last: bool) -> Trace {
    let broken = found.broken_at == Some(number);
    let (outcome, words) = match (hop.received(), broken) {
        (0, true) => ("failed", "nobody answers".to_owned()),
        (0, false) => ("unknown", "says nothing".to_owned()),
        (_, true) if found.way == "ended" => ("failed", "the way ends here".to_owned()),
        (_, true) => ("failed", format!("{} of {} lost, as from here on", hop.lost(), hop.sent)),
        (_, false) if hop.lost() == 0 => {
            ("ok", if last { "the target answers".into() } else { "passes on".to_owned() })
        }
        (_, false) => ("ok", format!("{} of {} not answered", hop.lost(), hop.sent)),
    };
    Trace {
        step: "hop".into(),
        address: hop.addresses.first().map(ToString::to_string).unwrap_or_default(),
        others: hop.addresses.iter().skip(1).map(ToString::to_string).collect(),
        outcome: outcome.into(),
        found: words,
        sent: Some(hop.sent.into()),
        received: Some(hop.received().into()),
        loss_percent: Some((hop.loss() * 1_000.0).round() / 10.0),
        min_ms: hop.times.iter().min().copied().map(ms),
        median_ms: median(&hop.times).map(ms),
        max_ms: hop.times.iter().max().copied().map(ms),
        ..Trace::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Back, Echo, Echoed, IcmpError};

    /// An echo that says nothing.
    struct Mute;

    impl Echo for Mute {
        fn ask(&mut self, _sequence: u16, _hops: u8, _bytes: u16) -> io::Result<()> {
            Ok(())
        }

        fn hear(&mut self, _wait: Duration) -> io::Result<Option<Echoed>> {
            Ok(None)
        }

        fn age(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// Hops of which so many of ten answer; the last is the target.
    fn hops(answered: &[u16]) -> Hops {
        let mut hops = Hops::default();
        for (number, answers) in (1_u8..).zip(answered) {
            for round in 0..10 {
                hops.ask(&mut Mute, number, 84).unwrap();
                if round < *answers {
                    let from = IpAddr::from([192, 0, 2, number]);
                    let passed = IcmpError { from, kind: 11, code: 0, mtu: None };
                    let last = usize::from(number) == answered.len();
                    let back = if last { Back::Reply(from) } else { Back::Error(passed) };
                    hops.take(&Echoed {
                        sequence: round << 8 | u16::from(number),
                        took: Duration::from_millis(1),
                        back,
                    });
                }
            }
        }
        hops
    }

    fn way(answered: &[u16]) -> (&'static str, Option<usize>) {
        let found = judge("192.0.2.9", [192, 0, 2, 9].into(), &hops(answered));
        (found.way, found.broken_at)
    }

    #[test]
    fn loss_counts_where_it_lasts_to_the_end() {
        for (answered, expected) in [
            (vec![10, 10, 10], ("whole", None)),
            // A router that answers only so many a second.
            (vec![10, 3, 10], ("whole", None)),
            (vec![10, 0, 10], ("whole", None)),
            (vec![10, 10, 9], ("whole", None)),
            (vec![10, 7, 7], ("lossy_upstream", Some(2))),
            (vec![10, 2, 10, 7], ("lossy_upstream", Some(4))),
            (vec![10, 0, 7, 6], ("lossy_upstream", Some(3))),
            (vec![7, 8, 6], ("lossy_local", Some(1))),
            (vec![0, 8, 6], ("lossy_local", Some(2))),
            (vec![5], ("lossy_local", Some(1))),
            (vec![10, 10, 0], ("ended", Some(3))),
            (vec![0, 0, 0], ("ended", Some(1))),
        ] {
            assert_eq!(way(&answered), expected, "{answered:?}");
        }
    }

    #[test]
    fn a_router_that_stops_the_way_is_the_hop_that_it_is() {
        let mut hops = hops(&[10, 10, 0]);
        let stopped = IcmpError { from: [192, 0, 2, 2].into(), kind: 3, code: 13, mtu: None };
        hops.take(&Echoed { sequence: 3, took: Duration::ZERO, back: Back::Error(stopped) });
        let rows = rows("a.example", [192, 0, 2, 9].into(), &hops);
        assert_eq!(rows.len(), 3);
        assert_eq!(
            rows[2].found,
            "The way to a.example (192.0.2.9) ends at hop 2: 192.0.2.2 says that it is administratively prohibited."
        );
        assert_eq!((rows[1].outcome.as_str(), rows[2].broken_at), ("failed", Some(2)));
    }
}
