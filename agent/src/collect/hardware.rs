//! Collectors of the hardware family.

pub(super) mod batteries;
pub(super) mod cpu;
pub(super) mod disk_io;
mod disk_place;
pub(super) mod disks;
pub(super) mod fans;
mod hwmon;
pub(super) mod power;
mod supplies;
pub(super) mod temperatures;
