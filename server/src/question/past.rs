//! The streamed past of a table: as it was at a time, and all readings within a window, one device after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use deskside_proto::changes::saw;
use deskside_proto::show;
use deskside_proto::sql::{Held, Scan, Scanning, SqlError, When};
use deskside_proto::v1::{Kind, QueryNote, Reading};

use super::stored::{Machine, Shared};
use crate::store::{Cursor, Latest, Order, Window};

/// Readings that are fetched at a time.
const PAGE: u32 = 500;

/// Readings that are fetched at a time on the way back to one that saw the machine.
const PAGE_BACK: u32 = 16;

/// A table as it was: the last reading that began then or before.
pub(super) fn latest_then(
    shared: &Shared,
    scan: &Scan,
    machine: &Machine,
    at_ms: i64,
) -> Result<Option<Latest>, SqlError> {
    let at_ms = at_ms.saturating_sub(shared.shift_ms(machine));
    let found = shared.wait(shared.store.at(machine.device.id, &scan.table, at_ms))?;
    if found.is_none() {
        note_begin(shared, scan, machine, at_ms)?;
    }
    let Some(reading) = found else { return Ok(None) };
    let checked_ms = last_checked(shared, machine, &reading)?.map_or(at_ms, |checked_ms| checked_ms.min(at_ms));
    Ok(Some(Latest { checked_ms: checked_ms.max(reading.at_ms), reading }))
}

/// When a reading was last found to be so, where it is the latest.
fn last_checked(shared: &Shared, machine: &Machine, reading: &Reading) -> Result<Option<i64>, SqlError> {
    let latest = shared.wait(shared.store.latest_of(machine.device.id, &reading.table))?;
    Ok(latest.filter(|latest| latest.reading.at_ms == reading.at_ms).map(|latest| latest.checked_ms))
}

/// Says from when on a table is held, where that is later than what was asked for.
fn note_begin(shared: &Shared, scan: &Scan, machine: &Machine, from_ms: i64) -> Result<(), SqlError> {
    let since = shared.wait(shared.store.held_since(machine.device.id, &scan.table))?;
    let Some(since_ms) = since.filter(|since_ms| *since_ms > from_ms) else { return Ok(()) };
    let shown_ms = since_ms.saturating_add(shared.shift_ms(machine));
    scan.notes.add(QueryNote {
        device: machine.device.name.clone(),
        table: scan.table.clone(),
        words: format!("the server holds {} since {}", scan.table, show::clock(shown_ms)),
        at_ms: shown_ms,
        ..QueryNote::default()
    });
    Ok(())
}

/// Readings within a window.
pub(super) struct Past {
    shared: Arc<Shared>,
    scan: Scan,
    places: VecDeque<usize>,
    /// The device whose readings come now.
    at: Option<Course>,
    state: bool,
}

/// One device's readings on their way.
struct Course {
    machine: Machine,
    window: Window,
    /// The end of what was asked for; the window reaches further by the reading that says until when the last one was in force.
    to_ms: i64,
    page: VecDeque<Reading>,
    next: Option<Cursor>,
    ended: bool,
}

impl Past {
    pub(super) fn new(shared: Arc<Shared>, scan: Scan, places: Vec<usize>) -> Self {
        let schema = shared.tables().iter().find(|schema| schema.name == scan.table);
        let state = schema.is_some_and(|schema| schema.kind() == Kind::State);
        Self { shared, scan, places: places.into(), at: None, state }
    }

    fn begin(&self, machine: &Machine) -> Result<Course, SqlError> {
        let When::Within { from_ms, to_ms } = self.scan.when else {
            return Err(SqlError::Source("a window was asked for without its bounds".into()));
        };
        let shift_ms = self.shared.shift_ms(machine);
        let (mut from_ms, to_ms) = (from_ms.saturating_sub(shift_ms), to_ms.saturating_sub(shift_ms));
        if from_ms > 0 {
            note_begin(&self.shared, &self.scan, machine, from_ms)?;
        }
        if self.state && from_ms > 0 {
            from_ms = self.seen_before(machine, from_ms)?;
        }
        let window = Window {
            device: Some(machine.device.id),
            table: self.scan.table.clone(),
            from_ms,
            to_ms: i64::MAX,
            order: Order::OldestFirst,
        };
        Ok(Course { machine: machine.clone(), window, to_ms, page: VecDeque::new(), next: None, ended: false })
    }

    /// When the last look before a time was that saw the machine; that time itself, where there was none.
    fn seen_before(&self, machine: &Machine, before_ms: i64) -> Result<i64, SqlError> {
        let window = Window {
            device: Some(machine.device.id),
            table: self.scan.table.clone(),
            from_ms: i64::MIN,
            to_ms: before_ms.saturating_sub(1),
            order: Order::NewestFirst,
        };
        let mut next = None;
        loop {
            self.scan.brake.check()?;
            let page = self.shared.wait(self.shared.store.window(window.clone(), next, PAGE_BACK))?;
            if let Some((_id, seen)) = page.found.iter().find(|(_id, reading)| saw(reading.outcome())) {
                return Ok(seen.at_ms);
            }
            next = page.next;
            if next.is_none() {
                return Ok(before_ms);
            }
        }
    }
}

impl Course {
    /// The next reading, and when the one after it began.
    fn step(&mut self, shared: &Shared, scan: &Scan) -> Result<Option<(Reading, Option<i64>)>, SqlError> {
        while self.page.len() < 2 && !self.ended {
            scan.brake.check()?;
            let page = shared.wait(shared.store.window(self.window.clone(), self.next, PAGE))?;
            self.page.extend(page.found.into_iter().map(|(_id, reading)| reading));
            (self.next, self.ended) = (page.next, page.next.is_none());
        }
        let reading = self.page.pop_front().filter(|reading| reading.at_ms <= self.to_ms);
        Ok(reading.map(|reading| (reading, self.page.front().map(|after| after.at_ms))))
    }
}

impl Scanning for Past {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        loop {
            if let Some(course) = &mut self.at {
                if let Some((reading, until_ms)) = course.step(&self.shared, &self.scan)? {
                    let until_ms = until_ms.filter(|_until| self.state);
                    let checked_ms = match until_ms {
                        Some(until_ms) => until_ms,
                        None if self.state => {
                            last_checked(&self.shared, &course.machine, &reading)?.unwrap_or(reading.at_ms)
                        }
                        None => reading.at_ms,
                    };
                    let latest = Latest { reading, checked_ms };
                    return Ok(Some(self.shared.held(&course.machine, latest, until_ms)));
                }
                self.at = None;
            }
            self.scan.brake.check()?;
            let Some(place) = self.places.pop_front() else { return Ok(None) };
            let shared = Arc::clone(&self.shared);
            let Some(machine) = shared.machines.get(place) else { continue };
            self.at = Some(self.begin(machine)?);
        }
    }
}
