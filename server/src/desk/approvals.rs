//! Four eyes: what takes a second person, who has agreed, and until when that counts. Who asks is told to ask again once another has agreed, so
//! that nothing hangs meanwhile; a restarted server has forgotten, and is asked again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deskside_proto::catalog;
use deskside_proto::v1::{Approval, CollectRequest, ListApprovalsReply, Sensitivity, TableSchema};
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use crate::case::now_ms;
use crate::config::FourEyes;

/// How long a request waits for a second person, and how long the approval then counts.
const WAIT_MS: i64 = 30 * 60 * 1_000;
const GOOD_MS: i64 = 10 * 60 * 1_000;

/// Requests at a time, of all technicians.
const WAITING_MAX: usize = 64;

/// What takes a second person, and what was said.
#[derive(Clone, Default)]
pub(super) struct Approvals {
    config: FourEyes,
    book: Arc<Mutex<Book>>,
}

impl Approvals {
    pub(super) fn new(config: FourEyes) -> Self {
        Self { config, book: Arc::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked, by whom: an approval is of exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    who: String,
    kind: &'static str,
    what: String,
    ticket: u64,
}

/// One request.
#[derive(Clone, Debug)]
struct Request {
    asked: Asked,
    at_ms: i64,
    until_ms: i64,
    approved_by: Option<String>,
}

/// The requests. No clock: time is an argument.
#[derive(Default)]
struct Book {
    last: u64,
    requests: BTreeMap<u64, Request>,
}

/// What is to be done with one who asks.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Another has agreed; it counts once.
    Go { by: String },
    /// It waits, by this number.
    Waits { number: u64, is_new: bool },
    /// Too many wait.
    Full,
}

impl Book {
    fn ask(&mut self, asked: Asked, now_ms: i64) -> Verdict {
        self.expire(now_ms);
        let known = self.requests.iter().find(|(_number, request)| request.asked == asked);
        match known.map(|(number, request)| (*number, request.approved_by.clone())) {
            Some((number, Some(by))) => {
                self.requests.remove(&number);
                Verdict::Go { by }
            }
            Some((number, None)) => Verdict::Waits { number, is_new: false },
            None if self.requests.len() >= WAITING_MAX => Verdict::Full,
            None => {
                self.last += 1;
                let request = Request { asked, at_ms: now_ms, until_ms: now_ms + WAIT_MS, approved_by: None };
                self.requests.insert(self.last, request);
                Verdict::Waits { number: self.last, is_new: true }
            }
        }
    }

    /// What another says to a request; what is wrong with it. A refused one is gone.
    fn decide(&mut self, number: u64, who: &str, approved: bool, now_ms: i64) -> Result<Request, String> {
        self.expire(now_ms);
        let Some(request) = self.requests.get_mut(&number) else {
            return Err(format!("no request {number} waits; `deskside approvals list` lists them"));
        };
        if request.asked.who == who && approved {
            return Err("nobody approves what they asked for themselves; let another technician do it".into());
        }
        if let Some(by) = &request.approved_by {
            return Err(format!("{by} has approved it already"));
        }
        if approved {
            request.approved_by = Some(who.to_owned());
            request.until_ms = now_ms + GOOD_MS;
            return Ok(request.clone());
        }
        self.requests.remove(&number).ok_or_else(|| "it is gone".into())
    }

    fn expire(&mut self, now_ms: i64) {
        self.requests.retain(|_number, request| now_ms < request.until_ms);
    }
}

impl Desk {
    /// Packets are only captured with a second person where that is wanted. The person at the machine is asked besides, as ever.
    pub(super) async fn captures_take_two(&self, caller: &Caller, request: &CollectRequest) -> Result<(), Status> {
        let takes = |words: &String| words.split_whitespace().next().is_some_and(takes_packets);
        if !self.approvals.config.capture || !request.probes.iter().any(takes) {
            return Ok(());
        }
        let what = format!("{} on {}", request.probes.join(", "), request.device);
        self.second(caller, Asked { who: caller.name.clone(), kind: "capture", what, ticket: request.ticket }).await
    }

    /// What people wrote is only shown with a second person where that is wanted.
    pub(super) async fn content_takes_two(&self, caller: &Caller, what: String, ticket: u64) -> Result<(), Status> {
        if !self.approvals.config.content {
            return Ok(());
        }
        self.second(caller, Asked { who: caller.name.clone(), kind: "content", what, ticket }).await
    }

    /// The same, of tables of which a column holds it.
    pub(super) async fn content_of_tables_takes_two(
        &self,
        caller: &Caller,
        tables: &[TableSchema],
        device: &str,
    ) -> Result<(), Status> {
        let held = tables.iter().filter(|table| holds_content(table)).map(|table| table.name.as_str());
        let held: Vec<&str> = held.collect();
        if held.is_empty() {
            return Ok(());
        }
        self.content_takes_two(caller, format!("{} of {device}", held.join(", ")), 0).await
    }

    /// Whether content takes a second person.
    pub(super) fn guards_content(&self) -> bool {
        self.approvals.config.content
    }

