//! All SMART attributes of ATA disks.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::DiskAttribute;

use super::smart::{self, Part, Smart};
use crate::collect::{Cadence, Collector, Os};

/// Why not as often as the health: what is judged by is in it; these are the depth for a ticket, which asks anew.
pub(in crate::collect) const DISK_ATTRIBUTES: Collector = Collector {
    table: DiskAttribute::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(6)),
    look: smart::look::<DiskAttribute>,
};

impl Part for DiskAttribute {
    const IN_UDISKS: bool = true;

    fn of(smart: &Smart) -> Vec<Self> {
        smart.attributes.clone()
    }
}
