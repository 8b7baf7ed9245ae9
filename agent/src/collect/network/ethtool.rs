//! What the driver of an interface says of the link and of the hardware: the kernel's generic netlink family "ethtool"
//! (Documentation/networking/ethtool-netlink.rst), one interface a question.

use netlink_packet_core::{NlaBuffer, NlasIterator};

use crate::host::{Host, attribute};

/// Modes of one list that are kept; the kernel knows some 130.
const MODES_MAX: usize = 160;

/// `struct nlmsghdr` and `struct genlmsghdr` before the attributes of an answer.
const HEADERS_BYTES: usize = 20;

/// Questions (`ETHTOOL_MSG_*_GET` of `linux/ethtool_netlink.h`).
const LINKMODES: u8 = 4;
const LINKSTATE: u8 = 6;
const WOL: u8 = 9;
const EEE: u8 = 23;

/// `struct genlmsghdr`: the version of this family.
const VERSION: u8 = 1;

/// The header of a question, nested, and the interface's name in it.
const HEADER: u16 = 1;
const HEADER_DEV_NAME: u16 = 2;
const NESTED: u16 = 1 << 15;

/// Attributes of the answers.
const LINKMODES_AUTONEG: u16 = 2;
const LINKMODES_OURS: u16 = 3;
const LINKMODES_PEER: u16 = 4;
const LINKSTATE_EXT_STATE: u16 = 5;
const LINKSTATE_EXT_SUBSTATE: u16 = 6;
const WOL_MODES: u16 = 2;
const EEE_ACTIVE: u16 = 4;
const EEE_ENABLED: u16 = 5;

/// A set of bits as a list with their names.
const BITSET_NOMASK: u16 = 1;
const BITSET_BITS: u16 = 3;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// `enum ethtool_link_ext_state` of linux/ethtool.h, and what follows "autonegotiation".
const DOWN_REASONS: [&str; 11] = [
    "autonegotiation",
    "link training failed",
    "the two ends do not match",
    "bad signal",
    "no cable",
    "bad cable",
    "EEPROM",
    "calibration failed",
    "power budget exceeded",
    "overheated",
    "module",
];
const AUTONEGOTIATION_REASONS: [&str; 6] = [
    "no partner detected",
    "acknowledgement not received",
    "next page exchange failed",
    "no partner detected in forced mode",
    "FEC mismatch",
    "no common mode",
];

/// What both ends offer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modes {
    /// The ends negotiate.
    pub(super) autonegotiation: Option<bool>,
    /// What the hardware can.
    pub(super) supported: Vec<String>,
    /// What of it is offered.
    pub(super) advertised: Vec<String>,
    /// What the other end offers.
    pub(super) partner: Vec<String>,
}

impl Modes {
    /// The highest speed that the hardware can, in bits a second.
    pub(super) fn hardware_max(&self) -> Option<u64> {
        self.supported.iter().filter_map(|mode| speed(mode)).max()
    }

    /// The highest speed that both ends can; absent where the other end does not say.
    pub(super) fn common_max(&self) -> Option<u64> {
        let theirs: Vec<u64> = self.partner.iter().filter_map(|mode| speed(mode)).collect();
        self.supported.iter().filter_map(|mode| speed(mode)).filter(|speed| theirs.contains(speed)).max()
    }
}

/// Energy-Efficient Ethernet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Eee {
    pub(super) enabled: Option<bool>,
    pub(super) active: Option<bool>,
}

/// What the two ends of the link offer. Absent where the driver does not say.
pub(super) fn modes(host: &dyn Host, interface: &str) -> Option<Modes> {
    ask(host, LINKMODES, interface).map(|answer| parse_modes(&answer))
}

/// Why there is no link; empty where the driver does not say.
pub(super) fn down_reason(host: &dyn Host, interface: &str) -> String {
    ask(host, LINKSTATE, interface).map(|answer| parse_down_reason(&answer)).unwrap_or_default()
}

