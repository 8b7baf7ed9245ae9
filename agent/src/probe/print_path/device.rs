//! The last steps: whether the device answers, and how it is by its own words.

use std::net::IpAddr;

use super::place::Way;
use super::verdict::REMOTE;
use super::way::Reached;
use super::{Outcome, Path, not_done};
use crate::collect::printing::condition::{self, Condition};
use crate::host::Host;
use crate::probe::Unrun;

/// Where a printer answers IPP whose queue does not say (IPP Everywhere, 4.1).
const IPP_PORT: u16 = 631;

/// What is asked, and where.
pub(super) struct Asking<'a> {
    pub(super) way: Way,
    /// Of IPP: the whole URI.
    pub(super) uri: &'a str,
    /// It is a queue of another print server.
    pub(super) remote_queue: bool,
}

/// Takes the two steps.
pub(super) fn test(path: &mut Path<'_, '_>, asking: &Asking<'_>, reached: Reached) -> Result<(), Unrun> {
    let address = match (asking.way, reached) {
        (Way::Behind, _) => return left_out(path, "a Windows or Samba server stands before the printer"),
        (_, Reached::Nowhere) => return left_out(path, "the address is not known"),
        (_, Reached::Silent) => return left_out(path, "nothing answers at that address"),
        (Way::Ipp, Reached::Closed(_)) => return left_out(path, "the port is closed"),
        (_, Reached::Open(address) | Reached::Closed(address)) => address,
    };
    let mut heard = None;
    match asking.way {
        Way::Ipp => path.take("answer", asking.uri, |host| match condition::by_ipp(host, asking.uri) {
            Ok(condition) => {
                let said = format!("answers IPP{}", of_model(&condition));
                heard = Some(condition);
                (Outcome::Ok, said)
            }
            Err(error) => (Outcome::Failed, format!("no answer to IPP: {error:#}")),
        })?,
        _ => path.take("answer", &address.to_string(), |host| {
            let (said, condition) = by_any(host, address);
            heard = condition;
            said
        })?,
    }
    let target = heard.as_ref().map(|heard: &Condition| heard.model.clone()).unwrap_or_default();
    let said = match heard {
        None => not_done("it told nothing of itself"),
        Some(condition) => {
            let outcome = if condition.stopped { Outcome::Failed } else { Outcome::Ok };
            let words = condition.words();
            (outcome, if asking.remote_queue { format!("{REMOTE} {words}") } else { words })
        }
    };
    path.note("device", &target, said, None)
}

/// A printer whose port takes pages only: SNMP, else IPP, which many speak beside it.
fn by_any(host: &dyn Host, address: IpAddr) -> (super::Said, Option<Condition>) {
    let snmp = match condition::by_snmp(host, &address.to_string()) {
        Ok(condition) => {
            let said = format!("answers {}{}", condition.way, of_model(&condition));
            return ((Outcome::Ok, said), Some(condition));
        }
        Err(error) => format!("{error:#}"),
    };
    let literal = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    if host.reach(&address.to_string(), IPP_PORT).is_ok()
        && let Ok(condition) = condition::by_ipp(host, &format!("ipp://{literal}:{IPP_PORT}/ipp/print"))
    {
        let said = format!("answers IPP on port {IPP_PORT}{}, though not SNMP", of_model(&condition));
        return ((Outcome::Ok, said), Some(condition));
    }
    // Why not failed: many printers have both switched off, and print.
    ((Outcome::Unknown, format!("neither SNMP nor IPP is answered, so it cannot be asked how it is ({snmp})")), None)
}

fn of_model(condition: &Condition) -> String {
    if condition.model.is_empty() { String::new() } else { format!(": {}", condition.model) }
}

/// Why neither can be done.
pub(super) fn left_out(path: &mut Path<'_, '_>, why: &str) -> Result<(), Unrun> {
    path.note("answer", "", not_done(why), None)?;
    path.note("device", "", not_done(why), None)
}

/// A printer at a cable: whether the kernel sees one at all.
pub(super) fn at_usb(host: &dyn Host) -> super::Said {
    let devices = match host.list(USB) {
        Ok(devices) => devices,
        Err(error) => return (Outcome::Unknown, format!("the USB devices could not be listed: {error}")),
    };
    let is_printer =
        |name: &&String| host.line(&format!("{USB}/{name}/bInterfaceClass")).as_deref() == Some(PRINTER_CLASS);
    let found: Vec<String> = devices
        .iter()
        .filter(is_printer)
        .map(|interface| {
            let device = interface.split(':').next().unwrap_or_default();
            let line = |file: &str| host.line(&format!("{USB}/{device}/{file}")).unwrap_or_default();
            format!("{} {}", line("manufacturer"), line("product")).trim().to_owned()
        })
        .collect();
    match found.as_slice() {
        [] => (Outcome::Failed, "no printer is attached by USB".into()),
        found => {
            (Outcome::Unknown, format!("attached by USB: {}; what it says of itself cannot be seen", found.join(", ")))
        }
    }
}

const USB: &str = "/sys/bus/usb/devices";

/// `bInterfaceClass` of printers (USB Device Class Definition for Printing Devices).
const PRINTER_CLASS: &str = "07";
