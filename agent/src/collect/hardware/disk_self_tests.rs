//! Self-tests that disks keep in their own logs.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::DiskSelfTest;

use super::smart::{self, Part, Smart};
use crate::collect::{Cadence, Collector, Os};

/// Why not as often as the health: what is judged by is in it; these are the depth for a ticket, which asks anew.
pub(in crate::collect) const DISK_SELF_TESTS: Collector = Collector {
    table: DiskSelfTest::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(6)),
    look: smart::look::<DiskSelfTest>,
};

impl Part for DiskSelfTest {
    const IN_UDISKS: bool = false;

    fn of(smart: &Smart) -> Vec<Self> {
        smart.self_tests.clone()
    }
}
