//! Collectors of the hardware family.

pub(super) mod batteries;
pub(super) mod cpu;
pub(super) mod disks;
