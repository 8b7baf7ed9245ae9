//! A table of the catalogue in one of its forms, read row by row from the readings of a source.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::SqlError;
use super::asked::Asked;
use super::form::{Column, Form, Shape};
use super::pile::{Keeping, Known, Picked, Pile, Piles, Scope};
use super::row::{Places, Row};
use super::sieve::{self, Try};
use super::source::{Held, Scan, Scanning, When};
use super::vtab::{Asks, Given, Plan, Term, Virtual, Walk};
use crate::catalog;
use crate::changes::saw;
use crate::show;
use crate::v1::{Kind, QueryNote, Unit};

/// Rows passed over between two looks at the brake.
const ROWS_A_LOOK: u32 = 4_096;

/// An event is read at the time that it bears or later, but where the clock was set meanwhile; so much is allowed for that.
const SLACK_MS: i64 = 24 * 3_600_000;

/// Rows that the planner expects of a table, of its history, and of what a condition leaves of either.
const ROWS: f64 = 1_000.0;
const ROWS_OF_HISTORY: f64 = 1_000_000.0;
const ROWS_LEFT: f64 = 0.1;

/// A table.
pub(super) struct Table {
    shape: Arc<Shape>,
    asked: Arc<Asked>,
    piles: Arc<Piles>,
}

impl Table {
    pub(super) fn new(shape: Shape, asked: &Arc<Asked>) -> Self {
        Self { shape: Arc::new(shape), asked: Arc::clone(asked), piles: Arc::default() }
    }

    /// Whether a condition says which readings to read.
    fn is_bound(&self, column: Column, asks: Asks) -> bool {
        let compares = !matches!(asks, Asks::Like | Asks::Other);
        match column {
            Column::Device | Column::DeviceId | Column::AsOf | Column::From | Column::To => asks == Asks::Equal,
            Column::At => compares && matches!(self.shape.form, Form::Event | Form::History),
            Column::ValidFrom => compares,
            Column::ValidTo => matches!(asks, Asks::Above | Asks::AtLeast),
            Column::Own(place) => {
                self.is_event_time(place) && matches!(asks, Asks::Above | Asks::AtLeast | Asks::Equal)
            }
            Column::Age | Column::Outcome | Column::Evidence => false,
        }
    }

    /// The column that says when an event happened.
    fn is_event_time(&self, place: usize) -> bool {
        let column = self.shape.schema.columns.get(place);
        self.shape.form == Form::Event
            && column.is_some_and(|column| column.name == "at_ms" && catalog::options(column).unit() == Unit::UnixMs)
    }
}

impl Virtual for Table {
    fn name(&self) -> &str {
        &self.shape.name
    }

    fn declaration(&self) -> &str {
        &self.shape.declaration
    }

    fn plan(&self, terms: &[Term]) -> Option<Plan> {
        let windowed = matches!(self.shape.form, Form::Event | Form::History);
        let mut plan = Plan { taken: Vec::new(), rows: if windowed { ROWS_OF_HISTORY } else { ROWS } };
        for (place, term) in terms.iter().enumerate() {
            let Some(column) = self.shape.columns.get(term.column).copied() else { continue };
            let argument = matches!(column, Column::AsOf | Column::From | Column::To);
            if argument && term.asks == Asks::Equal && !term.usable {
                return None;
            }
            let own = match column {
                Column::Own(own) if !self.shape.withheld.get(own).copied().unwrap_or(true) => {
                    self.shape.schema.columns.get(own).is_some_and(|column| sieve::can(term, column))
                }
                _ => false,
            };
            if term.usable && (own || (self.is_bound(column, term.asks) && (argument || !term.one_of))) {
                plan.taken.push((place, argument));
                plan.rows = (plan.rows * ROWS_LEFT).max(1.0);
            }
        }
        Some(plan)
    }

    fn walk(&self) -> Box<dyn Walk> {
        Box::new(Reader {
            table: Self {
                shape: Arc::clone(&self.shape),
                asked: Arc::clone(&self.asked),
                piles: Arc::clone(&self.piles),
            },
            readings: Readings::None,
            held: None,
            next_row: 0,
            end_row: usize::MAX,
            row: Row::default(),
            places: Places::new(&self.shape.schema, |_place| false),
            tries: Vec::new(),
            given: Vec::new(),
            from_ms: i64::MIN,
            passed: 0,
        })
    }
}

