//! Which device a ticket is about: what the ticket itself says counts most, what can only be supposed counts least, and where two may be meant
//! nobody guesses.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Foreign;
use crate::store::Device;

/// Shortest host name that is looked for in a ticket's text. Why: "pc" is a word before it is a machine.
const NAME_CHARS_MIN: usize = 4;

/// Devices that are named where several may be meant.
const SEVERAL_MAX: usize = 10;

/// What a ticket says of devices, in the order in which it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    Field,
    Asset,
    Requester,
    Text,
}

impl Ground {
    fn words(self) -> &'static str {
        match self {
            Self::Field => "a field of the ticket names it",
            Self::Asset => "the ticket's asset is called so",
            Self::Requester => "the requester works on it",
            Self::Text => "the ticket's text names it",
        }
    }
}

/// Which device is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// This one.
    One {
        /// The device.
        device: Uuid,
        /// What it was told by.
        why: &'static str,
    },
    /// One of these, each with what speaks for it.
    Several(Vec<(Uuid, &'static str)>),
    /// Nothing points to any.
    None,
}

/// Finds the device. `fields` are the custom fields that name one, `of_requester` the devices that the requester is known to use.
pub(super) fn meant(foreign: &Foreign, fields: &[String], devices: &[Device], of_requester: &[Uuid]) -> Meant {
    let devices: Vec<&Device> = devices.iter().filter(|device| !device.revoked).collect();
    let named = |value: &str| -> BTreeSet<Uuid> {
        devices.iter().filter(|device| is_called(device, value)).map(|device| device.id).collect()
    };
    let of_fields = fields.iter().filter_map(|field| foreign.fields.get(field)).map(|value| named(value));
    let text = words(&format!("{} {}", foreign.title, foreign.text));
    let in_text = devices.iter().filter(|device| {
        let name = short(&device.name).to_lowercase();
        name.chars().count() >= NAME_CHARS_MIN && text.contains(&name)
    });
    let used = devices.iter().filter(|device| of_requester.contains(&device.id));
    let grounds = [
        (Ground::Field, of_fields.into_iter().find(|found| !found.is_empty()).unwrap_or_default()),
        (Ground::Asset, foreign.assets.iter().flat_map(|asset| named(asset)).collect()),
        (Ground::Requester, used.map(|device| device.id).collect()),
        (Ground::Text, in_text.map(|device| device.id).collect()),
    ];
    weigh(&grounds)
}

/// The first ground that says anything decides; those after it choose among several, or cast a doubt on what was only supposed.
fn weigh(grounds: &[(Ground, BTreeSet<Uuid>)]) -> Meant {
    let mut said = grounds.iter().filter(|(_ground, found)| !found.is_empty());
    let Some((ground, mut left)) = said.next().map(|(ground, found)| (*ground, found.clone())) else {
        return Meant::None;
    };
    let mut doubts: Vec<(Uuid, &'static str)> = Vec::new();
    for (other, found) in said {
        let both: BTreeSet<Uuid> = left.intersection(found).copied().collect();
        if !both.is_empty() {
            left = both;
        } else if ground == Ground::Requester {
            doubts.extend(found.iter().map(|device| (*device, other.words())));
        }
    }
    if let (1, Some(device), true) = (left.len(), left.first(), doubts.is_empty()) {
        return Meant::One { device: *device, why: ground.words() };
    }
    let several = left.into_iter().map(|device| (device, ground.words())).chain(doubts);
    Meant::Several(several.take(SEVERAL_MAX).collect())
}

/// Whether a value names a device: by its whole identity, or its host name with or without the domain.
fn is_called(device: &Device, value: &str) -> bool {
    let value = value.trim();
    !value.is_empty()
        && (device.id.to_string().eq_ignore_ascii_case(value)
            || device.name.eq_ignore_ascii_case(value)
            || short(&device.name).eq_ignore_ascii_case(short(value)))
}

fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The words of a text as host names are written, in lower case.
fn words(text: &str) -> BTreeSet<String> {
    let text = text.to_lowercase();
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
    parts.map(|word| word.trim_matches('-').to_owned()).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u128, name: &str) -> Device {
        Device {
            id: Uuid::from_u128(number),
            name: name.into(),
            machine: String::new(),
            os: String::new(),
            agent_version: String::new(),
            boot_id: String::new(),
            enrolled_ms: 0,
            seen_ms: 0,
            revoked: false,
            clock_offset_ms: 0,
            lost: 0,
        }
    }

    fn found(foreign: &Foreign, of_requester: &[u128]) -> Result<u128, usize> {
        let devices = [device(7, "desk-7.example.com"), device(8, "desk-8"), device(9, "pc")];
        let of_requester: Vec<Uuid> = of_requester.iter().map(|number| Uuid::from_u128(*number)).collect();
        match meant(foreign, &["Device".into()], &devices, &of_requester) {
            Meant::One { device, .. } => Ok(device.as_u128()),
            Meant::Several(several) => Err(several.len()),
            Meant::None => Err(0),
        }
    }

    fn text(text: &str) -> Foreign {
        Foreign { text: text.into(), ..Foreign::default() }
    }

    #[test]
    fn what_the_ticket_says_counts_more_than_what_is_supposed() {
        let field = Foreign { fields: [("Device".into(), "DESK-8".into())].into(), ..text("not desk-7") };
        assert_eq!(found(&field, &[7]), Ok(8));
        let asset = Foreign { assets: vec!["desk-7".into()], ..text("unlike desk-8") };
        assert_eq!(found(&asset, &[8]), Ok(7));
        assert_eq!(found(&text("it does not print"), &[8]), Ok(8));
        assert_eq!(found(&text("Desk-7 (in the hall) does not print."), &[]), Ok(7));
        assert_eq!(found(&text("desk-7.example.com is dead"), &[]), Ok(7));
    }

    #[test]
    fn where_two_may_be_meant_nobody_guesses() {
        assert_eq!(found(&text("desk-7 and desk-8"), &[]), Err(2));
        assert_eq!(found(&text("it does not print"), &[7, 8]), Err(2));
        assert_eq!(found(&text("desk-8 does not print"), &[7]), Err(2), "the requester's own is another one");
        assert_eq!(found(&text("desk-8 does not print"), &[7, 8]), Ok(8), "one of the requester's, and named");
        assert_eq!(found(&text("my pc is slow, see desk-77"), &[]), Err(0));
    }
}
