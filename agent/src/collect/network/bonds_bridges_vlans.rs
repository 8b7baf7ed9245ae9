//! Interfaces that are made of others, and their parts, as rtnetlink(7) lists them (`IFLA_INFO_DATA`, `IFLA_INFO_SLAVE_DATA`).

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::BondBridgeVlan;
use netlink_packet_route::link::{
    BondAdInfo, BondMode, BondPortState, BridgeId, BridgePortState, BridgeStpState, InfoBond, InfoBondPort, InfoBridge,
    InfoBridgePort, InfoData, InfoPortData, InfoVlan, LacpState, LinkAttribute, LinkInfo, LinkMessage, MiiStatus,
    State,
};

use super::rtnetlink::{self, Names};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink, mac_text};

pub(in crate::collect) const BONDS_BRIDGES_VLANS: Collector = Collector {
    table: BondBridgeVlan::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

/// Rows that are told.
const ROWS_MAX: usize = 256;

/// What a port says of itself in LACP (IEEE 802.1AX 6.4.2.3), bit by bit.
const LACP_WORDS: [&str; 8] =
    ["active", "short timeout", "aggregating", "synchronized", "collecting", "distributing", "defaulted", "expired"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Links)?;
    let names = Names::of(&listing);
    let links: Vec<&LinkMessage> = rtnetlink::links(&listing).collect();
    let found: Vec<BondBridgeVlan> = links.iter().flat_map(|link| of(link, &links, &names)).collect();
    let mut rows: Rows = found.iter().take(ROWS_MAX).cloned().collect();
    if found.len() > ROWS_MAX {
        rows.missing(format!("{} of {} interfaces, for want of room", found.len() - ROWS_MAX, found.len()));
    }
    listing.confess(&mut rows);
    Ok(rows)
}

/// What the link is, and what it is a part of: a VLAN can be both.
fn of(link: &LinkMessage, all: &[&LinkMessage], names: &Names) -> Vec<BondBridgeVlan> {
    let alone = BondBridgeVlan { name: rtnetlink::name(link).unwrap_or_default(), ..BondBridgeVlan::default() };
    let parts = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(parts) => Some(parts),
        _ => None,
    });
    let row = |part: &LinkInfo| match part {
        LinkInfo::Data(InfoData::Bond(parts)) => Some(bond(alone.clone(), link, parts, all, names)),
        LinkInfo::Data(InfoData::Bridge(parts)) => Some(bridge(alone.clone(), link, parts, all)),
        LinkInfo::Data(InfoData::Vlan(parts)) => Some(vlan(alone.clone(), link, parts, names)),
        LinkInfo::PortData(InfoPortData::BondPort(parts)) => Some(bond_port(with_master(&alone, link, names), parts)),
        LinkInfo::PortData(InfoPortData::BridgePort(parts)) => {
            Some(bridge_port(with_master(&alone, link, names), parts))
        }
        _ => None,
    };
    parts.flatten().filter_map(row).collect()
}

fn with_master(alone: &BondBridgeVlan, link: &LinkMessage, names: &Names) -> BondBridgeVlan {
    BondBridgeVlan { parent: master(link).map(|index| names.get(index)).unwrap_or_default(), ..alone.clone() }
}

fn master(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

/// Ports of a bond or bridge.
fn ports(link: &LinkMessage, all: &[&LinkMessage]) -> Option<u32> {
    let ports = all.iter().filter(|other| master(other) == Some(link.header.index));
    u32::try_from(ports.count()).ok()
}

/// Up or down, by the operational state.
fn state(link: &LinkMessage) -> String {
    let state = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::OperState(state) => Some(*state),
        _ => None,
    });
    match state {
        Some(State::Up) => "up".into(),
        Some(State::Unknown) | None => "unknown".into(),
        Some(_) => "down".into(),
    }
}

/// An interface that is none is number 0.
fn port_name(index: u32, names: &Names) -> String {
    if index == 0 { String::new() } else { names.get(index) }
}

