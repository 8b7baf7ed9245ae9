//! The form of a recorded machine: a folder that people can read, write and mend by hand.
//!
//! - `host.json`: the [`Index`]: time, links, listings, sizes, notes between looks, and what was refused.
//! - `files/PATH`: what `read` answered. A listing that the index lacks is what lies here and what is linked there.
//! - `run/NAME.json` and `run/NAME.out`: a program with its arguments and status, and its standard output.
//! - `ipp/KEY.bin`: the answer to the request with that [`ipp_key`].
//! - `netlink/NAME.bin`: one listing.
//! - `genl/FAMILY/KEY.bin`: the answer of a generic netlink family to the request with that [`genl`] key.
//! - `devices/URI/KEY.bin`: a printer's answer to the request with that [`ipp_key`].
//! - `snmp/HOST-PORT.snmprec`: all that a device said by SNMP, an object a line (`OID|TAG|VALUE`, as snmpsim has it).
//! - `mdns/KEY/N.bin`: the answers to one multicast DNS query.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{Before, InterfaceDriver, Own, Space};

/// Name of the index's file.
pub(super) const INDEX: &str = "host.json";

/// What is not a file of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Index {
    /// When it was recorded, in milliseconds since 1970-01-01 UTC.
    pub(super) now_ms: i64,
    /// Symbolic links and where they point.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) links: BTreeMap<String, String>,
    /// Folders and the names in them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lists: BTreeMap<String, Vec<String>>,
    /// Mount points and how full they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) spaces: BTreeMap<String, Space>,
    /// What the agent's own process used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) own: Option<Own>,
    /// Network interfaces and what their drivers say of themselves.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) drivers: BTreeMap<String, InterfaceDriver>,
    /// Ports that are open, as "host:port", and the milliseconds that opening took.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) reached: BTreeMap<String, u64>,
    /// Names and their addresses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resolved: BTreeMap<String, Vec<IpAddr>>,
    /// Notes that an earlier look left.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) notes: BTreeMap<String, Before>,
    /// What was refused, by question: "read /etc/shadow".
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) refusals: BTreeMap<String, Refusal>,
}

/// An error as the machine gave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusal {
    kind: String,
    text: String,
}

/// A program's end, without its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    #[serde(rename = "program")]
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) status: Option<i32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) stderr: String,
}

/// The kinds that survive a recording; every other one becomes `Other`.
const KINDS: [(&str, ErrorKind); 10] = [
    ("not_found", ErrorKind::NotFound),
    ("permission_denied", ErrorKind::PermissionDenied),
    ("timed_out", ErrorKind::TimedOut),
    ("connection_refused", ErrorKind::ConnectionRefused),
    ("connection_reset", ErrorKind::ConnectionReset),
    ("host_unreachable", ErrorKind::HostUnreachable),
    ("network_unreachable", ErrorKind::NetworkUnreachable),
    ("invalid_input", ErrorKind::InvalidInput),
    ("invalid_data", ErrorKind::InvalidData),
    ("other", ErrorKind::Other),
];

impl Refusal {
    pub(super) fn of(error: &io::Error) -> Self {
        let kind = KINDS.iter().find(|(_name, kind)| *kind == error.kind()).map_or("other", |(name, _kind)| name);
        Self { kind: kind.to_owned(), text: error.to_string() }
    }

    pub(super) fn error(&self) -> io::Error {
        let kind =
            KINDS.iter().find(|(name, _kind)| *name == self.kind).map_or(ErrorKind::Other, |(_name, kind)| *kind);
        io::Error::new(kind, self.text.clone())
    }
}

/// Where a path of the machine lies under `files/`. Characters that some file systems refuse are written as `%` and two hex
/// digits. Absent for a path that would leave the folder.
pub(super) fn file(path: &str) -> Option<PathBuf> {
    let mut place = PathBuf::from("files");
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) => place.push(escape(name.to_str()?)),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(place)
}

fn escape(name: &str) -> String {
    let escaped = |c: char| match c {
        ':' | '<' | '>' | '"' | '|' | '?' | '*' | '\\' | '%' => format!("%{:02x}", c as u32),
        c => c.to_string(),
    };
    name.chars().map(escaped).collect()
}

