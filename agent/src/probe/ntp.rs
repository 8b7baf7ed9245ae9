//! The clock against each time server that the machine is set up to ask.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::NtpTest;

use super::dns::{random_bytes, why_silent};
use super::step::{Outcome, Taken, VERDICT};
use super::targets::{self, configured, place::Place};
use super::{Asked, Probe, Steps, Unrun};
use crate::collect::Rows;
use crate::host::Host;
use message::Answer;

mod message;

pub(super) const NTP: Probe = Probe { table: NtpTest::TABLE, deadline: Duration::from_secs(20), run };

/// Time servers that are asked.
pub(super) const SERVERS_MAX: usize = 4;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

const PORT: u16 = 123;

/// Past this Kerberos refuses (RFC 4120, 1.6: five minutes are the usual bound).
pub(super) const KERBEROS_MS: f64 = 300_000.0;

/// Past this a clock is not kept.
pub(super) const AMISS_MS: f64 = 1_000.0;

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let servers = match asked.get("target") {
        Some(target) => {
            targets::allowed(host, &asked.policy, target, Some(PORT))?;
            vec![Place::read(target).map_err(Unrun::Refused)?.to_string()]
        }
        None => configured::time_servers(host),
    };
    let mut taken = Taken::new(steps);
    let mut heard: Vec<(String, Option<Answer>)> = Vec::new();
    for server in servers.iter().take(SERVERS_MAX) {
        if taken.steps.time_is_up(host) {
            break;
        }
        let (row, answer) = test(host, server);
        taken.note(row)?;
        heard.push((server.clone(), answer));
    }
    taken.note(verdict(&heard))?;
    Ok(taken.rows())
}

/// One server: its row, and its answer where it is a good one.
fn test(host: &dyn Host, server: &str) -> (NtpTest, Option<Answer>) {
    let row = |outcome: Outcome, found: String| NtpTest {
        step: "server".into(),
        target: server.into(),
        outcome: outcome.word().into(),
        found,
        ..NtpTest::default()
    };
    let addresses = match host.resolve(server) {
        Ok(addresses) => addresses,
        Err(error) => return (row(Outcome::Failed, error.to_string()), None),
    };
    let Some(address) = addresses.first().copied() else {
        return (row(Outcome::Failed, "the name has no address".into()), None);
    };
    match ask(host, address) {
        Err(error) => (NtpTest { address: address.to_string(), ..row(Outcome::Failed, why_silent(&error)) }, None),
        Ok(answer) => {
            let (outcome, found) = said(&answer);
            let told = NtpTest {
                took_ms: Some(answer.delay_ms as u32),
                address: address.to_string(),
                offset_ms: Some(answer.offset_ms),
                delay_ms: Some(answer.delay_ms),
                stratum: Some(answer.stratum),
                leap: answer.leap.into(),
                reference: answer.reference.clone(),
                kiss_code: answer.kiss_code.clone(),
                ..row(outcome, found)
            };
            (told, is_good(&answer).then_some(answer))
        }
    }
}

/// Asks once.
pub(super) fn ask(host: &dyn Host, server: IpAddr) -> anyhow::Result<Answer> {
    let cookie = random_bytes::<8>()?;
    let sent_ms = host.now_ms() as f64;
    let (packet, took) = host.wire().exchange(SocketAddr::new(server, PORT), &message::question(cookie), ANSWER_MAX)?;
    message::answer(&packet, cookie, sent_ms, took.as_secs_f64() * 1_000.0)
}

fn is_good(answer: &Answer) -> bool {
    answer.kiss_code.is_empty() && answer.leap != "unsynchronized" && (1..16).contains(&answer.stratum)
}

fn said(answer: &Answer) -> (Outcome, String) {
    if !answer.kiss_code.is_empty() {
        return (Outcome::Failed, format!("refuses to tell the time ({})", answer.kiss_code));
    }
    if !is_good(answer) {
        return (Outcome::Failed, "answers, but has no time to tell: it follows nobody itself".into());
    }
    let outcome = if answer.offset_ms.abs() > AMISS_MS { Outcome::Failed } else { Outcome::Ok };
    (outcome, format!("this clock is {} (stratum {})", behind(answer.offset_ms), answer.stratum))
}

