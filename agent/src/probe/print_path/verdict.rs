//! One sentence for the whole way: which step breaks it, and which steps before it are fine.

use deskside_proto::v1::Printer;

use super::place::{Place, Way};
use super::{Outcome, Step};

/// The name of the last row.
pub(super) const STEP: &str = "verdict";

/// How the answer of another print server begins.
pub(super) const REMOTE: &str = "the queue there is";

/// The steps behind the print server.
const BEHIND: [&str; 5] = ["resolve", "route", "port", "answer", "device"];

/// The sentence, and the step that it names.
pub(super) struct Verdict {
    pub(super) step: Step,
    pub(super) broken_at: &'static str,
}

/// Weighs the steps that were taken.
pub(super) fn of(queue: &Printer, place: &Place, taken: &[Step]) -> Verdict {
    let trouble =
        taken.iter().find(|step| step.name == "queue" && step.outcome == Outcome::Failed).map(|_step| trouble(queue));
    let broken = taken.iter().find(|step| step.name != "queue" && step.outcome == Outcome::Failed);
    let device = named(place);
    // Why the later one: an error stops the queue because of what lies behind it; a person's pause has a reason of its own.
    let broken_at = match (&trouble, broken) {
        (Some(_trouble), None) => "queue",
        (Some(_trouble), Some(_step)) if queue.paused_by == "person" => "queue",
        (_, Some(step)) => step.name,
        (None, None) => "",
    };
    let sentence = match (trouble, broken) {
        (Some(trouble), Some(step)) => {
            format!("Queue {} {trouble}, and {}{}.", queue.name, clause(step, queue, place, &device), fine(step, taken))
        }
        (Some(trouble), None) => format!("Queue {} {trouble}{}.", queue.name, behind(queue, taken, &device)),
        (None, Some(step)) => format!("{}{}.", capital(&clause(step, queue, place, &device)), fine(step, taken)),
        (None, None) => whole(queue, taken, &device),
    };
    let outcome = match broken_at {
        "" if is_ok(taken, "port") || is_ok(taken, "device") => Outcome::Ok,
        "" => Outcome::Unknown,
        _ => Outcome::Failed,
    };
    let step = Step { name: STEP, target: queue.device_uri.clone(), outcome, found: sentence, took_ms: None };
    Verdict { step, broken_at }
}

fn step<'a>(taken: &'a [Step], name: &str) -> Option<&'a Step> {
    taken.iter().find(|step| step.name == name)
}

fn is_ok(taken: &[Step], name: &str) -> bool {
    step(taken, name).is_some_and(|step| step.outcome == Outcome::Ok)
}

/// What the queue itself suffers.
fn trouble(queue: &Printer) -> String {
    let said = if queue.state_message.is_empty() { String::new() } else { format!(" (\"{}\")", queue.state_message) };
    match queue.state.as_str() {
        "stopped" if queue.paused_by == "person" => "was paused by a person".into(),
        "stopped" => format!("is stopped{said}"),
        _ => format!("takes no new jobs{said}"),
    }
}

/// What the queue's jobs go to.
fn named(place: &Place) -> String {
    match place {
        Place::Network { host, remote_queue: true, .. } => format!("the print server at {host}"),
        Place::Network { host, way: Way::Behind, .. } => format!("the server at {host}"),
        Place::Network { host, .. } => format!("the printer at {host}"),
        Place::Announced { instance } => {
            format!("the printer {}", instance.split("._").next().unwrap_or_default())
        }
        Place::Attached(cable) => format!("the printer at {cable}"),
        Place::File | Place::Class | Place::Other(_) => "its device".into(),
    }
}

