//! Each name server that the machine is set up to use, asked by itself: whether it answers, how fast, and whether all say the same.

use std::net::IpAddr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::DnsTest;
use simple_dns::TYPE;

use super::step::{Outcome, Taken, VERDICT, ms, since_ms};
use super::targets::configured;
use super::targets::place::{Place, host_and_port};
use super::{Asked, Probe, Steps, Unrun};
use crate::collect::Rows;
use crate::host::Host;
use message::Reply;
use server::{Transport, by, random, silence};
use verdict::Heard;

mod message;
mod server;
mod verdict;

pub(super) use server::{ask, random as random_bytes, silence as why_silent};

pub(super) const DNS: Probe = Probe { table: DnsTest::TABLE, deadline: Duration::from_secs(40), run };

/// Name servers that are asked.
const SERVERS_MAX: usize = 6;

/// Names that are asked for.
const NAMES_MAX: usize = 3;

/// Times that a server is asked for a name over UDP.
const TRIES: usize = 3;

/// A name that exists where addresses of IPv6 are made from those of IPv4 (RFC 7050).
const DNS64_NAME: &str = "ipv4only.arpa";

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let (type_name, kind) = match asked.get("type") {
        Some(name) => message::kind(name).ok_or_else(|| {
            Unrun::Refused(format!(
                "{name:?} is no type that can be asked for: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT"
            ))
        })?,
        None => ("A", TYPE::A),
    };
    let names = names(asked)?;
    let mut servers = configured::name_servers(host);
    servers.truncate(SERVERS_MAX);
    let mut taken = Taken::new(steps);
    let mut heard = Vec::new();
    let absent = absent(host)?;
    for server in &servers {
        let mut of_server = Heard::new(*server);
        for name in &names {
            tried(host, &mut taken, &mut of_server, name, (type_name, kind))?;
        }
        missing(host, &mut taken, &mut of_server, &absent)?;
        heard.push(of_server);
    }
    if let Some(first) = heard.iter().find(|heard| heard.answers()).map(|heard| heard.server) {
        dns64(host, &mut taken, first)?;
    }
    let mut system = None;
    if let Some(name) = names.first().filter(|_name| matches!(kind, TYPE::A | TYPE::AAAA)) {
        system = Some(by_system(host, &mut taken, name)?);
    }
    let said = verdict::of(&heard, &names, system.as_ref());
    let row =
        |row: DnsTest| DnsTest { step: VERDICT.into(), target: asked.get("name").unwrap_or_default().into(), ..row };
    taken.note(row(DnsTest {
        outcome: said.outcome.word().into(),
        found: said.sentence,
        problem: said.problem.into(),
        took_ms: said.median_ms,
        ..DnsTest::default()
    }))?;
    Ok(taken.rows())
}

/// What is asked for: the name that was given, else those that matter here.
fn names(asked: &Asked) -> Result<Vec<String>, Unrun> {
    if let Some(name) = asked.get("name") {
        let name = Place::read(name).map_err(Unrun::Refused)?.to_string();
        return Ok(vec![name]);
    }
    let listed = asked.server.addresses.iter().chain([&asked.policy.help_desk]).chain(&asked.policy.targets);
    let mut names: Vec<String> = Vec::new();
    for line in listed {
        let host = host_and_port(line).map(|(host, _port)| host).unwrap_or_default();
        if let Ok(Place::Name(name)) = Place::read(host)
            && !names.contains(&name)
            && name.contains('.')
        {
            names.push(name);
        }
    }
    names.truncate(NAMES_MAX);
    Ok(names)
}

/// Names that nobody has: below the search domain, and below a domain that is nobody's (RFC 2606).
fn absent(host: &dyn Host) -> anyhow::Result<Vec<String>> {
    let label = format!("deskside-{}", data_encoding::HEXLOWER.encode(&random::<8>()?));
    let domain = configured::search_domains(host).into_iter().find(|domain| Place::read(domain).is_ok());
    Ok(domain.into_iter().chain(["example".to_owned()]).map(|domain| format!("{label}.{domain}")).collect())
}

/// A server asked for a name that should be there, over UDP several times and over TCP once.
fn tried(
    host: &dyn Host,
    taken: &mut Taken<'_, '_, DnsTest>,
    heard: &mut Heard,
    name: &str,
    (type_name, kind): (&str, TYPE),
) -> Result<(), Unrun> {
    for transport in [Transport::Udp, Transport::Tcp] {
        if taken.steps.time_is_up(host) {
            return Ok(());
        }
        let tries = if transport == Transport::Udp { TRIES } else { 1 };
        let (mut times, mut reply, mut why, mut asked) = (Vec::new(), None, String::new(), 0);
        for _try in 0..tries {
            asked += 1;
            match by(host, heard.server, name, kind, transport) {
                Ok((answer, took)) => {
                    times.push(ms(took));
                    reply = Some(answer);
                }
                // Why no third try: two silences in a row are enough of an answer.
                Err(error) => {
                    why = silence(&error);
                    if reply.is_none() && asked == 2 {
                        break;
                    }
                }
            }
        }
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied();
        let (outcome, found) = said(reply.as_ref(), &why, transport);
        heard.take(name, transport, reply.as_ref(), &times, &why);
        taken.note(DnsTest {
            step: "server".into(),
            target: heard.server.to_string(),
            outcome: outcome.word().into(),
            found,
            took_ms: median,
            name: name.into(),
            r#type: type_name.into(),
            transport: transport.word().into(),
            asked: u32::try_from(asked).ok(),
            answered: u32::try_from(times.len()).ok(),
            slowest_ms: times.last().copied(),
            ..of_reply(reply.as_ref())
        })?;
    }
    Ok(())
}

