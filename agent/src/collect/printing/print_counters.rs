//! What printers have counted.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::PrintCounter;

use crate::collect::printing::conversation::{self, Spoken};
use crate::collect::printing::printer_mib::{self, entry};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_COUNTERS: Collector =
    Collector { table: PrintCounter::TABLE, systems: &[Os::Linux], cadence: Cadence::Far(EVERY), look };

/// Why seldom: pages are counted over days.
const EVERY: Duration = Duration::from_hours(1);

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    Ok(conversation::converse(host, false)?.rows(row))
}

fn row(spoken: &Spoken) -> Vec<PrintCounter> {
    let (mib, described) = (spoken.snmp.as_ref().ok(), spoken.ipp.as_ref().ok());
    if mib.is_none() && described.is_none() {
        return Vec::new();
    }
    let markers = mib.map(|mib| mib.rows(entry::MARKER)).unwrap_or_default();
    let marker = markers.values().next();
    let counted = |name: &str| described.and_then(|described| described.count(name)).map(u64::from);
    vec![PrintCounter {
        host: spoken.device.host.clone(),
        queues: spoken.device.queues.clone(),
        life_count: marker.and_then(|marker| marker.count(4)),
        life_count_unit: marker.map(|marker| marker.word(3, printer_mib::UNITS)).unwrap_or_default(),
        power_on_count: marker.and_then(|marker| marker.count(5)),
        impressions_completed: counted("printer-impressions-completed"),
        sheets_completed: counted("printer-media-sheets-completed"),
        uptime_s: uptime_s(spoken),
    }]
}

/// Seconds since the printer was started, by SNMP or else by IPP.
pub(super) fn uptime_s(spoken: &Spoken) -> Option<u64> {
    let by_snmp = spoken.snmp.as_ref().ok().and_then(printer_mib::Mib::up_ticks).map(|ticks| ticks / 100);
    by_snmp.or_else(|| spoken.ipp.as_ref().ok().and_then(|described| described.count("printer-up-time")).map(u64::from))
}
