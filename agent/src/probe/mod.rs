//! What can be tested: one probe a table of the same name, one line a probe in [`ALL`].
//!
//! A probe acts, where a collector only looks: it is bounded, it runs when it is asked to, and it reaches nothing that the machine is not already
//! set up to reach. What it may be told and what it answers stands in the contract, at its table.

use std::sync::Arc;
use std::time::Duration;

use deskside_proto::catalog;
use deskside_proto::v1::{Policy, Reading};

use crate::collect::{self, Rows};
use crate::host::Host;

pub use arguments::Arguments;
pub use errand::Errand;

mod arguments;
mod captive;
mod capture;
mod destination;
mod dns;
mod duplicate_ip;
mod errand;
mod gateway_path;
mod http;
mod icmp;
mod mtu;
mod now;
mod ntp;
mod ping;
mod print_path;
mod reached;
mod step;
mod targets;
mod tcp;
mod tls;
mod trace;

/// Every probe there is.
pub const ALL: &[Probe] = &[
    capture::CAPTURE,
    duplicate_ip::DUPLICATE_IP,
    print_path::PRINT_PATH,
    ping::PING,
    trace::TRACE,
    mtu::MTU,
    tcp::TCP,
    dns::DNS,
    tls::TLS,
    http::HTTP,
    captive::CAPTIVE,
    ntp::NTP,
    gateway_path::GATEWAY_PATH,
];

/// Probes that run at the same time; the others wait.
pub const AT_ONCE_MAX: usize = 2;

/// A bounded test.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The table that its rows belong to, whose name is its own.
    pub table: &'static str,
    /// How long it may take; past it, it says what it has not done.
    pub deadline: Duration,
    /// How it tests. It blocks, and no longer at one step than the door does.
    pub run: fn(&dyn Host, &Asked, &mut Steps<'_>) -> anyhow::Result<Rows>,
}

/// What a probe is asked to do, and what it may.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// What is said to it.
    pub arguments: Arguments,
    /// The policy in force.
    pub policy: Policy,
    /// This device's server.
    pub server: Server,
    /// On whose behalf something is taken, where something is.
    pub errand: Arc<Errand>,
}

/// The Deskside server of this device; empty where it is not enrolled.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Where it listens, most likely first: "host:port".
    pub addresses: Vec<String>,
    /// The certificate of its CA, DER.
    pub ca: Vec<u8>,
}

impl Asked {
    /// An argument; absent where it was left out.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.arguments.get(name)
    }
}

/// Why a probe did not run to its end. Anything else that goes wrong is a reading with an outcome.
#[derive(Debug, thiserror::Error)]
pub enum Unrun {
    /// It was asked for something that there is not.
    #[error("{0}")]
    Refused(String),
    /// The one who asked has gone.
    #[error("stopped, since nobody waits for the answer")]
    Stopped,
}

/// The way back to the one who asked, while a probe runs.
pub struct Steps<'a> {
    tell: &'a mut dyn FnMut(String) -> bool,
    until_ms: i64,
}

impl Steps<'_> {
    /// Says what was just done. It fails where nobody listens any more, and then the probe ends.
    pub fn tell(&mut self, words: impl Into<String>) -> Result<(), Unrun> {
        if (self.tell)(words.into()) { Ok(()) } else { Err(Unrun::Stopped) }
    }

    /// Whether somebody still listens, without a word. It fails where nobody does.
    pub fn still_wanted(&mut self) -> Result<(), Unrun> {
        self.tell("")
    }

    /// The probe's time is up: what is left is not done, and that is said.
    pub fn time_is_up(&self, host: &dyn Host) -> bool {
        host.now_ms() >= self.until_ms
    }
}

/// A probe by name; where there is none, what there is.
pub fn named(name: &str) -> Result<&'static Probe, Unrun> {
    let known = || ALL.iter().map(|probe| probe.table).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().find(|probe| probe.table == name);
    found.ok_or_else(|| Unrun::Refused(format!("there is no probe {name:?}; this agent has {}", known())))
}

/// What is said to a probe, as it understands it.
fn understood(probe: &Probe, words: &[String]) -> Result<Arguments, Unrun> {
    let options = catalog::table(probe.table).and_then(|table| table.probe.clone()).unwrap_or_default();
    Arguments::read(probe.table, &options, words).map_err(Unrun::Refused)
}

/// Whether a probe takes something that belongs to a ticket and that somebody must agree to.
pub fn takes(probe: &Probe) -> bool {
    catalog::table(probe.table).and_then(|table| table.probe.as_ref()).is_some_and(|options| options.evidence)
}

/// What a probe would take, in words for the person who is to agree.
pub fn described(probe: &Probe, host: &dyn Host, words: &[String]) -> Result<String, Unrun> {
    capture::described(host, &understood(probe, words)?)
}

/// Runs a probe to its end. The device's own server may be reached whatever policy lists. `tell` gets each step as it is done, and answers false where nobody listens any more; no words ask only that.
pub fn run(
    probe: &Probe,
    host: &dyn Host,
    words: &[String],
    policy: &Policy,
    server: &Server,
    tell: &mut dyn FnMut(String) -> bool,
) -> Result<Reading, Unrun> {
    run_for(Errand::default(), probe, host, words, (policy, server), tell)
}

/// The same, on somebody's behalf.
pub fn run_for(
    errand: Errand,
    probe: &Probe,
    host: &dyn Host,
    words: &[String],
    (policy, server): (&Policy, &Server),
    tell: &mut dyn FnMut(String) -> bool,
) -> Result<Reading, Unrun> {
    let arguments = understood(probe, words)?;
    let mut asked = Asked { arguments, policy: policy.clone(), server: server.clone(), errand: Arc::new(errand) };
    asked.policy.targets.extend_from_slice(&server.addresses);
    let time_ms = i64::try_from(probe.deadline.as_millis()).unwrap_or(i64::MAX);
    let mut steps = Steps { tell, until_ms: host.now_ms().saturating_add(time_ms) };
    let mut unrun = None;
    let reading = collect::reading(probe.table, host, || {
        (probe.run)(host, &asked, &mut steps).or_else(|error| {
            unrun = Some(error.downcast::<Unrun>()?);
            Ok(Rows::none())
        })
    });
    unrun.map_or(Ok(reading), Err)
}

/// Words as a sentence: with a capital letter and a full stop.
fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let capital: String = chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default();
    format!("{capital}.")
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::Kind;

    use super::*;

    #[test]
    fn every_probe_has_a_table_that_says_so_and_every_such_table_a_probe() {
        for probe in ALL {
            let table = catalog::table(probe.table).expect(probe.table);
            assert!(table.probe.is_some() && table.kind() == Kind::Event, "{}", probe.table);
            for column in ["outcome", "found"] {
                assert!(catalog::column(table, column).is_some(), "{} lacks {column}", probe.table);
            }
        }
        for table in catalog::tables().iter().filter(|table| table.probe.is_some()) {
            assert!(named(&table.name).is_ok(), "{} is not in probe::ALL", table.name);
        }
    }

    #[test]
    fn a_probe_that_is_not_there_is_answered_with_those_that_are() {
        let error = named("print_paths").unwrap_err().to_string();
        assert!(error.contains("print_paths") && error.contains("print_path"), "{error}");
    }
}
