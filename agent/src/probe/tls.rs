//! A TLS handshake with a service: the certificates that it shows, whether this machine trusts them, and if not, why.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{Certificate, TlsTest};

use super::reached::{Obstacle, Unreached, reach};
use super::step::{Outcome, Taken, VERDICT, since_ms};
use super::targets::place::{Place, host_and_port};
use super::{Asked, Probe, Steps, Unrun, targets};
use crate::collect::{Rows, x509};
use crate::host::Host;

mod handshake;
mod trust;

pub(super) use handshake::{Shaken, shake};
pub(super) use trust::{day, distrusted, only, roots};

pub(super) const TLS: Probe = Probe { table: TlsTest::TABLE, deadline: Duration::from_secs(25), run };

/// How long one part of the handshake may take.
pub(super) const SHAKE_MAX: Duration = Duration::from_secs(4);

const PORT: u16 = 443;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A certificate that ends within these days is told as ending (diagnosis L13).
pub(super) const SOON_DAYS: i64 = 14;

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let target = asked.get("target").unwrap_or_default();
    let wrong = || Unrun::Refused(format!("{target:?} is no host with a port, as in \"intranet.example:443\""));
    let (name, port) = host_and_port(target).ok_or_else(wrong)?;
    let port = port.unwrap_or(PORT);
    targets::allowed(host, &asked.policy, name, Some(port))?;
    let place = Place::read(name).map_err(Unrun::Refused)?.to_string();
    let name = match asked.get("name") {
        Some(name) => Place::read(name).map_err(Unrun::Refused)?.to_string(),
        None => place.clone(),
    };
    let target = super::targets::place::joined(&place, port);
    let mut taken = Taken::new(steps);
    let verdict = test(host, &mut taken, &place, port, &name)?;
    taken.note(TlsTest { step: VERDICT.into(), target, ..verdict })?;
    Ok(taken.rows())
}

/// All steps; the verdict.
fn test(
    host: &dyn Host,
    taken: &mut Taken<'_, '_, TlsTest>,
    place: &str,
    port: u16,
    name: &str,
) -> Result<TlsTest, Unrun> {
    let target = super::targets::place::joined(place, port);
    let step = |step: &str, outcome: Outcome, found: String, took_ms: Option<u32>| TlsTest {
        step: step.into(),
        target: target.clone(),
        outcome: outcome.word().into(),
        found,
        took_ms,
        ..TlsTest::default()
    };
    let failed = |problem: &str, found: String| TlsTest {
        outcome: Outcome::Failed.word().into(),
        problem: problem.into(),
        found,
        ..TlsTest::default()
    };
    let mut reached = match reach(host, place, port) {
        Ok(reached) => reached,
        Err(Unreached::Unresolved(why)) => {
            taken.note(step("resolve", Outcome::Failed, why.clone(), None))?;
            return Ok(failed("unresolved", format!("The name {place} cannot be resolved: {why}.")));
        }
        Err(unreached @ Unreached::Unconnected(..)) => {
            taken.note(step("connect", Outcome::Failed, unreached.words(), None))?;
            return Ok(failed("unreachable", format!("{target} cannot be connected to: {}.", unreached.words())));
        }
    };
    taken.note(step("connect", Outcome::Ok, reached.address.to_string(), Some(reached.connect_ms)))?;
    let (store, no_roots) = match roots(host) {
        Ok(store) => (store, None),
        Err(why) => (rustls::RootCertStore::empty(), Some(why)),
    };
    let begun_ms = host.now_ms();
    let shaken = reached
        .stream
        .wait(SHAKE_MAX)
        .map_err(anyhow::Error::from)
        .and_then(|()| shake(reached.stream.as_mut(), name, store, &[]));
    let shaken = match shaken {
        Ok(shaken) => shaken,
        Err(error) => {
            let why = no_tls(&error);
            taken.note(step("handshake", Outcome::Failed, why.clone(), Some(since_ms(host, begun_ms))))?;
            return Ok(failed("no-tls", format!("{target} is reached, but TLS with it fails: {why}.")));
        }
    };
    let agreed = format!("{}, {}", shaken.protocol, shaken.cipher);
    taken.note(step("handshake", Outcome::Ok, agreed, Some(since_ms(host, begun_ms))))?;
    let chain = certificates(&shaken);
    for certificate in &chain {
        taken.note(of_certificate(
            step("certificate", Outcome::Ok, certificate.subject.clone(), None),
            certificate,
            host.now_ms(),
        ))?;
    }
    let judged = judge(host, &target, &shaken, &chain, no_roots);
    taken.note(step("trust", outcome(&judged.outcome), judged.found.clone(), None))?;
    let verdict = TlsTest { protocol: shaken.protocol, cipher: shaken.cipher, ..judged };
    Ok(chain.first().map_or(verdict.clone(), |own| of_certificate(verdict, own, host.now_ms())))
}

