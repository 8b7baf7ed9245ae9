//! The case file: one ticket with all that is known of it, in the order in which a technician reads it, as values and as a page.
//!
//! ```text
//! let files = CaseFiles::new(store, questions, switchboard);       // cheap to clone
//! let file: Option<v1::CaseFile> = files.build(number).await?;     // none where there is no such ticket
//! let (text, page) = (casefile::markdown(&file), casefile::html(&file));
//! ```
//!
//! What it tells comes from three places: the ticket's story, what devices streamed, and the bundles that are attached. Everything in it is by
//! the server's clock and in its time zone, bounded, and says what was left out. Columns that tell of persons, or that a person wrote, are not in
//! it: a case file leaves the house as an attachment.

mod changed;
mod compare;
mod family;
mod gathered;
mod happened;
mod html;
mod markdown;
mod missing;
mod story;
#[cfg(test)]
mod tests;
mod timeline;
mod wording;

use std::sync::Arc;

use anyhow::Result;
use deskside_proto::v1::{self, CaseFile};
use uuid::Uuid;

pub use compare::Compared;
pub use html::html;
pub use markdown::markdown;

use crate::case::{now_ms, words};
use crate::diagnose::Diagnosis;
use crate::evidence::Bundle;
use crate::gateway::Switchboard;
use crate::question::Questions;
use crate::store::{Device, EvidenceItem, Store, Ticket, TicketStatus};
use gathered::Gathered;

/// How long before the ticket was opened the case file begins.
const BEFORE_MS: i64 = 24 * 3_600 * 1_000;

/// Lines of the ticket's story that are read, the newest.
const EVENTS_MAX: u32 = 1_000;

/// Devices that are told of, the first that were linked.
const DEVICES_MAX: usize = 10;

/// Items of evidence that are listed, the newest.
const EVIDENCE_MAX: usize = 200;

/// Bundles of one ticket that are read for the timeline, the newest.
const BUNDLES_MAX: usize = 6;

/// Bytes of them together. Why: a case file is looked at often, and a bundle of gigabytes is asked in SQL.
const BUNDLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where case files are made; cheap to clone.
#[derive(Clone)]
pub struct CaseFiles {
    store: Arc<dyn Store>,
    questions: Questions,
    switchboard: Switchboard,
}

/// A bundle, and whose it is as the store knows it, whatever it says of itself.
struct Attached {
    device: Uuid,
    bundle: Arc<Bundle>,
}

impl CaseFiles {
    /// On top of the store and of what opens evidence.
    pub fn new(store: Arc<dyn Store>, questions: Questions, switchboard: Switchboard) -> Self {
        Self { store, questions, switchboard }
    }

    /// Puts a case file together, as of now. `None` where there is no such ticket.
    pub async fn build(&self, number: u64) -> Result<Option<CaseFile>> {
        let Some(ticket) = self.store.ticket(number).await? else { return Ok(None) };
        let made_ms = now_ms();
        let items = self.store.evidence(Some(number)).await?;
        let mut file = CaseFile { made_ms, before_from_ms: ticket.opened_ms - BEFORE_MS, ..CaseFile::default() };
        let devices = self.linked(&ticket, &mut file).await?;
        let attached = self.bundles(&items, &mut file).await?;
        let mut moments = self.story(&ticket, &devices, &items, &mut file).await?;
        for device in &devices {
            let connected = self.switchboard.connected(device.id);
            let diagnosis = Diagnosis::of(&*self.store, device, connected, made_ms).await?;
            let findings = u32::try_from(diagnosis.findings.len()).unwrap_or(u32::MAX);
            let shown = words::device(device, connected, findings);
            file.devices.push(family::device(shown, &diagnosis, made_ms));
            let to_ms = if ticket.status == TicketStatus::Closed { ticket.changed_ms } else { made_ms };
            let window = gathered::Window { from_ms: file.before_from_ms, to_ms };
            let mine = attached.iter().filter(|attached| attached.device == device.id);
            let bundles: Vec<_> = mine.map(|attached| Arc::clone(&attached.bundle)).collect();
            let gathered = Gathered::of(&*self.store, device, bundles, window).await?;
            file.left_out.extend(gathered.left_out.iter().cloned());
            let told = tokio::task::spawn_blocking(move || timeline::of_machine(&gathered)).await??;
            file.left_out.extend(told.left_out);
            moments.extend(told.moments);
        }
        timeline::lay_out(&mut file, moments, ticket.opened_ms);
        let shown = file.devices.iter().filter_map(|device| device.device.clone()).collect();
        let foreign = words::foreign(self.store.foreign_of(ticket.number).await?);
        file.ticket = Some(v1::Ticket { foreign, ..words::ticket(&ticket, shown) });
        file.missing = missing::sentences(&file);
        Ok(Some(file))
    }

