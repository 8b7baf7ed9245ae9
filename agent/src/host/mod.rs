//! The one door to the machine. Collectors and probes reach it through [`Host`] and in no other way, so that every parser runs on
//! recorded machines as on this one.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

mod attribute;
mod echo;
mod folder;
mod live;
mod news;
mod packets;
mod recorded;
mod recording;
mod snmp;
mod wire;

pub use attribute::attribute;
pub use echo::{Back, Echo, Echoed, IcmpError, Knock};
pub use live::{Live, LiveOptions, SnmpConfig, give_back_memory, hold_little_memory};
pub use news::{Heard, News, awaited};
pub use packets::{BpfInstruction, Packet, Packets, Tap};
pub use recorded::Recorded;
pub use recording::{Clean, Recording, Size};
pub use snmp::{Oid, SNMP_PORT, SnmpAnswer, SnmpAsk, SnmpValue};
pub use wire::{Hear, Mac, NoWire, Stream, Wire, mac_text};

/// What a program answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; absent where a signal ended it.
    pub status: Option<i32>,
    /// Standard output, cut at [`READ_BYTES_MAX`].
    pub stdout: Vec<u8>,
    /// Standard error, cut at [`READ_BYTES_MAX`].
    pub stderr: Vec<u8>,
}

/// The size of a file system, as statvfs(3) tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Space {
    /// All bytes.
    pub total_bytes: u64,
    /// Free bytes, those kept for root included.
    pub free_bytes: u64,
    /// Free bytes for ordinary users.
    pub available_bytes: u64,
    /// All inodes; 0 where the type has none.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// What the agent's own process uses of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Own {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Processor time since it started.
    pub cpu_ms: u64,
    /// Bytes written to disks since it started; absent where the system does not tell.
    pub written_bytes: Option<u64>,
    /// Seconds since it started.
    pub uptime_s: u64,
}

/// What rtnetlink is asked to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netlink {
    /// `RTM_GETLINK`
    Links,
    /// `RTM_GETADDR`
    Addresses,
    /// `RTM_GETROUTE`
    Routes,
    /// `RTM_GETNEIGH`
    Neighbors,
    /// `RTM_GETRULE`
    Rules,
}

impl Netlink {
    /// All that can be asked.
    pub const ALL: [Self; 5] = [Self::Links, Self::Addresses, Self::Routes, Self::Neighbors, Self::Rules];

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Addresses => "addresses",
            Self::Routes => "routes",
            Self::Neighbors => "neighbors",
            Self::Rules => "rules",
        }
    }
}

/// What the driver of a network interface says of itself (`ETHTOOL_GDRVINFO`).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InterfaceDriver {
    /// Its version; of the kernel's own drivers that is the kernel's.
    pub version: String,
    /// Version of the firmware in the hardware; empty where it has none, or does not tell.
    pub firmware: String,
}

/// What a collector wrote down at its look before.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Before {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// What, in the collector's own form.
    pub text: String,
}

/// Most bytes that one answer of the door holds; more is cut.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The door. Errors keep their kind: `NotFound` becomes `unsupported`, `PermissionDenied` `denied`, `TimedOut` `timed_out`.
pub trait Host: Send + Sync {
    /// A file's bytes, cut at [`READ_BYTES_MAX`].
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// The names in a folder, sorted.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// Where a symbolic link points, as written.
    fn link(&self, path: &str) -> io::Result<String>;
    /// Runs a program of the system with a clean environment (`LC_ALL=C`) and no input, and ends it after its deadline.
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran>;
    /// The same, for what several tables ask of one slow thing: it is ended after `time`, and the same question within a minute has the
    /// same answer.
    fn run_shared(&self, program: &str, arguments: &[&str], _time: Duration) -> io::Result<Ran> {
        self.run(program, arguments)
    }
    /// How full the file system at a mount point is. Never asks a network file system that does not answer within its deadline.
    fn space(&self, mount_point: &str) -> io::Result<Space>;
    /// One IPP request to the machine's own print server; the body of its answer.
    fn ipp(&self, request: &[u8]) -> io::Result<Vec<u8>>;
    /// One rtnetlink listing: the answer's messages, end to end, as the kernel wrote them.
    fn netlink(&self, what: Netlink) -> io::Result<Vec<u8>>;
    /// One request to a family of generic netlink ("ethtool", "nl80211"): `request` begins with its command (`struct genlmsghdr`), attributes
    /// follow; `all` asks for a listing (`NLM_F_DUMP`). The messages of the answer, end to end, each with its netlink header. A kernel
    /// without the family is `NotFound`.
    fn genl(&self, family: &str, request: &[u8], all: bool) -> io::Result<Vec<u8>>;
    /// What the driver of a network interface says of itself. One without a driver is `Unsupported`.
    fn interface_driver(&self, interface: &str) -> io::Result<InterfaceDriver>;
    /// Begins to listen to what the machine tells by itself of its network. A recorded machine tells nothing.
    fn news(&self) -> io::Result<Box<dyn News>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a recorded machine tells no news"))
    }
    /// The network, for probes.
    fn wire(&self) -> &dyn Wire;
    /// One IPP request to a printer at an `ipp`, `ipps`, `http` or `https` URI; the body of its answer. A printer's certificate is
    /// not verified, since printers sign their own. A printer that answers nonsense, too much, too slowly or never is an error
    /// (`InvalidData`, `TimedOut`) within some five seconds. The same question within a minute has the same answer: see [`Self::forget`].
    fn device_ipp(&self, uri: &str, request: &[u8]) -> io::Result<Vec<u8>>;
    /// Walks subtrees of a device by SNMP, with the credentials of the agent's settings: the version that answers first, of 3, 2c and 1.
    /// It ends within some four seconds; what was walked until then is the answer. The same question within a minute has the same answer.
    fn snmp(&self, ask: &SnmpAsk) -> io::Result<SnmpAnswer>;
    /// Opens a TCP connection and closes it: how long it took. Refused, timed out and unreachable keep their kinds. Two seconds at most.
    fn reach(&self, address: &str, port: u16) -> io::Result<Duration>;
    /// The addresses of a name, as the system resolves it. Two seconds at most.
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
    /// One multicast DNS query (RFC 6762, 5.1) on every link; the answers of one second, each a DNS message. The same question within
    /// a minute has the same answer.
    fn mdns(&self, query: &[u8]) -> io::Result<Vec<Vec<u8>>>;
    /// Forgets what printers answered within the last minute, so that they are asked anew: what a probe wants, and a look does not.
    fn forget(&self) {}
    /// What the agent's own process uses.
    fn own(&self) -> io::Result<Own>;
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;

    /// Leaves a note for the next look and returns the one that the look before left. Why: a share of time needs two counters,
    /// and a collector remembers nothing itself.
    fn recall(&self, _what: &'static str, _note: String) -> Option<Before> {
        None
    }

    /// The note that the look before left, which stays where it is.
    fn noted(&self, _what: &'static str) -> Option<Before> {
        None
    }

    /// The last bytes of a file, this many at most.
    fn tail(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.read(path)?;
        Ok(bytes.split_off(bytes.len().saturating_sub(bytes_max)))
    }

    /// A file's text; what is not UTF-8 is marked with U+FFFD.
    fn text(&self, path: &str) -> io::Result<String> {
        // Why not lossy at once: that copies a text that is fine, and some are megabytes long.
        let text = String::from_utf8(self.read(path)?);
        Ok(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// A one-line file, trimmed; absent where it cannot be read or is empty.
    fn line(&self, path: &str) -> Option<String> {
        self.text(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}
