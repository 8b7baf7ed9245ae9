//! The table `changes`: what each state table said that it had not said before, each column of each row.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value as Sql, ValueRef};

use super::SqlError;
use super::asked::Asked;
use super::form::withheld;
use super::source::{Owner, Scan, Scanning, When};
use super::vtab::{Asks, Given, Plan, Term, Virtual, Walk};
use crate::catalog;
use crate::changes::{self, Change};
use crate::rows::Value;
use crate::show;
use crate::v1::{Family, Kind, Sight, TableSchema};

/// The table's name.
pub(super) const CHANGES: &str = "changes";

/// Its columns but the device's, in order.
const COLUMNS: [&str; 9] = [
    "at INTEGER",
    "family TEXT",
    "table_name TEXT",
    "row_key TEXT",
    "column_name TEXT",
    "old",
    "new",
    "_from HIDDEN",
    "_to HIDDEN",
];

const AT: usize = 0;
const TABLE: usize = 2;
const FROM: usize = 7;
const TO: usize = 8;

/// Rows that the planner expects.
const ROWS: f64 = 100_000.0;

/// The table.
pub(super) struct ChangesTable {
    asked: Arc<Asked>,
    tables: Vec<Arc<TableSchema>>,
    many: bool,
    declaration: String,
    sight: Sight,
}

impl ChangesTable {
    pub(super) fn new(asked: &Arc<Asked>, tables: &[Arc<TableSchema>], many: bool, sight: Sight) -> Self {
        let device = if many { "device TEXT, " } else { "" };
        let tables = tables.iter().filter(|table| table.kind() == Kind::State).cloned().collect();
        let declaration = format!("CREATE TABLE x({device}{})", COLUMNS.join(", "));
        Self { asked: Arc::clone(asked), tables, many, declaration, sight }
    }

    /// The place of a column among those that are not the device's.
    fn place(&self, column: usize) -> Option<usize> {
        if self.many { column.checked_sub(1) } else { Some(column) }
    }
}

impl Virtual for ChangesTable {
    fn name(&self) -> &str {
        CHANGES
    }

    fn declaration(&self) -> &str {
        &self.declaration
    }

    fn plan(&self, terms: &[Term]) -> Option<Plan> {
        let mut plan = Plan { taken: Vec::new(), rows: ROWS };
        for (place, term) in terms.iter().enumerate() {
            let column = self.place(term.column);
            let argument = matches!(column, Some(FROM | TO));
            if argument && term.asks == Asks::Equal && !term.usable {
                return None;
            }
            let bounds = match column {
                None | Some(TABLE | FROM | TO) => term.asks == Asks::Equal,
                Some(AT) => !matches!(term.asks, Asks::Like | Asks::Other),
                Some(_) => false,
            };
            if term.usable && bounds && (argument || !term.one_of) {
                plan.taken.push((place, argument));
                plan.rows /= 10.0;
            }
        }
        Some(plan)
    }

    fn walk(&self) -> Box<dyn Walk> {
        Box::new(Reader {
            asked: Arc::clone(&self.asked),
            tables: self.tables.clone(),
            many: self.many,
            sight: self.sight,
            left: VecDeque::new(),
            when: (i64::MIN, i64::MAX),
            device: None,
            scanning: None,
            found: VecDeque::new(),
            row: None,
            given: Vec::new(),
        })
    }
}

/// A change, and where it was seen.
struct Seen {
    at_ms: i64,
    owner: Option<Arc<Owner>>,
    table: Arc<TableSchema>,
    change: Change,
}

/// Reading one table after the other.
struct Reader {
    asked: Arc<Asked>,
    tables: Vec<Arc<TableSchema>>,
    many: bool,
    sight: Sight,
    left: VecDeque<Arc<TableSchema>>,
    when: (i64, i64),
    device: Option<String>,
    scanning: Option<Following>,
    found: VecDeque<Seen>,
    row: Option<Seen>,
    given: Vec<(usize, Sql)>,
}

/// One table, from reading to reading of one device after the other.
struct Following {
    table: Arc<TableSchema>,
    scanning: Box<dyn Scanning>,
    owner: Option<Arc<Owner>>,
    walk: changes::Walk,
}

impl Reader {
    /// The next reading's changes; false where all is read.
    fn read_on(&mut self) -> Result<bool, SqlError> {
        self.asked.brake.check()?;
        let Some(following) = &mut self.scanning else {
            let Some(table) = self.left.pop_front() else { return Ok(false) };
            let (from_ms, to_ms) = self.when;
            let scanning = self.asked.source.scan(Scan {
                table: table.name.clone(),
                when: When::Within { from_ms, to_ms },
                device: self.device.clone(),
                notes: self.asked.notes.clone(),
                brake: Arc::clone(&self.asked.brake),
            })?;
            self.scanning = Some(Following { table, scanning, owner: None, walk: changes::Walk::default() });
            return Ok(true);
        };
        let Some(held) = following.scanning.next()? else {
            self.scanning = None;
            return Ok(true);
        };
        if held.owner != following.owner {
            (following.owner, following.walk) = (held.owner.clone(), changes::Walk::default());
        }
        let at_ms = held.reading.at_ms;
        let changes = following.walk.step(&following.table, held.reading);
        let changes = changes.map_err(|error| SqlError::Source(error.to_string()))?;
        // The one in force when the window begins is where the walk begins.
        if at_ms >= self.when.0 {
            let table = &following.table;
            let seen = |change| Seen { at_ms, owner: held.owner.clone(), table: Arc::clone(table), change };
            self.found.extend(changes.into_iter().map(seen));
        }
        Ok(true)
    }

