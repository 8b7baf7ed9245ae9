//! The Deskside agent: reads a machine, redacts, remembers, and streams what policy asks for.

pub mod app;
pub mod ask;
pub mod collect;
pub mod config;
pub mod host;
pub mod local;
pub mod pack;
pub mod probe;
pub mod record;
pub mod redact;
pub mod schedule;
pub mod service;
pub mod signature;
pub mod uplink;

pub use app::cli;