    async fn second(&self, caller: &Caller, asked: Asked) -> Result<(), Status> {
        let (kind, what, ticket) = (asked.kind, asked.what.clone(), asked.ticket);
        let verdict = self.approvals.book().ask(asked, now_ms());
        let (number, is_new) = match verdict {
            Verdict::Go { by } => {
                let text = format!("{kind}: {what}: {by} had approved it");
                return self.audit(caller, Deed { what: "approved", ticket, text, ..Deed::default() }).await;
            }
            Verdict::Waits { number, is_new } => (number, is_new),
            Verdict::Full => {
                return Err(Status::resource_exhausted(format!(
                    "{WAITING_MAX} requests wait for a second person; ask again once some are answered"
                )));
            }
        };
        if is_new {
            let text = format!("request {number}: {kind}: {what}");
            self.audit(caller, Deed { what: "asked", ticket, text, ..Deed::default() }).await?;
        }
        let minutes = WAIT_MS / 60_000;
        Err(Status::failed_precondition(format!(
            "this takes a second person: request {number} waits {minutes} minutes for one; let another technician say \
             `deskside approvals approve {number}`, then ask again"
        )))
    }

    pub(super) fn all_approvals(&self) -> ListApprovalsReply {
        let mut book = self.approvals.book();
        book.expire(now_ms());
        let shown = book.requests.iter().map(|(number, request)| shown(*number, request));
        ListApprovalsReply { approvals: shown.collect() }
    }

    pub(super) async fn decide(&self, caller: &Caller, number: u64, approved: bool) -> Result<Approval, Status> {
        let decided = self.approvals.book().decide(number, &caller.name, approved, now_ms());
        let request = decided.map_err(Status::failed_precondition)?;
        let word = if approved { "approved" } else { "refused" };
        let Asked { who, kind, what, ticket } = &request.asked;
        let text = format!("request {number} of {who}: {kind}: {what}");
        self.audit(caller, Deed { what: word, ticket: *ticket, text, ..Deed::default() }).await?;
        Ok(shown(number, &request))
    }
}

fn takes_packets(probe: &str) -> bool {
    catalog::table(probe).and_then(|table| table.probe.as_ref()).is_some_and(|probe| probe.evidence)
}

fn holds_content(table: &TableSchema) -> bool {
    table.columns.iter().any(|column| catalog::options(column).sensitivity() == Sensitivity::Content)
}

fn shown(number: u64, request: &Request) -> Approval {
    Approval {
        number,
        asked_by: request.asked.who.clone(),
        kind: request.asked.kind.into(),
        what: request.asked.what.clone(),
        ticket: request.asked.ticket,
        asked_ms: request.at_ms,
        until_ms: request.until_ms,
        approved_by: request.approved_by.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(who: &str, what: &str) -> Asked {
        Asked { who: who.into(), kind: "capture", what: what.into(), ticket: 1 }
    }

    #[test]
    fn another_agrees_and_it_counts_once_for_exactly_that() {
        let mut book = Book::default();
        assert_eq!(book.ask(asked("anna", "lo"), 0), Verdict::Waits { number: 1, is_new: true });
        assert_eq!(book.ask(asked("anna", "lo"), 1), Verdict::Waits { number: 1, is_new: false });
        assert!(book.decide(1, "anna", true, 2).unwrap_err().contains("themselves"));
        book.decide(1, "ben", true, 2).unwrap();
        assert!(book.decide(1, "carl", true, 3).unwrap_err().contains("ben has approved it"));
        assert_eq!(book.ask(asked("anna", "eth0"), 3), Verdict::Waits { number: 2, is_new: true });
        assert_eq!(book.ask(asked("ben", "lo"), 3), Verdict::Waits { number: 3, is_new: true });
        assert_eq!(book.ask(asked("anna", "lo"), 4), Verdict::Go { by: "ben".into() });
        assert_eq!(book.ask(asked("anna", "lo"), 5), Verdict::Waits { number: 4, is_new: true });
    }

    #[test]
    fn a_request_and_an_approval_are_over_in_time_and_a_refused_one_is_gone() {
        let mut book = Book::default();
        book.ask(asked("anna", "lo"), 0);
        assert!(book.decide(1, "ben", true, WAIT_MS).unwrap_err().contains("no request 1"));
        book.ask(asked("anna", "lo"), WAIT_MS);
        book.decide(2, "ben", true, WAIT_MS + 1).unwrap();
        let late = WAIT_MS + 1 + GOOD_MS;
        assert_eq!(book.ask(asked("anna", "lo"), late), Verdict::Waits { number: 3, is_new: true });
        book.decide(3, "anna", false, late).unwrap();
        assert!(book.requests.is_empty(), "one may take back what one asked");
    }

    #[test]
    fn requests_that_wait_are_bounded() {
        let mut book = Book::default();
        for place in 0..WAITING_MAX {
            book.ask(asked("anna", &place.to_string()), 0);
        }
        assert_eq!(book.ask(asked("anna", "more"), 0), Verdict::Full);
    }
}
