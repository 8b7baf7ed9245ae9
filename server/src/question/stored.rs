//! What the server knows, as a source of readings: the latest state and the streamed history of one device or of many.
//!
//! Times: of one device all are by its own clock, "now" too, so that they compare with what its rows say. Of many they are by the server's,
//! each device's offset being known.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock};

use deskside_proto::catalog;
use deskside_proto::rows::Row;
use deskside_proto::sql::{Held, Owner, Scan, Scanning, Source, SqlError, When};
use deskside_proto::v1::{EnrolledDevice, Outcome, Reading, TableSchema};
use prost::Message;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::past::{Past, latest_then};
use crate::case::now_ms;
use crate::store::{Cursor, Device, Latest, Store};

/// Latest readings that are fetched at a time.
const PAGE: u32 = 1_000;

/// Of so few devices each is asked for by itself.
const FEW: usize = 64;

/// Tickets whose devices are counted.
const TICKETS_MAX: u32 = 100_000;

/// The contract's tables.
static TABLES: LazyLock<Vec<Arc<TableSchema>>> =
    LazyLock::new(|| catalog::tables().iter().cloned().map(Arc::new).collect());

/// A device that is asked about.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) device: Device,
    pub(super) connected: bool,
}

/// What a question over the store reads from.
pub(super) struct Stored {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) runtime: Handle,
    pub(super) machines: Vec<Machine>,
    places: HashMap<Uuid, usize>,
    many: bool,
    all: bool,
    now_ms: i64,
    tables: Vec<Arc<TableSchema>>,
}

impl Stored {
    /// One device.
    pub(super) async fn one(store: Arc<dyn Store>, machine: Machine) -> anyhow::Result<Self> {
        let now_ms = now_ms() - machine.device.clock_offset_ms;
        Self::new(store, vec![machine], (false, false), now_ms).await
    }

    /// Many devices; `all` where they are all that there are.
    pub(super) async fn many(store: Arc<dyn Store>, machines: Vec<Machine>, all: bool) -> anyhow::Result<Self> {
        Self::new(store, machines, (true, all), now_ms()).await
    }

    async fn new(
        store: Arc<dyn Store>,
        machines: Vec<Machine>,
        (many, all): (bool, bool),
        now_ms: i64,
    ) -> anyhow::Result<Self> {
        let brought = store.schemas().await?;
        let more = brought.into_iter().filter(|schema| catalog::table(&schema.name).is_none()).map(Arc::new);
        let tables = TABLES.iter().cloned().chain(more).collect();
        let places = machines.iter().enumerate().map(|(place, machine)| (machine.device.id, place)).collect();
        let runtime = Handle::current();
        Ok(Self { shared: Arc::new(Shared { store, runtime, machines, places, many, all, now_ms, tables }) })
    }
}

impl Shared {
    /// Waits for the store, on a thread where that is allowed.
    pub(super) fn wait<T>(&self, answer: impl Future<Output = anyhow::Result<T>>) -> Result<T, SqlError> {
        self.runtime.block_on(answer).map_err(|error| SqlError::Source(format!("{error:#}")))
    }

    /// How much is added to a device's times.
    pub(super) fn shift_ms(&self, machine: &Machine) -> i64 {
        if self.many { machine.device.clock_offset_ms } else { 0 }
    }

    fn owner(&self, machine: &Machine) -> Option<Arc<Owner>> {
        let owner =
            || Owner { id: machine.device.id.to_string(), name: machine.device.name.clone(), ..Owner::default() };
        self.many.then(|| Arc::new(owner()))
    }

    /// A reading of a device, its times as the question means them.
    pub(super) fn held(&self, machine: &Machine, latest: Latest, until_ms: Option<i64>) -> Held {
        let Latest { mut reading, checked_ms } = latest;
        let shift_ms = self.shift_ms(machine);
        reading.at_ms = reading.at_ms.saturating_add(shift_ms);
        let checked_ms = checked_ms.saturating_add(shift_ms).max(reading.at_ms);
        let until_ms = until_ms.map(|until_ms| until_ms.saturating_add(shift_ms));
        Held { owner: self.owner(machine), reading, checked_ms, until_ms }
    }

    pub(super) fn tables(&self) -> &[Arc<TableSchema>] {
        &self.tables
    }

    /// Places of the devices that a scan is about.
    fn meant(&self, scan: &Scan) -> Vec<usize> {
        let Some(named) = scan.device.as_deref().filter(|_named| self.many) else {
            return (0..self.machines.len()).collect();
        };
        let fits = |machine: &Machine| machine.device.name == named || machine.device.id.to_string() == named;
        self.machines.iter().enumerate().filter(|(_place, machine)| fits(machine)).map(|(place, _)| place).collect()
    }

