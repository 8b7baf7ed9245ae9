//! Collections on a real store and a real switchboard, and through thousands of seeded bad days.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deskside_proto::v1::{Answer, Outcome, Pack, PartOutcome, command, to_agent};
use uuid::Uuid;

use super::collection::{Act, Course, Event, PACK_MS};
use super::*;
use crate::gateway::{Call, StoredUpload, Uploads, Wanted};
use crate::store::{Audit, AuditLine, Collections, Db, Devices, EvidenceItems, NewDevice, SealSeen, Tickets, Tokens};

const DAY_MS: i64 = 24 * 3_600 * 1_000;

fn asked(tables: &[&str]) -> Collection {
    let asked = Asked {
        device: Uuid::from_u128(1),
        recipe: String::new(),
        tables: tables.iter().map(ToString::to_string).collect(),
        probes: Vec::new(),
        around_ms: None,
        before_s: 3_600,
        after_s: 60,
        expires_s: 86_400,
        asked_by: "ada".into(),
        planned_ms: None,
        why: String::new(),
    };
    asked.collection(7, 1_000_000)
}

fn part(name: &str, outcome: Outcome) -> PartOutcome {
    PartOutcome {
        name: name.into(),
        outcome: outcome.into(),
        reason: "why".into(),
        rows: 1,
        bytes: 1,
        ..PartOutcome::default()
    }
}

fn packs(acts: &[Act]) -> usize {
    acts.iter().filter(|act| matches!(act, Act::Pack { .. })).count()
}

#[test]
fn a_device_is_told_to_pack_only_when_the_window_has_passed() {
    let collection = asked(&["printers"]);
    let to_ms = collection.to_ms;
    let mut course = Course::new(collection, Vec::new(), 0);
    assert_eq!(packs(&course.step(1_000_000, Event::Begun { connected: true })), 0);
    assert_eq!(course.wake_at_ms(), Some(to_ms));
    assert_eq!(packs(&course.step(to_ms - 1, Event::Tick)), 0);
    assert_eq!(packs(&course.step(to_ms, Event::Tick)), 1);
    assert_eq!(course.collection().state, CollectionState::Running);
}

#[test]
fn a_device_that_never_came_is_named_in_every_part() {
    let collection = asked(&["printers", "disks"]);
    let expires_ms = collection.expires_ms;
    let mut course = Course::new(collection, Vec::new(), 500_000);
    course.step(1_000_000, Event::Begun { connected: false });
    course.step(expires_ms, Event::Tick);
    let ended = course.collection();
    assert_eq!(ended.state, CollectionState::Expired);
    let names: Vec<&str> = ended.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["printers", "disks"]);
    for part in &ended.parts {
        assert_eq!(part.outcome(), Outcome::TimedOut);
        assert!(part.reason.starts_with("the device was off since "), "{}", part.reason);
    }
}

#[test]
fn what_was_asked_for_and_did_not_come_makes_it_partial_and_is_named() {
    let mut course = Course::new(asked(&["printers", "disks", "services"]), Vec::new(), 0);
    course.step(1_000_000, Event::Begun { connected: true });
    let parts = vec![part("printers", Outcome::Ok), part("services", Outcome::Denied)];
    course.step(1_000_001, Event::Stored { evidence: Uuid::from_u128(9), parts });
    let ended = course.collection();
    assert_eq!(ended.state, CollectionState::Partial);
    assert_eq!(ended.note, "1 of 3 parts came whole; not: services, disks");
    let why = |name: &str| ended.parts.iter().find(|part| part.name == name).map(|part| part.reason.as_str());
    assert_eq!(why("services"), Some("why"));
    assert!(why("disks").is_some_and(|why| why.contains("asked for")), "{:?}", why("disks"));
    assert_eq!(ended.evidence, Some(Uuid::from_u128(9)));
}

