//! Lets go of evidence whose time is over and that no legal hold covers: bundles some weeks after their ticket was closed, those that a device
//! has beyond its number, attached files where that is wanted, and captured packets after their days.
//!
//! Packets lie in a bundle of their own with the state of the network beside them (`deskside capture` asks for no other). A bundle is deleted as a
//! whole: its hash vouches for all of it, so that nothing can be cut out. What it was (name, size, SHA-256, who did what with it, and what a
//! capture came to) stays in the ticket, the custody and the audit log.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Result;
use deskside_proto::{catalog, v1::Outcome};
use tracing::error;

use crate::{
    blobs::Blobs,
    case::now_ms,
    config::Retention,
    evidence::deletion,
    store::{Deletion, EvidenceBounds, EvidenceItem, Expired, Store},
};

/// Rest between looks.
const EVERY: Duration = Duration::from_mins(10);

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Who lets go of content whose time is over.
const RETENTION: &str = "retention";

/// Never returns.
pub(super) async fn keep(store: Arc<dyn Store>, blobs: Blobs, retention: Retention) -> Infallible {
    loop {
        if let Err(error) = expire(store.as_ref(), &blobs, &retention, now_ms()).await {
            error!(error = format!("{error:#}"), "evidence whose time is over could not be deleted; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Deletes what is over its time; how many items.
async fn expire(store: &dyn Store, blobs: &Blobs, retention: &Retention, now_ms: i64) -> Result<usize> {
    deletion::end_begun(store, blobs, now_ms).await?;
    let mut deleted = 0;
    for (item, why) in over(store, retention, now_ms).await? {
        let deletion = Deletion { item, who: RETENTION.into(), why };
        // What is held stays, and is looked at again.
        deleted += usize::from(deletion::delete(store, blobs, deletion, now_ms).await?.is_ok());
    }
    Ok(deleted)
}

/// What is over its time, and why.
async fn over(store: &dyn Store, retention: &Retention, now_ms: i64) -> Result<Vec<(EvidenceItem, String)>> {
    let before = |days: u32| now_ms - i64::from(days) * DAY_MS;
    let takes = catalog::tables().iter().filter(|table| table.probe.as_ref().is_some_and(|probe| probe.evidence));
    let probes: Vec<&str> = takes.map(|table| table.name.as_str()).collect();
    let Retention { captures_days, bundles_days, bundles_per_device_max, attached_days, .. } = *retention;
    let mut over = Vec::new();
    for item in store.evidence_of_probes(&probes, before(captures_days)).await? {
        if holds(store, &item, &probes).await? {
            over.push((item, format!("captured packets are kept {captures_days} days")));
        }
    }
    let bounds = EvidenceBounds {
        bundles_closed_before_ms: before(bundles_days),
        bundles_per_device_max: if bundles_per_device_max == 0 { u32::MAX } else { bundles_per_device_max },
        attached_closed_before_ms: if attached_days == 0 { 0 } else { before(attached_days) },
    };
    for Expired { item, is_surplus } in store.expired(bounds).await? {
        let why = if is_surplus {
            format!("of a device, {bundles_per_device_max} bundles of closed tickets are kept")
        } else {
            let days = if item.collection.is_some() { bundles_days } else { bundles_days.max(attached_days) };
            format!("its ticket was closed over {days} days ago")
        };
        over.push((item, why));
    }
    over.sort_by_key(|(item, _why)| item.id);
    over.dedup_by_key(|(item, _why)| item.id);
    Ok(over)
}

/// Whether something was taken at all: a bundle of a capture that was refused holds nothing that must go.
async fn holds(store: &dyn Store, item: &EvidenceItem, probes: &[&str]) -> Result<bool> {
    let Some(asked) = item.collection else { return Ok(false) };
    let collection = store.collection(asked).await?;
    let parts = collection.map(|collection| collection.parts).unwrap_or_default();
    Ok(parts.iter().any(|part| probes.contains(&part.name.as_str()) && part.outcome() == Outcome::Ok))
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::PartOutcome;

    use super::*;
    use crate::case::{Asked, Cases, EXPIRES_S};
    use crate::gateway::{StoredUpload, Switchboard, Uploads};
    use crate::store::{
        Audit, Db, EvidenceItems, Hold, Keeping, Kept, NewTicket, SealSeen, TicketChange, TicketEvent, TicketStatus,
        Tickets,
    };

    /// A store with a ticket, and a bundle for each probe and outcome.
    struct House {
        folder: tempfile::TempDir,
        store: Arc<Db>,
        blobs: Blobs,
        cases: Cases,
    }

    impl House {
        async fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(Db::open(&folder.path().join("store.db")).unwrap());
            let blobs = Blobs::folder(&folder.path().join("evidence")).unwrap();
            let cases = Cases::start(store.clone(), Switchboard::new()).await.unwrap();
            let ticket = NewTicket { title: "it is slow".into(), opened_by: "anna".into(), ..NewTicket::default() };
            cases.open(ticket).await.unwrap();
            std::fs::write(folder.path().join("upload"), b"packets").unwrap();
            let house = Self { folder, store, blobs, cases };
            for (probes, outcome) in [
                (&["ping 192.0.2.1", "capture seconds=60"][..], Outcome::Ok),
                (&["capture"], Outcome::Denied),
                (&["ping capture"], Outcome::Ok),
                (&[], Outcome::Ok),
            ] {
                house.bundle(probes, outcome).await;
            }
            house
        }

        async fn bundle(&self, probes: &[&str], outcome: Outcome) {
            let device = uuid::Uuid::new_v4();
            let asked = Asked {
                device,
                recipe: String::new(),
                tables: vec!["routes".into()],
                probes: probes.iter().map(|probe| (*probe).to_owned()).collect(),
                around_ms: None,
                before_s: 1,
                after_s: 0,
                expires_s: EXPIRES_S,
                asked_by: "anna".into(),
                planned_ms: None,
                why: String::new(),
            };
            let collection = self.cases.collect(1, asked).await.unwrap().unwrap().id;
            let location = format!("1/{collection}.zip");
            self.blobs.put_file(&location, &self.folder.path().join("upload")).await.unwrap();
            let names = probes.iter().filter_map(|probe| probe.split_whitespace().next());
            let parts = names.map(|name| PartOutcome {
                name: name.to_owned(),
                outcome: outcome.into(),
                ..PartOutcome::default()
            });
            let (size, sha256, parts) = (7, "00ff".to_owned(), parts.collect());
            let seal = SealSeen::Good { statement_sha256: String::new() };
            self.cases.stored(StoredUpload { device, collection, size, sha256, location, parts, seal }).await.unwrap();
        }
    }

    #[tokio::test]
    async fn packets_go_after_their_days_and_what_they_were_stays_known() {
        let house = House::open().await;
        let (now_ms, store) = (now_ms(), house.store.as_ref());
        assert_eq!(expire(store, &house.blobs, &Retention::default(), now_ms + 7 * DAY_MS - 60_000).await.unwrap(), 0);
        let then_ms = now_ms + 7 * DAY_MS + 60_000;
        assert_eq!(expire(store, &house.blobs, &Retention::default(), then_ms).await.unwrap(), 1);
        let mut items = store.evidence(None).await.unwrap();
        let (gone, there): (Vec<_>, Vec<_>) = items.drain(..).partition(|item| item.deleted_ms != 0);
        for item in &there {
            assert_eq!(house.blobs.size(&item.location).await.unwrap(), 7, "what holds no packets stays");
        }
        assert_eq!((gone.len(), there.len()), (1, 3));
        let gone = gone.first().unwrap();
        assert!(house.blobs.size(&gone.location).await.is_err());
        let custody = store.custody(gone.id).await.unwrap();
        let last = custody.last().unwrap();
        assert_eq!((last.who.as_str(), last.what.as_str(), last.at_ms), ("retention", "deleted", then_ms));
        for word in [gone.name.as_str(), "7 bytes", "SHA-256 00ff", "captured packets are kept 7 days"] {
            assert!(last.text.contains(word), "{word}: {}", last.text);
        }
        let story = store.ticket_events(1, 100).await.unwrap();
        assert!(story.iter().any(|event| event.who == "retention" && event.text == last.text));
        let audit = store.audit(100).await.unwrap();
        assert!(audit.iter().any(|line| line.who == "retention" && line.ticket == 1 && line.text == last.text));
        assert_eq!(store.audit_broken_at().await.unwrap(), None);
        assert_eq!(expire(store, &house.blobs, &Retention::default(), then_ms).await.unwrap(), 0, "once");
    }

    #[tokio::test]
    async fn a_deletion_that_broke_off_before_it_was_written_down_is_ended_by_the_next() {
        let house = House::open().await;
        for item in house.store.evidence(None).await.unwrap() {
            house.blobs.delete(&item.location).await.unwrap();
        }
        let then_ms = now_ms() + 8 * DAY_MS;
        assert_eq!(expire(house.store.as_ref(), &house.blobs, &Retention::default(), then_ms).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn nothing_that_a_hold_covers_goes_by_retention_or_by_hand_until_it_is_released() {
        let house = House::open().await;
        let store = house.store.as_ref();
        let of = |ticket: u64, evidence: Option<uuid::Uuid>| Hold {
            number: 0,
            ticket,
            evidence,
            who: "root".into(),
            why: "the court asked".into(),
            at_ms: now_ms(),
            released_ms: 0,
            released: String::new(),
        };
        let first = store.add_hold(of(1, None)).await.unwrap().unwrap();
        let retention = Retention::default();
        let then_ms = now_ms() + 8 * DAY_MS;
        assert_eq!(expire(store, &house.blobs, &retention, then_ms).await.unwrap(), 0);
        let item = store.evidence(None).await.unwrap().pop().unwrap();
        let by_hand = Deletion { item: item.clone(), who: "root".into(), why: "a slip".into() };
        let kept = deletion::delete(store, &house.blobs, by_hand.clone(), then_ms).await.unwrap().unwrap_err();
        assert_eq!(kept.to_string(), "it is on legal hold 1, placed by root: the court asked");
        let second = store.add_hold(of(0, Some(item.id))).await.unwrap().unwrap();
        store.release_hold(first.number, "root", "it is over", then_ms).await.unwrap().unwrap();
        assert_eq!(store.release_hold(first.number, "root", "again", then_ms).await.unwrap(), None);
        deletion::delete(store, &house.blobs, by_hand.clone(), then_ms).await.unwrap().unwrap_err();
        store.release_hold(second.number, "root", "it is over", then_ms).await.unwrap().unwrap();
        deletion::delete(store, &house.blobs, by_hand.clone(), then_ms).await.unwrap().unwrap();
        let again = deletion::delete(store, &house.blobs, by_hand, then_ms).await.unwrap();
        assert_eq!(again, Err(Kept::Gone));
        let custody = store.custody(item.id).await.unwrap();
        let steps: Vec<&str> = custody.iter().map(|entry| entry.what.as_str()).rev().take(5).collect();
        assert_eq!(steps, ["deleted", "released", "released", "held", "held"]);
        assert_eq!(store.holds(true).await.unwrap().len(), 2);
        assert_eq!(store.holds(false).await.unwrap(), []);
    }

    #[tokio::test]
    async fn bundles_go_some_weeks_after_their_ticket_was_closed_and_those_of_open_tickets_stay() {
        let house = House::open().await;
        let store = house.store.as_ref();
        let retention = Retention { captures_days: 3_650, ..Retention::default() };
        let later_ms = now_ms() + 29 * DAY_MS;
        assert_eq!(expire(store, &house.blobs, &retention, later_ms).await.unwrap(), 0, "the ticket is open");
        let closed = TicketEvent { at_ms: now_ms(), who: "anna".into(), what: "closed".into(), text: String::new() };
        let change =
            TicketChange { status: Some(TicketStatus::Closed), events: vec![closed], ..TicketChange::default() };
        store.change_ticket(1, change, now_ms()).await.unwrap();
        assert_eq!(expire(store, &house.blobs, &retention, later_ms - 2 * DAY_MS).await.unwrap(), 0);
        assert_eq!(expire(store, &house.blobs, &retention, later_ms).await.unwrap(), 4);
        let custody = store.custody(store.evidence(None).await.unwrap()[0].id).await.unwrap();
        assert!(custody.last().unwrap().text.ends_with("its ticket was closed over 28 days ago"), "{custody:?}");
    }
}
