//! The Deskside agent: reads a machine, redacts, remembers, and streams what policy asks for.

pub mod collect;
pub mod host;
pub mod pack;
pub mod record;
pub mod redact;
pub mod schedule;
pub mod uplink;
