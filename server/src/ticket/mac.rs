//! How a hook proves that it is a help desk's own: a message authentication code over the raw body, alone or with the time of sending,
//! or a secret in a header. All are compared in constant time, before anything of the body is read.
//!
//! Sources: Zammad and Redmine, HMAC of the body (<https://admin-docs.zammad.org/en/latest/manage/webhook.html>); Jira the same by the
//! form of `WebSub`; GLPI 11, body then time (`Webhook.php` of its source); Zendesk, time then body
//! (<https://developer.zendesk.com/documentation/webhooks/verifying/>).

use anyhow::Result;
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use ring::digest;
use ring::hmac::{self, Algorithm, Key};
use serde_json::Value;

use super::answer::word;
use super::{Hint, Refused, secret};
use crate::config::HelpDeskConfig;

/// How far a sender's clock may be ahead.
const AHEAD_MS: i64 = 5 * 60 * 1_000;

/// The header of a secret that stands for a code, for systems that make none.
pub const SECRET_HEADER: &str = "x-deskside-secret";

/// What a code is made over, and where it stands.
#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    /// The body alone; hexadecimal after a prefix.
    Body {
        /// The code's header.
        header: &'static str,
        /// What stands before it.
        prefix: &'static str,
        /// The digest.
        digest: Digest,
    },
    /// Body and time, HMAC-SHA-256.
    Timed {
        /// The code's header.
        header: &'static str,
        /// What stands before it.
        prefix: &'static str,
        /// The time's header: seconds since 1970, or a date of RFC 3339.
        time: &'static str,
        /// What comes first.
        order: Order,
        /// Oldest that is taken, milliseconds.
        age_ms_max: i64,
    },
    /// No code: a secret in [`SECRET_HEADER`].
    Secret,
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, which is what some help desks sign with; as HMAC it still holds.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What is signed where the time is signed too, and how the code is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Body, time; hexadecimal.
    BodyTime,
    /// Time, body; base64.
    TimeBody,
    /// Time, a full stop, body; hexadecimal.
    TimeDotBody,
}

/// The check of one help desk's hooks.
pub struct Mac {
    scheme: Scheme,
    secret: Option<Vec<u8>>,
}

impl Mac {
    /// With the secret that the configuration names; without one, every hook is refused.
    pub fn open(scheme: Scheme, config: &HelpDeskConfig) -> Result<Self> {
        let path = config.hook_secret_file.as_deref();
        let secret = path.map(|path| secret(Some(path), "hook_secret_file")).transpose()?;
        Ok(Self { scheme, secret: secret.map(String::into_bytes) })
    }

    /// Refuses what its holder of the secret did not send, and what is too old. Gives what stands for the delivery where the system
    /// itself names none: a digest of everything that was signed.
    pub fn check(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<String, Refused> {
        let Some(secret) = &self.secret else {
            return Err(Refused::Forged("hooks need a hook_secret_file in the configuration".into()));
        };
        match self.scheme {
            Scheme::Body { header, prefix, digest } => {
                let code = code(headers, header, prefix)?;
                genuine(digest.algorithm(), secret, raw, &hexadecimal(code)?)?;
                Ok(delivery(&[raw]))
            }
            Scheme::Timed { header, prefix, time, order, age_ms_max } => {
                let (code, time) = (code(headers, header, prefix)?, self::header(headers, time)?);
                let (signed, code) = match order {
                    Order::BodyTime => ([raw, time.as_bytes()].concat(), hexadecimal(code)?),
                    Order::TimeBody => ([time.as_bytes(), raw].concat(), base64(code)?),
                    Order::TimeDotBody => ([time.as_bytes(), b".", raw].concat(), hexadecimal(code)?),
                };
                genuine(hmac::HMAC_SHA256, secret, &signed, &code)?;
                fresh(time, now_ms, age_ms_max)?;
                Ok(delivery(&[&signed]))
            }
            Scheme::Secret => {
                let said = header(headers, SECRET_HEADER)?;
                let key = Key::new(hmac::HMAC_SHA256, secret);
                // Why: the codes of both are compared, in constant time, and not their letters.
                hmac::verify(&key, said.as_bytes(), hmac::sign(&key, secret).as_ref()).map_err(|_unlike| {
                    Refused::Forged(format!("the secret in {SECRET_HEADER} is not the right one"))
                })?;
                Ok(delivery(&[raw]))
            }
        }
    }

    /// A hook of a system that makes no code and lets its administrator write the body: `{"ticket": "42", "delivery": "…"}`, where the
    /// delivery is what no other hook has, the ticket and the time of its change for instance.
    pub fn plain(&self, headers: &HeaderMap, raw: &[u8], now_ms: i64) -> Result<Hint, Refused> {
        self.check(headers, raw, now_ms)?;
        let body = body(raw)?;
        let ticket =
            word(&body, "/ticket").ok_or_else(|| Refused::Unread("the hook's body has no \"ticket\"".into()))?;
        let delivery = word(&body, "/delivery").ok_or_else(|| {
            Refused::Unread("the hook's body has no \"delivery\": ticket and time of the change, for instance".into())
        })?;
        Ok(Hint { ticket, delivery, told: None })
    }
}

impl Digest {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }
}

