//! Looking at the radios: every Wi-Fi interface with what the kernel knows of its link and of its channel.

use std::io::{self, ErrorKind};

use anyhow::Context;

use super::elements::{self, AccessPoint};
use super::nl80211::{self, Countries, Heard, Interface, Station, Survey};
use crate::collect::Rows;
use crate::host::Host;

mod counters;

pub(super) use counters::{Counters, Since};

/// Modes in which an interface is joined to an access point.
const JOINING: [&str; 2] = ["station", "p2p-client"];

/// `IFF_UP` (netdevice(7)).
const UP: u32 = 1;

/// One interface with all that was seen of it.
#[derive(Debug, Default)]
pub(super) struct Radio {
    pub(super) interface: Interface,
    /// Name of the radio: "phy0".
    pub(super) phy: String,
    /// The interface is switched on; absent where that could not be seen.
    pub(super) up: Option<bool>,
    /// The access point that it is joined to.
    pub(super) station: Option<Station>,
    /// The survey of the channel in use.
    pub(super) survey: Option<Survey>,
    /// The strongest first.
    pub(super) heard: Vec<(Heard, AccessPoint)>,
}

impl Radio {
    /// Whether its mode is one that joins access points.
    pub(super) fn joins(&self) -> bool {
        JOINING.contains(&self.interface.mode.as_str())
    }

    /// What the scan heard of the access point that it is joined to.
    pub(super) fn access_point(&self) -> Option<&(Heard, AccessPoint)> {
        let mac = self.station.as_ref().map(|station| station.mac.as_str());
        let joined = |(heard, _said): &&(Heard, AccessPoint)| Some(heard.bssid.as_str()) == mac;
        self.heard.iter().find(joined).or_else(|| self.heard.iter().find(|(heard, _said)| heard.joined))
    }

    /// The name of its network.
    pub(super) fn ssid(&self) -> &str {
        let heard = || self.access_point().map(|(_heard, said)| said.ssid.as_str());
        Some(self.interface.ssid.as_str()).filter(|ssid| !ssid.is_empty()).or_else(heard).unwrap_or_default()
    }
}

/// The radios of a machine, and what could not be seen of them.
#[derive(Debug, Default)]
pub(super) struct Radios {
    pub(super) all: Vec<Radio>,
    missing: Vec<String>,
}

impl Radios {
    /// Says in the rows what could not be seen.
    pub(super) fn confess(self, rows: &mut Rows) {
        for part in self.missing {
            rows.missing(part);
        }
    }

    fn told<T: Default>(&mut self, name: &str, answer: anyhow::Result<T>) -> T {
        answer.unwrap_or_else(|error| {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            // A driver that cannot tell is no fault, nor is an interface that went away meanwhile.
            if !matches!(kind, Some(ErrorKind::Unsupported | ErrorKind::NetworkDown)) {
                self.missing.push(format!("{name}: {error:#}"));
            }
            T::default()
        })
    }
}

/// Looks at all of them. Absent where this kernel has no radio (its family of netlink comes with the first driver).
pub(super) fn radios(host: &dyn Host) -> anyhow::Result<Option<Radios>> {
    let interfaces = match nl80211::interfaces(host) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        interfaces => interfaces.context("asking for the interfaces of radios")?,
    };
    let mut radios = Radios::default();
    for interface in interfaces {
        let radio = radio(host, interface, &mut radios);
        radios.all.push(radio);
    }
    radios.all.sort_by(|one, other| one.interface.name.cmp(&other.interface.name));
    Ok(Some(radios))
}

fn radio(host: &dyn Host, interface: Interface, radios: &mut Radios) -> Radio {
    let (name, index) = (interface.name.clone(), interface.index);
    let phy = host.link(&format!("/sys/class/net/{name}/phy80211")).ok();
    let phy = phy.and_then(|link| link.rsplit('/').next().map(str::to_owned)).unwrap_or_default();
    let flags = host.line(&format!("/sys/class/net/{name}/flags"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
    let mut radio = Radio { phy, up: flags.map(|flags| flags & UP != 0), interface, ..Radio::default() };
    if !radio.joins() {
        return radio;
    }
    let stations = radios.told(&name, nl80211::stations(host, index));
    radio.station = stations.into_iter().next();
    let surveys = radios.told(&name, nl80211::surveys(host, index));
    let heard = radios.told(&name, nl80211::heard(host, index));
    let read = |heard: Heard| {
        let said = elements::read(&heard.elements, heard.capability);
        (heard, said)
    };
    radio.heard = heard.into_iter().map(read).collect();
    let frequency =
        radio.interface.frequency_mhz.or_else(|| radio.access_point().and_then(|(heard, _said)| heard.frequency_mhz));
    // Why not only the one marked as in use: some drivers mark none.
    let in_use = surveys.iter().find(|survey| survey.in_use);
    let survey = in_use.or_else(|| surveys.iter().find(|survey| Some(survey.frequency_mhz) == frequency));
    radio.survey = survey.filter(|_survey| radio.station.is_some()).copied();
    radio.interface.frequency_mhz = frequency.filter(|_frequency| radio.station.is_some());
    radio
}

/// The countries whose radio rules are followed.
pub(super) fn countries(host: &dyn Host, radios: &mut Radios) -> Countries {
    radios.told("radio rules", nl80211::countries(host))
}

/// Whether an interface sleeps between beacons; absent where its driver cannot tell.
pub(super) fn power_save(host: &dyn Host, radio: &Radio, radios: &mut Radios) -> Option<bool> {
    let asked = nl80211::power_save(host, radio.interface.index);
    radios.told(&radio.interface.name, asked)
}
