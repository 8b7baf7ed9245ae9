//! Whether the clock is near enough to the truth to sign in.

use super::{Path, failed, not_done, ok};
use crate::probe::Unrun;
use crate::probe::ntp::{KERBEROS_MS, ask, behind, median};
use crate::probe::targets::configured;

/// Time servers that are asked.
const SERVERS_MAX: usize = 2;

/// Compares it.
pub(super) fn test(path: &mut Path<'_, '_, '_>) -> Result<(), Unrun> {
    let servers = configured::time_servers(path.host);
    let target = servers.iter().take(SERVERS_MAX).cloned().collect::<Vec<_>>().join(", ");
    path.take("clock", &target, |host| {
        if servers.is_empty() {
            return not_done("no time server is set up on this machine");
        }
        let addresses =
            servers.iter().take(SERVERS_MAX).filter_map(|server| host.resolve(server).ok()?.first().copied());
        let offsets = addresses.filter_map(|address| Some(ask(host, address).ok()?.offset_ms)).collect();
        match median(offsets) {
            None => not_done("no time server answers; the probe ntp tells why"),
            Some(offset) if offset.abs() > KERBEROS_MS => {
                let clock = format!("this clock is {}", behind(offset));
                failed(
                    "clock",
                    &clock,
                    &format!("This machine's clock is {}, so signing in and certificates fail.", behind(offset)),
                )
            }
            Some(offset) => ok(&format!("this clock is {}", behind(offset))),
        }
    })?;
    Ok(())
}
