//! A question to every device that is connected now: each answers for itself, and its rows go on as they come.

use std::time::{Duration, Instant};

use deskside_proto::sql::{Notes, bounds};
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::{Cell, Query, QueryEnd, QueryNote, QueryPart, ResultColumn, ResultRow};
use futures_util::stream::{self, StreamExt};
use prost::Message;
use tokio::sync::mpsc;

use super::fleet::off_since;
use super::known::BOUNDS;
use super::stored::Machine;
use super::{Pieces, Questions, Unanswered};

/// Devices that are asked at a time.
const ASKED_AT_ONCE: usize = 1_024;

/// How long each may take, where the asker does not say.
const TIME_MS: u32 = 15_000;

/// How long a question may wait there for its turn.
const WAIT_MS: u32 = 5_000;

/// Progress is told no more often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Pieces that wait to be merged, and for the one who asks.
const PIECES_MAX: usize = 64;

/// Words of a question whose meaning ends at each device.
const ACROSS: [&str; 5] = ["GROUP BY", "ORDER BY", "LIMIT", "DISTINCT", "COUNT("];

/// What comes from one device.
type Heard = (usize, Option<Result<QueryPart, Unanswered>>);

impl Questions {
    pub(super) fn ask_live(&self, machines: Vec<Machine>, mut query: Query) -> Pieces {
        if query.time_max_ms == 0 {
            query.time_max_ms = TIME_MS;
        }
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        tokio::spawn(self.clone().merge(machines, query, sender));
        Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))
    }

    async fn merge(self, machines: Vec<Machine>, query: Query, sender: mpsc::Sender<Result<QueryPart, Unanswered>>) {
        let mut merging = Merging::new(machines, &query);
        let (heard, mut pieces) = mpsc::channel(PIECES_MAX);
        // Why owned by this task: when the asker goes, each device is told to stop.
        let asking = stream::iter(merging.connected()).for_each_concurrent(ASKED_AT_ONCE, |(place, device)| {
            let (heard, pieces) = (heard.clone(), self.ask_waiting(device, query.clone(), WAIT_MS));
            async move {
                let mut pieces = match pieces {
                    Ok(pieces) => pieces,
                    Err(error) => Box::pin(stream::iter([Err(error)])),
                };
                while let Some(piece) = pieces.next().await {
                    let failed = piece.is_err();
                    if heard.send((place, Some(piece))).await.is_err() || failed {
                        return;
                    }
                }
                // Why: one that has gone needs to hear no more.
                heard.send((place, None)).await.ok();
            }
        });
        tokio::pin!(asking);
        let mut asked = false;
        while !merging.is_done() {
            let piece: Option<Heard> = tokio::select! {
                biased;
                () = sender.closed() => return,
                piece = pieces.recv() => piece,
                () = &mut asking, if !asked => {
                    asked = true;
                    continue;
                }
            };
            let Some((place, piece)) = piece else { break };
            if let Some(part) = merging.take(place, piece)
                && sender.send(Ok(part)).await.is_err()
            {
                return;
            }
        }
        // Why: one who has gone needs no last word.
        sender.send(Ok(merging.end())).await.ok();
    }
}

/// Where the answers of many devices become one.
struct Merging {
    machines: Vec<Machine>,
    begun: Instant,
    told: Instant,
    columns: Vec<ResultColumn>,
    /// For each device, where each of the merged columns is in its rows; none where it has not told its columns.
    order: Vec<Option<Vec<Option<usize>>>>,
    /// Devices whose answer came to its end, by place.
    ended: Vec<bool>,
    waiting: usize,
    asked: usize,
    answered: u32,
    rows_max: u64,
    bytes_max: u64,
    bytes: u64,
    end: QueryEnd,
    notes: Notes,
    across: bool,
}

impl Merging {
    fn new(machines: Vec<Machine>, query: &Query) -> Self {
        let bounds = bounds(query, BOUNDS);
        let asked = machines.iter().filter(|machine| machine.connected).count();
        let sql = query.sql.to_uppercase();
        Self {
            order: vec![None; machines.len()],
            ended: vec![false; machines.len()],
            machines,
            begun: Instant::now(),
            told: Instant::now(),
            columns: Vec::new(),
            waiting: asked,
            asked,
            answered: 0,
            rows_max: bounds.rows_max,
            bytes_max: bounds.bytes_max,
            bytes: 0,
            end: QueryEnd::default(),
            notes: Notes::default(),
            across: ACROSS.iter().any(|word| sql.contains(word)),
        }
    }

    /// Devices to ask, each with its place.
    fn connected(&self) -> Vec<(usize, uuid::Uuid)> {
        let machines = self.machines.iter().enumerate();
        machines
            .filter(|(_place, machine)| machine.connected)
            .map(|(place, machine)| (place, machine.device.id))
            .collect()
    }

    fn is_done(&self) -> bool {
        self.waiting == 0 || !self.end.cut.is_empty()
    }

