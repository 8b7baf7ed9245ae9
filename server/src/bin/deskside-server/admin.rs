//! Tokens, devices and technicians: what the operator makes, lists and takes back, while the server runs or not.

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use deskside_proto::{invite, v1::Invite};
use deskside_server::{
    app::Folder,
    config::{self, Config},
    identity::{Authority, Secret, hash, personal},
    store::{
        Audit, AuditFilter, AuditLine, Db, Devices, NewCredential, NewTechnician, NewToken, Role, Technicians, Tokens,
    },
};
use jiff::{Span, SpanRelativeTo, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{Place, screen};

/// Longest name of a technician.
const NAME_CHARS_MAX: usize = 64;

/// Longest life of a token.
const EXPIRES_DAYS_MAX: i64 = 365;

/// What stands where a token has its secret, for those who log in by the identity provider.
const NO_SECRET: &[u8] = b"oidc";

/// How long a technician's token is good where nothing else is said.
const TECHNICIAN_EXPIRES: &str = "90d";

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Makes a token and prints the string that `deskside-agent enroll` takes.
    Create {
        /// How many machines it lets in.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        uses: u32,
        /// How long it is good: 30m, 24h, 7d.
        #[arg(long, default_value = "24h")]
        expires: String,
        /// How agents reach this server ("host:port"), most likely first; without, what the configuration says.
        #[arg(long)]
        address: Vec<String>,
    },
    /// Lists tokens; their secrets are not kept.
    List,
    /// Takes a token back.
    Revoke {
        /// Its id, as listed.
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Device {
    /// Lists devices.
    List,
    /// Cuts a device off for good, at once.
    Revoke {
        /// Id, beginning of it, or host name.
        device: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Technician {
    /// Adds a technician, or gives one a new token, and prints the string that `deskside login` takes.
    Add {
        /// Name.
        name: String,
        /// viewer reads; technician asks, collects and works on tickets; admin may everything.
        #[arg(long, default_value_t = Role::Technician)]
        role: Role,
        /// How long the token is good: 30d, 90d.
        #[arg(long, default_value = TECHNICIAN_EXPIRES)]
        expires: String,
        /// How technicians reach this server ("host:port"), most likely first; without, what the configuration says.
        #[arg(long)]
        address: Vec<String>,
    },
    /// Prints what all technicians take who log in by the identity provider: `deskside login --oidc dsk1…`. It holds no secret.
    Invite {
        /// How technicians reach this server ("host:port"), most likely first; without, what the configuration says.
        #[arg(long)]
        address: Vec<String>,
    },
    /// Gives a technician a new token in the place of the one of before.
    Renew {
        /// Name.
        name: String,
        /// How long the token is good: 30d, 90d.
        #[arg(long, default_value = TECHNICIAN_EXPIRES)]
        expires: String,
        /// How technicians reach this server ("host:port"), most likely first; without, what the configuration says.
        #[arg(long)]
        address: Vec<String>,
    },
    /// Lists technicians.
    List,
    /// Lets a technician in no more.
    Revoke {
        /// Name.
        name: String,
    },
}

pub(crate) async fn token(place: &Place, config: &Config, command: Token) -> Result<()> {
    let folder = Folder::open(place.data.clone())?;
    let db = Db::open(&folder.store())?;
    match command {
        Token::Create { uses, expires, address } => {
            let now_ms = Timestamp::now().as_millisecond();
            let expires_ms = now_ms + lifetime_ms(&expires)?;
            let (secret, id) = (Secret::draw()?, short_id());
            let agents = folder.addresses().map_or(config.agents.listen, |told| told.agents);
            let addresses = addresses(address, &config.agents.addresses, agents)?;
            let text = written(&folder, secret.bytes(), addresses.clone())?;
            let token = NewToken { id: id.clone(), secret_sha256: hash(secret.bytes()), uses, expires_ms };
            db.add_token(token, now_ms).await?;
            noted(&db, "", format!("token {id} made, for {uses} machines")).await?;
            if place.json {
                return screen::json(&json!({
                    "id": id, "token": text, "uses": uses, "expires_ms": expires_ms, "addresses": addresses
                }));
            }
            screen::say(&text);
        }
        Token::List => {
            let tokens = db.tokens().await?;
            if place.json {
                return screen::json(&tokens);
            }
            let now_ms = Timestamp::now().as_millisecond();
            let rows = tokens.into_iter().map(|token| {
                let state = match () {
                    () if token.revoked => "revoked",
                    () if token.expires_ms <= now_ms => "expired",
                    () if token.used >= token.uses => "used up",
                    () => "good",
                };
                let used = format!("{} of {}", token.used, token.uses);
                vec![token.id, state.into(), used, screen::time(token.created_ms), screen::time(token.expires_ms)]
            });
            let nothing = "no tokens; make one: deskside-server token create";
            screen::table(&["ID", "STATE", "USED", "MADE", "EXPIRES"], rows.collect(), nothing);
        }
        Token::Revoke { id } => {
            ensure!(db.revoke_token(&id).await?, "no token {id:?}; `deskside-server token list` lists them");
            noted(&db, "", format!("token {id} revoked")).await?;
            screen::remark(&format!("token {id} is revoked; machines that it let in stay"));
        }
    }
    Ok(())
}

pub(crate) async fn device(place: &Place, command: Device) -> Result<()> {
    let folder = Folder::open(place.data.clone())?;
    let db = Db::open(&folder.store())?;
    match command {
        Device::List => {
            let devices = db.devices().await?;
            if place.json {
                return screen::json(&devices);
            }
            let rows = devices.into_iter().map(|device| {
                let state = if device.revoked { "revoked" } else { "enrolled" };
                let (seen, enrolled) = (screen::time(device.seen_ms), screen::time(device.enrolled_ms));
                vec![device.name, device.id.to_string(), state.into(), device.os, device.agent_version, seen, enrolled]
            });
            let header = ["NAME", "ID", "STATE", "SYSTEM", "AGENT", "SEEN", "ENROLLED"];
            screen::table(&header, rows.collect(), "no devices; make a token: deskside-server token create");
        }
        Device::Revoke { device } => {
            let found = db.find_devices(&device).await?;
            let [one] = found.as_slice() else {
                let listed: Vec<String> = found.iter().map(|found| format!("{} {}", found.name, found.id)).collect();
                if listed.is_empty() {
                    bail!("no device {device:?}; `deskside-server device list` lists them");
                }
                bail!("{device:?} could be any of these; name one by its id: {}", listed.join(", "));
            };
            ensure!(
                db.revoke_device(one.id, Timestamp::now().as_millisecond()).await?,
                "{} {} is revoked already",
                one.name,
                one.id
            );
            noted(&db, &one.id.to_string(), format!("device {} revoked", one.name)).await?;
            screen::remark(&format!("{} {} is revoked; a running server cuts it off at once", one.name, one.id));
        }
    }
    Ok(())
}

/// A technician's token, drawn and not shown yet.
struct Issued {
    text: String,
    addresses: Vec<String>,
    credential: NewCredential,
}

impl Issued {
    fn new(folder: &Folder, config: &Config, address: Vec<String>, expires: &str) -> Result<Self> {
        let (token, kept) = personal::draw()?;
        let desk = folder.addresses().map_or(config.desk.listen, |told| told.desk);
        let addresses = addresses(address, &config.desk.addresses, desk)?;
        let text = written(folder, &token, addresses.clone())?;
        let expires_ms = Timestamp::now().as_millisecond() + lifetime_ms(expires)?;
        Ok(Self { text, addresses, credential: NewCredential { id: kept.id, hash: kept.hash, expires_ms } })
    }

    fn print(&self, place: &Place, name: &str, role: Option<Role>) -> Result<()> {
        let Self { text, addresses, credential } = self;
        if place.json {
            let expires_ms = credential.expires_ms;
            return screen::json(&json!({
                "name": name, "role": role, "token": text, "addresses": addresses, "expires_ms": expires_ms
            }));
        }
        screen::say(text);
        Ok(())
    }
}

pub(crate) async fn technician(place: &Place, config: &Config, command: Technician) -> Result<()> {
    let folder = Folder::open(place.data.clone())?;
    let db = Db::open(&folder.store())?;
    match command {
        Technician::Add { name, role, expires, address } => {
            let is_name = !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX;
            ensure!(
                is_name && !name.contains(char::is_control),
                "a name has 1 to {NAME_CHARS_MAX} printable characters"
            );
            let issued = Issued::new(&folder, config, address, &expires)?;
            let (credential, now_ms) = (issued.credential.clone(), Timestamp::now().as_millisecond());
            db.add_technician(NewTechnician { name: name.clone(), role, credential }, now_ms).await?;
            noted(&db, "", format!("technician {name} added as {role}")).await?;
            issued.print(place, &name, Some(role))?;
        }
        Technician::Invite { address } => {
            ensure!(config.oidc.is_some(), "the configuration has no [oidc]; say which configuration with --config");
            let desk = folder.addresses().map_or(config.desk.listen, |told| told.desk);
            let addresses = addresses(address, &config.desk.addresses, desk)?;
            let text = written(&folder, NO_SECRET, addresses.clone())?;
            if place.json {
                return screen::json(&json!({ "invite": text, "addresses": addresses }));
            }
            screen::say(&text);
        }
        Technician::Renew { name, expires, address } => {
            let issued = Issued::new(&folder, config, address, &expires)?;
            let renewed = db.renew_token(&name, issued.credential.clone(), Timestamp::now().as_millisecond()).await?;
            ensure!(renewed, "no technician {name:?}; `deskside-server technician list` lists them");
            noted(&db, "", format!("token of {name} renewed")).await?;
            issued.print(place, &name, None)?;
        }
        Technician::List => {
            let technicians = db.technicians().await?;
            if place.json {
                return screen::json(&technicians);
            }
            let now_ms = Timestamp::now().as_millisecond();
            let rows = technicians.into_iter().map(|one| {
                let state = match () {
                    () if one.revoked => "revoked",
                    () if one.sessions > 0 => "good",
                    () if one.expires_ms <= now_ms => "expired",
                    () => "good",
                };
                let expires = if one.expires_ms == 0 { "no token".into() } else { screen::time(one.expires_ms) };
                let (added, used) = (screen::time(one.added_ms), screen::time(one.used_ms));
                vec![one.name, one.role.to_string(), state.into(), added, used, expires]
            });
            let nothing = "no technicians; add one: deskside-server technician add NAME";
            screen::table(&["NAME", "ROLE", "STATE", "ADDED", "USED", "EXPIRES"], rows.collect(), nothing);
        }
        Technician::Revoke { name } => {
            let revoked = db.revoke_technician(&name).await?;
            ensure!(revoked, "no technician {name:?} to revoke; `deskside-server technician list` lists them");
            noted(&db, "", format!("technician {name} revoked")).await?;
            screen::remark(&format!("{name} is let in no more"));
        }
    }
    Ok(())
}

pub(crate) async fn audit(place: &Place, wanted: AuditFilter, last: u32) -> Result<()> {
    let db = Db::open(&Folder::open(place.data.clone())?.store())?;
    let lines = db.audit_of(wanted, last, true).await?;
    if place.json {
        screen::json(&lines)?;
    } else {
        let rows = lines.into_iter().map(|line| {
            let ticket = if line.ticket == 0 { String::new() } else { line.ticket.to_string() };
            vec![line.number.to_string(), screen::time(line.at_ms), line.who, line.what, line.device, ticket, line.text]
        });
        let header = ["NO", "WHEN", "WHO", "WHAT", "DEVICE", "TICKET", "WORDS"];
        screen::table(&header, rows.collect(), "nobody has asked for anything yet");
    }
    match db.audit_broken_at().await? {
        Some(number) => bail!("line {number} does not follow from the one before: the log was altered"),
        None => Ok(()),
    }
}

/// What the operator did, as a line of the audit log.
async fn noted(db: &Db, device: &str, text: String) -> Result<()> {
    let at_ms = Timestamp::now().as_millisecond();
    let (who, what, device) = ("operator".into(), "operate".into(), device.to_owned());
    db.add_audit(AuditLine { at_ms, who, what, device, text, ..AuditLine::default() }).await
}

fn written(folder: &Folder, secret: &[u8], addresses: Vec<String>) -> Result<String> {
    let authority = Authority::open(&folder.identity()?)?;
    let invite = Invite { addresses, ca_sha256: authority.sha256().to_vec(), secret: secret.to_vec() };
    Ok(invite::write(&invite))
}

/// How the other side reaches us: as asked, as configured, or as we listen. Why this host's name where we listen everywhere: it is what others
/// know; "localhost" serves the machine itself.
fn addresses(asked: Vec<String>, configured: &[String], listen: std::net::SocketAddr) -> Result<Vec<String>> {
    for address in &asked {
        config::check_address(address)?;
    }
    if !asked.is_empty() {
        return Ok(asked);
    }
    if !configured.is_empty() {
        return Ok(configured.to_vec());
    }
    if !listen.ip().is_unspecified() {
        return Ok(vec![listen.to_string()]);
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let names = [name.trim(), "localhost"].into_iter().filter(|name| !name.is_empty());
    Ok(names.map(|name| format!("{name}:{}", listen.port())).collect())
}

fn lifetime_ms(text: &str) -> Result<i64> {
    let span: Span = text.parse().with_context(|| format!("{text:?} is no length of time: write 30m, 24h or 7d"))?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours())?;
    let is_sensible = duration.as_secs() > 0 && duration.as_secs() <= EXPIRES_DAYS_MAX * 24 * 3_600;
    ensure!(is_sensible, "a token is good for more than nothing and {EXPIRES_DAYS_MAX} days at most");
    Ok(duration.as_millis().try_into()?)
}

fn short_id() -> String {
    Uuid::new_v4().simple().to_string().chars().take(8).collect()
}
