//! Paper trays, as the printers themselves tell of them.

use deskside_proto::rows::Row;
use deskside_proto::v1::PrintTray;

use crate::collect::printing::conversation::{self, Spoken};
use crate::collect::printing::cups::Described;
use crate::collect::printing::print_supplies::keys;
use crate::collect::printing::printer_mib::{self, Entry, Measure, Mib, entry, index_text, measure};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_TRAYS: Collector =
    Collector { table: PrintTray::TABLE, systems: &[Os::Linux], cadence: Cadence::Far(conversation::EVERY), look };

/// Most trays of one printer.
const TRAYS_MAX: usize = 32;

/// What a part of a printer is up to: the lowest three bits of `PrtSubUnitStatusTC` (RFC 3805).
const AVAILABILITY: &[(i64, &str)] = &[
    (0, "available"),
    (1, "unavailable, on request"),
    (2, "standby"),
    (3, "broken"),
    (4, "active"),
    (5, "unknown"),
    (6, "busy"),
];

/// Its other bits.
const CONDITIONS: [(i64, &str); 4] =
    [(8, "alert"), (16, "critical alert"), (32, "offline"), (64, "on its way to another state")];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    Ok(conversation::converse(host, false)?.rows(rows))
}

/// By SNMP where it tells of any, else by IPP.
fn rows(spoken: &Spoken) -> Vec<PrintTray> {
    let mut rows = spoken.snmp.as_ref().map(of_mib).unwrap_or_default();
    if let (true, Ok(described)) = (rows.is_empty(), &spoken.ipp) {
        rows = of_input_trays(described);
        if rows.is_empty() {
            rows = of_ready_media(described);
        }
    }
    rows.truncate(TRAYS_MAX);
    for row in &mut rows {
        (row.host, row.queues) = (spoken.device.host.clone(), spoken.device.queues.clone());
    }
    rows
}

fn of_mib(mib: &Mib) -> Vec<PrintTray> {
    let row = |(index, tray): (&Vec<u64>, &Entry<'_>)| {
        let name = Some(tray.text(13)).filter(|name| !name.is_empty()).unwrap_or_else(|| tray.text(18));
        let row = PrintTray {
            index: index_text(index),
            source: "SNMP".into(),
            name,
            kind: tray.word(2, printer_mib::INPUT_TYPES),
            media: tray.text(12),
            unit: tray.word(8, printer_mib::UNITS),
            status: tray.number(11).map(status).unwrap_or_default(),
            ..PrintTray::default()
        };
        measured(row, &measure(tray.number(10), tray.number(9), false))
    };
    mib.rows(entry::INPUT).iter().map(row).collect()
}

/// How much is in a tray. "Some left" is not empty; "unknown" is neither.
fn measured(row: PrintTray, measure: &Measure) -> PrintTray {
    let empty = match measure.said {
        "some left" => Some(false),
        "" => measure.level.map(|level| level == 0),
        _ => None,
    };
    PrintTray { level: measure.level, capacity: measure.capacity, empty, level_said: measure.said.into(), ..row }
}

fn status(number: i64) -> String {
    let mut words = vec![printer_mib::word(number & 7, AVAILABILITY)];
    words.extend(CONDITIONS.iter().filter(|(bit, _word)| number & bit != 0).map(|(_bit, word)| (*word).to_owned()));
    words.join(", ")
}

/// printer-input-tray (PWG 5100.13): "type=sheetFeedAutoRemovableTray;maxcapacity=250;level=100;status=0;name=Tray 1;"
fn of_input_trays(described: &Described) -> Vec<PrintTray> {
    let ready = described.texts("media-ready");
    let row = |(place, tray): (usize, &String)| {
        let keys = keys(tray);
        let key = |name: &str| keys.get(name).copied().unwrap_or_default().to_owned();
        let number = |name: &str| keys.get(name).and_then(|value| value.parse::<i64>().ok());
        let row = PrintTray {
            index: Some(key("index")).filter(|index| !index.is_empty()).unwrap_or_else(|| (place + 1).to_string()),
            source: "IPP".into(),
            name: key("name"),
            kind: key("type"),
            media: ready.get(place).cloned().unwrap_or_default(),
            unit: Some(key("unit")).filter(|unit| !unit.is_empty()).unwrap_or_else(|| "sheets".into()),
            status: number("status").map(status).unwrap_or_default(),
            ..PrintTray::default()
        };
        measured(row, &measure(number("level"), number("maxcapacity"), false))
    };
    described.texts("printer-input-tray").iter().enumerate().map(row).collect()
}

/// Where nothing else is told, the paper that is ready.
fn of_ready_media(described: &Described) -> Vec<PrintTray> {
    let row = |(place, media): (usize, String)| PrintTray {
        index: (place + 1).to_string(),
        source: "IPP".into(),
        media,
        level_said: "unknown".into(),
        ..PrintTray::default()
    };
    described.texts("media-ready").into_iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_words() {
        assert_eq!(status(0), "available");
        assert_eq!(status(19), "broken, critical alert");
        assert_eq!(status(33), "unavailable, on request, offline");
        assert_eq!(status(7), "7");
    }

    #[test]
    fn a_tray_is_empty_only_where_the_printer_knows() {
        let empty = |level| measured(PrintTray::default(), &measure(Some(level), Some(250), false)).empty;
        assert_eq!([0, 12, -1, -2, -3].map(empty), [Some(true), Some(false), None, None, Some(false)]);
    }
}
