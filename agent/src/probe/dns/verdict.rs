//! What all name servers' answers come to.

use std::net::IpAddr;

use super::message::Reply;
use super::server::Transport;
use crate::probe::step::Outcome;

/// A median above this is slow (diagnosis N05: 20 names that are not cached).
const SLOW_MS: u32 = 100;

/// What one server answered.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) server: IpAddr,
    /// It answered something at all.
    pub(super) answered: bool,
    /// By name: its response code over UDP.
    pub(super) rcodes: Vec<(String, String)>,
    /// All times over UDP.
    pub(super) times: Vec<u32>,
    /// Why it did not answer.
    pub(super) why: String,
    /// It answers for names that nobody has.
    pub(super) hijacks: bool,
    /// It did not answer over TCP what it did over UDP.
    pub(super) no_tcp: bool,
}

impl Heard {
    pub(super) fn new(server: IpAddr) -> Self {
        Self {
            server,
            answered: false,
            rcodes: Vec::new(),
            times: Vec::new(),
            why: String::new(),
            hijacks: false,
            no_tcp: false,
        }
    }

    pub(super) fn answers(&self) -> bool {
        self.answered
    }

    /// What came of asking for one name over one transport.
    pub(super) fn take(&mut self, name: &str, transport: Transport, reply: Option<&Reply>, times: &[u32], why: &str) {
        match (reply, transport) {
            (Some(reply), Transport::Udp) => {
                self.answered = true;
                self.rcodes.push((name.to_owned(), reply.rcode.clone()));
                self.times.extend(times);
            }
            (Some(_reply), Transport::Tcp) => self.answered = true,
            (None, Transport::Udp) => why.clone_into(&mut self.why),
            (None, Transport::Tcp) => self.no_tcp = self.answered,
        }
    }

    fn median_ms(&self) -> Option<u32> {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) outcome: Outcome,
    pub(super) problem: &'static str,
    pub(super) sentence: String,
    pub(super) median_ms: Option<u32>,
}

/// Names the first thing that is wrong, the worst first.
pub(super) fn of(heard: &[Heard], names: &[String], system: Option<&Result<Vec<IpAddr>, String>>) -> Said {
    let mut times: Vec<u32> = heard.iter().flat_map(|heard| heard.times.iter().copied()).collect();
    times.sort_unstable();
    let median_ms = times.get(times.len() / 2).copied();
    let said = |outcome, problem, sentence: String| Said { outcome, problem, sentence, median_ms };
    if heard.is_empty() {
        return said(
            Outcome::Failed,
            "no-server",
            "No name server is set up on this machine, so no name can be resolved.".into(),
        );
    }
    let (alive, dead): (Vec<&Heard>, Vec<&Heard>) = heard.iter().partition(|heard| heard.answered);
    if alive.is_empty() {
        let why = dead.first().map(|heard| heard.why.as_str()).unwrap_or_default();
        let sentence = match dead.as_slice() {
            [one] => format!("The only name server, {}, does not answer: {why}.", one.server),
            all => format!("None of the {} name servers answers ({}): {why}.", all.len(), list(all)),
        };
        return said(Outcome::Failed, "dead", sentence);
    }
    if let Some((server, rcode)) = refused(&alive) {
        return said(
            Outcome::Failed,
            "refused",
            format!("The name server {server} refuses this machine's questions ({rcode})."),
        );
    }
    if let Some(liar) = alive.iter().find(|heard| heard.hijacks) {
        let sentence = format!(
            "The name server {} answers for names that nobody has: its answers are made up on the way.",
            liar.server
        );
        return said(Outcome::Failed, "hijacked", sentence);
    }
    for name in names {
        if let Some(found) = differing(&alive, name).or_else(|| missing(&alive, name)) {
            return said(Outcome::Failed, found.0, found.1);
        }
    }
    if let [first, ..] = dead.as_slice() {
        let sentence = format!(
            "The name server {} does not answer ({}), while {} does; each name may wait for it.",
            list(&dead),
            first.why,
            list(&alive)
        );
        return said(Outcome::Failed, "dead-server", sentence);
    }
    let slow =
        alive.iter().filter_map(|heard| Some((heard.server, heard.median_ms()?))).find(|(_server, ms)| *ms > SLOW_MS);
    if let Some((server, ms)) = slow {
        return said(
            Outcome::Failed,
            "slow",
            format!("The name server {server} answers slowly: {ms} ms in the middle of its answers."),
        );
    }
    if let Some(Err(why)) = system {
        let sentence =
            format!("The name servers answer, but this machine's own resolver does not find the name: {why}.");
        return said(Outcome::Failed, "differs", sentence);
    }
    let fast = median_ms.map(|ms| format!(" within {} ms", ms.max(1))).unwrap_or_default();
    let servers = if alive.len() == 1 { "The name server answers" } else { "All name servers answer" };
    let tcp = if alive.iter().any(|heard| heard.no_tcp) { "; not all do over TCP" } else { "" };
    let tested = if names.is_empty() { "; no name of this network is known to ask for" } else { "" };
    said(Outcome::Ok, "", format!("{servers}{fast}{tcp}{tested}: resolving names works."))
}

