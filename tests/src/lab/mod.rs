//! Real components in private rooms: each starts in a folder of its own, touches nothing of the machine's, and ends with its owner.

pub mod asker;
pub mod chrony;
pub mod cups;
pub mod dhcp;
pub mod disk;
pub mod initramfs;
pub mod ipp_listener;
pub mod ipp_printer;
pub mod journald;
pub mod mockdev;
pub mod namespace;
pub mod netns;
pub mod packages;
pub mod past;
pub mod process;
pub mod proxy;
pub mod questions;
pub mod queues;
pub mod radios;
pub mod serving;
pub mod snmp;
pub mod tls;
pub mod town;
pub mod traffic;
pub mod vm;
pub mod wire;