/// The body of a hook that has been found genuine.
pub fn body(raw: &[u8]) -> Result<Value, Refused> {
    serde_json::from_slice(raw).map_err(|error| Refused::Unread(format!("the hook's body is no JSON: {error}")))
}

/// A header's text.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if text.is_empty() { Err(Refused::Forged(format!("the header {name} is missing"))) } else { Ok(text) }
}

fn code<'a>(headers: &'a HeaderMap, name: &str, prefix: &str) -> Result<&'a str, Refused> {
    let text = header(headers, name)?;
    text.strip_prefix(prefix).ok_or_else(|| Refused::Forged(format!("the header {name} does not begin with {prefix}")))
}

fn hexadecimal(code: &str) -> Result<Vec<u8>, Refused> {
    HEXLOWER_PERMISSIVE.decode(code.as_bytes()).map_err(|_odd| Refused::Forged("the code is not hexadecimal".into()))
}

fn base64(code: &str) -> Result<Vec<u8>, Refused> {
    BASE64.decode(code.as_bytes()).map_err(|_odd| Refused::Forged("the code is not base64".into()))
}

fn genuine(algorithm: Algorithm, secret: &[u8], signed: &[u8], code: &[u8]) -> Result<(), Refused> {
    hmac::verify(&Key::new(algorithm, secret), signed, code)
        .map_err(|_unlike| Refused::Forged("the code is not the one that the secret gives for this body".into()))
}

fn fresh(time: &str, now_ms: i64, age_ms_max: i64) -> Result<(), Refused> {
    let sent_ms = match time.parse::<i64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_no_number) => time
            .parse::<Timestamp>()
            .map_err(|_odd| Refused::Unread("the hook's time is neither seconds nor a date".into()))?
            .as_millisecond(),
    };
    let age_ms = now_ms.saturating_sub(sent_ms);
    if age_ms > age_ms_max || age_ms < -AHEAD_MS {
        return Err(Refused::Stale(format!("the hook is {} s old by its own time", age_ms / 1_000)));
    }
    Ok(())
}

fn delivery(signed: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in signed {
        context.update(part);
    }
    HEXLOWER.encode(context.finish().as_ref())
}

/// A code over the time and a body, as the generic webhook sends it: `sha256=` and hexadecimal.
pub fn signed(secret: &[u8], time_s: i64, body: &[u8]) -> String {
    let key = Key::new(hmac::HMAC_SHA256, secret);
    let code = hmac::sign(&key, &[time_s.to_string().as_bytes(), b".", body].concat());
    format!("sha256={}", HEXLOWER.encode(code.as_ref()))
}

#[cfg(test)]
mod tests;