/// Where the next reading comes from.
enum Readings {
    None,
    /// Read before for the same question.
    Known(Arc<Pile>, usize),
    /// The same, and only some of its rows.
    Picked(Arc<Pile>, Picked),
    /// The only one there is, too large to be held for the next time.
    One(Arc<Held>),
    /// Read now, and held for the next time.
    Kept(Box<dyn Scanning>, Keeping),
    /// Read now.
    Scanned(Box<dyn Scanning>),
}

/// Reading a table.
struct Reader {
    table: Table,
    readings: Readings,
    held: Option<Arc<Held>>,
    /// The row after the one at hand.
    next_row: usize,
    /// Rows of the reading at hand from here on are not wanted.
    end_row: usize,
    row: Row,
    places: Places,
    tries: Vec<Try>,
    given: Vec<Given>,
    /// Readings that ceased to be in force at this time or before are passed over.
    from_ms: i64,
    passed: u32,
}

/// A window that conditions narrow.
struct Window {
    from_ms: i64,
    to_ms: i64,
}

impl Reader {
    /// Which readings the conditions ask for.
    fn when(&self) -> Result<When, SqlError> {
        let shape = &self.table.shape;
        let (mut as_of, mut bounded) = (None, false);
        let mut window = Window { from_ms: i64::MIN, to_ms: i64::MAX };
        for given in &self.given {
            let Some(column) = shape.columns.get(given.column).copied() else { continue };
            match column {
                Column::AsOf => as_of = self.table.asked.moment(&given.value)?,
                Column::From => {
                    window.from_ms = self.table.asked.moment(&given.value)?.unwrap_or(i64::MIN);
                    bounded = true;
                }
                Column::To => window.to_ms = self.table.asked.moment(&given.value)?.unwrap_or(i64::MAX),
                Column::At | Column::ValidFrom | Column::ValidTo => window.narrow(column, given),
                Column::Own(place) if self.table.is_event_time(place) => {
                    if let Value::Integer(ms) = given.value {
                        window.from_ms = window.from_ms.max(ms.saturating_sub(SLACK_MS));
                    }
                }
                _ => {}
            }
        }
        let within = When::Within { from_ms: window.from_ms, to_ms: window.to_ms };
        Ok(match (shape.form, as_of) {
            (Form::State, Some(at_ms)) => When::At(at_ms),
            (Form::State, None) => When::Now,
            (Form::Sample, _) if !bounded => When::Now,
            (Form::Sample | Form::Event | Form::History, _) => within,
        })
    }

    fn device(&self) -> Option<String> {
        let is_device = |given: &&Given| {
            let column = self.table.shape.columns.get(given.column);
            given.asks == Asks::Equal && matches!(column, Some(Column::Device | Column::DeviceId))
        };
        self.given.iter().find(is_device).and_then(|given| match &given.value {
            Value::Text(name) => Some(name.clone()),
            _ => None,
        })
    }

    fn open(&mut self, scope: Scope) -> Result<Readings, SqlError> {
        let known = self.table.piles.find(&scope);
        if let Known::Pile(pile) = known {
            return Ok(self.pick(pile));
        }
        let asked = &self.table.asked;
        let mut scanning = asked.source.scan(Scan {
            table: self.table.shape.schema.name.clone(),
            when: scope.0,
            device: scope.1.clone(),
            notes: asked.notes.clone(),
            brake: Arc::clone(&asked.brake),
        })?;
        let latest = matches!(scope.0, When::Now | When::At(_));
        // Why a past is held from the second time on: most questions read it once, and it may be long.
        if !latest && matches!(known, Known::New) {
            return Ok(Readings::Scanned(scanning));
        }
        let mut keeping = Keeping::begin(scope, &asked.room);
        if latest && !asked.source.has_many_devices() {
            // Why at once: a machine is looked at once for a question, even where the first row is enough.
            let held = scanning.next()?.map(Arc::new);
            return Ok(match held {
                Some(held) if !keeping.add(&held) => Readings::One(held),
                _ => Readings::Known(self.table.piles.keep(keeping), 0),
            });
        }
        Ok(Readings::Kept(scanning, keeping))
    }

