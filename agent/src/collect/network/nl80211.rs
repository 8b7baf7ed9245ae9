//! What the kernel says of its radios (linux/nl80211.h): interfaces, stations, surveys, scans and the radio rules it follows. Everything
//! asked here is open to all users.
//!
//! Why not the crate wl-nl80211: it brings its own asynchronous connection with three more crates, and gives up a whole message where one
//! element in it is odd; what access points send is odd often enough.

use anyhow::Context;

use super::attributes::{Attributes, messages, request};
use crate::host::{Host, mac_text};

const FAMILY: &str = "nl80211";

const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_REG: u8 = 31;
const GET_SCAN: u8 = 32;
const GET_SURVEY: u8 = 50;
const GET_POWER_SAVE: u8 = 62;

/// Attributes of messages.
const WIPHY: u16 = 1;
const INDEX: u16 = 3;
const NAME: u16 = 4;
const TYPE: u16 = 5;
const MAC: u16 = 6;
const STATION: u16 = 21;
const ALPHA2: u16 = 33;
const FREQUENCY: u16 = 38;
const BSS: u16 = 47;
const SSID: u16 = 52;
const SURVEY: u16 = 84;
const POWER_SAVE: u16 = 93;
const TX_POWER: u16 = 98;
const WIDTH: u16 = 159;

/// Most interfaces, stations and networks that are read.
const ENTRIES_MAX: usize = 1000;

/// `NL80211_IFTYPE_STATION` and its relatives, by number.
const MODES: [&str; 13] = [
    "unspecified",
    "adhoc",
    "station",
    "ap",
    "ap-vlan",
    "wds",
    "monitor",
    "mesh",
    "p2p-client",
    "p2p-go",
    "p2p-device",
    "ocb",
    "nan",
];

/// `NL80211_CHAN_WIDTH_*` by number, in MHz.
const WIDTHS: [Option<u32>; 14] = [
    Some(20),
    Some(20),
    Some(40),
    Some(80),
    Some(160),
    Some(160),
    Some(5),
    Some(10),
    Some(1),
    Some(2),
    Some(4),
    Some(8),
    Some(16),
    Some(320),
];

/// One interface of a radio.
#[derive(Clone, Debug, Default)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) wiphy: u32,
    pub(super) mode: String,
    pub(super) ssid: String,
    pub(super) frequency_mhz: Option<u32>,
    pub(super) width_mhz: Option<u32>,
    pub(super) tx_power_dbm: Option<i32>,
}

/// Rate of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) bits_per_second: Option<u64>,
    /// Within one stream.
    pub(super) mcs: Option<u32>,
    pub(super) streams: Option<u32>,
}

/// The other end: for a station, its access point.
#[derive(Clone, Debug, Default)]
pub(super) struct Station {
    pub(super) mac: String,
    pub(super) signal_dbm: Option<i32>,
    pub(super) tx: Rate,
    pub(super) rx: Rate,
    pub(super) tx_packets: Option<u64>,
    pub(super) tx_retries: Option<u64>,
    pub(super) tx_failed: Option<u64>,
    pub(super) beacon_losses: Option<u64>,
    pub(super) connected_s: Option<u64>,
    /// Keys are agreed; absent where the driver keeps no flags.
    pub(super) authorized: Option<bool>,
}

/// What the radio measured on a channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Survey {
    pub(super) frequency_mhz: u32,
    pub(super) in_use: bool,
    pub(super) noise_dbm: Option<i32>,
    pub(super) active_ms: Option<u64>,
    pub(super) busy_ms: Option<u64>,
}

/// An access point that a scan heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) bssid: String,
    pub(super) frequency_mhz: Option<u32>,
    pub(super) signal_dbm: Option<i32>,
    pub(super) ago_ms: Option<u64>,
    pub(super) capability: u16,
    pub(super) joined: bool,
    /// Information elements (IEEE 802.11, 9.4.2): of the beacon, and of the answer to a probe.
    pub(super) elements: Vec<u8>,
}

fn ask(host: &dyn Host, command: u8, about: Option<u32>, all: bool) -> std::io::Result<Vec<u8>> {
    host.genl(FAMILY, &request(command, about.map(|index| (INDEX, index))), all)
}

