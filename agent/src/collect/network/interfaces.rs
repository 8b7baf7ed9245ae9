//! Network interfaces: how each is linked, what it counts, and what went wrong with it lately.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Interface;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, State, Stats64,
};

use crate::collect::network::rtnetlink::Names;
use crate::collect::network::{ethtool, lately, rtnetlink};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink, mac_text};

pub(in crate::collect) const INTERFACES: Collector =
    Collector { table: Interface::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

const SYSFS: &str = "/sys/class/net";

/// Interfaces whose driver is asked.
const ASKED_MAX: usize = 16;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Links)?;
    let names = Names::of(&listing);
    let rows = rtnetlink::links(&listing).map(|link| with_sysfs(host, row(link, &names)));
    let mut rows: Vec<Interface> = rows.collect();
    for row in rows.iter_mut().filter(|row| !row.bus.is_empty()).take(ASKED_MAX) {
        ask_driver(host, row);
    }
    lately::watch(host, &mut rows);
    let mut rows: Rows = rows.into_iter().collect();
    listing.confess(&mut rows);
    Ok(rows)
}

/// What the kernel's list of links says of one.
fn row(link: &LinkMessage, names: &Names) -> Interface {
    let admin_up = link.header.flags.contains(LinkFlags::Up);
    let mut row = Interface {
        name: rtnetlink::name(link).unwrap_or_default(),
        index: link.header.index,
        kind: by_layer(link).into(),
        admin_up,
        ..Interface::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::OperState(state) => row.state = state_word(*state),
            LinkAttribute::Carrier(carrier) => row.carrier = admin_up.then_some(*carrier != 0),
            LinkAttribute::CarrierChanges(changes) => row.carrier_changes = *changes,
            LinkAttribute::Mtu(mtu) => row.mtu = *mtu,
            LinkAttribute::Address(address) => row.mac = mac_text(address),
            LinkAttribute::LinkInfo(about) => row.kind = by_info(about).unwrap_or(&row.kind).to_owned(),
            LinkAttribute::Stats64(counters) => count(&mut row, counters),
            LinkAttribute::Controller(index) => row.master = names.get(*index),
            _ => {}
        }
    }
    row
}

fn by_layer(link: &LinkMessage) -> &'static str {
    match link.header.link_layer_type {
        _ if link.header.flags.contains(LinkFlags::Loopback) => "loopback",
        LinkLayerType::Ether => "ethernet",
        LinkLayerType::Ppp | LinkLayerType::Tunnel | LinkLayerType::Tunnel6 | LinkLayerType::None => "tunnel",
        _ => "other",
    }
}

fn by_info(about: &[LinkInfo]) -> Option<&'static str> {
    let kind = about.iter().find_map(|part| match part {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })?;
    Some(match kind {
        InfoKind::Bridge => "bridge",
        InfoKind::Bond | InfoKind::Team => "bond",
        InfoKind::Vlan => "vlan",
        InfoKind::VirtWifi => "wifi",
        InfoKind::Tun
        | InfoKind::Wireguard
        | InfoKind::Vxlan
        | InfoKind::Geneve
        | InfoKind::GreTap
        | InfoKind::GreTap6
        | InfoKind::GreTun
        | InfoKind::GreTun6
        | InfoKind::IpIp
        | InfoKind::Ip6Tnl
        | InfoKind::SitTun
        | InfoKind::Vti
        | InfoKind::Vti6
        | InfoKind::Xfrm
        | InfoKind::ErSpan
        | InfoKind::Ip6ErSpan => "tunnel",
        InfoKind::Wwan | InfoKind::RmNet | InfoKind::Can | InfoKind::Ipoib | InfoKind::Dsa => "other",
        _ => "virtual",
    })
}

fn state_word(state: State) -> String {
    match state {
        State::Unknown => "unknown".into(),
        State::NotPresent => "notpresent".into(),
        State::Down => "down".into(),
        State::LowerLayerDown => "lowerlayerdown".into(),
        State::Testing => "testing".into(),
        State::Dormant => "dormant".into(),
        State::Up => "up".into(),
        other => format!("{other}").to_lowercase(),
    }
}