/// What wakes the machine. The kernel tells it only with `CAP_NET_ADMIN`.
pub(super) fn wake_on(host: &dyn Host, interface: &str) -> Vec<String> {
    let answer = ask(host, WOL, interface).unwrap_or_default();
    let modes = attributes(&answer).find(|part| part.kind() == WOL_MODES);
    let modes = modes.map(|part| bits(part.value())).unwrap_or_default();
    modes.into_iter().filter(|bit| bit.set).map(|bit| wake_word(&bit.name).to_owned()).collect()
}

/// Energy-Efficient Ethernet; without anything where the hardware has none.
pub(super) fn eee(host: &dyn Host, interface: &str) -> Eee {
    let answer = ask(host, EEE, interface).unwrap_or_default();
    let flag = |kind| byte(&answer, kind).map(|flag| flag != 0);
    Eee { enabled: flag(EEE_ENABLED), active: flag(EEE_ACTIVE) }
}

/// The attributes of the answer. Why every refusal is silence: a driver that cannot say is the rule, and a column that is absent says so.
fn ask(host: &dyn Host, question: u8, interface: &str) -> Option<Vec<u8>> {
    let answer = host.genl("ethtool", &request(question, interface), false).ok()?;
    let length = answer.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize)?;
    answer.get(HEADERS_BYTES..length).map(<[u8]>::to_vec)
}

fn request(question: u8, interface: &str) -> Vec<u8> {
    let mut name = interface.as_bytes().to_vec();
    name.push(0);
    let name = attribute(HEADER_DEV_NAME, &name);
    let mut request = vec![question, VERSION, 0, 0];
    request.extend(attribute(HEADER | NESTED, &name));
    request
}

/// Up to the first that is malformed.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).map_while(Result::ok)
}

fn byte(answer: &[u8], kind: u16) -> Option<u8> {
    attributes(answer).find(|part| part.kind() == kind)?.value().first().copied()
}

fn parse_modes(answer: &[u8]) -> Modes {
    let mut modes = Modes { autonegotiation: byte(answer, LINKMODES_AUTONEG).map(|on| on != 0), ..Modes::default() };
    for part in attributes(answer) {
        match part.kind() {
            LINKMODES_OURS => {
                // With a mask: what is listed is what the hardware can, what is set is what it offers.
                for bit in bits(part.value()).into_iter().filter(|bit| speed(&bit.name).is_some()) {
                    if bit.set {
                        modes.advertised.push(bit.name.clone());
                    }
                    modes.supported.push(bit.name);
                }
            }
            LINKMODES_PEER => {
                let offered = bits(part.value()).into_iter().filter(|bit| bit.set && speed(&bit.name).is_some());
                modes.partner.extend(offered.map(|bit| bit.name));
            }
            _ => {}
        }
    }
    modes
}

fn parse_down_reason(answer: &[u8]) -> String {
    let Some(state) = byte(answer, LINKSTATE_EXT_STATE) else { return String::new() };
    let Some(reason) = DOWN_REASONS.get(usize::from(state)) else { return format!("reason {state}") };
    let more = byte(answer, LINKSTATE_EXT_SUBSTATE).filter(|_more| state == 0);
    let more = more.and_then(|more| AUTONEGOTIATION_REASONS.get(usize::from(more).checked_sub(1)?));
    more.map_or_else(|| (*reason).to_owned(), |more| format!("{reason}: {more}"))
}

/// One bit of a set.
struct Bit {
    name: String,
    set: bool,
}

/// In a set without a mask every bit that is listed is set.
fn bits(set: &[u8]) -> Vec<Bit> {
    let nomask = attributes(set).any(|part| part.kind() == BITSET_NOMASK);
    let Some(list) = attributes(set).find(|part| part.kind() == BITSET_BITS) else { return Vec::new() };
    let bit = |bit: NlaBuffer<&[u8]>| {
        let name = attributes(bit.value()).find(|part| part.kind() == BIT_NAME)?;
        let name = name.value().split(|byte| *byte == 0).next().unwrap_or_default();
        let set = nomask || attributes(bit.value()).any(|part| part.kind() == BIT_VALUE);
        Some(Bit { name: String::from_utf8_lossy(name).into_owned(), set })
    };
    attributes(list.value()).filter_map(bit).take(MODES_MAX).collect()
}