/// All interfaces of all radios. A kernel that has no radio at all is an error of the kind `NotFound`.
pub(super) fn interfaces(host: &dyn Host) -> std::io::Result<Vec<Interface>> {
    let answer = ask(host, GET_INTERFACE, None, true)?;
    Ok(messages(&answer).filter_map(interface).take(ENTRIES_MAX).collect())
}

/// Absent for what has no name, as the helper of peer-to-peer connections.
fn interface(message: Attributes<'_>) -> Option<Interface> {
    let mode = message.u32(TYPE).unwrap_or_default();
    Some(Interface {
        index: message.u32(INDEX)?,
        name: message.text(NAME)?,
        wiphy: message.u32(WIPHY).unwrap_or_default(),
        mode: MODES.get(mode as usize).map_or_else(|| mode.to_string(), |&mode| mode.to_owned()),
        ssid: message.get(SSID).map(ssid).unwrap_or_default(),
        frequency_mhz: message.u32(FREQUENCY),
        width_mhz: message.u32(WIDTH).and_then(|width| WIDTHS.get(width as usize).copied().flatten()),
        tx_power_dbm: message.u32(TX_POWER).map(milli),
    })
}

/// The name of a network: any bytes, by custom UTF-8. Nothing but zeros is a hidden name.
pub(super) fn ssid(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    String::from_utf8_lossy(bytes).into_owned()
}

/// Hundredths of a decibel, as a signed number.
fn milli(number: u32) -> i32 {
    (number as i32) / 100
}

/// The stations of an interface.
pub(super) fn stations(host: &dyn Host, index: u32) -> anyhow::Result<Vec<Station>> {
    let answer = ask(host, GET_STATION, Some(index), true).context("asking for the radio's stations")?;
    Ok(messages(&answer).filter_map(station).take(ENTRIES_MAX).collect())
}

fn station(message: Attributes<'_>) -> Option<Station> {
    let told = message.nested(STATION);
    let count = |kind: u16| told.u32(kind).map(u64::from);
    // struct nl80211_sta_flag_update: which flags are known, then which are set; bit 1 is "authorized".
    let authorized = told.get(17).and_then(|flags| {
        let known = u32::from_ne_bytes(*flags.first_chunk()?);
        let set = u32::from_ne_bytes(*flags.get(4..)?.first_chunk()?);
        (known & 2 != 0).then_some(set & 2 != 0)
    });
    Some(Station {
        mac: mac(message.get(MAC)?)?,
        // The average, or that of the last frame.
        signal_dbm: told.u8(13).or_else(|| told.u8(7)).map(|signal| i32::from(signal as i8)).filter(|dbm| *dbm < 0),
        tx: rate(told.nested(8)),
        rx: rate(told.nested(14)),
        tx_packets: count(10),
        tx_retries: count(11),
        tx_failed: count(12),
        beacon_losses: count(18),
        connected_s: count(16),
        authorized,
    })
}

/// `NL80211_RATE_INFO_*`. Of 802.11n the index counts streams too: eight a stream.
fn rate(told: Attributes<'_>) -> Rate {
    let bits_per_second = told.u32(5).or_else(|| told.u16(1).map(u32::from)).map(|rate| u64::from(rate) * 100_000);
    if let Some(index) = told.u8(2) {
        let index = u32::from(index);
        return Rate { bits_per_second, mcs: Some(index % 8), streams: Some(index / 8 + 1) };
    }
    // 802.11ac, ax, be.
    let newer = [(6, 7), (13, 14), (19, 20)];
    let found = newer.iter().find_map(|(mcs, streams)| Some((told.u8(*mcs)?, told.u8(*streams))));
    let (mcs, streams) = found.unzip();
    Rate { bits_per_second, mcs: mcs.map(u32::from), streams: streams.flatten().map(u32::from) }
}

/// What the radio measured on each channel.
pub(super) fn surveys(host: &dyn Host, index: u32) -> anyhow::Result<Vec<Survey>> {
    let answer = ask(host, GET_SURVEY, Some(index), true).context("asking for the radio's survey of channels")?;
    let survey = |message: Attributes<'_>| {
        let told = message.nested(SURVEY);
        Some(Survey {
            frequency_mhz: told.u32(1)?,
            noise_dbm: told.u8(2).map(|noise| i32::from(noise as i8)).filter(|dbm| *dbm < 0),
            in_use: told.has(3),
            active_ms: told.u64(4),
            busy_ms: told.u64(5),
        })
    };
    Ok(messages(&answer).filter_map(survey).take(ENTRIES_MAX).collect())
}

