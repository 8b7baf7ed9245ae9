//! What the gateway is told of collections: whether an upload is wanted, and what becomes of one that is whole.

use anyhow::{Result, bail};
use async_trait::async_trait;
use uuid::Uuid;

use super::collection::Event;
use super::{Cases, now_ms};
use crate::gateway::{StoredUpload, Uploads, Wanted};
use crate::store::EvidenceItem;

#[async_trait]
impl Uploads for Cases {
    async fn wanted(&self, device: Uuid, collection: Uuid) -> Result<Wanted> {
        let Some(collection) = self.store.collection(collection).await?.filter(|asked| asked.device == device) else {
            return Ok(Wanted::No("nobody asked this device for it".into()));
        };
        if collection.evidence.is_some() {
            return Ok(Wanted::Stored);
        }
        if collection.state.ended() {
            return Ok(Wanted::No(format!("the collection is {}: {}", collection.state.name(), collection.note)));
        }
        Ok(Wanted::Yes { ticket: collection.ticket })
    }

    async fn stored(&self, upload: StoredUpload) -> Result<()> {
        let Some(collection) = self.store.collection(upload.collection).await? else {
            bail!("no collection {}", upload.collection);
        };
        if collection.evidence.is_some() {
            return Ok(());
        }
        let device_name = self.name(upload.device).await?;
        let item = EvidenceItem {
            id: Uuid::new_v4(),
            ticket: collection.ticket,
            device: Some(upload.device),
            collection: Some(collection.id),
            name: file_name(collection.ticket, &device_name, upload.collection),
            size: upload.size,
            sha256: upload.sha256,
            stored_ms: now_ms(),
            location: upload.location,
            deleted_ms: 0,
        };
        if !self.store.evidence_stored(&item, upload.parts.clone(), &device_name, &upload.seal).await? {
            bail!("collection {} does not wait for it any more", collection.id);
        }
        self.runner.tell(collection.id, Event::Stored { evidence: item.id, parts: upload.parts }).await;
        Ok(())
    }

    async fn spoiled(&self, _device: Uuid, collection: Uuid, reason: String) -> Result<()> {
        self.runner.tell(collection, Event::Refused(reason)).await;
        Ok(())
    }
}

/// A file name that any system takes, from a host name that may hold anything.
fn file_name(ticket: u64, device: &str, collection: Uuid) -> String {
    let safe: String =
        device.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).take(40).collect();
    let short: String = collection.to_string().chars().take(8).collect();
    format!("ticket-{ticket}-{safe}-{short}.zip")
}
