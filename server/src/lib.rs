//! The Deskside server: takes readings in, keeps them, and gives technicians the evidence.

pub mod app;
pub mod blobs;
pub mod case;
pub mod casefile;
pub mod cli;
pub mod config;
pub mod custody;
pub mod desk;
pub mod diagnose;
pub mod evidence;
pub mod gateway;
pub mod identity;
pub mod ingest;
pub mod logfile;
pub mod question;
pub mod store;
pub mod ticket;
