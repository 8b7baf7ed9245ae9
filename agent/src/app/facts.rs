//! What the machine is called and what it runs, as Hello and evidence say it.

use std::sync::{Mutex, PoisonError};

use data_encoding::HEXLOWER;

use crate::host::Host;
use crate::pack;

/// The agent's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Facts that stay while the agent runs, except who the device is.
#[derive(Debug)]
pub(super) struct Facts {
    device_id: Mutex<String>,
    /// Host name.
    pub(super) hostname: String,
    /// Identity of this boot.
    pub(super) boot_id: String,
    /// The agent's version.
    pub(super) agent_version: &'static str,
    /// The operating system in a word or two.
    pub(super) os: String,
    /// Stable identity of the machine, hashed.
    pub(super) machine: String,
}

impl Facts {
    /// Asks the machine.
    pub(super) fn of(host: &dyn Host) -> Self {
        let release = host.text("/etc/os-release").or_else(|_| host.text("/usr/lib/os-release")).unwrap_or_default();
        let machine_id = host.line("/etc/machine-id").or_else(|| host.line("/var/lib/dbus/machine-id"));
        Self {
            device_id: Mutex::default(),
            hostname: host.line("/proc/sys/kernel/hostname").or_else(|| host.line("/etc/hostname")).unwrap_or_default(),
            boot_id: host.line("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            agent_version: VERSION,
            os: os(&release),
            machine: machine_id.map(|id| hashed(&id)).unwrap_or_default(),
        }
    }

    /// Who the device is; empty where it is not enrolled.
    pub(super) fn device_id(&self) -> String {
        self.device_id.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says who the device is.
    pub(super) fn set_device_id(&self, id: &str) {
        id.clone_into(&mut self.device_id.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// As evidence says it.
    pub(super) fn for_evidence(&self, host: &dyn Host) -> pack::Facts {
        pack::Facts {
            device_id: self.device_id(),
            hostname: self.hostname.clone(),
            boot_id: self.boot_id.clone(),
            agent_version: self.agent_version.into(),
            os: self.os.clone(),
            now_ms: host.now_ms(),
            boot_ms: host.line("/proc/uptime").as_deref().and_then(since_boot_ms),
        }
    }
}

/// `/proc/uptime`, proc(5): seconds since the system booted, with hundredths; nobody sets that clock.
fn since_boot_ms(uptime: &str) -> Option<u64> {
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    Some(
        seconds.parse::<u64>().ok()?.checked_mul(1_000)?
            + hundredths.parse::<u64>().ok().filter(|part| *part < 100)? * 10,
    )
}

/// os-release(5): name and version, without the code name.
fn os(release: &str) -> String {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
    };
    match (value("NAME"), value("VERSION_ID")) {
        (Some(name), Some(version)) => format!("{name} {version}"),
        (Some(name), None) => name,
        (None, _) => value("PRETTY_NAME").unwrap_or_else(|| "Linux".into()),
    }
}

/// machine-id(5): the id itself must not be shown outside; a keyed hash of it may.
fn hashed(machine_id: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"deskside machine");
    HEXLOWER.encode(ring::hmac::sign(&key, machine_id.as_bytes()).as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_is_said_in_a_word_or_two() {
        assert_eq!(
            os("NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\n"),
            "Debian GNU/Linux 12"
        );
        assert_eq!(os("PRETTY_NAME='Arch Linux'\nNAME='Arch Linux'\n"), "Arch Linux");
        assert_eq!(os(""), "Linux");
    }

    #[test]
    fn the_clock_that_nobody_sets_is_read_in_milliseconds() {
        assert_eq!(since_boot_ms("12345.67 8000.00"), Some(12_345_670));
        assert_eq!(since_boot_ms(""), None);
    }

    #[test]
    fn the_machine_id_is_not_shown() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_ne!(hashed(id), id);
        assert_eq!(hashed(id).len(), 32);
        assert_eq!(hashed(id), hashed(id));
    }
}
