//! The way of a job to paper, step by step from the queue to the device, and the step that breaks it.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{PrintPath, Printer};

use super::{Asked, Probe, Steps, Unrun};
use crate::collect::Rows;
use crate::collect::printing::condition;
use crate::host::Host;
use device::Asking;
use place::{Place, Way};
use queue::Known;

mod device;
mod place;
mod queue;
mod route;
mod verdict;
mod way;

pub(super) const PRINT_PATH: Probe = Probe { table: PrintPath::TABLE, deadline: Duration::from_secs(45), run };

/// Queues that are tested at once, where none is named.
const QUEUES_MAX: usize = 4;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    /// It could not be seen.
    Unknown,
    NotDone,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::NotDone => "not done",
        }
    }
}

/// What a step says: how it went, and what was found.
type Said = (Outcome, String);

fn not_done(why: &str) -> Said {
    (Outcome::NotDone, format!("not done, because {why}"))
}

/// One step that was taken, or left out.
#[derive(Clone, Debug)]
struct Step {
    name: &'static str,
    target: String,
    outcome: Outcome,
    found: String,
    took_ms: Option<u32>,
}

/// One queue's way while it is tested.
struct Path<'a, 'b> {
    host: &'a dyn Host,
    queue: &'a str,
    steps: &'a mut Steps<'b>,
    taken: Vec<Step>,
}

impl Path<'_, '_> {
    /// Takes a step, unless the time is up, and tells of it.
    fn take(&mut self, name: &'static str, target: &str, test: impl FnOnce(&dyn Host) -> Said) -> Result<(), Unrun> {
        if self.steps.time_is_up(self.host) {
            return self.note(name, target, not_done("the time for the whole test is up"), None);
        }
        let begun_ms = self.host.now_ms();
        let said = test(self.host);
        let took_ms = u32::try_from(self.host.now_ms() - begun_ms).unwrap_or_default();
        self.note(name, target, said, Some(took_ms))
    }

    /// Writes down a step and tells of it.
    fn note(&mut self, name: &'static str, target: &str, said: Said, took_ms: Option<u32>) -> Result<(), Unrun> {
        let (outcome, found) = said;
        let took_ms = took_ms.filter(|_took| outcome != Outcome::NotDone);
        let took = took_ms.map(|ms| format!(" ({ms} ms)")).unwrap_or_default();
        let words = match outcome {
            Outcome::NotDone => found.clone(),
            done => format!("{}: {found}", done.word()),
        };
        self.steps.tell(format!("{}: {name} {target}: {words}{took}", self.queue))?;
        self.taken.push(Step { name, target: target.to_owned(), outcome, found, took_ms });
        Ok(())
    }
}

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    // A test wants what is so now, and not what was heard a moment ago.
    host.forget();
    let known = Known::ask(host);
    let queues = match asked.get("queue") {
        Some(name) => vec![known.named(name)?],
        None => known.chosen(QUEUES_MAX)?,
    };
    let mut rows = Rows::none();
    for queue in &queues {
        let mut path = Path { host, queue: &queue.name, steps: &mut *steps, taken: Vec::new() };
        let place = place::of(&queue.device_uri, queue.is_class);
        test(&mut path, queue, &known, &place)?;
        let verdict = verdict::of(queue, &place, &path.taken);
        path.taken.push(verdict.step);
        for (place, step) in path.taken.into_iter().enumerate() {
            let last = step.name == verdict::STEP;
            rows.push(&PrintPath {
                queue: queue.name.clone(),
                number: u32::try_from(place + 1)?,
                step: step.name.into(),
                target: step.target,
                outcome: step.outcome.word().into(),
                found: step.found,
                took_ms: step.took_ms,
                broken_at: if last { verdict.broken_at.into() } else { String::new() },
            });
        }
    }
    Ok(rows)
}

fn test(path: &mut Path<'_, '_>, queue: &Printer, known: &Known, place: &Place) -> Result<(), Unrun> {
    path.note("queue", &queue.name, known.queue(queue), Some(known.took_ms))?;
    path.take("scheduler", "CUPS", |host| known.scheduler(host))?;
    path.take("filters", &queue.driver, |host| known.filters(host, queue))?;
    if !known.answers() {
        return left_out(path, "where the queue's jobs go is not known");
    }
    match place {
        Place::Network { host, port, way, remote_queue } => {
            let reached = way::test(path, host, *port)?;
            let uri = queue.device_uri.split('?').next().unwrap_or_default();
            device::test(path, &Asking { way: *way, uri, remote_queue: *remote_queue }, reached)
        }
        Place::Announced { instance } => announced(path, instance),
        Place::Attached("USB") => {
            by_cable(path, "USB")?;
            path.note("answer", "", not_done("a printer at USB is asked by its backend alone"), None)?;
            path.take("device", "USB", device::at_usb)
        }
        Place::Attached(cable) => {
            by_cable(path, cable)?;
            device::left_out(path, "it is attached to this machine, and cannot be asked")
        }
        Place::File => left_out(path, "the queue prints into a file"),
        Place::Class => {
            let members = queue.members.join(", ");
            left_out(path, &format!("a class has no device of its own; test its queues: {members}"))
        }
        Place::Other(scheme) => left_out(path, &format!("where the backend {scheme:?} sends jobs is not known")),
    }
}

/// A printer that is found by the name which it announces.
fn announced(path: &mut Path<'_, '_>, instance: &str) -> Result<(), Unrun> {
    let mut found = None;
    path.take("resolve", instance, |host| match condition::announced(host, instance) {
        Ok(Some(there)) => {
            let addresses: Vec<String> = there.addresses.iter().map(ToString::to_string).collect();
            let said = format!("announced at {}, port {}", addresses.join(", "), there.port);
            found = Some(there);
            (Outcome::Ok, said)
        }
        Ok(None) => (Outcome::Failed, "no printer announces this name here".into()),
        Err(error) => (Outcome::Unknown, format!("{error:#}")),
    })?;
    let (addresses, port, uri) = found.map(|there| (there.addresses, there.port, there.uri)).unwrap_or_default();
    let reached = way::tried(path, &addresses, port)?;
    device::test(path, &Asking { way: Way::Ipp, uri: &uri, remote_queue: false }, reached)
}

/// The steps over the network, of a queue that takes none of them.
fn by_cable(path: &mut Path<'_, '_>, cable: &str) -> Result<(), Unrun> {
    let said = || not_done(&format!("the printer is attached by {cable}"));
    ["resolve", "route", "port"].into_iter().try_for_each(|step| path.note(step, "", said(), None))
}

/// Where on the network a queue's jobs go: host and port; absent where they go elsewhere.
pub(super) fn on_network(device_uri: &str, is_class: bool) -> Option<(String, u16)> {
    match place::of(device_uri, is_class) {
        Place::Network { host, port, .. } => Some((host, port)),
        _ => None,
    }
}

fn left_out(path: &mut Path<'_, '_>, why: &str) -> Result<(), Unrun> {
    let steps = ["resolve", "route", "port", "answer", "device"];
    steps.into_iter().try_for_each(|step| path.note(step, "", not_done(why), None))
}
