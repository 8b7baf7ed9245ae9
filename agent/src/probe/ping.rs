//! Echo requests to a target, or to the gateways: how many are lost, and how long the answers take.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{Neighbor, Ping};

use super::destination::{self, Destination, number};
use super::targets::configured::gateways;
use super::{Asked, Probe, Steps, Unrun, icmp, now};
use crate::collect::Rows;
use crate::host::Host;
use tally::{Tally, ms};

pub(super) mod tally;

pub(super) const PING: Probe = Probe { table: Ping::TABLE, deadline: Duration::from_mins(1), run };

/// Gateways that are asked where none is named.
const GATEWAYS_MAX: usize = 4;

const COUNT: u16 = 10;
const COUNT_MAX: u16 = 100;
const INTERVAL_MS: u16 = 200;
const INTERVAL_MS_MIN: u16 = 50;
const INTERVAL_MS_MAX: u16 = 500;

/// As large as what ping(8) sends: 56 bytes behind both headers.
const PACKET_BYTES: u16 = 84;

/// Hops that a packet may pass.
const HOPS: u8 = 64;

/// How long the last answers may take.
const LAST_MAX: Duration = Duration::from_secs(1);

/// Time between two words to the one who asked.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Loss that is a fault: this many at least, and this share. Why both: one packet of ten is no share to judge by.
const LOST_MIN: u16 = 2;
const LOSS_PERCENT_MIN: f64 = 2.0;

/// A gateway that takes longer is slow (a call breaks up), where so many of its answers do at least, and one in twenty.
const GATEWAY_SLOW: Duration = Duration::from_millis(20);
const SLOW_MIN: usize = 2;

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let count = number(asked, "count", COUNT, 1, COUNT_MAX)?;
    let interval =
        Duration::from_millis(number(asked, "interval_ms", INTERVAL_MS, INTERVAL_MS_MIN, INTERVAL_MS_MAX)?.into());
    let own = gateways(host);
    let (target, places) = if let Some(target) = asked.get("target") {
        (target.to_owned(), destination::of(host, asked, target, None)?)
    } else {
        let places: Vec<Destination> = own.iter().take(GATEWAYS_MAX).map(gateway).collect();
        let names: Vec<String> = places.iter().map(|place| place.address.to_string()).collect();
        (names.join(", "), Ok(places))
    };
    let mut found = Vec::new();
    match places {
        Err(why) => found.push(said(Ping { step: "ping".into(), ..Ping::default() }, "failed", why)),
        Ok(places) => {
            // Why the first alone: the others are other machines, or the same by another way, and can be named.
            let asked_for = if asked.get("target").is_some() { 1 } else { GATEWAYS_MAX };
            for place in places.iter().take(asked_for) {
                let gateway = own.iter().any(|(address, _interface)| *address == place.address);
                found.push(measure(host, place, gateway, (count, interval), steps)?);
            }
        }
    }
    found.push(verdict(&target, &found));
    Ok((1..).zip(found).map(|(number, row)| Ping { target: target.clone(), number, ..row }).collect())
}

fn gateway((address, interface): &(IpAddr, String)) -> Destination {
    Destination { address: *address, interface: interface.clone() }
}

/// Asks one address, and tells how it goes.
fn measure(
    host: &dyn Host,
    place: &Destination,
    gateway: bool,
    (count, interval): (u16, Duration),
    steps: &mut Steps<'_>,
) -> Result<Ping, Unrun> {
    let address = place.address.to_string();
    let row = Ping { step: "ping".into(), address: address.clone(), gateway, ..Ping::default() };
    if steps.time_is_up(host) {
        return Ok(said(row, "not done", "not done, because the time for the whole test is up".into()));
    }
    steps.tell(format!("{address}: {count} echo requests, one every {} ms", interval.as_millis()))?;
    let mut echo = match host.wire().echo(place.address, &place.interface) {
        Ok(echo) => echo,
        Err(error) => return Ok(unsent(row, &error)),
    };
    let (mut tally, mut told, mut unable) = (Tally::default(), Duration::ZERO, None);
    for sequence in 0..count {
        if steps.time_is_up(host) {
            break;
        }
        match echo.ask(sequence, HOPS, PACKET_BYTES) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(unsent(row, &error)),
            // Why no end: a link that is down may come back, and what was not sent until then is lost.
            asked => unable = asked.err(),
        }
        tally.sent += 1;
        let last = sequence + 1 == count;
        let until = echo.age() + if last { LAST_MAX.max(interval) } else { interval };
        let until = if last { until } else { until.min(interval * u32::from(sequence + 1)) };
        while !(last && tally.is_whole()) {
            let left = until.saturating_sub(echo.age());
            match echo.hear(left) {
                Ok(Some(heard)) => tally.take(heard),
                Ok(None) => break,
                Err(error) => return Ok(unsent(row, &error)),
            }
        }
        if !last && echo.age().saturating_sub(told) >= TELL_EVERY {
            told = echo.age();
            steps.tell(format!("{address}: {} of {} answered", tally.received(), tally.sent))?;
        }
    }
    let (outcome, found) = match unable.filter(|_error| tally.received() == 0) {
        Some(error) => ("failed", no_way(&error)),
        None => judge(host, place, gateway, &tally),
    };
    steps.tell(format!("{address}: {outcome}: {found}"))?;
    Ok(measured(said(row, outcome, found), &tally))
}

