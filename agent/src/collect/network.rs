//! Collectors of the network family: links, addresses, routes, names and neighbours.

pub(crate) mod addresses;
pub(super) mod bonds_bridges_vlans;
mod ethtool;
pub(super) mod interface_io;
pub(super) mod interfaces;
mod lately;
pub(super) mod neighbors;
pub(super) mod resolvers;
pub(super) mod routes;
mod rtnetlink;
pub(super) mod tcp_stats;
