//! Where a probe of reach goes: a target that it may reach, and its addresses.

use std::net::IpAddr;

use super::targets;
use super::{Asked, Unrun};
use crate::host::Host;

/// An address to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) address: IpAddr,
    /// The interface at which a link-local address is meant; empty where it does not matter.
    pub(super) interface: String,
}

/// The addresses of a target, those that the system prefers first; where it has none, why. Refused where policy does not allow the target.
pub(super) fn of(
    host: &dyn Host,
    asked: &Asked,
    target: &str,
    port: Option<u16>,
) -> Result<Result<Vec<Destination>, String>, Unrun> {
    targets::allowed(host, &asked.policy, target, port)?;
    let (name, interface) = target.split_once('%').unwrap_or((target, ""));
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let found = host.resolve(bare).map_err(|error| error.to_string());
    Ok(found.and_then(|addresses| {
        let place = |address: IpAddr| Destination { address: address.to_canonical(), interface: interface.to_owned() };
        let places: Vec<Destination> = addresses.into_iter().map(place).collect();
        if places.is_empty() { Err(format!("the name {bare} has no address")) } else { Ok(places) }
    }))
}

/// A number among the arguments; refused where it is none, or too small or too large.
pub(super) fn number(asked: &Asked, name: &str, default: u16, least: u16, most: u16) -> Result<u16, Unrun> {
    let Some(text) = asked.get(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Unrun::Refused(format!("{name} is a number from {least} to {most}, and not {text:?}")))
}
