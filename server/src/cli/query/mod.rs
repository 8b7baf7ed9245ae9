//! `deskside query`: questions that have a name, listed, shown, run and saved.

use std::path::Path;

use deskside_proto::v1::Query as Question;
use serde_json::{Value as Json, json};

use super::screen::{Line, Screen};
use super::sql::{How, Whom, once, parameter};
use super::trouble::Trouble;
use library::Named;

mod files;
pub(super) mod library;

/// Questions that have a name: those of this release for the diagnoses, and your own.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Query {
    /// What there is.
    List {
        /// Only those with this word in their name, what they are for, or the number of a diagnosis: "disk", "N13".
        word: Option<String>,
    },
    /// One with its SQL and parameters.
    Show {
        /// Its name.
        name: String,
    },
    /// Ask it.
    Run(Box<Run>),
    /// Keep one of your own.
    Save {
        /// Its name: small letters, digits, "-".
        name: String,
        /// The SQL; parameters are written ":name".
        sql: String,
        /// What it is for, in a sentence.
        #[arg(long, default_value = "")]
        doc: String,
        /// A parameter's default; may be given several times.
        #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
        params: Vec<(String, String)>,
        /// Write over one of the same name.
        #[arg(long)]
        replace: bool,
    },
}

/// Ask a question by its name.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Its name; `deskside query list` lists them.
    name: String,
    /// The device: id, beginning of it, or host name; none with --fleet, --case or --file.
    device: Option<String>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    how: How,
}

impl Query {
    pub(super) async fn run(self, home: &Path, screen: Screen) -> anyhow::Result<()> {
        match self {
            Self::List { word } => list(home, screen, word.as_deref().unwrap_or_default()),
            Self::Show { name } => show(screen, &library::one(home, &name)?),
            Self::Run(run) => run.run(home, screen).await,
            Self::Save { name, sql, doc, params, replace } => {
                let named = Named { name, doc, params, sql, own: true, ..Named::default() };
                let path = library::save(home, &named, replace)?;
                if screen.json {
                    return Ok(screen.value(&shape(&named))?);
                }
                Ok(screen.line(Line::default().plain(format!("kept in {}", path.display())))?)
            }
        }
    }
}

/// `name, doc, diagnoses, params, fleet, own, sql`; the parameters are an object of names and defaults.
fn shape(named: &Named) -> Json {
    let params: serde_json::Map<String, Json> =
        named.params.iter().map(|(name, default)| (name.clone(), default.as_str().into())).collect();
    json!({
        "name": named.name, "doc": named.doc, "diagnoses": named.diagnoses, "params": params, "fleet": named.of_fleet,
        "own": named.own, "sql": named.sql,
    })
}

fn list(home: &Path, screen: Screen, word: &str) -> anyhow::Result<()> {
    let mut found = library::all(home)?;
    found.retain(|named| named.has(word));
    if screen.json {
        return Ok(screen.value(&found.iter().map(shape).collect::<Json>())?);
    }
    let row = |named: &Named| {
        let params: Vec<String> = named.params.iter().map(|(name, default)| format!("{name}={default}")).collect();
        let mark = if named.own { " (own)" } else { "" };
        vec![format!("{}{mark}", named.name), named.doc.clone(), named.diagnoses.join(" "), params.join(", ")]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    if rows.is_empty() {
        return Ok(screen.line(Line::default().plain(format!("no query has the word \"{word}\"")))?);
    }
    Ok(screen.table(&["query", "for", "diagnoses", "parameters"], &rows)?)
}

fn show(screen: Screen, named: &Named) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(&shape(named))?);
    }
    let fleet = if named.of_fleet { "  of the fleet" } else { "" };
    screen.line(Line::default().bold(&named.name).dim(format!("  {}{fleet}", named.diagnoses.join(" "))))?;
    screen.text(&named.doc)?;
    for (name, default) in &named.params {
        screen.line(Line::default().dim(format!("--param {name}={default}")))?;
    }
    screen.gap()?;
    Ok(screen.text(&named.sql_for(named.of_fleet))?)
}

impl Run {
    async fn run(self, home: &Path, screen: Screen) -> anyhow::Result<()> {
        let named = library::one(home, &self.name)?;
        let question = question(&named, &self.whom)?;
        let mut asker = self.whom.open(self.device, home).await?;
        once(&mut asker, question, self.how.look(screen), screen).await
    }
}

/// The queries of this release by name, as they are put to one device, or to many where `many` says so, with their parameters' defaults.
/// Those that only make sense of many are left out for one.
pub fn of_release(many: bool) -> impl Iterator<Item = (&'static str, Question)> {
    let read = |(name, text): &(&'static str, &str)| Named::read(name, text).ok().map(|named| (*name, named));
    let named = files::FILES.iter().filter_map(read).filter(move |(_name, named)| many || !named.of_fleet);
    named.map(move |(name, named)| {
        let sql = named.sql_for(many);
        (name, Question { sql, parameters: named.params.into_iter().collect(), ..Question::default() })
    })
}

/// A named query as it is put: its parameters by what is given, else by their defaults.
pub(super) fn question(named: &Named, whom: &Whom) -> anyhow::Result<Question> {
    if named.of_fleet && !whom.is_of_many() {
        let advice = "add --fleet, or --case TICKET";
        return Err(Trouble::new(format!("{} is asked of many devices", named.name), advice).into());
    }
    let known = |name: &str| named.params.iter().any(|(param, _default)| param == name);
    if let Some((name, _value)) = whom.params.iter().find(|(name, _value)| !known(name)) {
        let what = format!("{} has no parameter {name}", named.name);
        return Err(Trouble::new(what, format!("`deskside query show {}` shows them", named.name)).into());
    }
    let mut question = whom.query(&named.sql_for(whom.is_of_many()))?;
    for (name, default) in &named.params {
        question.parameters.entry(name.clone()).or_insert_with(|| default.clone());
    }
    Ok(question)
}

#[cfg(test)]
mod tests;
