//! The key that makes equal things equal without telling what they are. It never leaves the machine.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use data_encoding::{Encoding, HEXLOWER, Specification};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

const FILE: &str = "redact.key";
const KEY_BYTES: usize = 32;
const KEY_MODE: u32 = 0o600;
pub(super) const SECRET_LETTERS: usize = 6;
const PERSON_LETTERS: usize = 8;
const NETWORK_LETTERS: usize = 6;

/// Accounts that belong to the system, not to a person.
const SYSTEM_ACCOUNTS: [&str; 7] = ["root", "nobody", "daemon", "lp", "www-data", "messagebus", "polkitd"];

/// Makes pseudonyms.
pub(super) struct Key {
    key: hmac::Key,
    letters: Encoding,
}

impl Key {
    /// Reads the key, or makes one.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) if bytes.len() == KEY_BYTES => bytes,
            Ok(_cut) => make(dir, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(dir, &path)?,
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        Self::new(&bytes)
    }

    pub(super) fn new(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut letters = Specification::new();
        letters.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
        let letters = letters.encoding().context("making the alphabet of pseudonyms")?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes), letters })
    }

    /// What stands for a secret.
    pub(super) fn secret(&self, secret: &str) -> String {
        format!("[secret-{}]", self.tag("secret", secret, SECRET_LETTERS))
    }

    /// What stands for a person's name. Empty stays empty, a system account stays what it is, and a pseudonym is not made twice.
    pub(super) fn person(&self, name: &str) -> Option<String> {
        let system = SYSTEM_ACCOUNTS.contains(&name) || name.starts_with("systemd-") || name.starts_with('_');
        if name.is_empty() || system || is_person(name) {
            return None;
        }
        Some(format!("person-{}", self.tag("person", name, PERSON_LETTERS)))
    }

    /// What stands for a machine's name.
    pub(super) fn host(&self, name: &str) -> String {
        format!("host-{}", self.tag("host", name, PERSON_LETTERS))
    }

    /// What stands for an address: what it shares with its neighbours (an IPv4 /24, an IPv6 /64), and its own.
    pub(super) fn ip(&self, ip: IpAddr) -> String {
        let network = match ip {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & 0xffff_ff00).to_string(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !0xffff_ffff_ffff_ffff).to_string(),
        };
        let (network, own) =
            (self.tag("network", &network, NETWORK_LETTERS), self.tag("ip", &ip.to_string(), NETWORK_LETTERS));
        format!("ip-{network}-{own}")
    }

    /// What stands for a hardware address; its maker stays.
    pub(super) fn mac(&self, mac: [u8; 6]) -> String {
        let [a, b, c, ..] = mac;
        format!("mac-{a:02x}{b:02x}{c:02x}-{}", self.tag("mac", &HEXLOWER.encode(&mac), NETWORK_LETTERS))
    }

    fn tag(&self, what: &str, text: &str, letters: usize) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(what.as_bytes());
        context.update(&[0]);
        context.update(text.as_bytes());
        // Ten bytes are sixteen letters with no bits left over.
        let bytes = context.sign().as_ref().iter().take(10).copied().collect::<Vec<u8>>();
        self.letters.encode(&bytes).chars().take(letters).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

fn is_person(name: &str) -> bool {
    let letters = name.strip_prefix("person-").filter(|letters| letters.len() == PERSON_LETTERS);
    letters.is_some_and(|letters| letters.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)))
}

fn make(dir: &Path, path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; KEY_BYTES];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_unspecified| anyhow::anyhow!("the system gave no random numbers"))?;
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    // Written beside and renamed, so that a crash leaves either no key or a whole one.
    let beside = path.with_extension("key.new");
    let written =
        write(&beside, &bytes).and_then(|()| fs::rename(&beside, path)).and_then(|()| File::open(dir)?.sync_all());
    written.with_context(|| format!("writing {}", path.display()))?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(KEY_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_for_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let first = Key::open(dir.path()).unwrap().secret("x");
        assert_eq!(Key::open(dir.path()).unwrap().secret("x"), first);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, KEY_MODE);
    }

    #[test]
    fn a_name_is_replaced_once_and_a_system_account_never() {
        let key = Key::new(&[7; 32]).unwrap();
        let alice = key.person("alice").unwrap();
        assert_eq!((alice.len(), key.person(&alice)), (15, None));
        assert_ne!(Key::new(&[8; 32]).unwrap().person("alice"), Some(alice));
        assert_eq!([key.person(""), key.person("root"), key.person("systemd-network")], [None, None, None]);
    }
}
