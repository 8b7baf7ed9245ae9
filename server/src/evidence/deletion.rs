//! Lets go of evidence: what holds it is asked first, its content goes, and what it was stays known.

use anyhow::Result;
use tracing::info;

use crate::blobs::Blobs;
use crate::store::{Deletion, Kept, Store};

/// Deletes an item's content, or says what keeps it. Why the content before the custody: what the custody says was deleted is deleted.
pub async fn delete(store: &dyn Store, blobs: &Blobs, deletion: Deletion, now_ms: i64) -> Result<Result<(), Kept>> {
    if let Err(kept) = store.begin_deletion(deletion.clone(), now_ms).await? {
        return Ok(Err(kept));
    }
    end(store, blobs, &deletion, now_ms).await?;
    Ok(Ok(()))
}

/// Ends what was begun and not ended, since the server stopped or the object store did not answer.
pub async fn end_begun(store: &dyn Store, blobs: &Blobs, now_ms: i64) -> Result<()> {
    for deletion in store.deletions().await? {
        end(store, blobs, &deletion, now_ms).await?;
    }
    Ok(())
}

async fn end(store: &dyn Store, blobs: &Blobs, deletion: &Deletion, now_ms: i64) -> Result<()> {
    let item = &deletion.item;
    blobs.delete(&item.location).await?;
    store.end_deletion(deletion, now_ms).await?;
    info!(evidence = %item.id, ticket = item.ticket, bytes = item.size, "evidence deleted");
    Ok(())
}
