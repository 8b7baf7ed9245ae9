//! Wi-Fi interfaces: what they are joined to, and how well.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Wifi;

use super::elements;
use super::nl80211::Station;
use super::radio::{self, Counters, Radio, Since};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

mod extensions;
mod networkmanager;
mod rfkill;

use rfkill::Switches;

pub(in crate::collect) const WIFI: Collector =
    Collector { table: Wifi::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

/// What networks are laid out for, and where a signal is so weak that clients begin to look for another access point.
const GOOD_DBM: i32 = -67;
const POOR_DBM: i32 = -75;

/// Modulations that are used only where nothing better gets through.
const LOW_MCS: u32 = 1;

/// More repetitions than this are many.
const RETRIES_PERCENT: f64 = 20.0;

/// How much better another access point must be to be worth a move.
const BETTER_DB: i32 = 12;

/// How fresh a scan must be for that.
const HEARD_MS_MAX: u64 = 60_000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let Some(mut radios) = radio::radios(host)? else { return extensions::look(host) };
    let switches = Switches::read(host);
    let countries = radio::countries(host, &mut radios);
    let all = std::mem::take(&mut radios.all);
    let counters = Counters::take(host, "wifi", &all);
    let mut rows = Rows::none();
    for radio in &all {
        let mut row = row(radio, &counters.since(radio));
        countries.of(radio.interface.wiphy).clone_into(&mut row.country);
        (row.soft_blocked, row.hard_blocked) = switches.of(&radio.phy);
        row.state = state(radio, &row).to_owned();
        if radio.joins() {
            row.power_save = radio::power_save(host, radio, &mut radios);
            if let Err(error) = networkmanager::tell(host, &mut row) {
                rows.missing(format!("what manages {}: {error:#}", row.interface));
            }
        }
        rows.push(&row);
    }
    radios.confess(&mut rows);
    Ok(rows)
}

fn state(radio: &Radio, row: &Wifi) -> &'static str {
    let authorized = radio.station.as_ref().map(|station| station.authorized != Some(false));
    match (radio.joins(), authorized) {
        (false, _) => "",
        (true, Some(true)) => "connected",
        (true, Some(false)) => "associated",
        (true, None) if row.soft_blocked == Some(true) || row.hard_blocked == Some(true) => "blocked",
        (true, None) if radio.up == Some(false) => "off",
        (true, None) => "disconnected",
    }
}

fn row(radio: &Radio, since: &Since) -> Wifi {
    let interface = &radio.interface;
    let mut row = Wifi {
        interface: interface.name.clone(),
        phy: radio.phy.clone(),
        mode: interface.mode.clone(),
        ssid: interface.ssid.clone(),
        width_mhz: interface.width_mhz,
        tx_power_dbm: interface.tx_power_dbm,
        source: "nl80211".into(),
        ..Wifi::default()
    };
    if let Some(frequency) = interface.frequency_mhz {
        let (channel, band) = elements::channel(frequency);
        (row.frequency_mhz, row.channel, row.band) = (Some(frequency), channel, band.into());
    }
    if let Some(station) = &radio.station {
        radio.ssid().clone_into(&mut row.ssid);
        link(&mut row, station, since);
        row.noise_dbm = radio.survey.and_then(|survey| survey.noise_dbm);
        access_point(&mut row, radio);
        better(&mut row, radio);
    }
    row
}

/// How well it hears and is heard.
fn link(row: &mut Wifi, station: &Station, since: &Since) {
    row.bssid.clone_from(&station.mac);
    row.signal_dbm = station.signal_dbm;
    station.signal_dbm.map(signal).unwrap_or_default().clone_into(&mut row.signal);
    (row.tx_bits_per_second, row.tx_mcs, row.tx_streams) =
        (station.tx.bits_per_second, station.tx.mcs, station.tx.streams);
    (row.rx_bits_per_second, row.rx_mcs, row.rx_streams) =
        (station.rx.bits_per_second, station.rx.mcs, station.rx.streams);
    let told = station.tx.mcs.filter(|_mcs| since.enough());
    row.rate = told.map_or("", |mcs| if mcs <= LOW_MCS { "low" } else { "normal" }).into();
    (row.retry_percent, row.failed_percent) = (since.retry_percent, since.failed_percent);
    row.retries = since.retry_percent.map_or("", |share| if share > RETRIES_PERCENT { "many" } else { "few" }).into();
    row.beacon_losses = station.beacon_losses;
    row.connected_s = station.connected_s;
    row.channel_busy_percent = since.busy_percent;
}

