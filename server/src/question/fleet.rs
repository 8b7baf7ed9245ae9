//! Questions to many devices: which of them are meant, and what the server knows of those.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use deskside_proto::show;
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::{Fleet, Query, QueryNote};
use futures_util::StreamExt;
use uuid::Uuid;

use super::stored::{Machine, Stored};
use super::{Pieces, Questions, Unanswered};
use crate::case::now_ms;
use crate::store::Device;

impl Questions {
    /// Puts a question to all devices, or to those that a condition names.
    pub async fn ask_fleet(&self, fleet: &Fleet, query: Query) -> Result<Pieces, Unanswered> {
        let all = self.machines().await?;
        let condition = fleet.r#where.trim();
        if condition.is_empty() {
            return self.ask_many(all, true, fleet.live, query).await;
        }
        let meant = self.meant(condition, all.clone(), &query).await?;
        let machines = all.into_iter().filter(|machine| meant.contains(&machine.device.id)).collect();
        self.ask_many(machines, false, fleet.live, query).await
    }

    async fn ask_many(
        &self,
        machines: Vec<Machine>,
        all: bool,
        live: bool,
        query: Query,
    ) -> Result<Pieces, Unanswered> {
        if live {
            return Ok(self.ask_live(machines, query));
        }
        let notes = off(&machines).into_iter().collect();
        let source = Stored::many(Arc::clone(&self.store), machines, all).await.map_err(Unanswered::store)?;
        Ok(self.answer_here(Arc::new(source), query, notes).await)
    }

    /// What the server knows of one device. `why` it is not asked itself.
    pub async fn ask_known(&self, device: Device, why: &str, query: Query) -> Result<Pieces, Unanswered> {
        let note = QueryNote {
            device: device.name.clone(),
            words: why.to_owned(),
            at_ms: device.seen_ms,
            ..QueryNote::default()
        };
        let connected = self.switchboard.connected(device.id);
        let source = Stored::one(Arc::clone(&self.store), Machine { device, connected }).await;
        let source = source.map_err(Unanswered::store)?;
        Ok(self.answer_here(Arc::new(source), query, vec![note]).await)
    }

    /// All devices but those that were cut off for good.
    async fn machines(&self) -> Result<Vec<Machine>, Unanswered> {
        let connected: HashSet<Uuid> = self.switchboard.devices().into_iter().collect();
        let devices = self.store.devices().await.map_err(Unanswered::store)?;
        let machine = |device: Device| Machine { connected: connected.contains(&device.id), device };
        Ok(devices.into_iter().filter(|device| !device.revoked).map(machine).collect())
    }

    /// Which devices a condition over the table `devices` names.
    async fn meant(
        &self,
        condition: &str,
        machines: Vec<Machine>,
        query: &Query,
    ) -> Result<BTreeSet<Uuid>, Unanswered> {
        let source = Stored::many(Arc::clone(&self.store), machines, true).await.map_err(Unanswered::store)?;
        // Why the line's end: a condition may end with a comment.
        let which = Query {
            sql: format!("SELECT id FROM devices WHERE ({condition}\n)"),
            rows_max: 0,
            bytes_max: 0,
            parameters: query.parameters.clone(),
            ..query.clone()
        };
        let mut pieces = self.answer_here(Arc::new(source), which, Vec::new()).await;
        let mut meant = BTreeSet::new();
        while let Some(piece) = pieces.next().await {
            let cells = piece?.rows.into_iter().flat_map(|row| row.cells);
            meant.extend(cells.filter_map(|cell| match cell.value {
                Some(Value::Text(id)) => Uuid::try_parse(&id).ok(),
                _ => None,
            }));
        }
        Ok(meant)
    }
}

/// Says how many devices are off, and that their rows are as old as they say.
fn off(machines: &[Machine]) -> Option<QueryNote> {
    let count = machines.iter().filter(|machine| !machine.connected).count();
    let words = format!("{count} of {} devices are off; `_age_s` says how old their rows are", machines.len());
    (count > 0).then(|| QueryNote { words, ..QueryNote::default() })
}

/// Since when a device is off, in words.
pub(super) fn off_since(device: &Device) -> String {
    match device.seen_ms {
        0 => "was enrolled and has never connected".into(),
        seen_ms => format!("is off or cannot be reached since {}", show::time(seen_ms, now_ms())),
    }
}
