//! Collectors of the network family: links, addresses, routes, names and neighbours.

pub(crate) mod addresses;
pub(super) mod interfaces;
pub(super) mod neighbors;
pub(super) mod resolvers;
pub(super) mod routes;
mod rtnetlink;
