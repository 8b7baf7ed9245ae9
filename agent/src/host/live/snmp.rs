//! Devices asked by SNMP (RFC 3416, RFC 3414): which version and whose name, and the walk, bounded in time and rows.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use snmp2::v3::{Auth, AuthProtocol, Cipher, KeyExtension, Security};
use snmp2::{Error, Pdu, SyncSession, Value};

use crate::host::{Oid, SnmpAnswer, SnmpAsk, SnmpValue};

/// How long a device may take for one packet. Why: on a local network it takes some milliseconds, and a silent one costs three of these.
const PACKET_MAX: Duration = Duration::from_millis(650);

/// How long all of a walk may take.
const WALK_MAX: Duration = Duration::from_secs(4);

/// Most objects of one walk.
const OBJECTS_MAX: usize = 2_000;

/// Most bytes of one value.
const VALUE_BYTES_MAX: usize = 1_024;

/// Objects asked for in one packet.
const BULK: u32 = 24;

/// How often a version is tried before the next one is.
const TRIES: usize = 2;

/// Most bytes of the credentials' file.
const CREDENTIALS_BYTES_MAX: u64 = 64 * 1024;

/// Stack of the thread that walks. Why so much: the crate has its packets of 64 KiB on the stack, several times over.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// sysDescr.0 (RFC 3418): what every device has.
const GREETING: [u64; 9] = [1, 3, 6, 1, 2, 1, 1, 1, 0];

/// How devices are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A file with communities and users, which only the agent's user can read. Why a file of its own: settings are printed and
    /// shown, secrets are not. Absent: version 2c, then 1, with the community "public".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
}

/// What the file says: `communities = ["public"]`, and `[[users]]` for version 3, tried first. No `Debug`: it holds secrets.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Credentials {
    communities: Vec<String>,
    users: Vec<User>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { communities: vec!["public".into()], users: Vec::new() }
    }
}

/// One user of version 3 (RFC 3414). Without a privacy password what is said is signed and not encrypted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    #[serde(default)]
    auth: AuthName,
    auth_password: String,
    #[serde(default)]
    privacy: PrivacyName,
    #[serde(default)]
    privacy_password: String,
    /// Name of the context (RFC 3411, 3.3.8); nearly every printer has but the one without a name.
    #[serde(default)]
    context: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AuthName {
    Md5,
    #[default]
    Sha,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PrivacyName {
    Des,
    #[default]
    Aes,
    Aes192,
    Aes256,
}

/// Walks what is asked for, by the first version that answers. `resolve` turns a name into addresses.
pub(super) fn ask(
    config: &Config,
    ask: &SnmpAsk,
    resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>>,
) -> io::Result<SnmpAnswer> {
    let credentials = config.credentials.as_deref().map_or_else(|| Ok(Credentials::default()), read)?;
    let address = resolve(&ask.host)?.into_iter().next().ok_or(ErrorKind::NotFound)?;
    let address = SocketAddr::new(address, ask.port);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("snmp".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || walk(address, &ask.subtrees, &credentials))?;
        thread.join().unwrap_or_else(|_panicked| Err(io::Error::other("the walk ended early")))
    })
}

fn walk(address: SocketAddr, subtrees: &[Oid], credentials: &Credentials) -> io::Result<SnmpAnswer> {
    let mut walk = Walk { begun: Instant::now(), refused: false, why: Vec::new() };
    let Some((mut session, version)) = walk.greet(address, credentials)? else { return Err(walk.silence()) };
    let mut answer = SnmpAnswer { version: version.into(), ..SnmpAnswer::default() };
    for subtree in subtrees {
        answer.cut = walk.subtree(&mut session, version, subtree, &mut answer.objects);
        if answer.cut.is_some() {
            break;
        }
    }
    answer.objects.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(answer)
}

