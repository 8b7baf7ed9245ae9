//! The search: packets that may not be cut into pieces, each half way between what passes and what does not.

use std::net::IpAddr;
use std::time::Duration;

use super::unsent;
use crate::host::{Back, Echo, Host};
use crate::probe::destination::Destination;
use crate::probe::{Steps, Unrun, icmp};

/// What every path of IPv4 is asked to take (RFC 791), and of IPv6 (RFC 8200, 5).
const SMALL_V4: u16 = 576;
const SMALL_V6: u16 = 1_280;

/// Larger than every link takes, so that the own one tells its size.
const TOO_LARGE: u16 = u16::MAX;

/// Packets of a size that are sent before it is taken for too large.
const TRIES: u16 = 4;

/// Sizes that are tried at most: enough to halve 65,535 sixteen times, with those that routers name.
const SIZES_MAX: u16 = 24;

/// How long an answer is waited for: several times what small packets took, and within these bounds.
const WAIT_MIN: Duration = Duration::from_millis(120);
const WAIT_MAX: Duration = Duration::from_millis(800);

/// How long the first answers are waited for.
const FIRST_WAIT: Duration = Duration::from_secs(1);

const HOPS: u8 = 64;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// What the own link takes.
    pub(super) link: Option<u16>,
    /// The largest that was answered.
    pub(super) largest: Option<u16>,
    /// The smallest that was not.
    pub(super) vanished: Option<u16>,
    /// Who said how large a packet may be.
    pub(super) told: Option<(IpAddr, u32)>,
    /// Small packets were not answered: outcome and why.
    pub(super) unreached: Option<(&'static str, String)>,
    /// Some packets were answered at a second try only.
    pub(super) lossy: bool,
    /// The time was up.
    pub(super) cut_short: bool,
}

impl Found {
    /// A packet vanished that nobody had said to be too large.
    pub(super) fn black_hole(&self) -> bool {
        let unsaid = |size: u16| self.told.is_none_or(|(_from, mtu)| u32::from(size) <= mtu);
        self.largest.is_some() && !self.cut_short && self.vanished.is_some_and(unsaid)
    }
}

/// What became of packets of a size.
enum Size {
    Passed,
    Vanished,
    /// Who says how large it may be; the machine itself of its own link.
    Told(Option<IpAddr>, u32),
    Ended(&'static str, String),
}

/// A search under way.
pub(super) struct Search<'a> {
    echo: &'a mut dyn Echo,
    sequence: u16,
    wait: Duration,
    found: Found,
}

impl Search<'_> {
    /// Searches the largest size to an address.
    pub(super) fn of(host: &dyn Host, place: &Destination, steps: &mut Steps<'_>) -> Result<Found, Unrun> {
        let mut echo = match host.wire().echo(place.address, &place.interface) {
            Ok(echo) => echo,
            Err(error) => return Ok(Found { unreached: Some(unsent(&error)), ..Found::default() }),
        };
        let mut search = Search { echo: echo.as_mut(), sequence: 0, wait: FIRST_WAIT, found: Found::default() };
        if let Size::Told(None, mtu) = search.size(TOO_LARGE) {
            search.found.link = u16::try_from(mtu).ok();
        }
        let small = if place.address.is_ipv4() { SMALL_V4 } else { SMALL_V6 };
        steps.tell(format!("{}: packets of {small} bytes", place.address))?;
        match search.size(small) {
            Size::Passed => search.found.largest = Some(small),
            Size::Vanished | Size::Told(..) => {
                let why = "it does not answer echo requests, or something on the way drops them".to_owned();
                search.found.unreached = Some(("unknown", why));
                return Ok(search.found);
            }
            Size::Ended(outcome, why) => {
                search.found.unreached = Some((outcome, why));
                return Ok(search.found);
            }
        }
        search.halve(host, place.address, small, steps)?;
        Ok(search.found)
    }

    fn halve(&mut self, host: &dyn Host, address: IpAddr, small: u16, steps: &mut Steps<'_>) -> Result<(), Unrun> {
        let (mut passes, mut top) = (small, self.found.link.unwrap_or(TOO_LARGE));
        // Why the top first: on most ways it passes, and that is the end.
        let mut next = top;
        for _size in 0..SIZES_MAX {
            if passes >= top {
                return Ok(());
            }
            if steps.time_is_up(host) {
                break;
            }
            steps.tell(format!("{address}: packets of {next} bytes"))?;
            match self.size(next) {
                Size::Passed => {
                    passes = next;
                    self.found.largest = Some(next);
                }
                Size::Told(from, mtu) => {
                    self.found.told = from.map(|from| (from, mtu)).or(self.found.told);
                    // A router that names no size, or one that is no smaller, is as good as silent of it.
                    let named = u16::try_from(mtu).ok().filter(|mtu| (passes..next).contains(mtu));
                    top = named.unwrap_or(next - 1);
                    if let Some(named) = named.filter(|named| *named > passes) {
                        next = named;
                        continue;
                    }
                }
                Size::Vanished => {
                    self.found.vanished = Some(self.found.vanished.map_or(next, |before| before.min(next)));
                    top = next - 1;
                }
                Size::Ended(..) => {
                    self.found.cut_short = true;
                    return Ok(());
                }
            }
            next = passes + (top - passes).div_ceil(2);
        }
        self.found.cut_short = passes < top;
        Ok(())
    }

    /// Sends packets of a size until one is answered.
    fn size(&mut self, bytes: u16) -> Size {
        for again in 0..TRIES {
            self.sequence = self.sequence.wrapping_add(1);
            let asked = self.sequence;
            if let Err(error) = self.echo.ask(asked, HOPS, bytes) {
                let (outcome, why) = unsent(&error);
                return Size::Ended(outcome, why);
            }
            let until = self.echo.age() + self.wait;
            while let Ok(Some(heard)) = self.echo.hear(until.saturating_sub(self.echo.age())) {
                // A late answer of a size before is no answer of this one.
                if heard.sequence.wrapping_add(again) < asked {
                    continue;
                }
                match heard.back {
                    Back::Reply(_from) => {
                        self.wait = self.wait.min((heard.took * 4).clamp(WAIT_MIN, WAIT_MAX));
                        self.found.lossy |= again > 0;
                        return Size::Passed;
                    }
                    Back::TooLarge(mtu) => return Size::Told(None, mtu),
                    Back::Error(error) => match error.mtu {
                        Some(mtu) => return Size::Told(Some(error.from), mtu),
                        None if icmp::is_too_large(&error) => return Size::Told(Some(error.from), 0),
                        None => {
                            return Size::Ended("failed", format!("{} says that {}", error.from, icmp::words(&error)));
                        }
                    },
                }
            }
        }
        Size::Vanished
    }
}