fn list(all: &[&Heard]) -> String {
    all.iter().map(|heard| heard.server.to_string()).collect::<Vec<_>>().join(", ")
}

fn refused(alive: &[&Heard]) -> Option<(IpAddr, String)> {
    let failing = |rcode: &str| matches!(rcode, "REFUSED" | "SERVFAIL" | "NOTIMP");
    alive.iter().find_map(|heard| {
        let all = !heard.rcodes.is_empty() && heard.rcodes.iter().all(|(_name, rcode)| failing(rcode));
        all.then(|| heard.rcodes.first().map(|(_name, rcode)| (heard.server, rcode.clone()))).flatten()
    })
}

/// One server knows a name that another denies.
fn differing(alive: &[&Heard], name: &str) -> Option<(&'static str, String)> {
    let with = |wanted: &str| {
        let of = |heard: &&&Heard| heard.rcodes.iter().any(|(other, rcode)| other == name && rcode == wanted);
        alive.iter().find(of).map(|heard| heard.server)
    };
    let (there, denied) = (with("NOERROR")?, with("NXDOMAIN")?);
    Some((
        "differs",
        format!(
            "The name server {there} knows {name}, and {denied} says that there is no such name: they do not serve the same network."
        ),
    ))
}

fn missing(alive: &[&Heard], name: &str) -> Option<(&'static str, String)> {
    let rcodes = || alive.iter().flat_map(|heard| &heard.rcodes).filter(|(other, _rcode)| other == name);
    let denied = rcodes().count() > 0 && rcodes().all(|(_name, rcode)| rcode == "NXDOMAIN");
    let who = if alive.len() == 1 { "the name server".to_owned() } else { format!("all {} name servers", alive.len()) };
    denied.then(|| ("missing", format!("There is no name {name} by the word of {who}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(server: u8, rcode: &str, times: &[u32]) -> Heard {
        let rcodes = if rcode.is_empty() { Vec::new() } else { vec![("a.example".into(), rcode.into())] };
        Heard {
            answered: !rcode.is_empty(),
            rcodes,
            times: times.to_vec(),
            why: if rcode.is_empty() { "no answer in time".into() } else { String::new() },
            ..Heard::new(IpAddr::from([192, 0, 2, server]))
        }
    }

    fn problem(heard: &[Heard]) -> &'static str {
        of(heard, &["a.example".to_owned()], None).problem
    }

    #[test]
    fn the_worst_is_named_first() {
        let well = || heard(1, "NOERROR", &[2, 3, 900]);
        assert_eq!(problem(&[]), "no-server");
        assert_eq!(problem(&[heard(2, "", &[])]), "dead");
        assert_eq!(problem(&[well(), heard(2, "", &[])]), "dead-server");
        assert_eq!(problem(&[well(), heard(2, "NXDOMAIN", &[2])]), "differs");
        assert_eq!(problem(&[heard(1, "NXDOMAIN", &[2]), heard(2, "NXDOMAIN", &[2])]), "missing");
        assert_eq!(problem(&[heard(1, "REFUSED", &[2])]), "refused");
        assert_eq!(problem(&[Heard { hijacks: true, ..well() }]), "hijacked");
        assert_eq!(problem(&[heard(1, "NOERROR", &[150, 400, 200])]), "slow");
        assert_eq!(problem(&[well(), Heard { no_tcp: true, ..well() }]), "");
        let own = of(&[well()], &["a.example".to_owned()], Some(&Err("no".into())));
        assert_eq!(own.problem, "differs");
    }

    #[test]
    fn one_slow_answer_is_no_slow_server() {
        let said = of(&[heard(1, "NOERROR", &[2, 3, 1_900])], &["a.example".to_owned()], None);
        assert_eq!(
            (said.outcome, said.sentence.as_str()),
            (Outcome::Ok, "The name server answers within 3 ms: resolving names works.")
        );
    }
}