fn signal(dbm: i32) -> &'static str {
    match dbm {
        GOOD_DBM.. => "good",
        ..=POOR_DBM => "poor",
        _ => "fair",
    }
}

/// What the access point says of itself.
fn access_point(row: &mut Wifi, radio: &Radio) {
    let Some((_heard, said)) = radio.access_point() else { return };
    row.standard.clone_from(&said.standard);
    row.security.clone_from(&said.security);
    row.frame_protection.clone_from(&said.frame_protection);
    row.access_point_country.clone_from(&said.country);
    row.access_point_busy_percent = said.busy_percent;
    row.access_point_stations = said.stations;
    row.roaming.clone_from(&said.roaming);
}

/// Whether another access point of the same network is heard so much better that it should have moved.
fn better(row: &mut Wifi, radio: &Radio) {
    let Some(signal) = row.signal_dbm.filter(|_signal| !row.ssid.is_empty()) else { return };
    let fresh = radio.heard.iter().filter(|(heard, said)| {
        let other = heard.bssid != row.bssid && said.ssid == row.ssid;
        other && heard.ago_ms.is_some_and(|ago| ago <= HEARD_MS_MAX)
    });
    let by = |dbm: i32| dbm.saturating_sub(signal);
    let best = fresh.filter_map(|(heard, _said)| Some((by(heard.signal_dbm?), heard))).max_by_key(|(by, _heard)| *by);
    if let Some((by, heard)) = best.filter(|(by, _heard)| *by >= BETTER_DB) {
        row.better_bssid.clone_from(&heard.bssid);
        row.better_by_db = Some(by.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements::AccessPoint;
    use super::super::nl80211::{Heard, Interface};
    use super::*;

    fn heard(bssid: &str, ssid: &str, signal_dbm: i32, ago_ms: u64) -> (Heard, AccessPoint) {
        let heard =
            Heard { bssid: bssid.into(), signal_dbm: Some(signal_dbm), ago_ms: Some(ago_ms), ..Heard::default() };
        (heard, AccessPoint { ssid: ssid.into(), ..AccessPoint::default() })
    }

    fn joined(heard: Vec<(Heard, AccessPoint)>) -> Wifi {
        let interface = Interface { ssid: "office".into(), mode: "station".into(), ..Interface::default() };
        let station = Station { mac: "02:00:00:00:00:01".into(), signal_dbm: Some(-78), ..Station::default() };
        row(&Radio { interface, station: Some(station), heard, ..Radio::default() }, &Since::default())
    }

    #[test]
    fn a_signal_is_a_word() {
        let words = [-30, -67, -68, -74, -75, -95].map(signal);
        assert_eq!(words, ["good", "good", "fair", "fair", "poor", "poor"]);
    }

    #[test]
    fn only_a_fresh_and_much_better_access_point_of_the_same_network_is_better() {
        let better = |heard: Vec<(Heard, AccessPoint)>| joined(heard).better_by_db;
        assert_eq!(better(vec![heard("02:00:00:00:00:02", "office", -66, 5_000)]), Some(12));
        assert_eq!(better(vec![heard("02:00:00:00:00:02", "office", -67, 5_000)]), None);
        assert_eq!(better(vec![heard("02:00:00:00:00:02", "office", -40, 61_000)]), None);
        assert_eq!(better(vec![heard("02:00:00:00:00:02", "guests", -40, 5_000)]), None);
        assert_eq!(better(vec![heard("02:00:00:00:00:01", "office", -40, 5_000)]), None);
    }

    #[test]
    fn a_resting_radio_has_no_rate_and_no_repetitions_to_judge() {
        let mut row = Wifi::default();
        let slow = super::super::nl80211::Rate { mcs: Some(0), ..super::super::nl80211::Rate::default() };
        let station = Station { tx: slow, ..Station::default() };
        link(&mut row, &station, &Since { frames: Some(99), ..Since::default() });
        assert_eq!((row.rate.as_str(), row.retries.as_str()), ("", ""));
        link(&mut row, &station, &Since { frames: Some(100), retry_percent: Some(20.1), ..Since::default() });
        assert_eq!((row.rate.as_str(), row.retries.as_str()), ("low", "many"));
    }
}
