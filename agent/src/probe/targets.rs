//! What probes may reach: what the machine is itself set up to use, and what policy lists. An agent is no scanner.

use std::net::IpAddr;

use deskside_proto::v1::Policy;

use super::Unrun;
use crate::host::Host;
use listed::Listed;
use place::Place;

pub(super) mod configured;
mod listed;
pub(super) mod place;

/// Most lines of a policy's list that are heeded.
const LISTED_MAX: usize = 1_000;

/// Whether a probe may send something to a target, at a port where it is one port that is meant. A name is matched by name and an address by
/// address: what a name resolves to is not asked. A refusal says what would allow it.
pub(super) fn allowed(host: &dyn Host, policy: &Policy, target: &str, port: Option<u16>) -> Result<(), Unrun> {
    let place = Place::read(target).map_err(Unrun::Refused)?;
    let listed = policy.targets.iter().take(LISTED_MAX).map(String::as_str);
    if listed.filter_map(Listed::read).any(|listed| listed.covers(&place, port)) {
        return Ok(());
    }
    let help_desk =
        Listed::read(&policy.help_desk).is_some_and(|listed| listed.is_one() && listed.covers(&place, port));
    if help_desk || configured::uses(host, &place, port) {
        return Ok(());
    }
    let at = port.map(|port| format!(", port {port}")).unwrap_or_default();
    Err(Unrun::Refused(format!(
        "{place}{at} is not tested: this machine is not set up to use it; add it to targets in the server's [policy] to allow it"
    )))
}

/// The machine itself: nothing leaves it.
fn is_here(place: &Place) -> bool {
    matches!(place, Place::Address(address) if address.is_loopback())
        || matches!(place, Place::Name(name) if name == "localhost")
}

/// The address itself: one that is IPv4 written as IPv6 is IPv4 (RFC 4291, 2.5.5.2).
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests;
