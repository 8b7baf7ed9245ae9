//! Collectors of the system family: the operating system, its services and its software.

pub(super) mod boot;
