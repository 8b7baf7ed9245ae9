//! Collectors of the deskside family.

pub(super) mod agent;
