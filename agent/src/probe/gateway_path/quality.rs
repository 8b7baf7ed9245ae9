//! What echo requests tell of the way: loss, delay, whether large packets pass, and where it ends.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::v1::Interface;

use super::{Said, failed, not_done, ok};
use crate::host::{Back, Echo, Host};
use crate::probe::now;

/// Echo requests to one host.
const REQUESTS: u16 = 20;

/// Between two of them.
const BETWEEN: Duration = Duration::from_millis(40);

/// How long the last answer is waited for.
const LAST_MAX: Duration = Duration::from_secs(1);

/// Bytes of a small packet, its headers included.
const SMALL_BYTES: u16 = 64;

/// A packet that every way of IPv6 takes, and in fact every way of IPv4 (RFC 8200, section 5).
const SURE_BYTES: u16 = 1_280;

/// The usual largest packet.
const LARGE_BYTES: u16 = 1_500;

/// Lost of [`REQUESTS`] from which on it is told: two may be a host that has better things to do.
const LOST_MIN: u16 = 3;

/// A way that takes longer, there and back, is felt in every click.
const SLOW_MS: u32 = 300;

/// Answers of the gateway that take longer tell of the own network (diagnosis N07).
const SLOW_NEAR_MS: u32 = 20;

/// Hops that are looked for.
const HOPS_MAX: u8 = 12;

/// More hops than any way has.
const HOPS: u8 = 64;

/// What came back of the requests to one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Quality {
    asked: u16,
    pub(super) answered: u16,
    median_ms: u32,
}

impl Quality {
    /// What it means; `nearby` measures the same of the gateway.
    pub(super) fn said(&self, name: &str, nearby: impl FnOnce() -> Option<Self>) -> Said {
        let lost = self.asked.saturating_sub(self.answered);
        let found = format!("{lost} of {} lost, {} ms in the middle", self.asked, self.median_ms);
        if lost < LOST_MIN && self.median_ms <= SLOW_MS {
            return ok(&found);
        }
        let near = nearby().unwrap_or_default();
        let near_lost = near.asked.saturating_sub(near.answered);
        if lost >= LOST_MIN {
            let percent = u32::from(lost) * 100 / u32::from(self.asked.max(1));
            // A gateway that answers nothing at all tells nothing.
            let place = match near.answered {
                0 => "on the way",
                _ if near_lost >= LOST_MIN => "already between this machine and its gateway",
                _ => "beyond the gateway, which itself answers well",
            };
            return failed("loss", &found, &format!("{percent} % of the packets to {name} are lost {place}."));
        }
        let place = if near.answered > 0 && near.median_ms > SLOW_NEAR_MS {
            "already to the gateway"
        } else {
            "beyond the gateway"
        };
        failed("delay", &found, &format!("The way to {name} is slow: {} ms there and back, {place}.", self.median_ms))
    }
}

/// Sends echo requests to a host.
pub(super) fn measure(host: &dyn Host, to: IpAddr, interface: &str) -> io::Result<Quality> {
    let mut echo = host.wire().echo(to, interface)?;
    let mut heard = Heard::default();
    for sequence in 0..REQUESTS {
        // What cannot be sent is lost.
        let sent = echo.ask(sequence, HOPS, SMALL_BYTES);
        drop(sent);
        let next = echo.age() + BETWEEN;
        heard.listen(echo.as_mut(), next, usize::from(REQUESTS))?;
    }
    let end = echo.age() + LAST_MAX;
    heard.listen(echo.as_mut(), end, usize::from(REQUESTS))?;
    heard.times_ms.sort_unstable();
    let median_ms = heard.times_ms.get(heard.times_ms.len() / 2).copied().unwrap_or_default();
    Ok(Quality { asked: REQUESTS, answered: u16::try_from(heard.answered.len()).unwrap_or_default(), median_ms })
}

#[derive(Default)]
struct Heard {
    answered: std::collections::BTreeSet<u16>,
    times_ms: Vec<u32>,
    /// Who told of an error, by the number of the request.
    errors: Vec<(u16, IpAddr)>,
    /// Somebody said what size passes.
    told_size: Option<u32>,
}

