//! The way to a target, hop by hop: who is on it, where it ends, and where packets begin to be lost.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Trace;

use super::{Asked, Probe, Steps, Unrun, destination};
use crate::collect::Rows;
use crate::host::{Echo, Host};
use hops::Hops;

mod hops;
mod verdict;

pub(super) const TRACE: Probe = Probe { table: Trace::TABLE, deadline: Duration::from_secs(15), run };

/// Hops that are tried.
const HOPS_MAX: u8 = 30;

/// Hops that are tried at once before it is known how long the way is.
const AT_ONCE: u8 = 6;

/// Packets a hop.
const EACH: u16 = 3;

/// Packets a hop where some were lost. Why more: three are no share to judge by.
const EACH_WHERE_LOSSY: u16 = 12;

/// Time between two packets.
const PACE: Duration = Duration::from_millis(10);

/// Time between two packets that end at the same hop.
const ROUND: Duration = Duration::from_millis(200);

/// How long the answers of hops that were tried at once are waited for.
const WAIT: Duration = Duration::from_millis(600);

/// How long the last answers are waited for.
const LAST: Duration = Duration::from_millis(1_500);

/// Stretches of hops in which nobody answers, after which the rest is not tried.
const SILENT_MAX: u8 = 2;

/// As ping(8) sends.
const PACKET_BYTES: u16 = 84;

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let target = asked.get("target").unwrap_or_default().to_owned();
    let found = match destination::of(host, asked, &target, None)? {
        Err(why) => vec![verdict::unseen("", "failed", &why)],
        Ok(places) => {
            let place = places.first().ok_or_else(|| Unrun::Refused(format!("{target} has no address")))?;
            match follow(host, place.address, &place.interface, steps)? {
                Ok(hops) => verdict::rows(&target, place.address, &hops),
                Err(error) => vec![verdict::unsent(&target, place.address, &error)],
            }
        }
    };
    Ok((1..).zip(found).map(|(number, row)| Trace { target: target.clone(), number, ..row }).collect())
}

/// Follows the way; an error where nothing could be sent at all.
fn follow(host: &dyn Host, to: IpAddr, interface: &str, steps: &mut Steps<'_>) -> Result<io::Result<Hops>, Unrun> {
    steps.tell(format!("{to}: up to {HOPS_MAX} hops, {EACH} packets each"))?;
    let mut hops = Hops::default();
    let mut echo = match host.wire().echo(to, interface) {
        Ok(echo) => echo,
        Err(error) => return Ok(Err(error)),
    };
    match search(host, echo.as_mut(), &mut hops, steps) {
        Err(Failed::Unrun(unrun)) => return Err(unrun),
        Err(Failed::Unsent(error)) => return Ok(Err(error)),
        Ok(()) => {}
    }
    let mut rounds = 1;
    while rounds < EACH || (rounds < EACH_WHERE_LOSSY && hops.is_lossy()) {
        if steps.time_is_up(host) {
            break;
        }
        let until = echo.age() + ROUND;
        for hop in 1..=hops.length() {
            if let Err(error) = hops.ask(echo.as_mut(), hop, PACKET_BYTES) {
                return Ok(Err(error));
            }
            hear(echo.as_mut(), &mut hops, PACE);
        }
        let left = until.saturating_sub(echo.age());
        rounds += 1;
        // Why longer after the third: what is only late is not lost.
        hear_all(echo.as_mut(), &mut hops, if rounds == EACH { LAST } else { left });
        let left = until.saturating_sub(echo.age());
        hear(echo.as_mut(), &mut hops, left);
        steps.tell(format!("{to}: {} hops, {rounds} packets each", hops.length()))?;
    }
    hear_all(echo.as_mut(), &mut hops, LAST);
    Ok(Ok(hops))
}

/// Why a search was broken off.
enum Failed {
    Unrun(Unrun),
    Unsent(io::Error),
}

/// Finds how long the way is: some hops at once, then the next.
fn search(host: &dyn Host, echo: &mut dyn Echo, hops: &mut Hops, steps: &mut Steps<'_>) -> Result<(), Failed> {
    let (mut first, mut silent) = (1, 0);
    while first <= HOPS_MAX && silent < SILENT_MAX && hops.end().is_none() && !steps.time_is_up(host) {
        let last = HOPS_MAX.min(first + AT_ONCE - 1);
        for hop in first..=last {
            hops.ask(echo, hop, PACKET_BYTES).map_err(Failed::Unsent)?;
            hear(echo, hops, PACE);
        }
        hear_all(echo, hops, WAIT);
        let known = hops.known(first, last);
        steps.tell(format!("hops {first} to {last}: {known}")).map_err(Failed::Unrun)?;
        silent = if known.is_empty() { silent + 1 } else { 0 };
        first = last + 1;
    }
    Ok(())
}

/// Hears for a time, whatever comes.
fn hear(echo: &mut dyn Echo, hops: &mut Hops, time: Duration) {
    let until = echo.age() + time;
    while let Ok(Some(heard)) = echo.hear(until.saturating_sub(echo.age())) {
        hops.take(&heard);
    }
}

/// Hears until all have answered, and no longer than that.
fn hear_all(echo: &mut dyn Echo, hops: &mut Hops, time: Duration) {
    let until = echo.age() + time;
    while !hops.is_whole() {
        let Ok(Some(heard)) = echo.hear(until.saturating_sub(echo.age())) else { break };
        hops.take(&heard);
    }
}