fn measured(row: Ping, tally: &Tally) -> Ping {
    Ping {
        sent: Some(tally.sent.into()),
        received: Some(tally.received().into()),
        loss_percent: Some((tally.loss_percent() * 10.0).round() / 10.0),
        min_ms: tally.percentile(0).map(ms),
        median_ms: tally.median().map(ms),
        p95_ms: tally.percentile(95).map(ms),
        max_ms: tally.percentile(100).map(ms),
        jitter_ms: tally.jitter().map(ms),
        duplicates: tally.duplicates,
        reordered: tally.reordered,
        icmp_error: tally.error().map(|error| format!("{} ({})", icmp::words(&error), error.from)).unwrap_or_default(),
        ..row
    }
}

/// It could not be asked at all.
fn unsent(row: Ping, error: &std::io::Error) -> Ping {
    match error.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => said(row, "failed", no_way(error)),
        _ => said(row, "unknown", error.to_string()),
    }
}

fn no_way(error: &std::io::Error) -> String {
    format!("this machine has no way there: {error}")
}

fn judge(host: &dyn Host, place: &Destination, gateway: bool, tally: &Tally) -> (&'static str, String) {
    let (sent, lost) = (tally.sent, tally.lost());
    let took = tally.median().map(|median| {
        let p95 = tally.percentile(95).map(ms).unwrap_or_default();
        format!("half of the answers within {:.1} ms, 95 of 100 within {p95:.1} ms", ms(median))
    });
    let Some(took) = took else {
        let state = gateway.then(|| neighbor(host, place)).flatten();
        return match (state, tally.error()) {
            (Some(state), _) if !is_there(&state) => {
                let found =
                    format!("none of {sent} answered, and the gateway does not answer on the link either ({state})");
                ("failed", found)
            }
            (_, Some(error)) => {
                ("failed", format!("none of {sent} answered; {} says that {}", error.from, icmp::words(&error)))
            }
            (Some(state), None) => {
                let found = format!(
                    "none of {sent} answered, though the gateway is there ({state}): it may not answer echo requests"
                );
                ("unknown", found)
            }
            (None, None) => {
                ("failed", format!("none of {sent} answered: it is down, or something on the way drops them"))
            }
        };
    };
    let slow = tally.slower_than(GATEWAY_SLOW);
    if lost >= LOST_MIN && tally.loss_percent() >= LOSS_PERCENT_MIN {
        ("failed", format!("{lost} of {sent} lost ({:.0} %); {took}", tally.loss_percent()))
    } else if gateway && slow >= SLOW_MIN && slow * 20 >= usize::from(tally.received()) {
        ("failed", format!("slow: {took}, where a gateway takes a few"))
    } else {
        ("ok", format!("{lost} of {sent} lost; {took}"))
    }
}

/// What the kernel knows of a neighbour.
fn neighbor(host: &dyn Host, place: &Destination) -> Option<String> {
    let all = now::rows::<Neighbor>(host).ok()?;
    let one = all.into_iter().find(|neighbor| neighbor.address.parse() == Ok(place.address));
    one.map(|neighbor| neighbor.state)
}

fn is_there(state: &str) -> bool {
    !matches!(state, "failed" | "incomplete")
}

fn said(row: Ping, outcome: &str, found: String) -> Ping {
    Ping { outcome: outcome.into(), found, ..row }
}

fn verdict(target: &str, found: &[Ping]) -> Ping {
    let named = |row: &Ping| {
        let named = if row.gateway { format!("the gateway {}", row.address) } else { row.address.clone() };
        let same = row.gateway || row.address == target || row.address.is_empty();
        if same { named } else { format!("{target} ({})", row.address) }
    };
    let sentence = |row: &Ping| {
        let what = if row.address.is_empty() {
            format!("{target} was not asked")
        } else {
            format!("echo requests to {}", named(row))
        };
        format!("{what}: {}", row.found)
    };
    let any = |outcome: &str| found.iter().any(|row| row.outcome == outcome);
    let outcome = if any("failed") {
        "failed"
    } else if found.is_empty() || !found.iter().all(|row| row.outcome == "ok") {
        "unknown"
    } else {
        "ok"
    };
    let told: Vec<String> = found.iter().filter(|row| row.outcome == outcome).map(sentence).collect();
    let words = match outcome {
        _ if found.is_empty() => "There is no gateway to ask: this machine has no default route.".to_owned(),
        _ if told.is_empty() => "Nothing was asked in time.".to_owned(),
        _ => super::sentence(&told.join("; and ")),
    };
    let row = Ping { step: "verdict".into(), gateway: found.iter().any(|row| row.gateway), ..Ping::default() };
    said(row, outcome, words)
}
