//! Collections: asking for evidence, following it, and saying what came and what did not.

use std::collections::BTreeMap;
use std::io;

use deskside_proto::show;
use deskside_proto::v1::{
    self, CancelCollectionRequest, CollectRequest, ListRecipesRequest, Outcome, Recipe, WatchCollectionRequest,
};

use super::connect::Desk;
use super::outbox::TicketName;
use super::screen::{self, Line, Screen};
use super::trouble::Trouble;
use super::{devices, shape, when};

/// Ask a device for evidence for a ticket. A device that is off answers when it is back.
#[derive(Debug, clap::Args)]
pub(super) struct Collect {
    /// Id, beginning of it, or host name.
    #[arg(required_unless_present = "again", default_value = "", hide_default_value = true)]
    device: String,
    /// The ticket's number, or a help desk's name and the number there, as in rt:42: a case is opened for it where there is none.
    #[arg(long)]
    ticket: TicketName,
    /// What to collect, by symptom; `deskside recipes` lists them.
    #[arg(long, default_value = "")]
    recipe: String,
    /// What to collect, by hand; may be given several times.
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// What to test, by hand: a probe's name and what is said to it, in one word of the shell; may be given several times.
    #[arg(long = "probe", value_name = "PROBE")]
    probes: Vec<String>,
    /// How far back [default: the recipe's].
    #[arg(long, value_parser = when::seconds, value_name = "TIME")]
    before: Option<u64>,
    /// How long to go on from now [default: the recipe's].
    #[arg(long, value_parser = when::seconds, value_name = "TIME")]
    after: Option<u64>,
    /// Around a fault and not up to now: "-2h", "14:00", "yesterday 10:00", "2026-03-01 14:00", RFC 3339; --before and --after count from it.
    #[arg(long, value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME")]
    around: Option<i64>,
    /// How far before and after that time.
    #[arg(long, value_parser = when::seconds, value_name = "TIME", default_value = "10m", requires = "around")]
    window: u64,
    /// The same again, now, as an earlier collection of the ticket: its id, as `deskside case N` prints it.
    #[arg(long, value_name = "ID", conflicts_with_all = ["recipe", "tables", "probes", "around"])]
    again: Option<String>,
    /// Not at once but at this time, for a follow-up: "tomorrow 9:00", "2026-03-01 14:00", RFC 3339.
    #[arg(long, value_parser = when::ahead, value_name = "TIME", conflicts_with_all = ["around", "wait"])]
    at: Option<i64>,
    /// Not at once but in this time: "2d", "4h".
    #[arg(long = "in", value_parser = when::seconds, value_name = "TIME", conflicts_with_all = ["at", "around"])]
    delay: Option<u64>,
    /// What for: "after the printer was replaced".
    #[arg(long, default_value = "", hide_default_value = true)]
    why: String,
    /// Give up if the device has not answered by then.
    #[arg(long, value_parser = when::seconds, value_name = "TIME")]
    expires: Option<u64>,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
}

impl Collect {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let window = self.around.map(|_time| self.window);
        let request = CollectRequest {
            device: self.device,
            ticket: self.ticket.number(&mut desk, true).await?,
            recipe: self.recipe,
            tables: self.tables,
            probes: self.probes,
            before_s: self.before.or(window).unwrap_or_default(),
            after_s: self.after.or(window).unwrap_or_default(),
            around_ms: self.around.unwrap_or_default(),
            expires_s: self.expires.unwrap_or_default(),
            again: self.again.unwrap_or_default(),
            planned_ms: planned(self.at, self.delay, screen.now_ms),
            why: self.why,
        };
        ask(desk, screen, request, self.wait).await
    }
}

/// When a collection is planned for; 0 for at once.
pub(super) fn planned(at: Option<i64>, delay: Option<u64>, now_ms: i64) -> i64 {
    at.or(delay.map(|delay| now_ms + delay.cast_signed() * 1_000)).unwrap_or_default()
}

/// Asks, and waits where that is wanted.
pub(super) async fn ask(mut desk: Desk, screen: Screen, request: CollectRequest, wait_for: bool) -> anyhow::Result<()> {
    let asked = desk.collect(request).await?.into_inner();
    let collection = if wait_for { wait(&mut desk, asked).await? } else { asked };
    if screen.json {
        screen.value(&shape::collection(&collection))?;
    } else {
        show(screen, &collection)?;
    }
    ended_well(&collection)
}

/// A collection that was asked for.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Collection {
    /// Stop asking.
    Cancel {
        /// The collection's id, as `deskside ticket show` prints it.
        id: String,
    },
    /// Follow it until it has ended.
    Wait {
        /// The collection's id, as `deskside ticket show` prints it.
        id: String,
    },
}

impl Collection {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let collection = match self {
            Self::Cancel { id } => desk.cancel_collection(CancelCollectionRequest { id }).await?.into_inner(),
            Self::Wait { id } => {
                let ended = wait(&mut desk, v1::Collection { id, ..v1::Collection::default() }).await?;
                ended_well(&ended)?;
                ended
            }
        };
        if screen.json {
            return Ok(screen.value(&shape::collection(&collection))?);
        }
        Ok(show(screen, &collection)?)
    }
}