fn count(row: &mut Interface, counters: &Stats64) {
    row.rx_bytes = counters.rx_bytes;
    row.tx_bytes = counters.tx_bytes;
    row.rx_packets = counters.rx_packets;
    row.tx_packets = counters.tx_packets;
    row.rx_errors = counters.rx_errors;
    row.tx_errors = counters.tx_errors;
    row.rx_dropped = counters.rx_dropped;
    row.tx_dropped = counters.tx_dropped;
    row.rx_crc_errors = counters.rx_crc_errors;
    row.collisions = counters.collisions;
    row.rx_length_errors = counters.rx_length_errors;
    row.rx_frame_errors = counters.rx_frame_errors;
    row.rx_fifo_errors = counters.rx_fifo_errors;
    row.rx_missed_errors = counters.rx_missed_errors;
    row.rx_over_errors = counters.rx_over_errors;
    row.tx_aborted_errors = counters.tx_aborted_errors;
    row.tx_carrier_errors = counters.tx_carrier_errors;
    row.tx_fifo_errors = counters.tx_fifo_errors;
    // Documentation/networking/statistics.rst: this counter is aLateCollisions.
    row.late_collisions = counters.tx_window_errors;
}

/// What only sysfs says: speed, duplex, the driver and its place, whether it is a radio, and how it saves power.
fn with_sysfs(host: &dyn Host, mut row: Interface) -> Interface {
    let folder = format!("{SYSFS}/{}", row.name);
    // Why not asked otherwise: the loopback has none of them, and a link that is down answers with an error.
    if row.kind == "loopback" {
        return row;
    }
    let radio = host.link(&format!("{folder}/phy80211")).is_ok() || host.list(&format!("{folder}/wireless")).is_ok();
    row.driver = host.link(&format!("{folder}/device/driver")).map(|link| last_part(&link)).unwrap_or_default();
    if let Ok(device) = host.link(&format!("{folder}/device")) {
        let bus = host.link(&format!("{folder}/device/subsystem")).map(|link| last_part(&link)).unwrap_or_default();
        row.bus = [bus, last_part(&device)].join(" ").trim_start().into();
        row.power_saving = word(host, &folder, "control").map(|control| control == "auto");
        row.wake_armed = word(host, &folder, "wakeup").map(|wakeup| wakeup == "enabled");
    }
    if row.carrier == Some(true) {
        row.speed_bits_per_second = speed_of(host, &row.name);
        row.duplex = host.line(&format!("{folder}/duplex")).filter(|duplex| duplex != "unknown").unwrap_or_default();
    }
    if radio && row.kind == "ethernet" {
        row.kind = "wifi".into();
    }
    row
}

/// Documentation/ABI/testing/sysfs-devices-power.
fn word(host: &dyn Host, folder: &str, name: &str) -> Option<String> {
    host.line(&format!("{folder}/device/power/{name}"))
}

/// What the driver says of the hardware and the link. Why not of one that sleeps: asking would wake it.
fn ask_driver(host: &dyn Host, row: &mut Interface) {
    let name = row.name.clone();
    if word(host, &format!("{SYSFS}/{name}"), "runtime_status").as_deref() == Some("suspended") {
        return;
    }
    if let Ok(driver) = host.interface_driver(&name) {
        row.driver_version = driver.version;
        row.firmware_version = driver.firmware;
    }
    if row.kind != "ethernet" {
        return;
    }
    if let Some(modes) = ethtool::modes(host, &name) {
        row.hardware_speed_max_bits_per_second = modes.hardware_max();
        row.speed_max_bits_per_second = modes.common_max();
        row.autonegotiation = modes.autonegotiation;
        row.supported_modes = modes.supported;
        row.advertised_modes = modes.advertised;
        row.partner_modes = modes.partner;
    }
    if row.admin_up && row.carrier == Some(false) {
        row.down_reason = ethtool::down_reason(host, &name);
    }
    row.wake_on = ethtool::wake_on(host, &name);
    let eee = ethtool::eee(host, &name);
    row.eee_enabled = eee.enabled;
    row.eee_active = eee.active;
}

/// The speed of a link that is up.
pub(super) fn speed_of(host: &dyn Host, name: &str) -> Option<u64> {
    host.line(&format!("{SYSFS}/{name}/speed")).as_deref().and_then(speed)
}

/// Megabits as sysfs tells them; -1, on some kernels as an unsigned number, means that the driver does not know.
fn speed(megabits: &str) -> Option<u64> {
    let megabits: i64 = megabits.parse().ok()?;
    let known = megabits > 0 && megabits != i64::from(u32::MAX);
    known.then(|| megabits.unsigned_abs() * 1_000_000)
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_speed_is_absent() {
        assert_eq!(speed("1000"), Some(1_000_000_000));
        assert_eq!(speed("-1"), None);
        assert_eq!(speed("4294967295"), None);
        assert_eq!(speed("0"), None);
        assert_eq!(speed("fast"), None);
    }
}
