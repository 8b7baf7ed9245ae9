//! What udev knows of a device: its database, a small text file a device, readable by anybody.

use std::io;

use crate::host::Host;

/// Bytes of one device's file that are read; real ones hold a few hundred, that of the firmware a few thousand.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The properties of one device.
pub(super) struct Properties(String);

impl Properties {
    /// Of a device by its name in the database: "+pci:0000:00:02.0", "+dmi:id", "c189:3".
    pub(super) fn of(host: &dyn Host, device: &str) -> io::Result<Self> {
        let mut text = host.text(&format!("/run/udev/data/{device}"))?;
        text.truncate(text.floor_char_boundary(FILE_BYTES_MAX));
        Ok(Self(text))
    }

    /// A property, where it is there and not empty. Lines are "E:NAME=value".
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let line = |line| str::strip_prefix(line, "E:")?.strip_prefix(name)?.strip_prefix('=');
        self.0.lines().find_map(line).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The same as a text of its own; empty where it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }
}