    /// Whether a change's values are of a column that the asker may not see.
    fn withheld(&self, seen: &Seen) -> bool {
        let column = catalog::column(&seen.table, &seen.change.column).and_then(|place| seen.table.columns.get(place));
        column.is_some_and(|column| withheld(catalog::options(column).sensitivity(), self.sight))
    }

    /// The row's key, without the parts that the asker may not see.
    fn key(&self, seen: &Seen) -> Option<String> {
        let mut keys = seen.table.columns.iter().map(catalog::options).filter(|options| options.key);
        let hides = keys.any(|options| withheld(options.sensitivity(), self.sight));
        (!hides).then(|| seen.change.key.clone())
    }
}

impl Walk for Reader {
    fn start(&mut self, _used: u64, given: Vec<Given>) -> Result<(), SqlError> {
        let (mut from_ms, mut to_ms, mut only) = (i64::MIN, i64::MAX, None::<String>);
        (self.device, self.scanning, self.row) = (None, None, None);
        (self.found, self.given) = (VecDeque::new(), Vec::new());
        for given in given {
            let place = if self.many { given.column.checked_sub(1) } else { Some(given.column) };
            match (place, &given.value) {
                (None, Sql::Text(name)) => self.device = Some(name.clone()),
                (Some(TABLE), Sql::Text(name)) => only = Some(name.clone()),
                (Some(AT), Sql::Integer(ms)) => {
                    if matches!(given.asks, Asks::Equal | Asks::Above | Asks::AtLeast) {
                        from_ms = from_ms.max(*ms);
                    }
                    if matches!(given.asks, Asks::Equal | Asks::Below | Asks::AtMost) {
                        to_ms = to_ms.min(*ms);
                    }
                }
                (Some(FROM), value) => from_ms = from_ms.max(self.asked.moment(value)?.unwrap_or(i64::MIN)),
                (Some(TO), value) => to_ms = to_ms.min(self.asked.moment(value)?.unwrap_or(i64::MAX)),
                _ => {}
            }
            self.given.push((given.column, given.value));
        }
        self.when = (from_ms, to_ms);
        let wanted = |table: &&Arc<TableSchema>| only.as_ref().is_none_or(|only| table.name == *only);
        self.left =
            if from_ms > to_ms { VecDeque::new() } else { self.tables.iter().filter(wanted).cloned().collect() };
        Ok(())
    }

    fn step(&mut self) -> Result<bool, SqlError> {
        loop {
            self.row = self.found.pop_front();
            if self.row.is_some() {
                return Ok(true);
            }
            if !self.read_on()? {
                return Ok(false);
            }
        }
    }

    fn value(&self, column: usize) -> ToSqlOutput<'_> {
        let null = ToSqlOutput::Owned(Sql::Null);
        let Some(seen) = &self.row else { return null };
        let text = |text: &'_ str| ToSqlOutput::Owned(Sql::Text(text.to_owned()));
        let Some(place) = (if self.many { column.checked_sub(1) } else { Some(column) }) else {
            return seen.owner.as_ref().map_or(null, |owner| text(&owner.name));
        };
        match place {
            AT => ToSqlOutput::Owned(Sql::Integer(seen.at_ms)),
            1 => text(family(seen.table.family())),
            TABLE => ToSqlOutput::Owned(Sql::Text(seen.table.name.clone())),
            3 => self.key(seen).map_or(null, |key| ToSqlOutput::Owned(Sql::Text(key))),
            4 => ToSqlOutput::Owned(Sql::Text(seen.change.column.clone())),
            5 if !self.withheld(seen) => sql(&seen.change.old),
            6 if !self.withheld(seen) => sql(&seen.change.new),
            _ => {
                let given = self.given.iter().find(|(given, _value)| *given == column);
                given.map_or(null, |(_column, value)| ToSqlOutput::Owned(value.clone()))
            }
        }
    }
}

/// A family's name.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::Unspecified => "",
        Family::Hardware => "hardware",
        Family::System => "system",
        Family::Printing => "printing",
        Family::Network => "network",
        Family::Logs => "logs",
        Family::Deskside => "deskside",
    }
}

/// A value as SQLite takes it; lists are JSON.
pub(super) fn sql(value: &Value) -> ToSqlOutput<'_> {
    match value {
        Value::Null => ToSqlOutput::Owned(Sql::Null),
        Value::Bool(value) => ToSqlOutput::Owned(Sql::Integer(i64::from(*value))),
        Value::Int(value) => ToSqlOutput::Owned(Sql::Integer(*value)),
        Value::Uint(value) => ToSqlOutput::Owned(Sql::Integer(i64::try_from(*value).unwrap_or(i64::MAX))),
        Value::Double(value) => ToSqlOutput::Owned(Sql::Real(*value)),
        Value::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
        Value::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        list @ Value::List(_) => ToSqlOutput::Owned(Sql::Text(show::json_value(list).to_string())),
    }
}
