//! Errors that disks keep in their own logs.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::DiskError;

use super::smart::{self, Part, Smart};
use crate::collect::{Cadence, Collector, Os};

/// Why not as often as the health: what is judged by is in it; these are the depth for a ticket, which asks anew.
pub(in crate::collect) const DISK_ERRORS: Collector = Collector {
    table: DiskError::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(6)),
    look: smart::look::<DiskError>,
};

impl Part for DiskError {
    const IN_UDISKS: bool = false;

    fn of(smart: &Smart) -> Vec<Self> {
        smart.errors.clone()
    }
}
