//! Collectors of the network family: links, addresses, routes, names and neighbours.

pub(crate) mod addresses;
mod attributes;
pub(super) mod bonds_bridges_vlans;
mod elements;
mod ethtool;
pub(super) mod interface_io;
pub(super) mod interfaces;
mod lately;
pub(super) mod neighbors;
mod nl80211;
mod radio;
pub(super) mod resolvers;
pub(super) mod routes;
mod rtnetlink;
pub(super) mod tcp_stats;
pub(super) mod wifi;
pub(super) mod wifi_events;
pub(super) mod wifi_link;
pub(super) mod wifi_scan;
