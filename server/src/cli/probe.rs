//! Probes: which there are, and one run on a device, told step by step.

use deskside_proto::probes::Verdict;
use deskside_proto::v1::{ListTablesRequest, Outcome, Probe as Asked, Reading, RunProbeRequest, TableSchema};
use deskside_proto::{catalog, show};
use serde_json::json;

use super::connect::Desk;
use super::screen::{self, Line, Screen};
use super::trouble::{Said, Trouble};
use super::{shape, sheet, when};

/// Test something of a device now: each step as it is done, then what they come to.
///
/// Exit status: 0 every step is fine, 1 a step failed or the probe could not run.
#[derive(Debug, clap::Args)]
pub(super) struct Probe {
    /// Id, beginning of it, or host name.
    #[arg(required_unless_present = "list")]
    device: Option<String>,
    /// Which probe; --list says which there are.
    #[arg(value_name = "PROBE", required_unless_present = "list")]
    name: Option<String>,
    /// What is said to it.
    arguments: Vec<String>,
    /// What can be tested, and what can be said to each probe.
    #[arg(long)]
    list: bool,
    /// Give up after this.
    #[arg(long, value_parser = when::seconds, value_name = "TIME", default_value = "2m")]
    deadline: u64,
}

impl Probe {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let tables = desk.list_tables(ListTablesRequest {}).await?.into_inner().tables;
        if self.list {
            return list(&tables, screen);
        }
        let device = self.device.unwrap_or_default();
        let asked = Asked { name: self.name.unwrap_or_default(), arguments: self.arguments };
        let schema = tables.iter().find(|table| table.name == asked.name);
        let schema = schema.or_else(|| catalog::table(&asked.name)).cloned().unwrap_or_default();
        let deadline_ms = u32::try_from(self.deadline.saturating_mul(1000)).unwrap_or(u32::MAX);
        let name = asked.name.clone();
        let request = RunProbeRequest { device, probe: Some(asked), deadline_ms };
        let mut answers = desk.run_probe(request).await?.into_inner();
        let spinner = screen::spinner(&format!("{name} runs"));
        let mut readings = Vec::new();
        while let Some(answer) = answers.message().await? {
            if !answer.error.is_empty() {
                return Err(Trouble::new(
                    answer.error,
                    format!("{name} did not run to its end; nothing was found out"),
                )
                .into());
            }
            if !answer.progress.is_empty() && !screen.json {
                spinner.suspend(|| screen.line(Line::default().dim("  ").plain(&answer.progress)))?;
            }
            readings.extend(answer.readings);
        }
        spinner.finish_and_clear();
        tell(&schema, &readings, screen)
    }
}

/// The sentences for the whole. A step that failed has been said, and makes the exit status.
fn tell(schema: &TableSchema, readings: &[Reading], screen: Screen) -> anyhow::Result<()> {
    let verdicts: Vec<Verdict> = readings.iter().map(|reading| Verdict::of(schema, reading)).collect();
    let ran = |reading: &Reading| matches!(reading.outcome(), Outcome::Ok | Outcome::Empty | Outcome::Partial);
    let failed = verdicts.iter().any(|verdict| verdict.failed);
    let sentences: Vec<&String> = verdicts.iter().flat_map(|verdict| &verdict.sentences).collect();
    if screen.json {
        let shapes = shape::list(readings, |reading| shape::reading(schema, reading));
        screen.value(&json!({ "probe": schema.name, "failed": failed, "verdict": sentences, "readings": shapes }))?;
    } else {
        for reading in readings.iter().filter(|reading| reading.outcome() != Outcome::Ok) {
            screen.line(sheet::outcome(
                Line::default().bold(&reading.table).plain("  "),
                reading.outcome(),
                &reading.reason,
            ))?;
        }
        for verdict in &verdicts {
            for sentence in &verdict.sentences {
                screen.line(if verdict.failed {
                    Line::default().bad(sentence)
                } else {
                    Line::default().good(sentence)
                })?;
            }
        }
    }
    if failed || !readings.iter().all(ran) { Err(Said.into()) } else { Ok(()) }
}

fn list(tables: &[TableSchema], screen: Screen) -> anyhow::Result<()> {
    let probes: Vec<&TableSchema> = tables.iter().filter(|table| table.probe.is_some()).collect();
    if screen.json {
        return Ok(screen.value(&shape::list(&probes, |table| shape::probe(table)))?);
    }
    for probe in probes {
        let arguments = probe.probe.iter().flat_map(|options| &options.argument);
        let usage = arguments.clone().map(|argument| {
            let name = argument.name.to_uppercase();
            if argument.optional { format!(" [{name}]") } else { format!(" {name}") }
        });
        screen.line(Line::default().bold(&probe.name).plain(usage.collect::<String>()))?;
        screen.beside("", 2, &probe.doc)?;
        for argument in arguments {
            screen.beside(&format!("  {}", show::printable(&argument.name)), 12, &argument.doc)?;
        }
    }
    Ok(())
}