/// Follows a collection until it has ended; on a terminal its progress is shown.
pub(super) async fn wait(desk: &mut Desk, asked: v1::Collection) -> anyhow::Result<v1::Collection> {
    let name = |collection: &v1::Collection| collection.device.clone().unwrap_or_default().name;
    let spinner = screen::spinner(&format!("{} {}", name(&asked), asked.state));
    let mut states = desk.watch_collection(WatchCollectionRequest { id: asked.id.clone() }).await?.into_inner();
    let mut latest = asked;
    while let Some(state) = states.message().await? {
        spinner.set_message(show::printable(&format!("{} {}: {}", name(&state), state.state, state.note)));
        latest = state;
    }
    spinner.finish_and_clear();
    Ok(latest)
}

/// A script that waited for evidence wants to know whether there is any.
fn ended_well(collection: &v1::Collection) -> anyhow::Result<()> {
    if collection.ended_ms == 0 || !collection.evidence_id.is_empty() {
        return Ok(());
    }
    let what = format!("the collection ended without evidence ({}): {}", collection.state, collection.note);
    Err(Trouble::new(what, "`deskside collect` asks again").into())
}

/// "done  desk-17  default, asked by anna 3 min ago: 20 of 21 parts came", then what did not come and why.
pub(super) fn show(screen: Screen, collection: &v1::Collection) -> io::Result<()> {
    let device = collection.device.clone().unwrap_or_default();
    let state = format!("  {:width$}", collection.state, width = devices::LABEL);
    let line = match collection.state.as_str() {
        "done" => Line::default().good(state),
        "waiting" | "running" => Line::default().bold(state),
        _ => Line::default().warn(state),
    };
    let from = format!("{} to {}", show::clock(collection.from_ms), show::clock(collection.to_ms));
    let id: String = collection.id.chars().take(8).collect();
    let asked = format!("asked by {} {}", collection.asked_by, show::age(collection.asked_ms, screen.now_ms));
    let by_hand = || [collection.tables.as_slice(), collection.probes.as_slice()].concat().join(", ");
    let what = if collection.recipe.is_empty() { by_hand() } else { collection.recipe.clone() };
    screen.line(line.bold(device.name).plain(format!("  {what}  {asked}")).dim(format!("  {from}  id {id}")))?;
    let indent = devices::LABEL + 4;
    if !collection.why.is_empty() {
        screen.beside("", indent, &collection.why)?;
    }
    if !collection.note.is_empty() && collection.state != "done" {
        screen.beside("", indent, &collection.note)?;
    }
    if collection.ended_ms == 0 {
        return screen.beside("", indent, &format!("given up {}", show::age(collection.expires_ms, screen.now_ms)));
    }
    parts(screen, indent, collection)
}

/// How many parts came, and those that did not come whole, with why; parts of one fate in one line.
fn parts(screen: Screen, indent: usize, collection: &v1::Collection) -> io::Result<()> {
    let rows: u64 = collection.parts.iter().map(|part| part.rows).sum();
    let took = show::duration((collection.ended_ms - collection.asked_ms) as f64 / 1e3);
    screen.beside("", indent, &format!("{} parts, {rows} rows, after {took}", collection.parts.len()))?;
    for part in collection.parts.iter().filter(|part| !part.found.is_empty()) {
        screen.beside("", indent, &format!("{}: {}", part.name, part.found))?;
    }
    let mut fates: BTreeMap<(i32, &str), Vec<&str>> = BTreeMap::new();
    let mut absent: Vec<&str> = Vec::new();
    for part in &collection.parts {
        if part.outcome() == Outcome::Unsupported {
            absent.push(&part.name);
        } else if !matches!(part.outcome(), Outcome::Ok | Outcome::Empty) {
            fates.entry((part.outcome, &part.reason)).or_default().push(&part.name);
        }
    }
    for ((outcome, reason), names) in fates {
        let outcome = show::outcome(Outcome::try_from(outcome).unwrap_or_default());
        screen.beside("", indent, &format!("{outcome}: {} ({reason})", names.join(", ")))?;
    }
    if !absent.is_empty() {
        screen.beside("", indent, &format!("not on this machine, or no means to see it: {}", absent.join(", ")))?;
    }
    Ok(())
}

/// Recipes: what can be collected for which symptom.
pub(super) async fn recipes(mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
    let recipes = desk.list_recipes(ListRecipesRequest {}).await?.into_inner().recipes;
    if screen.json {
        return Ok(screen.value(&shape::list(&recipes, shape::recipe))?);
    }
    let row = |recipe: &Recipe| {
        let tables = if recipe.tables.is_empty() { "all tables".into() } else { recipe.tables.join(", ") };
        let back = show::duration(recipe.before_s as f64);
        vec![recipe.name.clone(), recipe.doc.clone(), back, recipe.probes.join(", "), tables]
    };
    let rows: Vec<Vec<String>> = recipes.iter().map(row).collect();
    screen.table(&["recipe", "for", "back", "probes", "tables"], &rows)?;
    Ok(())
}