/// The name that [`escape`] was given.
pub(super) fn unescape(name: &str) -> String {
    let mut pieces = name.split('%');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        plain.push(code.map_or('%', char::from));
        plain.push_str(code.and_then(|_code| piece.get(2..)).unwrap_or(piece));
    }
    plain
}

/// A name for a program with its arguments: readable, and different for different arguments.
pub(super) fn program_name(program: &str, arguments: &[&str]) -> String {
    let line = [&[program], arguments].concat().join(" ");
    let plain: String = line.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    format!("{}-{}", plain.trim_end_matches('-'), short_hash(line.as_bytes()))
}

/// Operation and hash of an IPP request, its request-id (RFC 8010, bytes 4 to 7) left out.
pub(super) fn ipp_key(request: &[u8]) -> String {
    let mut same = request.to_vec();
    if let Some(id) = same.get_mut(4..8) {
        id.fill(0);
    }
    format!("{}-{}", HEXLOWER.encode(request.get(2..4).unwrap_or_default()), short_hash(&same))
}

/// Where the answer of a generic netlink family lies: the command, whether all was asked for, and a hash of what follows.
pub(super) fn genl(family: &str, request: &[u8], all: bool) -> PathBuf {
    Path::new("genl").join(flat(family)).join(genl_key(request, all)).with_extension("bin")
}

/// The same as a question.
pub(super) fn genl_question(family: &str, request: &[u8], all: bool) -> String {
    format!("genl {family} {}", genl_key(request, all))
}

fn genl_key(request: &[u8], all: bool) -> String {
    let command = request.first().copied().unwrap_or_default();
    format!("{command}-{}-{}", if all { "all" } else { "one" }, short_hash(request))
}

/// Where a printer's answer lies.
pub(super) fn device(uri: &str, request: &[u8]) -> PathBuf {
    Path::new("devices").join(flat(uri)).join(ipp_key(request)).with_extension("bin")
}

/// Where all lies that a device said by SNMP.
pub(super) fn snmp(host: &str, port: u16) -> PathBuf {
    Path::new("snmp").join(format!("{}-{port}.snmprec", flat(host)))
}

/// Where the answers to a multicast DNS query lie.
pub(super) fn mdns(query: &[u8]) -> PathBuf {
    Path::new("mdns").join(short_hash(query))
}

/// A name for a place on the network that is one part of a path.
fn flat(name: &str) -> String {
    escape(&name.replace('/', "_"))
}

/// A name for some bytes.
pub(super) fn short_hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref().get(..6).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_within_the_folder() {
        assert_eq!(file("/sys/class/net/eth0/address"), Some("files/sys/class/net/eth0/address".into()));
        assert_eq!(file("/sys/../../etc/shadow"), None);
    }

    #[test]
    fn names_survive_being_written() {
        for name in ["0000:00:1f.2", "input3::capslock", "50%", "plain", "%", "a\\x2db"] {
            assert_eq!(unescape(&escape(name)), name);
            assert!(!escape(name).contains([':', '\\']));
        }
    }

    #[test]
    fn requests_that_differ_only_in_their_number_are_the_same() {
        let request = |id: u8, rest: &[u8]| [&[2, 0, 0x40, 2, 0, 0, 0, id], rest].concat();
        assert_eq!(ipp_key(&request(1, b"a")), ipp_key(&request(9, b"a")));
        assert_ne!(ipp_key(&request(1, b"a")), ipp_key(&request(1, b"b")));
        assert!(ipp_key(&request(1, b"a")).starts_with("4002-"));
        assert_eq!(ipp_key(b""), ipp_key(b""));
    }

    #[test]
    fn a_refusal_keeps_its_kind() {
        for (_name, kind) in KINDS {
            assert_eq!(Refusal::of(&io::Error::new(kind, "no")).error().kind(), kind);
        }
        assert_eq!(Refusal::of(&ErrorKind::BrokenPipe.into()).error().kind(), ErrorKind::Other);
    }
}
