//! Networks in the air, from the kernel's latest scan. Nothing is sent to find them.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::WifiNetwork;

use super::elements;
use super::radio::{self, Radio};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

/// Why so seldom: what is in the air comes and goes, and each look that differs is kept.
pub(in crate::collect) const WIFI_SCAN: Collector = Collector {
    table: WifiNetwork::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(30)),
    look,
};

/// Most networks of one interface; the strongest are kept.
const ROWS_MAX: usize = 64;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let Some(mut radios) = radio::radios(host)? else { return Ok(Rows::none()) };
    let mut rows = Rows::none();
    for radio in std::mem::take(&mut radios.all) {
        for row in networks(&radio) {
            rows.push(&row);
        }
        if radio.heard.len() > ROWS_MAX {
            rows.missing(format!(
                "{} weaker networks that {} hears",
                radio.heard.len() - ROWS_MAX,
                radio.interface.name
            ));
        }
    }
    radios.confess(&mut rows);
    Ok(rows)
}

fn networks(radio: &Radio) -> impl Iterator<Item = WifiNetwork> {
    let joined = radio.station.as_ref().map(|station| station.mac.as_str());
    radio.heard.iter().take(ROWS_MAX).map(move |(heard, said)| {
        let (channel, band) = heard.frequency_mhz.map(elements::channel).unwrap_or_default();
        WifiNetwork {
            interface: radio.interface.name.clone(),
            bssid: heard.bssid.clone(),
            ssid: said.ssid.clone(),
            joined: heard.joined || joined == Some(heard.bssid.as_str()),
            own_network: joined.is_some() && !said.ssid.is_empty() && said.ssid == radio.ssid(),
            channel,
            frequency_mhz: heard.frequency_mhz,
            band: band.into(),
            width_mhz: said.width_mhz,
            standard: said.standard.clone(),
            security: said.security.clone(),
            signal_dbm: heard.signal_dbm,
            heard_ms: heard.ago_ms,
            stations: said.stations,
            busy_percent: said.busy_percent,
            country: said.country.clone(),
        }
    })
}