fn of_reply(reply: Option<&Reply>) -> DnsTest {
    let Some(reply) = reply else { return DnsTest::default() };
    DnsTest {
        rcode: reply.rcode.clone(),
        answers: reply.answers.clone(),
        truncated: Some(reply.truncated),
        recursion_available: Some(reply.recursion_available),
        edns: Some(reply.edns),
        ..DnsTest::default()
    }
}

/// Why silence over TCP is not failed: small routers often do not offer it, and what fits into a datagram needs it not.
fn said(reply: Option<&Reply>, why: &str, transport: Transport) -> (Outcome, String) {
    match reply {
        None if transport == Transport::Tcp => {
            (Outcome::Unknown, format!("{why} over TCP; answers too large for one datagram would not come"))
        }
        None => (Outcome::Failed, why.to_owned()),
        Some(reply) if reply.rcode == "NOERROR" && reply.answers.is_empty() => {
            (Outcome::Ok, "the name is there, and has no record of this type".into())
        }
        Some(reply) if reply.rcode == "NOERROR" => (Outcome::Ok, reply.answers.join(", ")),
        Some(reply) if reply.rcode == "NXDOMAIN" => {
            (Outcome::Failed, "says that there is no such name (NXDOMAIN)".into())
        }
        Some(reply) => (Outcome::Failed, format!("answers with {}", reply.rcode)),
    }
}

/// A server asked for names that are nobody's. One that makes up an answer below a domain with a wildcard is no liar: the other name tells.
fn missing(
    host: &dyn Host,
    taken: &mut Taken<'_, '_, DnsTest>,
    heard: &mut Heard,
    names: &[String],
) -> Result<(), Unrun> {
    let mut made_up = 0;
    for (place, name) in names.iter().enumerate() {
        let last = place + 1 == names.len();
        if (made_up < place && last) || taken.steps.time_is_up(host) {
            continue;
        }
        let asked = by(host, heard.server, name, TYPE::A, Transport::Udp);
        let answered = asked.as_ref().is_ok_and(|(reply, _took)| !reply.addresses.is_empty());
        made_up += usize::from(answered);
        let (outcome, found) = match &asked {
            Ok((reply, _took)) if answered && last => {
                heard.hijacks = true;
                (Outcome::Failed, format!("answers {} for a name that nobody has", reply.answers.join(", ")))
            }
            Ok((reply, _took)) if answered => {
                (Outcome::Ok, format!("answers {} for every name below this domain", reply.answers.join(", ")))
            }
            Ok((reply, _took)) => {
                heard.times.push(ms(asked.as_ref().map(|(_reply, took)| *took).unwrap_or_default()));
                heard.answered = true;
                (Outcome::Ok, format!("{}, as it should be", reply.rcode))
            }
            Err(error) => {
                if heard.why.is_empty() {
                    heard.why = silence(error);
                }
                (Outcome::Failed, silence(error))
            }
        };
        taken.note(DnsTest {
            step: "absent".into(),
            target: heard.server.to_string(),
            outcome: outcome.word().into(),
            found,
            took_ms: asked.as_ref().ok().map(|(_reply, took)| ms(*took)),
            name: name.clone(),
            r#type: "A".into(),
            transport: "udp".into(),
            ..of_reply(asked.as_ref().ok().map(|(reply, _took)| reply))
        })?;
    }
    Ok(())
}

/// Whether addresses of IPv6 are made up from those of IPv4, as where a network has no IPv4 of its own.
fn dns64(host: &dyn Host, taken: &mut Taken<'_, '_, DnsTest>, server: IpAddr) -> Result<(), Unrun> {
    if taken.steps.time_is_up(host) {
        return Ok(());
    }
    let asked = by(host, server, DNS64_NAME, TYPE::AAAA, Transport::Udp);
    let (outcome, found) = match &asked {
        Ok((reply, _took)) if reply.addresses.is_empty() => (Outcome::Ok, "no addresses of IPv6 are made up".into()),
        Ok((reply, _took)) => (Outcome::Ok, format!("addresses of IPv6 are made up: {}", reply.answers.join(", "))),
        Err(error) => (Outcome::Unknown, silence(error)),
    };
    taken.note(DnsTest {
        step: "dns64".into(),
        target: server.to_string(),
        outcome: outcome.word().into(),
        found,
        took_ms: asked.as_ref().ok().map(|(_reply, took)| ms(*took)),
        name: DNS64_NAME.into(),
        r#type: "AAAA".into(),
        transport: "udp".into(),
        ..of_reply(asked.as_ref().ok().map(|(reply, _took)| reply))
    })
}

/// As programs ask.
fn by_system(
    host: &dyn Host,
    taken: &mut Taken<'_, '_, DnsTest>,
    name: &str,
) -> Result<Result<Vec<IpAddr>, String>, Unrun> {
    let begun_ms = host.now_ms();
    let found = host.resolve(name).map_err(|error| error.to_string());
    let (outcome, words) = match &found {
        Ok(addresses) => (Outcome::Ok, addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        Err(why) => (Outcome::Failed, why.clone()),
    };
    taken.note(DnsTest {
        step: "system".into(),
        target: "this machine's resolver".into(),
        outcome: outcome.word().into(),
        found: words,
        took_ms: Some(since_ms(host, begun_ms)),
        name: name.into(),
        answers: found.iter().flatten().map(ToString::to_string).collect(),
        ..DnsTest::default()
    })?;
    Ok(found)
}