#[test]
fn lost_sessions_are_never_held_against_a_device() {
    let collection = asked(&["printers"]);
    let mut now_ms = collection.to_ms;
    let mut course = Course::new(collection, Vec::new(), 0);
    course.step(now_ms, Event::Begun { connected: true });
    for _loss in 0..50 {
        course.step(now_ms, Event::Disconnected);
        course.step(now_ms + 1, Event::Connected);
        now_ms = course.wake_at_ms().unwrap();
        assert_eq!(packs(&course.step(now_ms, Event::Tick)), 1, "after {now_ms}");
    }
}

/// Numbers from a seed (`SplitMix64`).
struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// One bad life of a collection. The promises: it packs only when it may, ends once, says so in every part, and never later than its time.
fn live(seed: u64) {
    let mut dice = Seed(seed);
    let mut first = asked(&["printers", "disks"]);
    first.to_ms = first.asked_ms + dice.below(120_000).cast_signed();
    first.expires_ms = first.to_ms + dice.below(40 * 60_000).cast_signed() + 1;
    let (to_ms, expires_ms) = (first.to_ms, first.expires_ms);
    let mut now_ms = first.asked_ms;
    let mut connected = dice.below(2) == 0;
    let mut saved = first.clone();
    let mut course = Course::new(first, Vec::new(), 0);
    let (mut asked_at, mut ends) = (None, 0);
    let mut event = Event::Begun { connected };
    for _step in 0..500 {
        let acts = course.step(now_ms, event);
        for act in &acts {
            match act {
                Act::Pack { deadline_ms } => {
                    assert!(connected && now_ms >= to_ms && now_ms < expires_ms, "seed {seed}: packed at {now_ms}");
                    assert!(now_ms + i64::from(*deadline_ms) <= expires_ms.max(now_ms + PACK_MS));
                    asked_at = Some(now_ms);
                }
                Act::Stop => asked_at = None,
                Act::Save { .. } => {
                    saved = course.collection().clone();
                    ends += u32::from(saved.state.ended());
                }
                Act::Show => {}
            }
        }
        let Some(wake_ms) = course.wake_at_ms() else { break };
        event = match dice.below(12) {
            0 | 1 if connected => {
                (connected, asked_at) = (false, None);
                Event::Disconnected
            }
            0 | 1 => {
                connected = true;
                Event::Connected
            }
            2 if asked_at.is_some() => Event::Progress("reading the record".into()),
            3 if asked_at.is_some() => Event::Packed,
            4 if asked_at.is_some() => {
                asked_at = None;
                Event::Refused("the disk is full".into())
            }
            5 if asked_at.is_some() && dice.below(4) == 0 => Event::Stored {
                evidence: Uuid::from_u128(3),
                parts: vec![part("printers", Outcome::Ok), part("disks", Outcome::Empty)],
            },
            6 if dice.below(20) == 0 => Event::Cancel { who: "ada".into() },
            7 if dice.below(4) == 0 => {
                // The server is started again: what was not saved is forgotten.
                asked_at = None;
                course = Course::new(saved.clone(), Vec::new(), 0);
                Event::Begun { connected }
            }
            8 => {
                now_ms += dice.below(30_000).cast_signed();
                Event::Tick
            }
            _ => {
                now_ms = now_ms.max(wake_ms);
                Event::Tick
            }
        };
    }
    let ended = course.collection();
    assert!(ended.state.ended(), "seed {seed}: never ended: {ended:?}");
    assert_eq!(ends, 1, "seed {seed}: ended more than once");
    assert_eq!(ended.parts.len(), 2, "seed {seed}: {ended:?}");
    assert!(ended.ended_ms <= expires_ms.max(now_ms), "seed {seed}");
    assert_eq!(course.step(now_ms + DAY_MS, Event::Connected), [], "seed {seed}: went on after its end");
}

#[test]
fn thousands_of_bad_days_end_as_promised() {
    for seed in 0..5_000 {
        live(seed);
    }
}

/// A store with one device and one ticket, and cases on top.
struct Office {
    folder: tempfile::TempDir,
    store: Arc<Db>,
    switchboard: Switchboard,
    cases: Cases,
    device: Uuid,
    ticket: u64,
}

