//! Lets go of captured packets after their days. They lie in a bundle of their own with the state of the network beside them (`deskside
//! capture` asks for no other), and the bundle is deleted as a whole: its hash vouches for all of it, so that nothing can be cut out.
//! What it was (name, size, SHA-256, who did what with it, and what the capture came to) stays in the ticket, the custody and the audit log.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Result;
use deskside_proto::{catalog, v1::Outcome};
use tracing::{error, info};

use crate::{
    blobs::Blobs,
    case::now_ms,
    store::{EvidenceItem, Store},
};

/// Rest between looks.
const EVERY: Duration = Duration::from_mins(10);

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Never returns.
pub(super) async fn keep(store: Arc<dyn Store>, blobs: Blobs, days: u32) -> Infallible {
    loop {
        if let Err(error) = expire(store.as_ref(), &blobs, days, now_ms()).await {
            error!(error = format!("{error:#}"), "old captures could not be deleted; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Deletes what is over its days; how many. Why the content first: what the custody says was deleted is deleted, and where it breaks off
/// between the two, the next look ends it.
async fn expire(store: &dyn Store, blobs: &Blobs, days: u32, now_ms: i64) -> Result<usize> {
    let before_ms = now_ms - i64::from(days) * DAY_MS;
    let takes = catalog::tables().iter().filter(|table| table.probe.as_ref().is_some_and(|probe| probe.evidence));
    let probes: Vec<&str> = takes.map(|table| table.name.as_str()).collect();
    let mut deleted = 0;
    for item in store.evidence_of_probes(&probes, before_ms).await? {
        if !holds(store, &item, &probes).await? {
            continue;
        }
        blobs.delete(&item.location).await?;
        let why = format!("captured packets are kept {days} days");
        store.evidence_deleted(&item, now_ms, &why).await?;
        info!(evidence = %item.id, ticket = item.ticket, bytes = item.size, "capture deleted");
        deleted += 1;
    }
    Ok(deleted)
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
    use crate::store::{Audit, Db, EvidenceItems, NewTicket, SealSeen, Tickets};

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
        assert_eq!(expire(store, &house.blobs, 7, now_ms + 7 * DAY_MS - 60_000).await.unwrap(), 0);
        let then_ms = now_ms + 7 * DAY_MS + 60_000;
        assert_eq!(expire(store, &house.blobs, 7, then_ms).await.unwrap(), 1);
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
        assert_eq!(expire(store, &house.blobs, 7, then_ms).await.unwrap(), 0, "once");
    }

    #[tokio::test]
    async fn a_deletion_that_broke_off_before_it_was_written_down_is_ended_by_the_next() {
        let house = House::open().await;
        for item in house.store.evidence(None).await.unwrap() {
            house.blobs.delete(&item.location).await.unwrap();
        }
        let then_ms = now_ms() + 8 * DAY_MS;
        assert_eq!(expire(house.store.as_ref(), &house.blobs, 7, then_ms).await.unwrap(), 1);
    }
}
