//! `deskside-agent`: the service, and what the person at the machine may ask of it.

use std::process::ExitCode;

use deskside_agent::collect::Registry;

fn main() -> ExitCode {
    deskside_agent::cli(Registry::standard())
}
