//! An identity provider for the device-code flow (RFC 8628, `OpenID` Connect Discovery): strict with what it is asked, and it lies on request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, ensure};
use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value as Json, json};

/// Who the server is here.
pub const CLIENT_ID: &str = "deskside";

/// Between two looks for the next connection.
const ACCEPT_EVERY: Duration = Duration::from_millis(10);

/// How long a caller may be silent.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// Seconds that must lie between two questions for the token.
const INTERVAL_S: u64 = 1;

/// Longest body that is taken.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the provider does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    /// Nothing.
    #[default]
    None,
    /// The token names another issuer.
    Issuer,
    /// The token is for somebody else.
    Audience,
    /// The token is over.
    Expired,
    /// The token is signed by nobody: `alg: none`.
    Unsigned,
    /// The token is signed by a key that is not among the published ones.
    OtherKey,
    /// The token has a nonce that nobody sent.
    Nonce,
    /// The first question for the token comes too soon, it says.
    SlowDown,
    /// The code is over.
    CodeOver,
    /// The person refuses.
    Refuses,
    /// The answer has no end.
    Endless,
    /// The provider describes another.
    Metadata,
}

/// What it is like now.
#[derive(Debug, Default)]
struct State {
    lie: Lie,
    approved: bool,
    slowed: bool,
    groups: Vec<String>,
    subject: String,
    name: String,
    refresh: u64,
    dismissed: bool,
    asked: Option<Instant>,
    complaints: Vec<String>,
    key: Vec<u8>,
}

/// A running provider; it ends with this.
#[derive(Debug)]
pub struct Provider {
    issuer: String,
    state: Arc<Mutex<State>>,
    ended: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// On the loopback interface, with one person.
    pub fn start(name: &str, groups: &[&str]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
        listener.set_nonblocking(true)?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let state = State {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            subject: format!("id-of-{name}"),
            name: name.to_owned(),
            key: key()?,
            ..State::default()
        };
        let (state, ended) = (Arc::new(Mutex::new(state)), Arc::new(Mutex::new(false)));
        let (shared, over, own) = (Arc::clone(&state), Arc::clone(&ended), issuer.clone());
        let thread = thread::spawn(move || {
            while !*over.lock().unwrap_or_else(PoisonError::into_inner) {
                match listener.accept() {
                    Ok((stream, _from)) => {
                        let (state, issuer) = (Arc::clone(&shared), own.clone());
                        thread::spawn(move || answer(stream, &state, &issuer).ok());
                    }
                    Err(_none) => thread::sleep(ACCEPT_EVERY),
                }
            }
        });
        Ok(Self { issuer, state, ended, thread: Some(thread) })
    }

    /// Its settings for a server.
    pub fn settings(&self, roles: &str) -> String {
        format!("[oidc]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nroles = {{ {roles} }}\n", self.issuer)
    }

    /// The person agrees.
    pub fn approve(&self) {
        self.state().approved = true;
    }

    /// Does wrong from now on.
    pub fn lie(&self, lie: Lie) {
        let mut state = self.state();
        (state.lie, state.slowed) = (lie, false);
    }

    /// Other keys from now on, as after a rotation.
    pub fn rotate(&self) -> anyhow::Result<()> {
        self.state().key = key()?;
        Ok(())
    }

    /// The person is in these groups from now on.
    pub fn groups(&self, groups: &[&str]) {
        self.state().groups = groups.iter().map(|group| (*group).to_owned()).collect();
    }

    /// The person does not work here any more.
    pub fn dismiss(&self) {
        self.state().dismissed = true;
    }

    /// What was asked against the standards.
    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn key() -> anyhow::Result<Vec<u8>> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    Ok(key.map_err(|_unspecified| anyhow!("making a key"))?.as_ref().to_vec())
}

fn pair(pkcs8: &[u8]) -> anyhow::Result<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
        .map_err(|error| anyhow!("a key: {error}"))
}

fn answer(stream: TcpStream, state: &Mutex<State>, issuer: &str) -> anyhow::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENT_MAX))?;
    stream.set_write_timeout(Some(SILENT_MAX))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let (path, body) = request(&mut lines)?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, value) = match path.as_str() {
        "GET /.well-known/openid-configuration" => (200, described(&state, issuer)),
        "GET /jwks" => (200, published(&state)?),
        "POST /device" => began(&mut state, &body, issuer),
        "POST /token" if state.lie == Lie::Endless => return endless(stream),
        "POST /token" => token(&mut state, &body, issuer)?,
        other => {
            state.complaints.push(format!("asked for {other}"));
            (404, json!({"error": "not_found"}))
        }
    };
    drop(state);
    let text = value.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )?;
    Ok(())
}

/// "POST /token", and the fields of its form.
fn request(lines: &mut impl BufRead) -> anyhow::Result<(String, BTreeMap<String, String>)> {
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let path = first.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    ensure!(length <= BODY_BYTES_MAX, "a body of {length} bytes");
    let mut body = vec![0; length];
    lines.read_exact(&mut body)?;
    let pairs = String::from_utf8(body)?;
    let pairs = pairs.split('&').filter_map(|pair| pair.split_once('='));
    Ok((path, pairs.map(|(name, value)| (name.to_owned(), plain(value))).collect()))
}