/// What a failed step means.
fn clause(step: &Step, queue: &Printer, place: &Place, device: &str) -> String {
    let (target, found) = (&step.target, &step.found);
    match step.name {
        "scheduler" => format!("the print server of this machine does not answer: {found}"),
        "filters" => format!("queue {} cannot turn documents into the printer's language: {found}", queue.name),
        "resolve" if matches!(place, Place::Announced { .. }) => {
            format!("{device} is not found by multicast DNS: {found}")
        }
        "resolve" => format!(
            "the name {target} of {} does not resolve: {found}",
            device.split(" at ").next().unwrap_or_default()
        ),
        "route" => format!("no way leads to {device}: {found}"),
        "port" => {
            let port = target.rsplit(':').next().unwrap_or_default();
            format!("{device} does not answer on port {port}: {found}")
        }
        "answer" => format!("{device} takes connections, but gives {found}"),
        "device" if matches!(place, Place::Attached(_)) => found.clone(),
        _ if found.starts_with(REMOTE) => format!("{device} says that {found}"),
        _ => format!("{device} says that it is {found}"),
    }
}

/// The steps of the network before it, as far as they were fine.
fn fine(broken: &Step, taken: &[Step]) -> String {
    let words = [("resolve", "name"), ("route", "route"), ("port", "port"), ("answer", "answer")];
    let before = words.into_iter().take_while(|(name, _word)| *name != broken.name);
    let before: Vec<&str> = before.filter(|(name, _word)| is_ok(taken, name)).map(|(_name, word)| word).collect();
    match before.as_slice() {
        _ if matches!(broken.name, "scheduler" | "filters") => String::new(),
        [] => String::new(),
        [one] => format!("; the {one} is fine"),
        [first @ .., last] => format!("; {} and {last} are fine", first.join(", ")),
    }
}

/// What lies behind a queue that has a trouble of its own, and how it goes on.
fn behind(queue: &Printer, taken: &[Step], device: &str) -> String {
    let well = match (is_ok(taken, "device"), is_ok(taken, "port")) {
        (true, _) => format!(", though {device} answers and {}", says(taken)),
        (false, true) => format!(", though {device} can be reached"),
        (false, false) => String::new(),
    };
    let name = &queue.name;
    let ask = if queue.paused_by == "person" { "ask why, then " } else { "" };
    match queue.state.as_str() {
        "stopped" => format!("{well}; {ask}`cupsenable {name}` lets its jobs print"),
        _ => format!("{well}; {ask}`cupsaccept {name}` lets it take jobs again"),
    }
}

/// No step failed.
fn whole(queue: &Printer, taken: &[Step], device: &str) -> String {
    if is_ok(taken, "device") {
        return format!("The way from queue {} to {device} is whole: it answers and {}.", queue.name, says(taken));
    }
    let behind = || taken.iter().rev().filter(|step| BEHIND.contains(&step.name));
    let unseen = behind().find(|step| step.outcome == Outcome::Unknown);
    let unseen = unseen.or_else(|| behind().find(|step| step.outcome == Outcome::NotDone));
    let unseen = unseen.map_or("", |step| step.found.trim_start_matches("not done, because "));
    if is_ok(taken, "port") {
        return format!("The way from queue {} to {device} is whole as far as it can be seen; {unseen}.", queue.name);
    }
    format!("Queue {} is fine, but the way behind it was not tested: {unseen}.", queue.name)
}

