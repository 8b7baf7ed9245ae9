//! Whether the link stayed while the way was tested.

use std::collections::BTreeMap;

use deskside_proto::v1::Interface;

use super::{Path, Said, failed, ok};
use crate::host::Host;
use crate::probe::{Unrun, now};

/// The step.
pub(super) const STEP: &str = "link after";

/// How often each interface's carrier came or went since the machine started, and whether it is there.
pub(super) type Carriers = BTreeMap<String, Carrier>;

/// The same of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Carrier {
    changes: u32,
    there: bool,
    wifi: bool,
}

/// Counts them.
pub(super) fn counted(host: &dyn Host) -> Carriers {
    let all = now::rows::<Interface>(host).unwrap_or_default().into_iter();
    let carrier = |interface: &Interface| Carrier {
        changes: interface.carrier_changes,
        there: interface.admin_up && interface.carrier == Some(true),
        wifi: interface.kind == "wifi",
    };
    all.map(|interface| (interface.name.clone(), carrier(&interface))).collect()
}

/// Compares the link that was tested with what it was; one that had no carrier from the start was told of there.
pub(super) fn test(path: &mut Path<'_, '_, '_>, before: &Carriers) -> Result<(), Unrun> {
    let name = path.taken.rows.first().map(|link| link.target.clone()).unwrap_or_default();
    let Some(was) = before.get(&name).filter(|was| was.there) else { return Ok(()) };
    let after = counted(path.host).remove(&name);
    path.take(STEP, &name, |_host| compared(&name, was, after.as_ref()))?;
    Ok(())
}

fn compared(name: &str, was: &Carrier, now: Option<&Carrier>) -> Said {
    let Some(now) = now else {
        let sentence = format!(
            "The network interface {name} vanished while the way was tested: it was unplugged or switched off."
        );
        return failed("flaps", "is gone", &sentence);
    };
    let changes = now.changes.saturating_sub(was.changes);
    if changes == 0 && now.there {
        return ok("kept its carrier");
    }
    let times = match changes.div_ceil(2) {
        0 | 1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let (found, went) = if now.there {
        (format!("lost its carrier {times} during the test"), format!("went down {times} and came back"))
    } else {
        (
            format!("lost its carrier {times} during the test, and has none now"),
            format!("went down {times} and is down"),
        )
    };
    let why = if was.wifi {
        "the signal is weak, or the access point sends it away"
    } else {
        "its cable, its socket or the other end fails"
    };
    failed("flaps", &found, &format!("The link of {name} {went} while the way was tested: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(changes: u32, there: bool, wifi: bool) -> String {
        let was = Carrier { changes: 7, there: true, wifi };
        compared("eth0", &was, Some(&Carrier { changes: 7 + changes, there, wifi })).sentence
    }

    #[test]
    fn a_link_that_flapped_is_told_with_how_often() {
        assert_eq!(told(0, true, false), "");
        let cable = "while the way was tested: its cable, its socket or the other end fails.";
        assert_eq!(told(2, true, false), format!("The link of eth0 went down once and came back {cable}"));
        assert_eq!(told(6, true, false), format!("The link of eth0 went down 3 times and came back {cable}"));
        assert_eq!(told(3, false, false), format!("The link of eth0 went down 2 times and is down {cable}"));
        assert!(told(2, true, true).ends_with("the signal is weak, or the access point sends it away."));
        assert_eq!(compared("eth0", &Carrier { there: true, ..Carrier::default() }, None).problem, "flaps");
    }
}