    /// Takes in what came from a device; answers what is to go on.
    fn take(&mut self, place: usize, piece: Option<Result<QueryPart, Unanswered>>) -> Option<QueryPart> {
        let mut merged = QueryPart::default();
        match piece {
            Some(Ok(part)) => self.merge(place, part, &mut merged),
            Some(Err(error)) => {
                self.waiting -= 1;
                self.note(place, "", &error.to_string());
            }
            None => {
                self.waiting -= 1;
                if !self.ended.get(place).copied().unwrap_or_default() {
                    self.note(place, "", "its answer broke off");
                }
            }
        }
        if self.told.elapsed() >= PROGRESS_EVERY || self.waiting == 0 {
            self.told = Instant::now();
            merged.progress = format!("answered {} of {}", self.answered, self.asked);
        }
        (merged != QueryPart::default()).then_some(merged)
    }

    fn merge(&mut self, place: usize, part: QueryPart, merged: &mut QueryPart) {
        if !part.columns.is_empty() {
            merged.columns = self.know(place, &part.columns);
        }
        for row in part.rows {
            self.row(place, row, merged);
        }
        for note in part.notes {
            self.note(place, &note.table, &note.words);
        }
        if let Some(end) = part.end {
            self.answered += 1;
            self.ended.get_mut(place).into_iter().for_each(|ended| *ended = true);
            if !end.cut.is_empty() {
                self.note(place, "", &format!("its answer was cut: {}", end.cut));
            }
        }
    }

    /// The columns of a device. Those of the first are those of the answer; of another, columns of the same name are taken.
    fn know(&mut self, place: usize, columns: &[ResultColumn]) -> Vec<ResultColumn> {
        let first = self.columns.is_empty();
        if first {
            let device = ResultColumn { name: "device".into(), ..ResultColumn::default() };
            self.columns = std::iter::once(device).chain(columns.iter().cloned()).collect();
        }
        let own = self.columns.get(1..).unwrap_or_default();
        let same = own.len() == columns.len() && own.iter().zip(columns).all(|(a, b)| a.name == b.name);
        let place_of = |(at, column): (usize, &ResultColumn)| {
            if same { Some(at) } else { columns.iter().position(|other| other.name == column.name) }
        };
        let order: Vec<Option<usize>> = own.iter().enumerate().map(place_of).collect();
        let strange: Vec<&str> = columns
            .iter()
            .filter(|column| own.iter().all(|known| known.name != column.name))
            .map(|column| column.name.as_str())
            .collect();
        if !strange.is_empty() {
            self.note(place, "", &format!("its columns {} are left out: others do not have them", strange.join(", ")));
        } else if order.contains(&None) {
            self.note(place, "", "it lacks some of the columns; they read as NULL");
        }
        if let Some(known) = self.order.get_mut(place) {
            *known = Some(order);
        }
        if first { self.columns.clone() } else { Vec::new() }
    }

    fn row(&mut self, place: usize, row: ResultRow, merged: &mut QueryPart) {
        if !self.end.cut.is_empty() {
            return;
        }
        let (Some(machine), Some(Some(order))) = (self.machines.get(place), self.order.get(place)) else { return };
        let mut cells: Vec<Option<Cell>> = row.cells.into_iter().map(Some).collect();
        let mut cell = |at: &Option<usize>| at.and_then(|at| cells.get_mut(at)?.take()).unwrap_or_default();
        let device = Cell { value: Some(Value::Text(machine.device.name.clone())) };
        let row = ResultRow { cells: std::iter::once(device).chain(order.iter().map(&mut cell)).collect() };
        self.bytes += row.encoded_len() as u64;
        if self.end.rows >= self.rows_max || self.bytes > self.bytes_max {
            self.end.cut = format!("the first {} rows; there are more", self.end.rows);
            return;
        }
        self.end.rows += 1;
        merged.rows.push(row);
    }

    fn note(&self, place: usize, table: &str, words: &str) {
        let Some(machine) = self.machines.get(place) else { return };
        let (device, table, words) = (machine.device.name.clone(), table.to_owned(), words.to_owned());
        self.notes.add(QueryNote { device, table, words, ..QueryNote::default() });
    }

    /// The last piece: how it ended, and who did not answer.
    fn end(mut self) -> QueryPart {
        for (place, machine) in self.machines.iter().enumerate().filter(|(_place, machine)| !machine.connected) {
            self.note(place, "", &off_since(&machine.device));
        }
        if self.across && self.asked > 1 {
            let words = "each device answered for itself: nothing is sorted, grouped, counted or cut across devices";
            self.notes.say("", words);
        }
        let (notes, notes_left_out) = self.notes.take();
        self.end.notes_left_out = notes_left_out;
        self.end.devices = self.answered;
        self.end.took_ms = u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        QueryPart { notes, end: Some(self.end), ..QueryPart::default() }
    }
}
