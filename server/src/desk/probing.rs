//! Probes: which there are, and one run on a device.

use deskside_proto::v1::{Command, Probe, RunProbeRequest, TableSchema, command};
use tonic::Status;

use super::Desk;
use super::asking::AnswerStream;
use super::caller::{Caller, Deed};
use super::refusal::{Lines, internal, text};

/// How long a probe may take, its wait for a turn included, where the technician does not say.
const PROBE_MS: u32 = 120_000;

/// How long it may take at most.
const PROBE_MS_MAX: u32 = 600_000;

/// Words that may be said to a probe.
const WORDS_MAX: usize = 32;

/// Probes of one collection.
const PROBES_MAX: usize = 16;

/// Longest word.
const WORD_CHARS_MAX: usize = 1024;

/// Longest name.
const NAME_CHARS_MAX: usize = 255;

impl Desk {
    /// Runs a probe, now. Who asked what is written down first.
    pub(super) async fn probe(&self, caller: &Caller, request: RunProbeRequest) -> Result<AnswerStream, Status> {
        let device = self.device(&request.device).await?;
        let asked = request.probe.unwrap_or_default();
        self.needs_nobody(&asked.name).await?;
        let probe = self.probe_named(&asked.name).await?.name;
        if asked.arguments.len() > WORDS_MAX {
            return Err(Status::invalid_argument(format!("{WORDS_MAX} arguments at most")));
        }
        let words = asked.arguments.iter().map(|word| text("an argument", word, WORD_CHARS_MAX, Lines::One));
        let arguments = words.collect::<Result<Vec<_>, _>>()?;
        let said = [std::slice::from_ref(&probe), arguments.as_slice()].concat().join(" ");
        self.audit(caller, Deed { what: "probe", device: Some(device.id), text: said, ..Deed::default() }).await?;
        let deadline_ms = if request.deadline_ms == 0 { PROBE_MS } else { request.deadline_ms.min(PROBE_MS_MAX) };
        let kind = command::Kind::Probe(Probe { name: probe, arguments });
        self.command(
            &device,
            Command { deadline_ms, kind: Some(kind), asked_by: caller.name.clone(), ..Command::default() },
        )
        .await
    }

    /// Probes of a collection, each its name and its words: each is known.
    pub(super) async fn probes_named(&self, probes: &[String]) -> Result<Vec<String>, Status> {
        if probes.len() > PROBES_MAX {
            return Err(Status::invalid_argument(format!("{} probes named, {PROBES_MAX} at most", probes.len())));
        }
        let mut known = Vec::new();
        for probe in probes {
            let probe = text("a probe", probe, WORD_CHARS_MAX, Lines::One)?;
            self.probe_named(probe.split_whitespace().next().unwrap_or_default()).await?;
            known.push(probe);
        }
        Ok(known)
    }

    /// A probe (its name, and perhaps words) that may be run without anybody's consent, and while nobody waits for it.
    pub(super) async fn needs_nobody(&self, probe: &str) -> Result<(), Status> {
        let name = probe.split_whitespace().next().unwrap_or_default();
        let table = self.probe_named(name).await?;
        if table.probe.is_some_and(|options| options.evidence) {
            return Err(Status::failed_precondition(format!(
                "{name} takes evidence that belongs to a ticket: `deskside {name} DEVICE --ticket N`"
            )));
        }
        Ok(())
    }

    /// The table of a probe; where there is no such probe, what there is.
    async fn probe_named(&self, name: &str) -> Result<TableSchema, Status> {
        let name = text("the probe's name", name, NAME_CHARS_MAX, Lines::One)?;
        let known = self.schema(None, &name).await.map_err(internal)?;
        if let Some(known) = known.filter(|table| table.probe.is_some()) {
            return Ok(known);
        }
        let tables = self.catalogue().await?.tables;
        let names: Vec<String> =
            tables.into_iter().filter(|table| table.probe.is_some()).map(|table| table.name).collect();
        let names = names.join(", ");
        Err(Status::not_found(format!(
            "no probe {name:?}, there are: {names}; `deskside probe --list` tells what each does"
        )))
    }
}