/// "12 ms ahead", "6 min 40 s behind", by how far the other clock is ahead of this one.
pub(super) fn behind(offset_ms: f64) -> String {
    let side = if offset_ms > 0.0 { "behind" } else { "ahead" };
    let ms = offset_ms.abs();
    let seconds = (ms / 1_000.0).round() as u64;
    let size = match seconds {
        _ if ms < 1_000.0 => format!("{ms:.0} ms"),
        0..120 => format!("{:.1} s", ms / 1_000.0),
        120..7_200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    };
    format!("{size} {side}")
}

/// The middle of the offsets of those that have the time.
pub(super) fn median(mut offsets: Vec<f64>) -> Option<f64> {
    offsets.sort_by(f64::total_cmp);
    offsets.get(offsets.len() / 2).copied()
}

fn verdict(heard: &[(String, Option<Answer>)]) -> NtpTest {
    let good: Vec<&Answer> = heard.iter().filter_map(|(_server, answer)| answer.as_ref()).collect();
    let offset_ms = median(good.iter().map(|answer| answer.offset_ms).collect());
    let silent: Vec<&str> =
        heard.iter().filter(|(_server, answer)| answer.is_none()).map(|(server, _none)| server.as_str()).collect();
    let apart = |offset: f64| good.iter().any(|answer| (answer.offset_ms - offset).abs() > AMISS_MS);
    let (outcome, problem, found) = match (heard, offset_ms) {
        ([], _) => (
            Outcome::Unknown,
            "no-server",
            "No time server is set up on this machine, so its clock cannot be compared.".into(),
        ),
        ([(one, _none)], None) => (Outcome::Failed, "silent", format!("The only time server, {one}, tells no time.")),
        (all, None) => (
            Outcome::Failed,
            "silent",
            format!("None of the {} time servers tells the time: {}.", all.len(), silent.join(", ")),
        ),
        (_, Some(offset)) if apart(offset) => (
            Outcome::Failed,
            "disagree",
            format!(
                "The time servers disagree by more than a second; by most of them this clock is {}.",
                behind(offset)
            ),
        ),
        (_, Some(offset)) if offset.abs() > KERBEROS_MS => (
            Outcome::Failed,
            "offset",
            format!(
                "This machine's clock is {}: signing in by Kerberos and checking certificates fail.",
                behind(offset)
            ),
        ),
        (_, Some(offset)) if offset.abs() > AMISS_MS => {
            (Outcome::Failed, "offset", format!("This machine's clock is {}.", behind(offset)))
        }
        (_, Some(offset)) => {
            let but = if silent.is_empty() { String::new() } else { format!("; {} tells no time", silent.join(", ")) };
            (Outcome::Ok, "", format!("The clock is right: {} by its time servers{but}.", behind(offset)))
        }
    };
    NtpTest {
        step: VERDICT.into(),
        outcome: outcome.word().into(),
        found,
        problem: problem.into(),
        offset_ms,
        ..NtpTest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(offset_ms: f64) -> (String, Option<Answer>) {
        let answer = Answer {
            offset_ms,
            delay_ms: 1.0,
            stratum: 2,
            leap: "none",
            reference: String::new(),
            kiss_code: String::new(),
        };
        ("ntp.example".into(), Some(answer))
    }

    #[test]
    fn the_clock_is_judged_by_the_middle_of_its_servers() {
        let silent = || ("dead.example".to_owned(), None);
        for (heard, problem, outcome) in [
            (vec![], "no-server", "unknown"),
            (vec![silent()], "silent", "failed"),
            (vec![told(3.0), silent()], "", "ok"),
            (vec![told(-1_500.0)], "offset", "failed"),
            (vec![told(400_000.0), told(400_001.0)], "offset", "failed"),
            (vec![told(1.0), told(2.0), told(90_000.0)], "disagree", "failed"),
        ] {
            let row = verdict(&heard);
            assert_eq!((row.problem.as_str(), row.outcome.as_str()), (problem, outcome), "{}", row.found);
        }
        assert_eq!(
            verdict(&[told(400_000.0)]).found,
            "This machine's clock is 6 min 40 s behind: signing in by Kerberos and checking certificates fail."
        );
    }
}