fn read(path: &Path) -> io::Result<Credentials> {
    let named = |kind, why: &dyn std::fmt::Display| {
        io::Error::new(kind, format!("the SNMP credentials in {}: {why}", path.display()))
    };
    let size = fs::metadata(path).map_err(|error| named(error.kind(), &error))?.len();
    if size > CREDENTIALS_BYTES_MAX {
        return Err(named(ErrorKind::InvalidData, &"too long"));
    }
    let text = fs::read_to_string(path).map_err(|error| named(error.kind(), &error))?;
    // Why the message alone: the whole error quotes the line, which may hold a password.
    let read: Credentials = toml::from_str(&text).map_err(|error| named(ErrorKind::InvalidData, &error.message()))?;
    // RFC 3414, 11.2: at least eight characters; an empty one has no key.
    let short = |user: &&User| {
        user.auth_password.len() < 8 || (!user.privacy_password.is_empty() && user.privacy_password.len() < 8)
    };
    match read.users.iter().find(short) {
        Some(user) => Err(named(ErrorKind::InvalidData, &format!("a password of {} is shorter than 8", user.name))),
        None => Ok(read),
    }
}

impl User {
    fn security(&self) -> Security {
        let auth = match self.auth {
            AuthName::Md5 => AuthProtocol::Md5,
            AuthName::Sha => AuthProtocol::Sha1,
            AuthName::Sha224 => AuthProtocol::Sha224,
            AuthName::Sha256 => AuthProtocol::Sha256,
            AuthName::Sha384 => AuthProtocol::Sha384,
            AuthName::Sha512 => AuthProtocol::Sha512,
        };
        let cipher = match self.privacy {
            PrivacyName::Des => Cipher::Des,
            PrivacyName::Aes => Cipher::Aes128,
            PrivacyName::Aes192 => Cipher::Aes192,
            PrivacyName::Aes256 => Cipher::Aes256,
        };
        let security = Security::new(self.name.as_bytes(), self.auth_password.as_bytes()).with_auth_protocol(auth);
        let security = security.with_key_extension_method(KeyExtension::Blumenthal).with_context_name(&self.context);
        if self.privacy_password.is_empty() {
            return security.with_auth(Auth::AuthNoPriv);
        }
        security.with_auth(Auth::AuthPriv { cipher, privacy_password: self.privacy_password.as_bytes().to_vec() })
    }
}

/// One conversation, and what went wrong in it.
struct Walk {
    begun: Instant,
    refused: bool,
    why: Vec<String>,
}

impl Walk {
    fn late(&self) -> bool {
        self.begun.elapsed() >= WALK_MAX
    }

    /// A session that answers; absent where none does.
    fn greet(
        &mut self,
        address: SocketAddr,
        credentials: &Credentials,
    ) -> io::Result<Option<(SyncSession, &'static str)>> {
        for user in &credentials.users {
            let session = SyncSession::new_v3(address, Some(PACKET_MAX), 1, user.security())?;
            if let Some(session) = self.try_version(session, &format!("3 ({})", user.name)) {
                return Ok(Some((session, "3")));
            }
        }
        for community in &credentials.communities {
            let community = community.as_bytes();
            let session = SyncSession::new_v2c(address, community, Some(PACKET_MAX), 1)?;
            if let Some(session) = self.try_version(session, "2c") {
                return Ok(Some((session, "2c")));
            }
            let session = SyncSession::new_v1(address, community, Some(PACKET_MAX), 1)?;
            if let Some(session) = self.try_version(session, "1") {
                return Ok(Some((session, "1")));
            }
        }
        Ok(None)
    }

    fn try_version(&mut self, mut session: SyncSession, version: &str) -> Option<SyncSession> {
        let greeting = snmp2::Oid::from(&GREETING).ok()?;
        let mut error = String::new();
        for _try in 0..if version == "1" { 1 } else { TRIES } {
            if self.late() || self.refused {
                return None;
            }
            let asked = Instant::now();
            let met = session.init().and_then(|()| session.get(&greeting).map(drop));
            match met {
                Ok(()) => return Some(session),
                // The device told its time; the same question again is understood.
                Err(Error::AuthUpdated) => {
                    if session.get(&greeting).is_ok() {
                        return Some(session);
                    }
                }
                // Why by the time it took: the crate does not say that the system refused.
                Err(Error::Send | Error::Receive) => {
                    self.refused = asked.elapsed() < PACKET_MAX / 2;
                    error = "no answer".into();
                }
                Err(other) => error = other.to_string(),
            }
        }
        self.why.push(format!("version {version}: {error}"));
        None
    }

