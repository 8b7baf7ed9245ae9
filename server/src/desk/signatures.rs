//! Error signatures of the fleet: the latest of each device, the same error counted once.

use std::collections::BTreeMap;

use deskside_proto::rows::Row;
use deskside_proto::v1::{ErrorSignature, FleetSignature, ListSignaturesReply, ListSignaturesRequest};
use prost::Message;
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::internal;
use crate::case::now_ms;
use crate::store::Device;

/// What nobody had seen before this is new.
const NEW_MS: i64 = 7 * 24 * 3_600_000;

/// Signatures that one answer holds.
const SIGNATURES_MAX: usize = 1000;

/// Devices that are named with a signature.
const NAMES_MAX: usize = 5;

/// The signatures of devices, as they are added up.
#[derive(Default)]
struct Fleet {
    by_id: BTreeMap<String, FleetSignature>,
    devices: u32,
    silent: u32,
    /// When the device that began first began to keep signatures, as far as its oldest one tells.
    began_ms: Option<i64>,
}

impl Desk {
    /// Signatures of one device or of all.
    pub(super) async fn signatures(
        &self,
        caller: &Caller,
        request: ListSignaturesRequest,
    ) -> Result<ListSignaturesReply, Status> {
        let (devices, one) = if request.device.is_empty() {
            (self.store.devices().await.map_err(internal)?, None)
        } else {
            let device = self.device(&request.device).await?;
            let id = device.id;
            (vec![device], Some(id))
        };
        self.audit(caller, Deed { what: "view", device: one, text: "error signatures".into(), ..Deed::default() })
            .await?;
        let mut fleet = Fleet::default();
        for device in devices.iter().filter(|device| !device.revoked) {
            let latest = self.store.latest_of(device.id, ErrorSignature::TABLE).await.map_err(internal)?;
            match latest {
                Some(latest) => fleet.add(device, &latest.reading.rows),
                None => fleet.silent += 1,
            }
        }
        Ok(fleet.told(now_ms(), request.new))
    }
}

impl Fleet {
    fn add<B: AsRef<[u8]>>(&mut self, device: &Device, rows: &[B]) {
        self.devices += 1;
        for row in rows.iter().filter_map(|row| ErrorSignature::decode(row.as_ref()).ok()) {
            let (first_ms, last_ms) = (row.first_ms + device.clock_offset_ms, row.last_ms + device.clock_offset_ms);
            self.began_ms = Some(self.began_ms.map_or(first_ms, |began_ms| began_ms.min(first_ms)));
            let known = self.by_id.entry(row.id.clone()).or_insert_with(|| FleetSignature {
                id: row.id,
                source: row.source,
                template: row.template,
                example: row.example,
                codes: row.codes,
                first_ms,
                ..FleetSignature::default()
            });
            known.devices += 1;
            if known.names.len() < NAMES_MAX {
                known.names.push(device.name.clone());
            }
            known.count = known.count.saturating_add(row.count);
            known.hourly_peak = known.hourly_peak.max(row.hourly_peak);
            known.first_ms = known.first_ms.min(first_ms);
            known.last_ms = known.last_ms.max(last_ms);
            known.priority = [known.priority, row.priority].into_iter().flatten().min();
        }
    }

    /// The most widespread first, then the latest. Where nobody looked before the last week, nothing is new.
    fn told(self, now_ms: i64, only_new: bool) -> ListSignaturesReply {
        let since_ms = now_ms.saturating_sub(NEW_MS);
        let looked = self.began_ms.is_some_and(|began_ms| began_ms < since_ms);
        let flagged = self.by_id.into_values().map(|signature| {
            let new = looked && signature.first_ms >= since_ms;
            FleetSignature { new, ..signature }
        });
        let mut signatures: Vec<FleetSignature> = flagged.filter(|signature| signature.new || !only_new).collect();
        signatures.sort_by(|a, b| (b.devices, b.last_ms, &a.id).cmp(&(a.devices, a.last_ms, &b.id)));
        let left_out = signatures.len().saturating_sub(SIGNATURES_MAX);
        signatures.truncate(SIGNATURES_MAX);
        let left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
        ListSignaturesReply { signatures, devices: self.devices, silent: self.silent, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_768_478_400_000;

    fn row(id: &str, first_ms: i64, priority: u32) -> Vec<u8> {
        let known =
            ErrorSignature { id: id.into(), first_ms, last_ms: first_ms + 5, count: 3, ..ErrorSignature::default() };
        ErrorSignature { priority: Some(priority), hourly_peak: 10, ..known }.encode_to_vec()
    }

    fn device(name: &str, clock_offset_ms: i64) -> Device {
        Device {
            id: uuid::Uuid::nil(),
            name: name.into(),
            machine: String::new(),
            os: String::new(),
            agent_version: String::new(),
            boot_id: String::new(),
            enrolled_ms: 0,
            seen_ms: 0,
            revoked: false,
            clock_offset_ms,
            lost: 0,
        }
    }

    #[test]
    fn the_same_error_on_two_devices_is_one_and_the_most_widespread_comes_first() {
        let mut fleet = Fleet::default();
        let old_ms = NOW_MS - 2 * NEW_MS;
        fleet.add(&device("a", 0), &[row("x", old_ms, 4), row("y", NOW_MS - 10, 3)]);
        fleet.add(&device("b", 1_000), &[row("x", old_ms - 2_000, 3), vec![0xff]]);
        let told = fleet.told(NOW_MS, false);
        let [x, y] = told.signatures.as_slice() else { panic!("{told:?}") };
        assert_eq!((x.id.as_str(), x.devices, x.count, x.priority, x.new), ("x", 2, 6, Some(3), false));
        assert_eq!((x.first_ms, x.last_ms, x.names.join(" ")), (old_ms - 1_000, old_ms + 5, "a b".into()));
        assert_eq!((y.id.as_str(), y.devices, y.new), ("y", 1, true));
        assert_eq!((told.devices, told.silent, told.left_out), (2, 0, 0));
    }

    #[test]
    fn where_nobody_looked_before_nothing_is_new() {
        let mut fleet = Fleet::default();
        fleet.add(&device("a", 0), &[row("x", NOW_MS - 10, 3)]);
        assert_eq!(fleet.told(NOW_MS, true).signatures, []);
    }
}