async fn office() -> Office {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Db::open(&folder.path().join("store.db")).unwrap());
    let device = enrolled(&store).await;
    let switchboard = Switchboard::new();
    let cases = Cases::start(Arc::clone(&store) as Arc<dyn Store>, switchboard.clone()).await.unwrap();
    let new = NewTicket {
        title: "cannot print".into(),
        opened_by: "ada".into(),
        devices: vec![device],
        ..NewTicket::default()
    };
    let ticket = cases.open(new).await.unwrap().number;
    Office { folder, store, switchboard, cases, device, ticket }
}

async fn enrolled(store: &Db) -> Uuid {
    let token = crate::store::NewToken { id: "t".into(), secret_sha256: [7; 32], uses: 1, expires_ms: i64::MAX };
    store.add_token(token, 1).await.unwrap();
    let new = NewDevice { name: "desk-7".into(), ..NewDevice::default() };
    store.enrol([7; 32], new, 1).await.unwrap().unwrap().id
}

impl Office {
    async fn escalate(&self) -> Collection {
        let ticket = self.store.ticket(self.ticket).await.unwrap().unwrap();
        let recipe = recipes::named("").unwrap();
        let (change, asked) = self.cases.escalation(&ticket, "ada", recipe).await.unwrap();
        self.cases.change(self.ticket, "ada", change, asked).await.unwrap().unwrap();
        self.store.collections_of(self.ticket).await.unwrap().pop().unwrap()
    }

    fn upload(&self, collection: Uuid) -> StoredUpload {
        StoredUpload {
            device: self.device,
            collection,
            size: 10,
            sha256: "ab".repeat(32),
            location: "7/x.zip".into(),
            parts: vec![part("printers", Outcome::Ok)],
            seal: SealSeen::Good { statement_sha256: String::new() },
        }
    }

    async fn ended(&self, id: Uuid) -> Collection {
        if let Some(mut state) = self.cases.watch(id) {
            let wait = state.wait_for(|collection| collection.state.ended());
            tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap().ok();
        }
        self.store.collection(id).await.unwrap().unwrap()
    }
}

async fn told_to_pack(call: &mut Call) -> (String, Pack) {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), call.outgoing.recv()).await.unwrap().unwrap();
        if let Some(to_agent::Kind::Command(command)) = message.kind
            && let Some(command::Kind::Pack(pack)) = command.kind
        {
            return (command.id, pack);
        }
    }
}

#[tokio::test]
async fn an_escalation_waits_for_a_device_that_is_off_and_attaches_its_evidence() {
    let office = office().await;
    let collection = office.escalate().await;
    let mut call = office.switchboard.connect(office.device);
    call.arrived();
    let (_id, pack) = told_to_pack(&mut call).await;
    assert_eq!(pack.collection_id, collection.id.to_string());
    assert_eq!(office.cases.wanted(office.device, collection.id).await.unwrap(), Wanted::Yes { ticket: office.ticket });
    office.cases.stored(office.upload(collection.id)).await.unwrap();
    let ended = office.ended(collection.id).await;
    assert_eq!((ended.state, ended.note.as_str()), (CollectionState::Done, "every part came (1)"));
    let items = office.store.evidence(Some(office.ticket)).await.unwrap();
    let custody = office.store.custody(items[0].id).await.unwrap();
    let what: Vec<&str> = custody.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(what, ["asked", "collected", "stored", "verified"]);
    let story = office.store.ticket_events(office.ticket, 100).await.unwrap();
    let what: Vec<&str> = story.iter().map(|event| event.what.as_str()).collect();
    assert_eq!(what, ["opened", "linked", "escalated", "collection", "evidence", "collection"]);
}

#[tokio::test]
async fn an_upload_that_comes_again_changes_nothing() {
    let office = office().await;
    let collection = office.escalate().await;
    office.cases.stored(office.upload(collection.id)).await.unwrap();
    office.cases.stored(office.upload(collection.id)).await.unwrap();
    assert_eq!(office.store.evidence(None).await.unwrap().len(), 1);
    assert_eq!(office.cases.wanted(office.device, collection.id).await.unwrap(), Wanted::Stored);
}