    fn silence(&self) -> io::Error {
        if self.refused {
            return io::Error::new(ErrorKind::ConnectionRefused, "nothing listens on the port of SNMP");
        }
        let silent = self.why.iter().all(|why| why.ends_with("no answer"));
        let kind = if silent { ErrorKind::TimedOut } else { ErrorKind::InvalidData };
        io::Error::new(kind, format!("SNMP: {}", self.why.join(", ")))
    }

    /// One subtree to its end; why it could not be walked to its end, if so.
    fn subtree(
        &self,
        session: &mut SyncSession,
        version: &str,
        subtree: &Oid,
        found: &mut Vec<(Oid, SnmpValue)>,
    ) -> Option<String> {
        let mut last = subtree.clone();
        loop {
            if self.late() {
                return Some(format!("the walk took longer than {} s", WALK_MAX.as_secs()));
            }
            let asked = snmp2::Oid::from(last.numbers()).ok()?;
            let mut answer = next(session, version, &asked);
            if answer.is_err() {
                answer = next(session, version, &asked);
            }
            let more = match answer {
                Ok(more) => more,
                Err(error) => return Some(format!("{subtree}: {}", plain(&error))),
            };
            let before = last.clone();
            for (name, value) in more {
                // Why ascending: a device that tells the same again would be walked for ever.
                if name.below(subtree).is_none() || name <= last {
                    return None;
                }
                last = name.clone();
                if found.len() >= OBJECTS_MAX {
                    return Some(format!("more than {OBJECTS_MAX} objects"));
                }
                found.extend(value.map(|value| (name, value)));
            }
            if last == before {
                return None;
            }
        }
    }
}

fn plain(error: &Error) -> String {
    match error {
        Error::Send | Error::Receive => "no answer".into(),
        other => other.to_string(),
    }
}

/// The objects behind a name, in order; empty at the end of the tree.
fn next(
    session: &mut SyncSession,
    version: &str,
    name: &snmp2::Oid<'_>,
) -> Result<Vec<(Oid, Option<SnmpValue>)>, Error> {
    let answer = if version == "1" { session.getnext(name)? } else { session.getbulk(&[name], 0, BULK)? };
    Ok(objects(&answer))
}

fn objects(answer: &Pdu<'_>) -> Vec<(Oid, Option<SnmpValue>)> {
    // RFC 1157: "noSuchName" is how version 1 says that the tree ends.
    if answer.error_status != 0 {
        return Vec::new();
    }
    let mut objects = Vec::new();
    for (name, value) in answer.varbinds.clone().take(BULK as usize) {
        if matches!(value, Value::EndOfMibView) {
            break;
        }
        let Some(numbers) = name.iter() else { break };
        objects.push((Oid::new(&numbers.collect::<Vec<u64>>()), value_of(&value)));
    }
    objects
}

fn value_of(value: &Value<'_>) -> Option<SnmpValue> {
    Some(match value {
        Value::Integer(number) => SnmpValue::Integer(*number),
        Value::OctetString(octets) | Value::Opaque(octets) => {
            SnmpValue::Octets(octets.iter().take(VALUE_BYTES_MAX).copied().collect())
        }
        Value::ObjectIdentifier(name) => SnmpValue::Name(Oid::new(&name.iter()?.collect::<Vec<u64>>())),
        Value::Counter32(number) => SnmpValue::Counter(u64::from(*number)),
        Value::Counter64(number) => SnmpValue::Counter(*number),
        Value::Unsigned32(number) => SnmpValue::Gauge(u64::from(*number)),
        Value::Timeticks(number) => SnmpValue::Ticks(u64::from(*number)),
        Value::IpAddress(address) => SnmpValue::Address(*address),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