/// Of "1000baseT/Full" in bits a second; a mode without a speed ("Autoneg", "Pause") has none.
fn speed(mode: &str) -> Option<u64> {
    let (megabits, _medium) = mode.split_once("base")?;
    megabits.parse::<u64>().ok()?.checked_mul(1_000_000)
}

/// The kernel's names of what wakes, as ethtool(8) explains them.
fn wake_word(name: &str) -> &str {
    match name {
        "phy" => "link",
        "ucast" => "unicast",
        "mcast" => "multicast",
        "bcast" => "broadcast",
        "magicsecure" => "magic with password",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bit(name: &str, set: bool) -> Vec<u8> {
        let index = attribute(1, &[0; 4]);
        let name = attribute(BIT_NAME, &[name.as_bytes(), &[0]].concat());
        let value = if set { attribute(BIT_VALUE, &[]) } else { Vec::new() };
        attribute(1 | NESTED, &[index, name, value].concat())
    }

    fn list(bits: &[Vec<u8>]) -> Vec<u8> {
        attribute(BITSET_BITS | NESTED, &bits.concat())
    }

    fn answer() -> Vec<u8> {
        let ours = list(&[bit("100baseT/Full", true), bit("1000baseT/Full", false), bit("Autoneg", true)]);
        let peer = [attribute(BITSET_NOMASK, &[]), list(&[bit("100baseT/Full", false), bit("1000baseT/Full", false)])];
        [
            attribute(LINKMODES_AUTONEG, &[1]),
            attribute(LINKMODES_OURS | NESTED, &ours),
            attribute(LINKMODES_PEER | NESTED, &peer.concat()),
        ]
        .concat()
    }

    #[test]
    fn what_both_ends_can_is_told_even_where_one_does_not_offer_it() {
        let modes = parse_modes(&answer());
        assert_eq!(
            (modes.autonegotiation, modes.advertised.as_slice()),
            (Some(true), &["100baseT/Full".to_owned()][..])
        );
        assert_eq!((modes.hardware_max(), modes.common_max()), (Some(1_000_000_000), Some(1_000_000_000)));
        assert_eq!((modes.supported.len(), modes.partner.len()), (2, 2));
        let silent = Modes { partner: Vec::new(), ..modes };
        assert_eq!((silent.hardware_max(), silent.common_max()), (Some(1_000_000_000), None));
    }

    #[test]
    fn why_there_is_no_link_is_said_in_words() {
        let said = |state: u8, more: Option<u8>| {
            let more = more.map(|more| attribute(LINKSTATE_EXT_SUBSTATE, &[more])).unwrap_or_default();
            parse_down_reason(&[attribute(LINKSTATE_EXT_STATE, &[state]), more].concat())
        };
        assert_eq!(said(4, None), "no cable");
        assert_eq!(said(0, Some(1)), "autonegotiation: no partner detected");
        assert_eq!(said(0, Some(0)), "autonegotiation");
        assert_eq!(said(77, None), "reason 77");
        assert_eq!(parse_down_reason(&[]), "");
    }

    #[test]
    fn a_mode_without_a_speed_has_none() {
        assert_eq!(speed("2500baseT/Full"), Some(2_500_000_000));
        assert_eq!(["Autoneg", "Pause", "base", "99999999999999999999baseT/Full"].map(speed), [None; 4]);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(cut in 0_usize..400, changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..8)) {
            let mut bytes = answer();
            let length = bytes.len();
            for (at, byte) in changes {
                bytes[at % length] = byte;
            }
            bytes.truncate(cut);
            parse_modes(&bytes);
            parse_down_reason(&bytes);
        }
    }
}
