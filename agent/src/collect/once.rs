//! Looking at everything once: for a person at the machine, for a fresh look, and for a recording.

use std::path::Path;
use std::thread;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{Cpu, Process, Reading};

use super::{Collector, Registry, look};
use crate::host::{Clean, Host, Recording, Size};

/// Tables with shares of time, which need two looks.
const SHARES: [&str; 2] = [Cpu::TABLE, Process::TABLE];

/// Between the two looks.
const BETWEEN: Duration = Duration::from_millis(200);

/// Looks at each once. Where shares of time are among them and no look came before, they are looked at twice, a moment apart, and the
/// second look counts. It blocks for all of that time.
pub fn look_once<'a>(collectors: impl IntoIterator<Item = &'a Collector>, host: &dyn Host) -> Vec<Reading> {
    let (shares, others): (Vec<&Collector>, Vec<&Collector>) =
        collectors.into_iter().partition(|collector| SHARES.contains(&collector.table));
    for collector in &shares {
        look(collector, host);
    }
    let mut readings: Vec<Reading> = others.into_iter().map(|collector| look(collector, host)).collect();
    if !shares.is_empty() {
        thread::sleep(BETWEEN);
    }
    readings.extend(shares.into_iter().map(|collector| look(collector, host)));
    readings
}

/// Looks at everything and writes what the machine answered to a folder that is new or empty, each text cleaned. The folder is a
/// [`crate::host::Recorded`] host.
pub fn record_host(folder: &Path, registry: &Registry, host: &dyn Host, clean: Clean<'_>) -> anyhow::Result<Size> {
    let recording = Recording::begin(host, folder, clean)?;
    for reading in look_once(registry.collectors(), &recording) {
        tracing::debug!(table = reading.table, rows = reading.rows.len(), reason = reading.reason, "looked");
    }
    recording.end()
}
