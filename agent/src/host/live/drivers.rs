//! What the drivers of network interfaces say of themselves: `SIOCETHTOOL` with `ETHTOOL_GDRVINFO`, the only place where the kernel tells
//! the version of their firmware.
#![allow(unsafe_code, reason = "ioctl(2) takes a pointer")]

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketType, socket};

use crate::host::InterfaceDriver;

/// linux/sockios.h and linux/ethtool.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 3;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct Telling {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// Asks the driver of an interface.
pub(super) fn interface(name: &str) -> io::Result<InterfaceDriver> {
    let mut told = Telling {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        rom: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    let mut request = libc::ifreq {
        ifr_name: interface_name(name)?,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut told).cast() },
    };
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: the request holds a terminated name and points to a whole `struct ethtool_drvinfo`; both outlive the call, and the kernel writes no
    // further than these.
    let answered = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if answered < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(InterfaceDriver { version: text(&told.version), firmware: text(&told.firmware) })
}

/// The kernel's names are shorter than its room for them by the zero at the end.
fn interface_name(name: &str) -> io::Result<[libc::c_char; libc::IFNAMSIZ]> {
    let mut room = [0; libc::IFNAMSIZ];
    if name.len() >= room.len() {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("{name} is no name of an interface")));
    }
    for (place, byte) in room.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    Ok(room)
}

/// Up to the zero. "N/A" is how drivers say that they do not know.
fn text(room: &[u8]) -> String {
    let text = room.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text).trim().to_owned();
    if text.eq_ignore_ascii_case("n/a") { String::new() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_a_driver_and_one_that_is_none_are_refused() {
        assert!(interface("no such one").is_err());
        assert_eq!(interface("a name that is much too long").unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_a_driver_does_not_know_is_empty() {
        assert_eq!(text(b"0.5-4\0\0"), "0.5-4");
        assert_eq!(text(b"N/A\0\0"), "");
        assert_eq!(text(&[0; 32]), "");
    }
}
