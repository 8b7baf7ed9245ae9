//! From the name in the URI to an open port: resolve, route, port.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use super::route::{self, Lead};
use super::{Outcome, Path, Said, not_done};
use crate::host::Host;
use crate::probe::Unrun;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// How far the way was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The port of this address is open.
    Open(IpAddr),
    /// The address answers, and the port is closed.
    Closed(IpAddr),
    /// Nothing came back.
    Silent,
    /// There is no address.
    Nowhere,
}

/// Takes the three steps.
pub(super) fn test(path: &mut Path<'_, '_>, name: &str, port: u16) -> Result<Reached, Unrun> {
    let begun_ms = path.host.now_ms();
    let found = path.host.resolve(name);
    let addresses: Vec<IpAddr> =
        found.as_ref().map(|found| found.iter().copied().take(ADDRESSES_MAX).collect()).unwrap_or_default();
    let took_ms = u32::try_from(path.host.now_ms() - begun_ms).ok();
    path.note("resolve", name, resolved(name, &found), took_ms)?;
    tried(path, &addresses, port)
}

/// The two steps from addresses on.
pub(super) fn tried(path: &mut Path<'_, '_>, addresses: &[IpAddr], port: u16) -> Result<Reached, Unrun> {
    let Some(mut target) = addresses.first().copied() else {
        path.note("route", "", not_done("the address is not known"), None)?;
        path.note("port", &port.to_string(), not_done("the address is not known"), None)?;
        return Ok(Reached::Nowhere);
    };
    let mut answer = Err(io::Error::from(ErrorKind::TimedOut));
    let begun_ms = path.host.now_ms();
    for address in addresses {
        let tried = path.host.reach(&address.to_string(), port);
        // Why: of several failures the first address's is told, unless another one answers.
        if tried.is_ok() || *address == target {
            target = *address;
            answer = tried;
        }
        if answer.is_ok() || path.steps.time_is_up(path.host) {
            break;
        }
    }
    let connecting_ms = u32::try_from(path.host.now_ms() - begun_ms).ok();
    let silent = answer.as_ref().is_err_and(|error| error.kind() != ErrorKind::ConnectionRefused);
    let reached = answer.is_ok();
    path.take("route", &target.to_string(), |host| routed(host, target, reached, silent, &answer))?;
    path.note("port", &with_port(target, port), opened(&answer), connecting_ms)?;
    Ok(match (reached, silent) {
        (true, _) => Reached::Open(target),
        (false, false) => Reached::Closed(target),
        (false, true) => Reached::Silent,
    })
}

fn resolved(name: &str, found: &io::Result<Vec<IpAddr>>) -> Said {
    match found {
        Ok(_address) if name.parse::<IpAddr>().is_ok() => (Outcome::Ok, "an address already, no name".into()),
        Ok(addresses) if addresses.is_empty() => (Outcome::Failed, "the name has no address".into()),
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            (Outcome::Ok, addresses.join(", "))
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            (Outcome::Failed, "no name server answered in time".into())
        }
        Err(error) => (Outcome::Failed, error.to_string()),
    }
}

/// The route, in the light of what came back over it.
fn routed(host: &dyn Host, target: IpAddr, reached: bool, silent: bool, answer: &io::Result<Duration>) -> Said {
    let lead = route::to(host, target);
    if reached && matches!(lead, Lead::Nowhere | Lead::Barred(_)) {
        return (Outcome::Ok, "by a rule beside the routing tables".into());
    }
    let said = route::said(host, &lead, target, silent);
    let kind = answer.as_ref().err().map(io::Error::kind);
    match (said, kind) {
        ((Outcome::Ok | Outcome::Unknown, found), Some(ErrorKind::HostUnreachable)) => {
            (Outcome::Failed, format!("{found}, but on the way it is said that the host cannot be reached"))
        }
        ((Outcome::Ok | Outcome::Unknown, found), Some(ErrorKind::NetworkUnreachable)) => {
            (Outcome::Failed, format!("{found}, but on the way it is said that the network cannot be reached"))
        }
        (said, _) => said,
    }
}

fn opened(answer: &io::Result<Duration>) -> Said {
    let error = match answer {
        Ok(_took) => return (Outcome::Ok, "open".into()),
        Err(error) => error,
    };
    let why = match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::TimedOut => "no answer in time".into(),
        ErrorKind::HostUnreachable => "the host cannot be reached".into(),
        ErrorKind::NetworkUnreachable => "the network cannot be reached".into(),
        ErrorKind::PermissionDenied => "forbidden by a firewall or a route of this machine".into(),
        _ => error.to_string(),
    };
    (Outcome::Failed, why)
}

/// `192.0.2.9:9100`, `[2001:db8::9]:9100`
pub(super) fn with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}