    /// Rows that were read before: those that a condition picks, or all.
    fn pick(&self, pile: Arc<Pile>) -> Readings {
        let schema = &self.table.shape.schema;
        let mut equal = self.tries.iter().filter_map(|wanted| Some((wanted.place, wanted.equal()?)));
        let picked = equal.find_map(|(place, value)| pile.places(schema, place, value));
        match picked {
            Some(picked) => Readings::Picked(pile, picked),
            None => Readings::Known(pile, 0),
        }
    }

    fn next_reading(&mut self) -> Result<Option<Arc<Held>>, SqlError> {
        match &mut self.readings {
            Readings::None => Ok(None),
            Readings::Known(pile, place) => {
                *place += 1;
                Ok(pile.held.get(*place - 1).map(Arc::clone))
            }
            Readings::Picked(pile, picked) => {
                let Some((reading, row)) = picked.next() else { return Ok(None) };
                (self.next_row, self.end_row) = (row, row + 1);
                Ok(pile.held.get(reading).map(Arc::clone))
            }
            Readings::One(_held) => match std::mem::replace(&mut self.readings, Readings::None) {
                Readings::One(held) => Ok(Some(held)),
                _ => Ok(None),
            },
            Readings::Scanned(scanning) => Ok(scanning.next()?.map(Arc::new)),
            Readings::Kept(scanning, keeping) => {
                let next = scanning.next()?.map(Arc::new);
                if next.as_ref().is_none_or(|held| !keeping.add(held)) {
                    self.settle(next.is_none());
                }
                Ok(next)
            }
        }
    }

    /// What was read is held where it is whole, and forgotten where there is no room for it.
    fn settle(&mut self, whole: bool) {
        match std::mem::replace(&mut self.readings, Readings::None) {
            Readings::Kept(_scanning, keeping) if whole => {
                self.table.piles.keep(keeping);
            }
            Readings::Kept(scanning, _keeping) => self.readings = Readings::Scanned(scanning),
            other => self.readings = other,
        }
    }

    /// To the next row of the reading at hand that may be wanted; false where there is none.
    fn next_wanted(&mut self) -> Result<bool, SqlError> {
        let columns = &self.table.shape.schema.columns;
        let Some(held) = &self.held else { return Ok(false) };
        let rows = held.reading.rows.get(..self.end_row.min(held.reading.rows.len())).unwrap_or_default();
        while let Some(bytes) = rows.get(self.next_row) {
            self.next_row += 1;
            self.row.take(bytes, &self.places, columns.len());
            let passes =
                |wanted: &Try| columns.get(wanted.place).is_none_or(|column| wanted.passes(&self.row, bytes, column));
            if self.tries.iter().all(passes) {
                return Ok(true);
            }
            self.passed = self.passed.wrapping_add(1);
            if self.passed.is_multiple_of(ROWS_A_LOOK) {
                self.table.asked.brake.check()?;
            }
        }
        Ok(false)
    }

    /// The row at hand, as it lies.
    fn bytes(&self) -> &[u8] {
        let place = self.next_row.wrapping_sub(1);
        self.held.as_ref().and_then(|held| held.reading.rows.get(place)).map_or(&[], |row| row)
    }

    /// Says what a reading did not see.
    fn note(&self, held: &Held) {
        let (outcome, schema) = (held.reading.outcome(), &self.table.shape.schema);
        if schema.kind() == Kind::Event || (saw(outcome) && held.reading.reason.is_empty()) {
            return;
        }
        let words = match held.reading.reason.as_str() {
            "" => show::outcome(outcome).to_owned(),
            reason => reason.to_owned(),
        };
        self.table.asked.notes.add(QueryNote {
            device: held.owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default(),
            table: schema.name.clone(),
            outcome: outcome.into(),
            words,
            at_ms: held.reading.at_ms,
        });
    }
}

