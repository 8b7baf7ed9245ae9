//! Network interfaces and their counters.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Interface;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, State, Stats64,
};

use crate::collect::network::rtnetlink;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink};

pub(in crate::collect) const INTERFACES: Collector =
    Collector { table: Interface::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(1)), look };

const SYSFS: &str = "/sys/class/net";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Links)?;
    let mut rows: Rows = rtnetlink::links(&listing).map(|link| with_driver(host, row(link))).collect();
    listing.confess(&mut rows);
    Ok(rows)
}

/// What the kernel's list of links says of one.
fn row(link: &LinkMessage) -> Interface {
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
            LinkAttribute::Address(address) => row.mac = rtnetlink::mac(address),
            LinkAttribute::LinkInfo(about) => row.kind = by_info(about).unwrap_or(&row.kind).to_owned(),
            LinkAttribute::Stats64(counters) => count(&mut row, counters),
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
}

/// What only sysfs says: speed, duplex, the driver, and whether it is a radio.
fn with_driver(host: &dyn Host, mut row: Interface) -> Interface {
    let name = &row.name;
    // Why not asked otherwise: the loopback has none of them, and a link that is down answers with an error.
    if row.kind == "loopback" {
        return row;
    }
    let radio = host.link(&format!("{SYSFS}/{name}/phy80211")).is_ok()
        || host.list(&format!("{SYSFS}/{name}/wireless")).is_ok();
    row.driver = host.link(&format!("{SYSFS}/{name}/device/driver")).map(|link| last_part(&link)).unwrap_or_default();
    if row.carrier == Some(true) {
        row.speed_bits_per_second = host.line(&format!("{SYSFS}/{name}/speed")).as_deref().and_then(speed);
        row.duplex =
            host.line(&format!("{SYSFS}/{name}/duplex")).filter(|duplex| duplex != "unknown").unwrap_or_default();
    }
    if radio && row.kind == "ethernet" {
        row.kind = "wifi".into();
    }
    row
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