impl Heard {
    /// Listens until a time of the socket's age, or until so many were answered.
    fn listen(&mut self, echo: &mut dyn Echo, until: Duration, enough: usize) -> io::Result<()> {
        while self.answered.len() < enough {
            let left = until.saturating_sub(echo.age());
            if left.is_zero() {
                break;
            }
            let Some(heard) = echo.hear(left)? else { break };
            match heard.back {
                Back::Reply(_from) => {
                    if self.answered.insert(heard.sequence) {
                        self.times_ms.push(u32::try_from(heard.took.as_millis()).unwrap_or(u32::MAX));
                    }
                }
                Back::Error(error) => {
                    self.told_size = self.told_size.or(error.mtu);
                    self.errors.push((heard.sequence, error.from));
                }
                Back::TooLarge(size) => self.told_size = Some(size),
            }
        }
        Ok(())
    }
}

/// Whether packets as large as the own link takes them pass. Three tries of each size: one lost packet proves nothing.
pub(super) fn large(host: &dyn Host, name: &str, to: IpAddr, interface: &str) -> Said {
    let own = now::rows::<Interface>(host).unwrap_or_default().into_iter().find(|own| own.name == interface);
    let size = own.and_then(|own| u16::try_from(own.mtu).ok()).unwrap_or(LARGE_BYTES).min(LARGE_BYTES);
    if size <= SURE_BYTES {
        return not_done("the own link takes no large packets");
    }
    let passes = |bytes: u16| -> io::Result<(bool, Option<u32>)> {
        let mut echo = host.wire().echo(to, interface)?;
        let mut heard = Heard::default();
        for sequence in 0..3 {
            // Refused by the own link, which says so.
            let sent = echo.ask(sequence, HOPS, bytes);
            drop(sent);
            let end = echo.age() + LAST_MAX / 2;
            heard.listen(echo.as_mut(), end, 1)?;
            if !heard.answered.is_empty() || heard.told_size.is_some() {
                break;
            }
        }
        Ok((!heard.answered.is_empty(), heard.told_size))
    };
    match passes(size) {
        Ok((true, _)) => ok(&format!("{size} bytes pass")),
        Ok((false, Some(told))) => ok(&format!("{told} bytes pass, and routers say so")),
        Ok((false, None)) => match passes(SURE_BYTES) {
            Ok((true, _)) => failed(
                "mtu",
                &format!("{size} bytes are lost without a word, {SURE_BYTES} pass"),
                &format!(
                    "Large packets ({size} bytes) to {name} are lost on the way without a word, while small ones pass (an MTU black hole): pages and files hang."
                ),
            ),
            Ok((false, _)) => not_done("no large packet is answered there at all"),
            Err(error) => not_done(&error.to_string()),
        },
        Err(error) => not_done(&error.to_string()),
    }
}

/// The farthest on the way to a host that answers; absent where nobody does.
pub(super) fn end_of_way(host: &dyn Host, to: IpAddr, interface: &str) -> io::Result<Option<IpAddr>> {
    let mut echo = host.wire().echo(to, interface)?;
    let mut heard = Heard::default();
    for hops in 1..=HOPS_MAX {
        let sent = echo.ask(u16::from(hops), hops, SMALL_BYTES);
        drop(sent);
    }
    let end = echo.age() + LAST_MAX;
    heard.listen(echo.as_mut(), end, 1)?;
    if !heard.answered.is_empty() {
        return Ok(Some(to));
    }
    Ok(heard.errors.into_iter().max_by_key(|(hops, _from)| *hops).map(|(_hops, from)| from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(answered: u16, median_ms: u32) -> Quality {
        Quality { asked: REQUESTS, answered, median_ms }
    }

    #[test]
    fn loss_and_delay_are_placed_before_or_behind_the_gateway() {
        let well = || Some(quality(20, 1));
        let said = |far: Quality, near: Option<Quality>| far.said("the server", || near);
        assert_eq!(said(quality(18, 200), well()).problem, "");
        let lossy = said(quality(14, 10), well());
        assert_eq!(
            lossy.sentence,
            "30 % of the packets to the server are lost beyond the gateway, which itself answers well."
        );
        assert!(
            said(quality(14, 10), Some(quality(13, 1)))
                .sentence
                .contains("already between this machine and its gateway")
        );
        assert!(said(quality(14, 10), Some(quality(0, 0))).sentence.ends_with("lost on the way."));
        assert_eq!(
            said(quality(20, 400), well()).sentence,
            "The way to the server is slow: 400 ms there and back, beyond the gateway."
        );
        assert!(said(quality(20, 400), Some(quality(20, 380))).sentence.contains("already to the gateway"));
    }
}