    /// The rows of the table `devices`, each a reading of its own.
    fn devices(&self, places: &[usize]) -> Result<Vec<Held>, SqlError> {
        let mut open: HashMap<Uuid, u32> = HashMap::new();
        for ticket in self.wait(self.store.tickets(false, TICKETS_MAX))? {
            for device in ticket.devices {
                *open.entry(device).or_default() += 1;
            }
        }
        let row = |machine: &Machine| {
            let Device { id, name, os, agent_version, enrolled_ms, seen_ms, .. } = machine.device.clone();
            let row = EnrolledDevice {
                id: id.to_string(),
                name,
                connected: machine.connected,
                seen_ms: Some(seen_ms).filter(|seen_ms| *seen_ms != 0),
                enrolled_ms,
                os,
                agent_version,
                clock_offset_ms: machine.device.clock_offset_ms,
                readings_lost: machine.device.lost,
                open_tickets: open.get(&id).copied().unwrap_or_default(),
                revoked: machine.device.revoked,
            };
            let reading = Reading {
                table: EnrolledDevice::TABLE.into(),
                at_ms: self.now_ms,
                outcome: Outcome::Ok.into(),
                rows: vec![row.encode_to_vec().into()],
                ..Reading::default()
            };
            Held { owner: self.owner(machine), reading, checked_ms: self.now_ms, until_ms: None }
        };
        Ok(places.iter().filter_map(|place| self.machines.get(*place)).map(row).collect())
    }

    /// Says whose readings of a table there are none of.
    fn note_missing(&self, scan: &Scan, missing: &[usize]) {
        let named = missing.iter().filter_map(|place| self.machines.get(*place));
        let words = match missing {
            [] => return,
            [_one] if !self.many => {
                "nothing of it has reached the server: it is not streamed, or was never seen".into()
            }
            few if few.len() <= FEW => {
                let names: Vec<&str> = named.map(|machine| machine.device.name.as_str()).collect();
                format!("nothing of it has reached the server from {}", names.join(", "))
            }
            many => format!("nothing of it has reached the server from {} of {}", many.len(), self.machines.len()),
        };
        scan.notes.say(&scan.table, words);
    }
}

impl Source for Stored {
    fn now_ms(&self) -> i64 {
        self.shared.now_ms
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.shared.tables.clone()
    }

    fn has_many_devices(&self) -> bool {
        self.shared.many
    }

    fn scan(&self, scan: Scan) -> Result<Box<dyn Scanning>, SqlError> {
        let (shared, places) = (Arc::clone(&self.shared), self.shared.meant(&scan));
        if scan.table == EnrolledDevice::TABLE {
            return Ok(Box::new(Ready(shared.devices(&places)?.into_iter())));
        }
        match scan.when {
            When::Now if shared.all && places.len() == shared.machines.len() && places.len() > FEW => {
                let left = vec![true; places.len()];
                Ok(Box::new(Newest { shared, scan, page: VecDeque::new(), next: None, begun: false, left }))
            }
            When::Now | When::At(_) => {
                Ok(Box::new(EachLatest { shared, scan, places: places.into(), missing: Vec::new() }))
            }
            When::Within { .. } => Ok(Box::new(Past::new(shared, scan, places))),
        }
    }
}

/// What is at hand.
struct Ready(std::vec::IntoIter<Held>);

impl Scanning for Ready {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        Ok(self.0.next())
    }
}

/// The latest of all devices, page by page.
struct Newest {
    shared: Arc<Shared>,
    scan: Scan,
    page: VecDeque<(Uuid, Latest)>,
    next: Option<Cursor>,
    begun: bool,
    /// Devices of which nothing came, by place.
    left: Vec<bool>,
}

impl Scanning for Newest {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        loop {
            while let Some((id, latest)) = self.page.pop_front() {
                // One that was enrolled meanwhile is passed over.
                let Some(place) = self.shared.places.get(&id).copied() else { continue };
                self.left.get_mut(place).into_iter().for_each(|left| *left = false);
                let machine = self.shared.machines.get(place);
                return Ok(machine.map(|machine| self.shared.held(machine, latest, None)));
            }
            if self.begun && self.next.is_none() {
                let left = std::mem::take(&mut self.left).into_iter().enumerate();
                let missing: Vec<usize> = left.filter(|(_place, left)| *left).map(|(place, _)| place).collect();
                self.shared.note_missing(&self.scan, &missing);
                return Ok(None);
            }
            self.scan.brake.check()?;
            let page = self.shared.wait(self.shared.store.latest_all(&self.scan.table, self.next, PAGE))?;
            (self.page, self.next, self.begun) = (page.found.into(), page.next, true);
        }
    }
}

/// The latest, or the one in force at a time, of one device after the other.
struct EachLatest {
    shared: Arc<Shared>,
    scan: Scan,
    places: VecDeque<usize>,
    missing: Vec<usize>,
}

impl Scanning for EachLatest {
    fn next(&mut self) -> Result<Option<Held>, SqlError> {
        while let Some(place) = self.places.pop_front() {
            self.scan.brake.check()?;
            let Some(machine) = self.shared.machines.get(place) else { continue };
            let (id, table) = (machine.device.id, self.scan.table.as_str());
            let found = match self.scan.when {
                When::At(at_ms) => latest_then(&self.shared, &self.scan, machine, at_ms)?,
                _ => self.shared.wait(self.shared.store.latest_of(id, table))?,
            };
            match found {
                Some(latest) => return Ok(Some(self.shared.held(machine, latest, None))),
                None => self.missing.push(place),
            }
        }
        self.shared.note_missing(&self.scan, &std::mem::take(&mut self.missing));
        Ok(None)
    }
}