#[tokio::test]
async fn a_collection_goes_on_after_the_server_was_started_again() {
    let office = office().await;
    let collection = office.escalate().await;
    office.cases.stop();
    let store = reopened(office.folder.path());
    let cases = Cases::start(store, office.switchboard.clone()).await.unwrap();
    let mut call = office.switchboard.connect(office.device);
    call.arrived();
    let (_id, pack) = told_to_pack(&mut call).await;
    assert_eq!(pack.collection_id, collection.id.to_string());
    cases.stop();
}

fn reopened(folder: &Path) -> Arc<dyn Store> {
    Arc::new(Db::open(&folder.join("store.db")).unwrap())
}

#[tokio::test]
async fn evidence_that_was_durable_before_a_crash_ends_its_collection_after_it() {
    let office = office().await;
    let collection = office.escalate().await;
    office.cases.stop();
    office.cases.stored(office.upload(collection.id)).await.unwrap();
    assert!(!office.store.collection(collection.id).await.unwrap().unwrap().state.ended());
    let cases = Cases::start(reopened(office.folder.path()), office.switchboard.clone()).await.unwrap();
    let again = Office { cases, ..office };
    assert_eq!(again.ended(collection.id).await.state, CollectionState::Done);
}

#[tokio::test]
async fn evidence_that_came_in_the_moment_of_giving_up_counts() {
    let office = office().await;
    let another = Cases::start(reopened(office.folder.path()), Switchboard::new()).await.unwrap();
    let collection = office.escalate().await;
    another.stored(office.upload(collection.id)).await.unwrap();
    let ended = office.cases.cancel(collection.id, "bob").await.unwrap().unwrap();
    assert_eq!((ended.state, ended.note.as_str()), (CollectionState::Done, "every part came (1)"));
}

#[tokio::test]
async fn a_cancelled_collection_stops_the_device_and_takes_no_upload() {
    let office = office().await;
    let mut call = office.switchboard.connect(office.device);
    call.arrived();
    let collection = office.escalate().await;
    let (id, _pack) = told_to_pack(&mut call).await;
    let ended = office.cases.cancel(collection.id, "bob").await.unwrap().unwrap();
    assert_eq!((ended.state, ended.note.as_str()), (CollectionState::Cancelled, "cancelled by bob"));
    let message = call.outgoing.recv().await.unwrap();
    assert!(matches!(message.kind, Some(to_agent::Kind::Cancel(cancel)) if cancel.id == id));
    assert!(office.cases.stored(office.upload(collection.id)).await.is_err());
    assert!(matches!(office.cases.wanted(office.device, collection.id).await.unwrap(), Wanted::No(_)));
}

#[tokio::test]
async fn a_device_that_cannot_is_asked_again_and_its_reason_is_told() {
    let office = office().await;
    let mut call = office.switchboard.connect(office.device);
    call.arrived();
    let collection = office.escalate().await;
    let (id, _pack) = told_to_pack(&mut call).await;
    call.answer(Answer { id, last: true, error: "the disk is full".into(), ..Answer::default() }).await;
    let mut state = office.cases.watch(collection.id).unwrap();
    let told = state.wait_for(|collection| collection.note.contains("the disk is full")).await.unwrap().clone();
    assert_eq!(told.state, CollectionState::Waiting);
    told_to_pack(&mut call).await;
}

#[tokio::test]
async fn an_escalation_said_twice_collects_once() {
    let office = office().await;
    office.escalate().await;
    office.escalate().await;
    assert_eq!(office.store.collections_of(office.ticket).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_audit_line_that_was_altered_breaks_the_chain() {
    let office = office().await;
    for number in 0..5 {
        let line =
            AuditLine { who: "ada".into(), what: "show".into(), text: number.to_string(), ..AuditLine::default() };
        office.store.add_audit(line).await.unwrap();
    }
    assert_eq!(office.store.audit_broken_at().await.unwrap(), None);
    let altered = office.store.write(|tx| {
        tx.execute_batch("DROP TRIGGER custody_log_is_immutable; UPDATE custody_log SET who = 'eve' WHERE number = 3")?;
        Ok(())
    });
    altered.await.unwrap();
    assert_eq!(office.store.audit_broken_at().await.unwrap(), Some(3));
}