/// What the latest scan heard, the strongest first.
pub(super) fn heard(host: &dyn Host, index: u32) -> anyhow::Result<Vec<Heard>> {
    let answer = ask(host, GET_SCAN, Some(index), true).context("asking for the radio's latest scan")?;
    let mut all: Vec<Heard> =
        messages(&answer).filter_map(|message| bss(message.nested(BSS))).take(ENTRIES_MAX).collect();
    all.sort_by(|one, other| other.signal_dbm.cmp(&one.signal_dbm).then_with(|| one.bssid.cmp(&other.bssid)));
    Ok(all)
}

fn bss(told: Attributes<'_>) -> Option<Heard> {
    let elements = [told.get(11).unwrap_or_default(), told.get(6).unwrap_or_default()].concat();
    Some(Heard {
        bssid: mac(told.get(1)?)?,
        frequency_mhz: told.u32(2),
        signal_dbm: told.u32(7).map(milli),
        ago_ms: told.u32(10).map(u64::from),
        capability: told.u16(5).unwrap_or_default(),
        // Authenticated (0) is not joined; associated (1) and a member of an ad-hoc network (2) are.
        joined: told.u32(9).is_some_and(|status| status != 0),
        elements,
    })
}

/// Whether the radio sleeps between beacons.
pub(super) fn power_save(host: &dyn Host, index: u32) -> anyhow::Result<Option<bool>> {
    let answer = ask(host, GET_POWER_SAVE, Some(index), false).context("asking whether the radio saves power")?;
    Ok(messages(&answer).find_map(|message| message.u32(POWER_SAVE)).map(|state| state != 0))
}

/// The countries whose rules are followed: that of all radios, and those of radios that keep their own.
#[derive(Debug, Default)]
pub(super) struct Countries {
    all: String,
    own: Vec<(u32, String)>,
}

impl Countries {
    /// The one that holds for a radio.
    pub(super) fn of(&self, wiphy: u32) -> &str {
        self.own.iter().find(|(known, _country)| *known == wiphy).map_or(&self.all, |(_wiphy, country)| country)
    }
}

/// Asks for them.
pub(super) fn countries(host: &dyn Host) -> anyhow::Result<Countries> {
    let answer = ask(host, GET_REG, None, true).context("asking for the radio rules")?;
    let mut countries = Countries::default();
    for message in messages(&answer) {
        let country = message.text(ALPHA2).unwrap_or_default();
        match message.u32(WIPHY) {
            Some(wiphy) => countries.own.push((wiphy, country)),
            None => countries.all = country,
        }
    }
    Ok(countries)
}

fn mac(bytes: &[u8]) -> Option<String> {
    bytes.first_chunk::<6>().map(|mac| mac_text(mac))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::attribute;

    #[test]
    fn a_rate_says_modulation_and_streams_in_each_standard() {
        let told = |parts: &[Vec<u8>]| rate(Attributes(&parts.concat()));
        let n = told(&[attribute(5, &1300_u32.to_ne_bytes()), attribute(2, &[15])]);
        assert_eq!(n, Rate { bits_per_second: Some(130_000_000), mcs: Some(7), streams: Some(2) });
        let ax = told(&[attribute(5, &24_019_u32.to_ne_bytes()), attribute(13, &[11]), attribute(14, &[2])]);
        assert_eq!(ax, Rate { bits_per_second: Some(2_401_900_000), mcs: Some(11), streams: Some(2) });
        let g = told(&[attribute(1, &540_u16.to_ne_bytes())]);
        assert_eq!(g, Rate { bits_per_second: Some(54_000_000), mcs: None, streams: None });
        assert_eq!(told(&[]), Rate::default());
    }

    #[test]
    fn a_hidden_name_is_empty_and_an_odd_one_is_marked() {
        assert_eq!(
            (ssid(&[0, 0, 0]), ssid(b""), ssid("Büro".as_bytes())),
            (String::new(), String::new(), "Büro".into())
        );
        assert_eq!(ssid(b"a\xff"), "a\u{fffd}");
    }
}
