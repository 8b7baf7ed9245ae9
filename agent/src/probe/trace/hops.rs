//! Who answered at each hop, how often and how fast.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::host::{Back, Echo, Echoed, IcmpError};
use crate::probe::icmp;

/// Addresses that are kept of one hop.
const ADDRESSES_MAX: usize = 4;

/// Requests whose hop is known from their number: its low byte.
const HOP_MASK: u16 = 0x00ff;

/// One hop.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) sent: u16,
    pub(super) times: Vec<Duration>,
}

impl Hop {
    pub(super) fn received(&self) -> u16 {
        self.times.len() as u16
    }

    pub(super) fn lost(&self) -> u16 {
        self.sent.saturating_sub(self.received())
    }

    pub(super) fn loss(&self) -> f64 {
        f64::from(self.lost()) / f64::from(self.sent.max(1))
    }
}

/// What ended the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The target answered.
    Reached,
    /// A router, or this machine itself, says that it goes no further.
    Told(IcmpError),
}

/// The hops so far, from the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Hops {
    hops: Vec<Hop>,
    end: Option<(u8, End)>,
}

impl Hops {
    /// Sends a packet that passes so many hops.
    pub(super) fn ask(&mut self, echo: &mut dyn Echo, hop: u8, bytes: u16) -> io::Result<()> {
        let place = usize::from(hop.max(1));
        if self.hops.len() < place {
            self.hops.resize_with(place, Hop::default);
        }
        let Some(known) = self.hops.get_mut(place - 1) else { return Ok(()) };
        let sequence = (known.sent << 8) | u16::from(hop);
        known.sent += 1;
        echo.ask(sequence, hop, bytes)
    }

    /// Takes what came back.
    pub(super) fn take(&mut self, heard: &Echoed) {
        let number = (heard.sequence & HOP_MASK) as u8;
        let (from, end) = match heard.back {
            Back::Reply(from) => (from, Some(End::Reached)),
            Back::Error(error) if icmp::is_hop(&error) => (error.from, None),
            Back::Error(error) => (error.from, Some(End::Told(error))),
            Back::TooLarge(_mtu) => return,
        };
        let Some(hop) = self.hops.get_mut(usize::from(number).wrapping_sub(1)) else { return };
        if hop.received() < hop.sent {
            hop.times.push(heard.took);
        }
        if !hop.addresses.contains(&from) && hop.addresses.len() < ADDRESSES_MAX {
            hop.addresses.push(from);
        }
        if let Some(end) = end {
            let nearer =
                self.end.is_none_or(|(known, before)| number < known || (number == known && before != End::Reached));
            if nearer {
                self.end = Some((number, end));
            }
        }
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end.map(|(_hop, end)| end)
    }

    /// How many hops the way has: packets that might pass more end there too. Without an end, the first behind the last who answered is the last.
    pub(super) fn length(&self) -> u8 {
        let answered = self.hops.iter().rposition(|hop| hop.received() > 0).map_or(0, |place| place + 1);
        let open = self.hops.len().min(answered + 1) as u8;
        self.end.map_or(open, |(hop, end)| {
            let before = usize::from(hop).checked_sub(2).and_then(|place| self.hops.get(place));
            // A router that lets a packet come no further is the hop before the one that the packet was to end at.
            let same = |error: IcmpError| before.is_some_and(|before| before.addresses.contains(&error.from));
            if matches!(end, End::Told(error) if same(error)) { hop - 1 } else { hop }
        })
    }

    /// The hops up to the end.
    pub(super) fn all(&self) -> &[Hop] {
        self.hops.get(..usize::from(self.length())).unwrap_or(&self.hops)
    }

    /// Every packet was answered.
    pub(super) fn is_whole(&self) -> bool {
        self.all().iter().all(|hop| hop.lost() == 0)
    }

    /// The last who answers does not answer always.
    pub(super) fn is_lossy(&self) -> bool {
        let last = self.all().iter().rev().find(|hop| hop.received() > 0);
        last.is_some_and(|hop| hop.lost() > 0)
    }

    /// Who answered between two hops, in words.
    pub(super) fn known(&self, first: u8, last: u8) -> String {
        let stretch = self.hops.get(usize::from(first) - 1..usize::from(last).min(self.hops.len())).unwrap_or_default();
        let names: Vec<String> =
            stretch.iter().filter_map(|hop| hop.addresses.first()).map(ToString::to_string).collect();
        names.join(", ")
    }
}
