//! The rules, read from `server/rules/*.toml`, one file a topic, one line a file in `FILES`.

use std::sync::LazyLock;

use anyhow::Context;
use deskside_proto::catalog;
use deskside_proto::rows::Value;
use deskside_proto::v1::{Family, Finding};
use serde::Deserialize;

use super::About;
use super::view::View;

/// The rule files of this release.
const FILES: &[(&str, &str)] = &[
    ("printing.toml", include_str!("../../rules/printing.toml")),
    ("print_devices.toml", include_str!("../../rules/print_devices.toml")),
    ("hardware.toml", include_str!("../../rules/hardware.toml")),
    ("storage.toml", include_str!("../../rules/storage.toml")),
    ("devices.toml", include_str!("../../rules/devices.toml")),
    ("links.toml", include_str!("../../rules/links.toml")),
    ("network.toml", include_str!("../../rules/network.toml")),
    ("wifi.toml", include_str!("../../rules/wifi.toml")),
    ("system.toml", include_str!("../../rules/system.toml")),
    ("software.toml", include_str!("../../rules/software.toml")),
    ("logs.toml", include_str!("../../rules/logs.toml")),
    ("probes.toml", include_str!("../../rules/probes.toml")),
    ("reach.toml", include_str!("../../rules/reach.toml")),
    ("service_probes.toml", include_str!("../../rules/service_probes.toml")),
    ("capture.toml", include_str!("../../rules/capture.toml")),
    ("deskside.toml", include_str!("../../rules/deskside.toml")),
];

/// The time at which [`check_rule`] asks, by the device's clock: 2026-01-15 12:00 UTC. Rows without `_at_ms` are from then.
pub const CHECKED_AT_MS: i64 = 1_768_478_400_000;

static ALL: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let files = FILES.iter().map(|(name, text)| read(name, text).expect("the rules of this release are well formed"));
    files.flatten().collect()
});

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique, in kebab-case.
    pub id: String,
    /// The part of the machine that a person would name.
    pub family: FamilyName,
    /// How bad it is.
    pub severity: Severity,
    /// Tables that the query reads, the one that proves it first. All must have been seen for the rule to be asked.
    pub tables: Vec<String>,
    /// A SELECT. Each row is a finding, its columns the proof. Beyond the catalogue's columns each table has `_at_ms` (when the
    /// row was read) and `_age_s`; `:now_ms` is now, both by the device's clock; lists are text joined by ", "; NULL is "not known".
    pub sql: String,
    /// One sentence: what is broken. `{column}` is replaced by the row's value; so also in `cause` and `next_step`.
    pub title: String,
    /// Likely cause.
    pub cause: String,
    /// What to do next.
    pub next_step: String,
    /// Where this is known from.
    #[serde(default)]
    pub doc: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work.
    Critical,
    /// Something will not work soon, or works badly.
    Warning,
    /// Worth knowing.
    Notice,
    /// Not known: what a rule would look at was not seen. No rule says this of itself.
    #[serde(skip)]
    Unknown,
}

impl Severity {
    /// As it is written in a finding.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Unknown => "unknown",
        }
    }

    /// Its place when sorted, worst first.
    pub fn rank(name: &str) -> u8 {
        match name {
            "critical" => 0,
            "warning" => 1,
            "notice" => 2,
            _ => 3,
        }
    }
}

/// A family as it is written in a rule file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FamilyName {
    /// Queues, jobs, printers.
    Printing,
    /// Disks, batteries, processor, memory modules.
    Hardware,
    /// Links, addresses, routes, names.
    Network,
    /// The operating system, services, software.
    System,
    /// What programs wrote down.
    Logs,
    /// Deskside itself.
    Deskside,
}

impl From<FamilyName> for Family {
    fn from(name: FamilyName) -> Self {
        match name {
            FamilyName::Printing => Self::Printing,
            FamilyName::Hardware => Self::Hardware,
            FamilyName::Network => Self::Network,
            FamilyName::System => Self::System,
            FamilyName::Logs => Self::Logs,
            FamilyName::Deskside => Self::Deskside,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Rule>,
}

/// All rules, in the order of the files.
pub fn all() -> &'static [Rule] {
    &ALL
}

/// Reads one rule file.
pub fn read(name: &str, text: &str) -> anyhow::Result<Vec<Rule>> {
    let file: File = toml::from_str(text).with_context(|| format!("rules/{name}"))?;
    Ok(file.rule)
}

/// Asks one rule about made-up tables: `{"printers": [{"name": "front", "state": "stopped"}]}`. Columns left out are absent, as on
/// the wire; a row may say its own `_at_ms`. Tables that the rule reads and that are not given are empty.
pub fn check_rule(id: &str, tables: &serde_json::Value) -> anyhow::Result<Vec<Finding>> {
    let rule = all().iter().find(|rule| rule.id == id).with_context(|| format!("no rule {id:?}"))?;
    let given = tables.as_object().context("tables are an object of lists")?;
    if let Some(other) = given.keys().find(|table| !rule.tables.contains(table)) {
        anyhow::bail!("rule {id:?} does not read {other:?}");
    }
    let about = About { now_ms: CHECKED_AT_MS, connected: true, ..About::default() };
    let mut view = View::empty(&about)?;
    for table in &rule.tables {
        let schema = super::view::schema(table).with_context(|| format!("no table {table:?}"))?;
        let rows = given.get(table).and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let rows: Vec<(i64, Vec<Value>)> =
            rows.iter().map(|row| made_up(&schema, row)).collect::<anyhow::Result<_>>()?;
        view.add(&schema, &rows, CHECKED_AT_MS)?;
    }
    view.seal()?;
    view.ask(rule)
}

/// A row from JSON, checked against its table.
fn made_up(schema: &deskside_proto::v1::TableSchema, row: &serde_json::Value) -> anyhow::Result<(i64, Vec<Value>)> {
    let row = row.as_object().context("a row is an object")?;
    let mut values = deskside_proto::rows::open(schema, &[])?;
    for (name, value) in row.iter().filter(|(name, _value)| !name.starts_with('_')) {
        let place = catalog::column(schema, name).with_context(|| format!("{} has no column {name:?}", schema.name))?;
        if let Some(slot) = values.get_mut(place) {
            *slot = from_json(value);
        }
    }
    let at_ms = row.get("_at_ms").and_then(serde_json::Value::as_i64).unwrap_or(CHECKED_AT_MS);
    Ok((at_ms, values))
}

fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null | serde_json::Value::Object(_) => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Value::Int).or_else(|| number.as_f64().map(Value::Double)).unwrap_or(Value::Null)
        }
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(values) => Value::List(values.iter().map(from_json).collect()),
    }
}
