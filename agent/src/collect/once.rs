//! Looking at everything once: for a person at the machine, for a fresh look, and for a recording.

use std::path::Path;
use std::thread;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{Cgroup, Cpu, DiskIo, InterfaceIo, Process, Reading, TcpStats};

use super::{Collector, Registry, look};
use crate::host::{Clean, Host, Recording, Size};

/// Tables with shares of time, which need two looks.
const SHARES: [&str; 6] =
    [Cgroup::TABLE, Cpu::TABLE, DiskIo::TABLE, InterfaceIo::TABLE, Process::TABLE, TcpStats::TABLE];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Registry;
    use crate::host::{Live, Recorded};
    use deskside_proto::v1::{Family, Os, Package};

    fn of<'a>(readings: &'a [Reading], table: &str) -> &'a Reading {
        readings.iter().find(|reading| reading.table == table).unwrap()
    }

    #[test]
    fn one_look_at_everything_knows_shares_of_time() {
        let registry = Registry::standard();
        let readings = look_once(registry.collectors(), &Live::default());
        assert_eq!(readings.len(), registry.collectors().len());
        let cpu: Cpu = prost::Message::decode(of(&readings, Cpu::TABLE).rows[0].clone()).unwrap();
        assert!(cpu.used_percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)), "{cpu:?}");
        let busy =
            of(&readings, Process::TABLE).rows.iter().map(|row| <Process as prost::Message>::decode(row.clone()));
        assert!(busy.into_iter().all(|process| process.unwrap().cpu_percent.is_some()));
    }

    #[test]
    fn this_machine_recorded_says_what_it_said_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (registry, live) = (Registry::standard(), Live::default());
        let size = record_host(folder.path(), &registry, &live, &str::to_owned).unwrap();
        assert_eq!(size.left_out, 0);
        let recorded = Recorded::open(folder.path()).unwrap();
        // Queues, neighbours and logs may differ a moment later.
        let steady = [Family::Hardware, Family::System];
        let of_it =
            |collector: &&Collector| registry.schema(collector.table).is_some_and(|t| steady.contains(&t.family()));
        for collector in registry.collectors().iter().filter(of_it) {
            let (then, now) = (look(collector, &recorded), look(collector, &live));
            assert_eq!(then.outcome(), now.outcome(), "{}: {} / {}", collector.table, then.reason, now.reason);
            if [Os::TABLE, Package::TABLE].contains(&collector.table) {
                assert_eq!(then.rows, now.rows, "{}", collector.table);
            }
        }
    }
}