fn outcome(word: &str) -> Outcome {
    let all = [Outcome::Ok, Outcome::Failed, Outcome::NotDone];
    all.into_iter().find(|outcome| outcome.word() == word).unwrap_or(Outcome::Unknown)
}

/// What the certificates come to.
fn judge(host: &dyn Host, target: &str, shaken: &Shaken, chain: &[Certificate], no_roots: Option<String>) -> TlsTest {
    let own = chain.first();
    let local = trust::local_roots(host);
    let issuers = || chain.iter().map(|certificate| &certificate.issuer);
    let local_root = local.map(|subjects| issuers().any(|issuer| subjects.contains(issuer)));
    let days_left = own.map(|own| days(own.not_after_ms, host.now_ms()));
    let (outcome, problem, found) = match (&shaken.distrust, no_roots, days_left) {
        (Some(_error), Some(why), _) => {
            (Outcome::Unknown, "", format!("Whether {target} is to be trusted could not be seen: {why}."))
        }
        (Some(error), None, _) => {
            let (problem, why) = distrusted(error, own, chain.len(), host.now_ms());
            (Outcome::Failed, problem, format!("{target} is not trusted: {why}."))
        }
        (None, _, Some(days)) if days < SOON_DAYS => {
            let until = own.map(|own| day(own.not_after_ms)).unwrap_or_default();
            (Outcome::Failed, "expiring", format!("The certificate of {target} ends on {until}, in {days} days."))
        }
        (None, _, days) => {
            let days = days.map(|days| format!(", its certificate for {days} more days")).unwrap_or_default();
            let by = if local_root == Some(true) {
                "; it was signed under a root that was added to this machine by hand"
            } else {
                ""
            };
            (Outcome::Ok, "", format!("TLS with {target} works: {}{days}{by}.", shaken.protocol))
        }
    };
    TlsTest { outcome: outcome.word().into(), problem: problem.into(), found, local_root, ..TlsTest::default() }
}

/// The chain, read.
pub(super) fn certificates(shaken: &Shaken) -> Vec<Certificate> {
    shaken.chain.iter().flat_map(|der| x509::certificates(der, "", "").0).collect()
}

fn of_certificate(row: TlsTest, certificate: &Certificate, now_ms: i64) -> TlsTest {
    TlsTest {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        names: certificate.names.clone(),
        not_before_ms: Some(certificate.not_before_ms),
        not_after_ms: Some(certificate.not_after_ms),
        days_left: Some(days(certificate.not_after_ms, now_ms)),
        sha256: certificate.sha256.clone(),
        ..row
    }
}

/// Whole days until a moment; below zero after it.
pub(super) fn days(until_ms: i64, now_ms: i64) -> i64 {
    until_ms.saturating_sub(now_ms).div_euclid(DAY_MS)
}

/// Why a handshake did not come to its end.
pub(super) fn no_tls(error: &anyhow::Error) -> String {
    match error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(error) => match Obstacle::of(error) {
            Obstacle::Silence => "the service says nothing more after the connection was opened".into(),
            Obstacle::Reset => "the connection was broken off in the middle".into(),
            Obstacle::Other(words) if words.contains("corrupt message") => "what answers there is not TLS".into(),
            other => other.words(),
        },
        None => format!("{error:#}"),
    }
}
