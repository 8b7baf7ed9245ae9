//! Sockets for screens and the screens in them, from the kernel's display drivers (DRM). All of it is what the driver remembers:
//! nothing here asks the screen or wakes the card.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Monitor;

use super::edid::{self, Edid};
use crate::collect::sysfs::{self, Folder};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const MONITORS: Collector =
    Collector { table: Monitor::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

const DRM: &str = "/sys/class/drm";

/// Most sockets that are read; docks bring some that come and go.
const CONNECTORS_MAX: usize = 64;

/// Most sizes that are told of a screen; it may list a hundred.
const MODES_MAX: usize = 12;

/// Sockets where no screen can be plugged in.
const NO_SOCKETS: [&str; 1] = ["Writeback"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut connectors = sysfs::class(host, DRM)?;
    connectors.retain(|(name, _folder)| socket(name).is_some());
    let mut rows = Rows::none();
    for (name, folder) in connectors.iter().take(CONNECTORS_MAX) {
        if let Some((card, connector)) = socket(name) {
            // A card's device has the name that `gpus` has; the connector's own device is the card.
            let gpu = Folder::new(host, format!("{DRM}/{card}")).link_name("device").unwrap_or_else(|| card.to_owned());
            rows.push(&monitor(host, gpu, connector, folder));
        }
    }
    if connectors.len() > CONNECTORS_MAX {
        rows.missing(format!("{} more sockets", connectors.len() - CONNECTORS_MAX));
    }
    Ok(rows)
}

/// "card0-HDMI-A-1" is the socket HDMI-A-1 of card0; "card0" and "renderD128" are none.
fn socket(name: &str) -> Option<(&str, &str)> {
    let (card, connector) = name.split_once('-')?;
    let real = card.starts_with("card") && !NO_SOCKETS.iter().any(|none| connector.starts_with(none));
    real.then_some((card, connector))
}

fn monitor(host: &dyn Host, gpu: String, connector: &str, folder: &Folder<'_>) -> Monitor {
    let status = folder.line("status").unwrap_or_else(|| "unknown".to_owned());
    let enabled = folder.line("enabled").map(|enabled| enabled == "enabled");
    let row = Monitor { gpu, connector: connector.to_owned(), enabled, ..Monitor::default() };
    if status != "connected" {
        return Monitor { status, ..row };
    }
    let (edid, problem) = match host.read(&folder.path_of("edid")) {
        Ok(bytes) => edid::parse(&bytes),
        Err(error) => (Edid::default(), format!("the screen's description could not be read: {error}")),
    };
    Monitor {
        status,
        power_saving: folder.line("dpms").unwrap_or_default(),
        manufacturer: edid.manufacturer,
        manufacturer_id: edid.manufacturer_id,
        model: edid.model,
        product_code: edid.product_code,
        serial: edid.serial,
        year: edid.year,
        width_mm: edid.width_mm,
        height_mm: edid.height_mm,
        native_mode: edid.native_mode,
        modes: modes(&host.text(&folder.path_of("modes")).unwrap_or_default()),
        digital: edid.digital,
        problem,
        ..row
    }
}

/// One line for each size and rate; the rate is not told, so the same size stands there many times.
fn modes(text: &str) -> Vec<String> {
    let mut modes: Vec<String> = Vec::new();
    for mode in text.lines().map(str::trim).filter(|mode| !mode.is_empty() && mode.len() < 32) {
        if modes.len() == MODES_MAX {
            break;
        }
        if !modes.iter().any(|known| known == mode) {
            modes.push(mode.to_owned());
        }
    }
    modes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_no_socket() {
        assert_eq!(socket("card1-DP-3"), Some(("card1", "DP-3")));
        let none = ["card0", "renderD128", "version", "card0-Writeback-1"].map(socket);
        assert_eq!(none, [None; 4]);
    }

    #[test]
    fn a_size_is_told_once() {
        assert_eq!(modes("1920x1080\n1920x1080\n1280x720\n\n"), ["1920x1080", "1280x720"]);
        let many: Vec<String> = (0..1000).map(|n| format!("{n}x1")).collect();
        assert_eq!(modes(&many.join("\n")).len(), MODES_MAX);
    }
}
