//! Requests that wait for the person at the machine: which there are, who may still answer, and when it is too late. No clock and no waiting:
//! time is an argument.

use std::collections::BTreeMap;

use crate::local::Pending;

/// How long a request waits for the person.
pub(super) const WAIT_MS: i64 = 10 * 60 * 1_000;

/// Requests that wait at the same time.
const PENDING_MAX: usize = 8;

/// A clock that is set back by more ends what waits: else it would wait for as long again.
const CLOCK_BACK_MS: i64 = 60 * 1_000;

/// The requests, each with the way back to the one who waits for the answer. Where that is dropped, nobody answered in time.
#[derive(Debug)]
pub(super) struct Requests<T> {
    last: u64,
    pending: BTreeMap<u64, (Pending, T)>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self { last: 0, pending: BTreeMap::new() }
    }
}

impl<T> Requests<T> {
    /// A new request's number.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A request waits from now on; until when.
    pub(super) fn ask(&mut self, now_ms: i64, asked: Pending, back: T) -> Result<i64, String> {
        self.expire(now_ms);
        if self.pending.len() >= PENDING_MAX {
            return Err(format!("{PENDING_MAX} requests already wait for the person at the machine"));
        }
        let until_ms = now_ms.saturating_add(WAIT_MS);
        self.pending.insert(asked.request, (Pending { until_ms, ..asked }, back));
        Ok(until_ms)
    }

    /// What waits.
    pub(super) fn waiting(&mut self, now_ms: i64) -> Vec<Pending> {
        self.expire(now_ms);
        self.pending.values().map(|(pending, _back)| pending.clone()).collect()
    }

    /// Somebody answers a request: the way back. It is answered once.
    pub(super) fn answer(&mut self, now_ms: i64, request: u64) -> Result<T, String> {
        self.expire(now_ms);
        let found = self.pending.remove(&request).map(|(_pending, back)| back);
        found.ok_or_else(|| format!("no request {request} waits; deskside-agent consent lists them"))
    }

    /// Nobody waits for the answer any more.
    pub(super) fn withdraw(&mut self, request: u64) {
        self.pending.remove(&request);
    }

    /// Drops what nobody answered in time. Why by the clock on the wall: a machine that slept overnight asks nobody in the morning.
    pub(super) fn expire(&mut self, now_ms: i64) {
        let in_time = |until_ms: i64| now_ms < until_ms && now_ms >= until_ms - WAIT_MS - CLOCK_BACK_MS;
        self.pending.retain(|_request, (pending, _back)| in_time(pending.until_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_768_478_400_000;

    /// The number of a new request, and whether it is still waited for: a second owner lives as long as it is.
    fn asked(requests: &mut Requests<std::rc::Rc<()>>, now_ms: i64) -> (u64, std::rc::Weak<()>) {
        let request = requests.number();
        let back = std::rc::Rc::new(());
        let waits = std::rc::Rc::downgrade(&back);
        let until_ms = requests.ask(now_ms, Pending { request, ..Pending::default() }, back).unwrap();
        assert_eq!(until_ms, now_ms + WAIT_MS);
        (request, waits)
    }

    #[test]
    fn a_request_that_nobody_answers_is_over_after_ten_minutes_and_an_answer_comes_too_late() {
        let mut requests = Requests::default();
        let (request, waits) = asked(&mut requests, NOON_MS);
        assert_eq!(requests.waiting(NOON_MS + WAIT_MS - 1).len(), 1);
        assert!(waits.upgrade().is_some());
        assert!(requests.answer(NOON_MS + WAIT_MS, request).unwrap_err().contains("no request 1 waits"));
        assert!(waits.upgrade().is_none(), "the one who waits is told");
        assert_eq!(requests.waiting(NOON_MS + WAIT_MS), []);
    }

    #[test]
    fn a_request_is_answered_once_and_in_time() {
        let mut requests = Requests::default();
        let (request, _waits) = asked(&mut requests, NOON_MS);
        assert!(requests.answer(NOON_MS + WAIT_MS - 1, request + 1).is_err(), "another");
        assert!(requests.answer(NOON_MS + WAIT_MS - 1, request).is_ok());
        assert!(requests.answer(NOON_MS + WAIT_MS - 1, request).is_err(), "again");
    }

    #[test]
    fn a_machine_that_slept_and_a_clock_that_was_set_back_end_what_waits() {
        for (then_ms, left) in [(8 * 3_600_000, 0), (-2_000, 1), (-CLOCK_BACK_MS, 1), (-CLOCK_BACK_MS - 1, 0)] {
            let mut requests = Requests::default();
            asked(&mut requests, NOON_MS);
            assert_eq!(requests.waiting(NOON_MS + then_ms).len(), left, "{then_ms}");
        }
    }

    #[test]
    fn requests_that_wait_are_bounded_and_those_that_are_over_do_not_count() {
        let mut requests = Requests::default();
        let asked: Vec<_> = (0..PENDING_MAX).map(|_time| asked(&mut requests, NOON_MS)).collect();
        let one_more = |requests: &mut Requests<_>, now_ms| {
            let request = requests.number();
            requests.ask(now_ms, Pending { request, ..Pending::default() }, std::rc::Rc::new(()))
        };
        assert!(one_more(&mut requests, NOON_MS).unwrap_err().contains("8 requests already wait"));
        requests.withdraw(asked[3].0);
        assert!(one_more(&mut requests, NOON_MS).is_ok());
        assert!(one_more(&mut requests, NOON_MS + 1).is_err());
        assert!(one_more(&mut requests, NOON_MS + WAIT_MS).is_ok(), "the others are over");
    }
}