/// What the device says of itself, as the end of a sentence.
fn says(taken: &[Step]) -> String {
    let found = step(taken, "device").map_or("", |step| step.found.as_str());
    if found.starts_with(REMOTE) { format!("says that {found}") } else { format!("is {found}") }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Said, not_done};
    use super::*;

    fn network(host: &str) -> Place {
        Place::Network { host: host.into(), port: 9100, way: Way::Snmp, remote_queue: false }
    }

    fn taken(said: [(&'static str, &str, Said); 8]) -> Vec<Step> {
        let step = |(name, target, (outcome, found)): (&'static str, &str, Said)| Step {
            name,
            target: target.into(),
            outcome,
            found,
            took_ms: None,
        };
        said.map(step).into_iter().collect()
    }

    fn ok(found: &str) -> Said {
        (Outcome::Ok, found.into())
    }

    fn failed(found: &str) -> Said {
        (Outcome::Failed, found.into())
    }

    fn way(queue: Said, port: Said, device: Said) -> Vec<Step> {
        taken([
            ("queue", "front", queue),
            ("scheduler", "CUPS", ok("answers")),
            ("filters", "raw", ok("raw")),
            ("resolve", "192.0.2.9", ok("an address already")),
            ("route", "192.0.2.9", ok("over eth0")),
            ("port", "192.0.2.9:9100", port),
            ("answer", "192.0.2.9", ok("answers SNMP 2c")),
            ("device", "Acme", device),
        ])
    }

    fn queue(state: &str, paused_by: &str, message: &str) -> Printer {
        Printer {
            name: "front".into(),
            state: state.into(),
            paused_by: paused_by.into(),
            state_message: message.into(),
            accepting_jobs: true,
            ..Printer::default()
        }
    }

    #[test]
    fn the_first_step_that_fails_is_named_with_those_that_are_fine() {
        let steps = way(ok("idle"), failed("connection refused"), not_done("the port is closed"));
        let verdict = of(&queue("idle", "", ""), &network("192.0.2.9"), &steps);
        assert_eq!(
            verdict.step.found,
            "The printer at 192.0.2.9 does not answer on port 9100: connection refused; name and route are fine."
        );
        assert_eq!((verdict.broken_at, verdict.step.outcome), ("port", Outcome::Failed));
    }

    #[test]
    fn a_queue_that_an_error_stopped_is_told_with_what_lies_behind_it() {
        let stopped = queue("stopped", "error", "The printer is not responding.");
        let dead = way(failed("stopped"), failed("connection refused"), not_done("the port is closed"));
        let verdict = of(&stopped, &network("192.0.2.9"), &dead);
        assert!(
            verdict
                .step
                .found
                .starts_with("Queue front is stopped (\"The printer is not responding.\"), and the printer at")
        );
        assert_eq!(verdict.broken_at, "port");
        let alive = of(&stopped, &network("192.0.2.9"), &way(failed("stopped"), ok("open"), ok("ready")));
        assert!(alive.step.found.contains("though the printer at 192.0.2.9 answers and is ready; `cupsenable front`"));
        let paused = of(&queue("stopped", "person", "Paused"), &network("192.0.2.9"), &dead);
        assert!(
            paused.step.found.starts_with("Queue front was paused by a person, and the printer"),
            "{}",
            paused.step.found
        );
        assert_eq!((alive.broken_at, paused.broken_at), ("queue", "queue"));
    }

    #[test]
    fn what_was_not_seen_is_said_and_is_not_called_whole() {
        let idle = queue("idle", "", "");
        let unseen = (Outcome::Unknown, "it cannot be asked".to_owned());
        let mut steps = way(ok("idle"), ok("open"), unseen);
        let verdict = of(&idle, &network("192.0.2.9"), &steps);
        assert!(
            verdict.step.found.ends_with("as far as it can be seen; it cannot be asked."),
            "{}",
            verdict.step.found
        );
        for step in steps.iter_mut().skip(3) {
            (step.outcome, step.found) = not_done("a class has no device of its own");
        }
        let verdict = of(&idle, &Place::Class, &steps);
        assert_eq!(
            verdict.step.found,
            "Queue front is fine, but the way behind it was not tested: a class has no device of its own."
        );
        assert_eq!((verdict.broken_at, verdict.step.outcome), ("", Outcome::Unknown));
        let well = of(&idle, &network("192.0.2.9"), &way(ok("idle"), ok("open"), ok("ready")));
        assert_eq!(
            well.step.found,
            "The way from queue front to the printer at 192.0.2.9 is whole: it answers and is ready."
        );
    }
}
