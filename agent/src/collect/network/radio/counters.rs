//! What a radio counted since the look before, or since it joined its access point where there was none.

use std::fmt::Write;

use super::Radio;
use crate::host::{Before, Host};

/// Below this many frames a share says nothing: a resting radio sends little but slow housekeeping.
const FRAMES_MIN: u64 = 100;

/// Most interfaces that a note tells of.
const INTERFACES_MAX: usize = 16;

/// Counters of one link, as they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    frames: Option<u64>,
    retries: Option<u64>,
    failed: Option<u64>,
    losses: Option<u64>,
    active_ms: Option<u64>,
    busy_ms: Option<u64>,
}

/// What was counted in between.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::collect::network) struct Since {
    /// Frames sent.
    pub(in crate::collect::network) frames: Option<u64>,
    /// Of the attempts to send, the share that were repetitions. Absent below a hundred frames.
    pub(in crate::collect::network) retry_percent: Option<f64>,
    /// Of the frames, the share that were given up. Absent below a hundred frames.
    pub(in crate::collect::network) failed_percent: Option<f64>,
    /// Times that beacons were missed.
    pub(in crate::collect::network) losses: Option<u64>,
    /// Share of the time that the channel was busy.
    pub(in crate::collect::network) busy_percent: Option<f64>,
}

impl Since {
    /// Whether enough was sent for a share to say something.
    pub(in crate::collect::network) fn enough(&self) -> bool {
        self.frames.is_some_and(|frames| frames >= FRAMES_MIN)
    }
}

/// The counters of all links, with those of the look before.
#[derive(Debug)]
pub(in crate::collect::network) struct Counters {
    before: Option<Before>,
}

impl Counters {
    /// Leaves a note under this name, and takes up the one that was there.
    pub(in crate::collect::network) fn take(host: &dyn Host, what: &'static str, radios: &[Radio]) -> Self {
        let mut note = String::new();
        for radio in radios.iter().take(INTERFACES_MAX) {
            let Some(key) = key(radio) else { continue };
            let now = Standing::of(radio);
            let parts = [now.frames, now.retries, now.failed, now.losses, now.active_ms, now.busy_ms];
            let parts = parts.map(|part| part.map_or_else(|| "-".to_owned(), |part| part.to_string()));
            writeln!(note, "{key} {}", parts.join(" ")).ok();
        }
        Self { before: host.recall(what, note) }
    }

    /// What a link counted since.
    pub(in crate::collect::network) fn since(&self, radio: &Radio) -> Since {
        let Some(key) = key(radio) else { return Since::default() };
        let now = Standing::of(radio);
        let line = self.before.as_ref().and_then(|before| before.text.lines().find_map(|line| line.strip_prefix(&key)));
        // Why zero where there was no look: the kernel counts from the moment of joining.
        let before = line.map(Standing::read).filter(|before| now.follows(before)).unwrap_or(Standing::ZERO);
        now.since(&before)
    }
}

/// Interface and access point: with another one the counters begin anew.
fn key(radio: &Radio) -> Option<String> {
    radio.station.as_ref().map(|station| format!("{} {}", radio.interface.name, station.mac))
}

impl Standing {
    const ZERO: Self = Self {
        frames: Some(0),
        retries: Some(0),
        failed: Some(0),
        losses: Some(0),
        active_ms: Some(0),
        busy_ms: Some(0),
    };

    fn of(radio: &Radio) -> Self {
        let station = radio.station.as_ref();
        Self {
            frames: station.and_then(|station| station.tx_packets),
            retries: station.and_then(|station| station.tx_retries),
            failed: station.and_then(|station| station.tx_failed),
            losses: station.and_then(|station| station.beacon_losses),
            active_ms: radio.survey.and_then(|survey| survey.active_ms),
            busy_ms: radio.survey.and_then(|survey| survey.busy_ms),
        }
    }

    fn read(line: &str) -> Self {
        let mut parts = line.split_whitespace().map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        Self { frames: next(), retries: next(), failed: next(), losses: next(), active_ms: next(), busy_ms: next() }
    }

    /// No counter went back, as they do when it joined anew.
    fn follows(&self, before: &Self) -> bool {
        let pairs = [(self.frames, before.frames), (self.retries, before.retries), (self.active_ms, before.active_ms)];
        pairs.into_iter().all(|(now, before)| now >= before)
    }

    fn since(&self, before: &Self) -> Since {
        let frames = more(self.frames, before.frames);
        let told = frames.filter(|frames| *frames >= FRAMES_MIN);
        let retries = more(self.retries, before.retries);
        Since {
            frames,
            retry_percent: share(retries, told.zip(retries).map(|(frames, retries)| frames.saturating_add(retries))),
            failed_percent: share(more(self.failed, before.failed), told),
            losses: more(self.losses, before.losses),
            busy_percent: share(more(self.busy_ms, before.busy_ms), more(self.active_ms, before.active_ms)),
        }
    }
}

fn more(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    now.zip(before).map(|(now, before)| now.saturating_sub(before))
}

fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let (part, whole) = part.zip(whole.filter(|whole| *whole > 0))?;
    Some((part as f64 * 100.0 / whole as f64).min(100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(frames: u64, retries: u64, failed: u64, active_ms: u64, busy_ms: u64) -> Standing {
        let losses = Some(0);
        Standing {
            frames: Some(frames),
            retries: Some(retries),
            failed: Some(failed),
            losses,
            active_ms: Some(active_ms),
            busy_ms: Some(busy_ms),
        }
    }

    #[test]
    fn shares_are_of_what_happened_in_between() {
        let since = standing(1200, 350, 21, 9000, 4500).since(&standing(200, 100, 11, 5000, 3500));
        assert_eq!((since.frames, since.retry_percent, since.failed_percent), (Some(1000), Some(20.0), Some(1.0)));
        assert_eq!((since.busy_percent, since.losses, since.enough()), (Some(25.0), Some(0), true));
    }

    #[test]
    fn few_frames_have_no_share_and_an_unknown_counter_none_either() {
        let since = standing(99, 90, 1, 0, 0).since(&Standing::ZERO);
        assert_eq!((since.retry_percent, since.failed_percent, since.busy_percent), (None, None, None));
        let unknown = Standing { retries: None, ..standing(500, 0, 0, 0, 0) };
        assert_eq!(unknown.since(&Standing::ZERO).retry_percent, None);
    }

    #[test]
    fn counters_that_went_back_began_anew() {
        assert!(!standing(10, 0, 0, 0, 0).follows(&standing(500, 0, 0, 0, 0)));
        assert_eq!(Standing::read(" 5 - 7 x"), Standing { frames: Some(5), failed: Some(7), ..Standing::default() });
    }
}
