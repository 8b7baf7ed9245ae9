//! Collectors of the hardware family.

pub(super) mod batteries;
pub(super) mod cpu;
pub(super) mod cpu_throttling;
pub(super) mod disk_attributes;
pub(super) mod disk_errors;
pub(super) mod disk_health;
pub(super) mod disk_io;
mod disk_place;
pub(super) mod disk_self_tests;
pub(super) mod disks;
pub(super) mod fans;
pub(super) mod firmware;
mod hwmon;
pub(super) mod machine_checks;
pub(super) mod memory_errors;
pub(super) mod memory_modules;
mod pci;
pub(super) mod pci_devices;
pub(super) mod pcie_errors;
pub(super) mod power;
mod smart;
mod supplies;
pub(super) mod temperatures;
mod udev;
pub(super) mod usb_devices;
mod usb_log;
