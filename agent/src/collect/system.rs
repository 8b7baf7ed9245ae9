//! Collectors of the system family: the operating system, its services and its software.

pub(super) mod boot;
pub(super) mod boots;
pub(super) mod cgroups;
mod exits;
pub(super) mod filesystems;
pub(super) mod load;
pub(super) mod memory;
pub(super) mod mounts;
pub(super) mod os;
pub(super) mod packages;
pub(super) mod processes;
mod pstore;
pub(super) mod reboot_required;
pub(super) mod services;
mod wtmp;