fn bond(
    alone: BondBridgeVlan,
    link: &LinkMessage,
    parts: &[InfoBond],
    all: &[&LinkMessage],
    names: &Names,
) -> BondBridgeVlan {
    let mut row = BondBridgeVlan { kind: "bond".into(), state: state(link), ports: ports(link, all), ..alone };
    for part in parts {
        match part {
            InfoBond::Mode(BondMode::Other(mode)) => row.mode = mode.to_string(),
            InfoBond::Mode(mode) => row.mode = mode.to_string(),
            InfoBond::ActivePort(index) => row.active_port = port_name(*index, names),
            InfoBond::Primary(index) => row.primary_port = port_name(*index, names),
            InfoBond::MiiMon(interval_ms) => row.mii_interval_ms = Some(*interval_ms),
            InfoBond::AdInfo(parts) => {
                for part in parts {
                    match part {
                        BondAdInfo::NumPorts(ports) => row.aggregated_ports = Some(u32::from(*ports)),
                        BondAdInfo::PartnerMac(mac) => row.partner_mac = mac_text(mac),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    row
}

fn bond_port(alone: BondBridgeVlan, parts: &[InfoBondPort]) -> BondBridgeVlan {
    let mut row = BondBridgeVlan { kind: "bond port".into(), ..alone };
    for part in parts {
        match part {
            InfoBondPort::BondPortState(state) => {
                row.state = match state {
                    BondPortState::Active => "active".into(),
                    BondPortState::Backup => "backup".into(),
                    other => other.to_string(),
                }
            }
            InfoBondPort::MiiStatus(status) => {
                row.mii_status = match status {
                    MiiStatus::GoingDown => "going down".into(),
                    MiiStatus::GoingBack => "going back".into(),
                    other => other.to_string(),
                }
            }
            InfoBondPort::LinkFailureCount(failures) => row.link_failures = Some(*failures),
            InfoBondPort::PermHwaddr(mac) => row.permanent_mac = mac_text(mac),
            InfoBondPort::AdPartnerOperPortState(state) => row.partner_state = lacp(*state),
            _ => {}
        }
    }
    row
}

fn lacp(state: LacpState) -> Vec<String> {
    let bits = state.bits();
    let words = LACP_WORDS.iter().enumerate().filter(|(place, _word)| bits >> place & 1 == 1);
    words.map(|(_place, word)| (*word).to_owned()).collect()
}

fn bridge(alone: BondBridgeVlan, link: &LinkMessage, parts: &[InfoBridge], all: &[&LinkMessage]) -> BondBridgeVlan {
    let mut row = BondBridgeVlan { kind: "bridge".into(), state: state(link), ports: ports(link, all), ..alone };
    let mut root = None;
    for part in parts {
        match part {
            InfoBridge::StpState(state) => {
                row.mode = match state {
                    BridgeStpState::Disabled => "off".into(),
                    BridgeStpState::KernelStp => "kernel".into(),
                    BridgeStpState::UserStp => "user".into(),
                    BridgeStpState::Other(number) => number.to_string(),
                    _ => String::new(),
                }
            }
            InfoBridge::RootId(id) => root = Some(bridge_id(id)),
            InfoBridge::VlanFiltering(on) => row.vlan_filtering = Some(*on),
            _ => {}
        }
    }
    // Without a spanning tree every bridge takes itself for the root.
    row.root = root.filter(|_root| row.mode != "off").unwrap_or_default();
    row
}

/// As brctl and bridge(8) write it: "8000.02:00:00:00:00:01".
fn bridge_id(id: &BridgeId) -> String {
    format!("{:04x}.{}", id.priority, mac_text(&id.address))
}

fn bridge_port(alone: BondBridgeVlan, parts: &[InfoBridgePort]) -> BondBridgeVlan {
    let mut row = BondBridgeVlan { kind: "bridge port".into(), ..alone };
    for part in parts {
        if let InfoBridgePort::State(state) = part {
            row.state = match state {
                BridgePortState::Disabled => "disabled".into(),
                BridgePortState::Listening => "listening".into(),
                BridgePortState::Learning => "learning".into(),
                BridgePortState::Forwarding => "forwarding".into(),
                BridgePortState::Blocking => "blocking".into(),
                BridgePortState::Other(number) => number.to_string(),
                _ => String::new(),
            };
        }
    }
    row
}

fn vlan(alone: BondBridgeVlan, link: &LinkMessage, parts: &[InfoVlan], names: &Names) -> BondBridgeVlan {
    let below = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(index) => Some(names.get(*index)),
        _ => None,
    });
    let mut row =
        BondBridgeVlan { kind: "vlan".into(), state: state(link), parent: below.unwrap_or_default(), ..alone };
    for part in parts {
        match part {
            InfoVlan::Id(id) => row.vlan_id = Some(u32::from(*id)),
            InfoVlan::Protocol(protocol) => row.mode = protocol.to_string().to_lowercase(),
            _ => {}
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::{InfoKind, InfoPortKind, VlanProtocol};

    use super::*;

    fn link(index: u32, name: &str, more: Vec<LinkAttribute>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes = vec![LinkAttribute::IfName(name.into())];
        link.attributes.extend(more);
        link
    }

    fn rows(links: &[LinkMessage]) -> Vec<BondBridgeVlan> {
        let all: Vec<&LinkMessage> = links.iter().collect();
        let names = Names::among(all.iter().copied());
        all.iter().flat_map(|link| of(link, &all, &names)).collect()
    }

    fn part(kind: InfoPortKind, data: InfoPortData, master: u32) -> Vec<LinkAttribute> {
        vec![
            LinkAttribute::Controller(master),
            LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(kind), LinkInfo::PortData(data)]),
        ]
    }

    #[test]
    fn a_bond_is_told_with_its_ports_and_its_partner() {
        let aggregate = vec![BondAdInfo::NumPorts(1), BondAdInfo::PartnerMac([2, 0, 0, 0, 0, 9])];
        let data = vec![
            InfoBond::Mode(BondMode::Ieee8023Ad),
            InfoBond::ActivePort(0),
            InfoBond::MiiMon(100),
            InfoBond::AdInfo(aggregate),
        ];
        let bond = vec![
            LinkAttribute::OperState(State::Up),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bond), LinkInfo::Data(InfoData::Bond(data))]),
        ];
        let port = InfoPortData::BondPort(vec![
            InfoBondPort::BondPortState(BondPortState::Backup),
            InfoBondPort::MiiStatus(MiiStatus::GoingDown),
            InfoBondPort::LinkFailureCount(7),
            InfoBondPort::AdPartnerOperPortState(LacpState::from_bits_retain(0b1000_0101)),
        ]);
        let found = rows(&[link(5, "bond0", bond), link(2, "eth0", part(InfoPortKind::Bond, port, 5))]);
        let (bond, port) = (&found[0], &found[1]);
        assert_eq!((bond.kind.as_str(), bond.mode.as_str(), bond.state.as_str()), ("bond", "802.3ad", "up"));
        assert_eq!((bond.ports, bond.aggregated_ports, bond.mii_interval_ms), (Some(1), Some(1), Some(100)));
        assert_eq!((bond.active_port.as_str(), bond.partner_mac.as_str()), ("", "02:00:00:00:00:09"));
        assert_eq!(
            (port.parent.as_str(), port.state.as_str(), port.mii_status.as_str()),
            ("bond0", "backup", "going down")
        );
        assert_eq!(
            (port.link_failures, port.partner_state.join(", ")),
            (Some(7), "active, aggregating, expired".into())
        );
    }

    #[test]
    fn a_vlan_in_a_bridge_is_both() {
        let data = vec![InfoVlan::Id(20), InfoVlan::Protocol(VlanProtocol::Ieee8021Q)];
        let port = InfoPortData::BridgePort(vec![InfoBridgePort::State(BridgePortState::Blocking)]);
        let mut vlan = part(InfoPortKind::Bridge, port, 9);
        vlan.push(LinkAttribute::Link(2));
        vlan.push(LinkAttribute::LinkInfo(vec![LinkInfo::Data(InfoData::Vlan(data))]));
        let found = rows(&[link(2, "eth0", Vec::new()), link(9, "br0", Vec::new()), link(7, "eth0.20", vlan)]);
        let told: Vec<_> =
            found.iter().map(|row| (row.kind.as_str(), row.parent.as_str(), row.state.as_str())).collect();
        assert_eq!(told, [("bridge port", "br0", "blocking"), ("vlan", "eth0", "unknown")]);
        assert_eq!((found[1].vlan_id, found[1].mode.as_str()), (Some(20), "802.1q"));
    }
}