impl Window {
    fn narrow(&mut self, column: Column, given: &Given) {
        let Value::Integer(ms) = given.value else { return };
        if column == Column::ValidTo {
            // What ceased to be so before then is not asked for; what ceased right then was in force a moment before.
            self.from_ms = self.from_ms.max(ms.saturating_sub(1));
            return;
        }
        if matches!(given.asks, Asks::Equal | Asks::Above | Asks::AtLeast) {
            self.from_ms = self.from_ms.max(ms);
        }
        if matches!(given.asks, Asks::Equal | Asks::Below | Asks::AtMost) {
            self.to_ms = self.to_ms.min(ms);
        }
    }
}

impl Walk for Reader {
    fn start(&mut self, used: u64, given: Vec<Given>) -> Result<(), SqlError> {
        let shape = Arc::clone(&self.table.shape);
        self.given = given;
        self.tries = self
            .given
            .iter()
            .filter_map(|given| match shape.columns.get(given.column) {
                Some(Column::Own(place)) => Some(Try::new(*place, given.clone())),
                _ => None,
            })
            .collect();
        let first_own = shape.columns.iter().position(|column| matches!(column, Column::Own(_))).unwrap_or(0);
        let tried = |place: usize| self.tries.iter().any(|other| other.place == place);
        let asked = |place: usize| used >> (place + first_own).min(63) & 1 == 1;
        self.places = Places::new(&shape.schema, |place| asked(place) || tried(place));
        let scope = (self.when()?, self.device());
        self.from_ms = if let When::Within { from_ms, .. } = scope.0 { from_ms } else { i64::MIN };
        self.readings = match scope.0 {
            When::Within { from_ms, to_ms } if from_ms > to_ms => Readings::None,
            _ => self.open(scope)?,
        };
        (self.held, self.next_row, self.end_row) = (None, 0, usize::MAX);
        Ok(())
    }

    fn step(&mut self) -> Result<bool, SqlError> {
        loop {
            if self.next_wanted()? {
                return Ok(true);
            }
            self.table.asked.brake.check()?;
            (self.next_row, self.end_row) = (0, usize::MAX);
            self.held = self.next_reading()?;
            let Some(held) = &self.held else { return Ok(false) };
            if held.until_ms.is_some_and(|until_ms| until_ms <= self.from_ms) {
                self.held = None;
            } else if !matches!(self.readings, Readings::Picked(..)) {
                self.note(held);
            }
        }
    }

    fn value(&self, column: usize) -> ToSqlOutput<'_> {
        let null = ToSqlOutput::Owned(Value::Null);
        let (Some(held), Some(column)) = (&self.held, self.table.shape.columns.get(column)) else { return null };
        let integer = |number: i64| ToSqlOutput::Owned(Value::Integer(number));
        let text = |text: &'static str| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()));
        let owner = |field: fn(&super::source::Owner) -> &String| match &held.owner {
            Some(owner) => ToSqlOutput::Borrowed(ValueRef::Text(field(owner).as_bytes())),
            None => ToSqlOutput::Owned(Value::Null),
        };
        match column {
            Column::Own(place) => {
                if self.table.shape.withheld.get(*place).copied().unwrap_or(true) {
                    self.table.asked.withhold(&self.table.shape.schema, *place);
                    return null;
                }
                let column = self.table.shape.schema.columns.get(*place);
                column.map_or(null, |column| self.row.value(self.bytes(), *place, column))
            }
            Column::Device => owner(|owner| &owner.name),
            Column::DeviceId => owner(|owner| &owner.id),
            Column::Evidence => owner(|owner| &owner.evidence),
            Column::At | Column::ValidFrom => integer(held.reading.at_ms),
            Column::ValidTo => held.until_ms.map_or(null, integer),
            Column::Age => {
                let seen_ms = held.checked_ms.max(held.reading.at_ms);
                integer((self.table.asked.now_ms.saturating_sub(seen_ms) / 1_000).max(0))
            }
            Column::Outcome => text(show::outcome(held.reading.outcome())),
            Column::AsOf | Column::From | Column::To => {
                let place = self.table.shape.columns.iter().position(|other| other == column);
                let given = self.given.iter().find(|given| Some(given.column) == place);
                given.map_or(null, |given| ToSqlOutput::Owned(given.value.clone()))
            }
        }
    }
}