/// A value of a form, as it was before it was escaped.
fn plain(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn described(state: &State, issuer: &str) -> Json {
    let named = if state.lie == Lie::Metadata { "https://other.example" } else { issuer };
    json!({
        "issuer": named, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
        "device_authorization_endpoint": format!("{issuer}/device"), "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn published(state: &State) -> anyhow::Result<Json> {
    let pair = pair(&state.key)?;
    // An uncompressed point: 4, then both coordinates (SEC 1, 2.3.3).
    let point = pair.public_key().as_ref();
    let (x, y) = point.get(1..).context("a point")?.split_at_checked(32).context("a point")?;
    let [x, y] = [x, y].map(|number| BASE64URL_NOPAD.encode(number));
    Ok(
        json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid(&state.key), "x": x, "y": y}]}),
    )
}

fn kid(key: &[u8]) -> String {
    BASE64URL_NOPAD.encode(ring::digest::digest(&ring::digest::SHA256, key).as_ref())
}

fn began(state: &mut State, form: &BTreeMap<String, String>, issuer: &str) -> (u16, Json) {
    let scopes = form.get("scope").cloned().unwrap_or_default();
    if form.get("client_id").is_none_or(|id| id != CLIENT_ID) || !scopes.split(' ').any(|scope| scope == "openid") {
        state.complaints.push(format!("a login begun with {form:?}"));
        return (400, json!({"error": "invalid_request"}));
    }
    state.asked = Some(Instant::now());
    (
        200,
        json!({
            "device_code": "a-device-code", "user_code": "WDJB-MJHT", "verification_uri": format!("{issuer}/go"),
            "verification_uri_complete": format!("{issuer}/go?code=WDJB-MJHT"), "expires_in": 300, "interval": INTERVAL_S,
        }),
    )
}

fn token(state: &mut State, form: &BTreeMap<String, String>, issuer: &str) -> anyhow::Result<(u16, Json)> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let refused = |error: &str| Ok((400, json!({"error": error})));
    if field("client_id") != CLIENT_ID {
        state.complaints.push(format!("a token asked for with {form:?}"));
        return refused("invalid_client");
    }
    match field("grant_type") {
        "urn:ietf:params:oauth:grant-type:device_code" if field("device_code") == "a-device-code" => {
            let soon = state.asked.replace(Instant::now()).is_some_and(|at| at.elapsed().as_secs() < INTERVAL_S);
            match state.lie {
                Lie::CodeOver => return refused("expired_token"),
                Lie::Refuses => return refused("access_denied"),
                Lie::SlowDown if !state.slowed => {
                    state.slowed = true;
                    return refused("slow_down");
                }
                _ if !state.approved => return refused("authorization_pending"),
                _ if soon && state.refresh > 0 => state.complaints.push("asked too often".into()),
                _ => {}
            }
        }
        "refresh_token" if !state.dismissed && field("refresh_token") == format!("refresh-{}", state.refresh) => {}
        "refresh_token" => return refused("invalid_grant"),
        other => {
            state.complaints.push(format!("a grant of the kind {other}"));
            return refused("unsupported_grant_type");
        }
    }
    state.refresh += 1;
    let tokens = json!({
        "access_token": "an-access-token", "token_type": "Bearer", "expires_in": 300,
        "refresh_token": format!("refresh-{}", state.refresh), "id_token": id_token(state, issuer)?,
    });
    Ok((200, tokens))
}

fn id_token(state: &State, issuer: &str) -> anyhow::Result<String> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (lie, mut claims) = (
        state.lie,
        json!({
            "iss": issuer, "aud": CLIENT_ID, "sub": state.subject, "iat": now_s, "exp": now_s + 300,
            "preferred_username": state.name, "groups": state.groups,
        }),
    );
    let wrong = match lie {
        Lie::Issuer => json!({"iss": "https://other.example"}),
        Lie::Audience => json!({"aud": "another-client"}),
        Lie::Expired => json!({"iat": now_s - 900, "exp": now_s - 600}),
        Lie::Nonce => json!({"nonce": "of-another-login"}),
        _ => json!({}),
    };
    if let (Some(claims), Json::Object(wrong)) = (claims.as_object_mut(), wrong) {
        claims.extend(wrong);
    }
    let alg = if lie == Lie::Unsigned { "none" } else { "ES256" };
    let head = json!({"alg": alg, "typ": "JWT", "kid": kid(&state.key)});
    let [head, claims] = [head, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
    let signed = format!("{head}.{claims}");
    if lie == Lie::Unsigned {
        return Ok(format!("{signed}."));
    }
    let pair = pair(&if lie == Lie::OtherKey { key()? } else { state.key.clone() })?;
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_unspecified| anyhow!("signing"))?;
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref())))
}

/// Goes on until the other end has had enough.
fn endless(mut stream: TcpStream) -> anyhow::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 X\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{{\"access_token\": \""
    )?;
    let piece = vec![b'a'; 64 * 1024];
    loop {
        stream.write_all(&piece)?;
    }
}