    async fn linked(&self, ticket: &Ticket, file: &mut CaseFile) -> Result<Vec<Device>> {
        let mut devices = Vec::new();
        for id in ticket.devices.iter().take(DEVICES_MAX) {
            devices.extend(self.store.device(*id).await?);
        }
        let more = ticket.devices.len().saturating_sub(DEVICES_MAX);
        if more > 0 {
            file.left_out
                .push(format!("{more} more devices are linked to this ticket; `deskside device NAME` shows each"));
        }
        Ok(devices)
    }

    /// Opens the newest bundles that devices packed for this ticket.
    async fn bundles(&self, items: &[EvidenceItem], file: &mut CaseFile) -> Result<Vec<Attached>> {
        let (mut attached, mut bytes, mut passed) = (Vec::new(), 0_u64, 0_usize);
        for item in items.iter().filter(|item| item.collection.is_some() && item.deleted_ms == 0) {
            let Some(device) = item.device else { continue };
            if attached.len() >= BUNDLES_MAX || bytes + item.size > BUNDLE_BYTES_MAX {
                passed += 1;
                continue;
            }
            bytes += item.size;
            match self.questions.open_bundle(item).await? {
                Ok(bundle) => attached.push(Attached { device, bundle: Arc::new(bundle) }),
                Err(why) => {
                    file.left_out.push(format!("the evidence {} could not be read for the timeline: {why}", item.name));
                }
            }
        }
        if passed > 0 {
            file.left_out.push(format!("{passed} bundles of evidence were not read for the timeline, which reads the {BUNDLES_MAX} newest and 256 MiB of them; `deskside sql --case N` asks them all"));
        }
        Ok(attached)
    }

    /// What people did, and what became of the collections and files.
    async fn story(
        &self,
        ticket: &Ticket,
        devices: &[Device],
        items: &[EvidenceItem],
        file: &mut CaseFile,
    ) -> Result<Vec<v1::Moment>> {
        let named = |id: Option<Uuid>| devices.iter().find(|device| Some(device.id) == id);
        let shown = |id| named(id).map(|device| words::device(device, self.switchboard.connected(device.id), 0));
        for collection in self.store.collections_of(ticket.number).await? {
            file.collections.push(words::collection(&collection, shown(Some(collection.device))));
        }
        for item in items.iter().take(EVIDENCE_MAX) {
            let custody = self.store.custody(item.id).await?;
            file.evidence.insert(0, words::evidence(item, shown(item.device), custody));
        }
        let more = items.len().saturating_sub(EVIDENCE_MAX);
        if more > 0 {
            file.left_out
                .push(format!("{more} older items of evidence; `deskside evidence list --ticket N` lists them"));
        }
        let events = self.store.ticket_events(ticket.number, EVENTS_MAX).await?;
        if events.len() >= EVENTS_MAX as usize {
            file.left_out.push(format!("lines of the ticket's story before the newest {EVENTS_MAX}"));
        }
        Ok(story::moments(ticket, events, &file.collections))
    }
}
