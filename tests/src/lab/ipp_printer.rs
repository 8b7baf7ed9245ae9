//! A virtual IPP Everywhere printer (ippeveprinter) that announces itself: with a message bus and an Avahi of its own, for a network
//! namespace in which there is no other.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use super::process::until;
use crate::running::Running;

/// A bus on which everybody may do everything; nobody else is on it.
const BUS: &str = r#"<busconfig><type>system</type><listen>unix:path=FOLDER/bus</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>"#;

const AVAHI: &str = "[server]\nhost-name=printer\nallow-interfaces=lo\nuse-ipv4=yes\nuse-ipv6=no\nenable-dbus=yes\n\
                     disallow-other-stacks=no\n[publish]\npublish-workstation=no\n";

/// Gives Avahi a folder of its own for its socket and its process id.
const ENTER: &str = "mount -t tmpfs none /run/avahi-daemon && \
                     exec avahi-daemon -f \"$1\" --no-drop-root --no-chroot --no-rlimits --no-proc-title";

/// A printer, with who announces it. They end when this value does.
#[derive(Debug)]
pub struct IppPrinter {
    // In the order in which they end.
    _printer: Running,
    _avahi: Running,
    _bus: Running,
    _folder: TempDir,
}

impl IppPrinter {
    /// A printer with this name on a port of the loopback address, with attributes in the words of ippeveprinter(1).
    pub fn start(name: &str, port: u16, attributes: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("deskside-ipp-").tempdir().context("making a folder")?;
        let place = |name: &str| folder.path().join(name);
        fs::write(place("bus.conf"), BUS.replace("FOLDER", &folder.path().display().to_string()))?;
        fs::write(place("avahi.conf"), AVAHI)?;
        fs::write(place("attributes"), attributes)?;
        fs::create_dir(place("jobs"))?;
        fs::create_dir_all("/run/avahi-daemon").context("making Avahi's folder")?;
        let bus_address = format!("unix:path={}", place("bus").display());

        let mut command = Command::new("dbus-daemon");
        command.arg(format!("--config-file={}", place("bus.conf").display())).args(["--nofork", "--nopidfile"]);
        let mut bus = Running::start(command, &place("bus.log")).context("install dbus")?;
        until("the message bus", || {
            bus.must_live()?;
            Ok(place("bus").exists().then_some(()))
        })?;

        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(place("avahi.conf"));
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &bus_address);
        let mut avahi = Running::start(command, &place("avahi.log"))?;
        said(&mut avahi, &place("avahi.log"), "startup complete").context("install avahi-daemon")?;

        let mut command = Command::new("ippeveprinter");
        command.args(["-v", "-n", "localhost", "-p", &port.to_string()]).arg("-a").arg(place("attributes"));
        command.arg("-d").arg(place("jobs")).arg(name).env("DBUS_SYSTEM_BUS_ADDRESS", &bus_address);
        let mut printer = Running::start(command, &place("printer.log")).context("install cups-ipp-utils")?;
        until("the printer to listen", || {
            printer.must_live().context("ippeveprinter")?;
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok())
        })?;
        Ok(Self { _printer: printer, _avahi: avahi, _bus: bus, _folder: folder })
    }
}

fn said(process: &mut Running, log: &Path, words: &str) -> anyhow::Result<()> {
    until(words, || {
        process.must_live()?;
        Ok(fs::read_to_string(log)?.contains(words).then_some(()))
    })
}
