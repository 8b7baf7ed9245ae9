//! `deskside`: the technician's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    deskside_server::cli::main()
}
