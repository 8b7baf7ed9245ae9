//! Conditions on a packet, and the program for them that the kernel runs (classic BPF, linux/filter.h).
//!
//! Why from the network header on and not from the frame's begin: so one program fits Ethernet, tunnels and the loopback interface.

use std::net::IpAddr;

use crate::host::BpfInstruction;

/// Longest program. Why: a conditional jump reaches 255 steps, and all lead forward.
const STEPS_MAX: usize = 250;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_BEHIND_HEADER: u16 = 0x48;
const LOAD_LENGTH: u16 = 0x80;
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_NOT_LESS: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// `SKF_NET_OFF`, `SKF_LL_OFF`, and what the kernel knows beside the packet (`SKF_AD_OFF`).
const NETWORK: u32 = 0xfff0_0000;
const FRAME: u32 = 0xffe0_0000;
const PROTOCOL: u32 = 0xffff_f000;
const PACKET_KIND: u32 = 0xffff_f004;
const LINK_KIND: u32 = 0xffff_f01c;

/// `ARPHRD_LOOPBACK`, `PACKET_OUTGOING`
const LOOPBACK: u32 = 772;
const OUTGOING: u32 = 4;

pub(super) const IPV4: u32 = 0x0800;
pub(super) const IPV6: u32 = 0x86dd;
pub(super) const ARP: u32 = 0x0806;

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Word(u32),
    Half(u32),
    Byte(u32),
    /// This many bytes behind the IPv4 header, however long that is.
    HalfBehindHeader(u32),
    Length,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Equal(u32),
    /// Both included.
    Between(u32, u32),
    AnyBit(u32),
}

/// A condition on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Test(Test),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    number: Number,
    mask: Option<u32>,
    compared: Compared,
}

fn test(number: Number, compared: Compared) -> Condition {
    Condition::Test(Test { number, mask: None, compared })
}

fn equal(number: Number, value: u32) -> Condition {
    test(number, Compared::Equal(value))
}

impl Condition {
    pub(super) fn and(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self::Or(Box::new(self), Box::new(other))
    }

    pub(super) fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// What the frame carries (an Ethernet type).
    pub(super) fn carries(kind: u32) -> Self {
        equal(Number::Half(PROTOCOL), kind)
    }

    /// What an IPv4 or IPv6 packet carries; by IPv6 without extension headers.
    pub(super) fn protocol(number: u32) -> Self {
        Self::over_ipv4(number).or(Self::over_ipv6(number))
    }

    pub(super) fn over_ipv4(number: u32) -> Self {
        Self::carries(IPV4).and(equal(Number::Byte(NETWORK + 9), number))
    }

    pub(super) fn over_ipv6(number: u32) -> Self {
        Self::carries(IPV6).and(equal(Number::Byte(NETWORK + 6), number))
    }

    /// Ports of these protocols. The first piece alone of what IPv4 cut into pieces has them.
    pub(super) fn port(end: End, low: u32, high: u32, protocols: &[u32]) -> Self {
        let at = if end == End::Source { 0 } else { 2 };
        let within = |number| test(number, Compared::Between(low, high));
        let any = |place: u32| {
            let tests = protocols.iter().map(|protocol| equal(Number::Byte(NETWORK + place), *protocol));
            tests.reduce(Condition::or).unwrap_or_else(|| equal(Number::Length, 0))
        };
        let later_piece = test(Number::Half(NETWORK + 6), Compared::AnyBit(0x1fff));
        let ipv4 = Self::carries(IPV4)
            .and(any(9))
            .and(later_piece.negated())
            .and(within(Number::HalfBehindHeader(NETWORK + at)));
        let ipv6 = Self::carries(IPV6).and(any(6)).and(within(Number::Half(NETWORK + 40 + at)));
        ipv4.or(ipv6)
    }

    /// An address or a network of an end, of IPv4 in ARP too.
    pub(super) fn address(end: End, address: IpAddr, bits: u32) -> Self {
        let source = end == End::Source;
        match address {
            IpAddr::V4(address) => {
                let words = [address.to_bits()];
                let ip = Self::carries(IPV4).and(prefix(if source { 12 } else { 16 }, &words, bits));
                ip.or(Self::carries(ARP).and(prefix(if source { 14 } else { 24 }, &words, bits)))
            }
            IpAddr::V6(address) => {
                let bytes = address.to_bits();
                let words = [96, 64, 32, 0].map(|shift| (bytes >> shift) as u32);
                Self::carries(IPV6).and(prefix(if source { 8 } else { 24 }, &words, bits))
            }
        }
    }

    /// A hardware address of an end.
    pub(super) fn hardware(end: End, address: [u8; 6]) -> Self {
        let at = FRAME + if end == End::Source { 6 } else { 0 };
        let whole = address.iter().fold(0_u64, |whole, byte| whole << 8 | u64::from(*byte));
        equal(Number::Half(at), (whole >> 32) as u32).and(equal(Number::Word(at + 2), whole as u32))
    }

    /// To all on the link, or to many (`PACKET_BROADCAST`, `PACKET_MULTICAST`).
    pub(super) fn to_all() -> Self {
        equal(Number::Byte(PACKET_KIND), 1)
    }

    pub(super) fn to_many() -> Self {
        equal(Number::Byte(PACKET_KIND), 2).or(Self::to_all())
    }

    /// What leaves by the loopback interface. It comes in again at once, and would be seen twice.
    pub(super) fn sent_over_loopback() -> Self {
        equal(Number::Half(LINK_KIND), LOOPBACK).and(equal(Number::Byte(PACKET_KIND), OUTGOING))
    }

    /// A packet's length, both bounds included.
    pub(super) fn length(low: u32, high: u32) -> Self {
        test(Number::Length, Compared::Between(low, high))
    }
}

/// The leading bits of words that stand behind each other in the network header.
fn prefix(at: u32, words: &[u32], bits: u32) -> Condition {
    let tests = words.iter().zip(0..).filter_map(|(word, place): (&u32, u32)| {
        let bits = bits.saturating_sub(32 * place).min(32);
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        (mask != 0).then(|| {
            let number = Number::Word(NETWORK + at + 4 * place);
            let mask_needed = (mask != u32::MAX).then_some(mask);
            Condition::Test(Test { number, mask: mask_needed, compared: Compared::Equal(word & mask) })
        })
    });
    // Every address is within a network of no bits.
    tests.reduce(Condition::and).unwrap_or_else(|| Condition::length(0, u32::MAX))
}

/// A place in the program that is known only when all of it is written.
type Label = usize;

#[derive(Clone, Copy, Debug)]
enum Step {
    Plain { code: u16, value: u32 },
    Jump { code: u16, value: u32, then: Label, otherwise: Label },
    Place(Label),
}

#[derive(Debug, Default)]
struct Writer {
    steps: Vec<Step>,
    labels: usize,
}

/// The program that keeps `snaplen` bytes of packets on which the condition holds, and nothing of others.
pub(super) fn program(condition: Option<&Condition>, snaplen: u32) -> Result<Vec<BpfInstruction>, String> {
    let mut writer = Writer::default();
    if let Some(condition) = condition {
        let (keep, leave) = (writer.label(), writer.label());
        writer.write(condition, keep, leave);
        writer.steps.push(Step::Place(leave));
        writer.steps.push(Step::Plain { code: RETURN, value: 0 });
        writer.steps.push(Step::Place(keep));
    }
    writer.steps.push(Step::Plain { code: RETURN, value: snaplen });
    writer.resolved()
}

impl Writer {
    fn label(&mut self) -> Label {
        self.labels += 1;
        self.labels - 1
    }

    fn write(&mut self, condition: &Condition, then: Label, otherwise: Label) {
        match condition {
            Condition::Not(inner) => self.write(inner, otherwise, then),
            Condition::And(first, second) => {
                let next = self.label();
                self.write(first, next, otherwise);
                self.steps.push(Step::Place(next));
                self.write(second, then, otherwise);
            }
            Condition::Or(first, second) => {
                let next = self.label();
                self.write(first, then, next);
                self.steps.push(Step::Place(next));
                self.write(second, then, otherwise);
            }
            Condition::Test(test) => self.compare(test, then, otherwise),
        }
    }

    fn compare(&mut self, test: &Test, then: Label, otherwise: Label) {
        let (code, value) = match test.number {
            Number::Word(at) => (LOAD_WORD, at),
            Number::Half(at) => (LOAD_HALF, at),
            Number::Byte(at) => (LOAD_BYTE, at),
            Number::Length => (LOAD_LENGTH, 0),
            Number::HalfBehindHeader(at) => {
                self.steps.push(Step::Plain { code: LOAD_HEADER_LENGTH, value: NETWORK });
                (LOAD_HALF_BEHIND_HEADER, at)
            }
        };
        self.steps.push(Step::Plain { code, value });
        if let Some(mask) = test.mask {
            self.steps.push(Step::Plain { code: AND, value: mask });
        }
        let mut jump = |code, value, then, otherwise| self.steps.push(Step::Jump { code, value, then, otherwise });
        match test.compared {
            Compared::Equal(value) => jump(JUMP_EQUAL, value, then, otherwise),
            Compared::AnyBit(bits) => jump(JUMP_ANY_BIT, bits, then, otherwise),
            Compared::Between(low, high) if low == high => jump(JUMP_EQUAL, low, then, otherwise),
            Compared::Between(low, high) => {
                let next = self.label();
                self.steps.push(Step::Jump { code: JUMP_NOT_LESS, value: low, then: next, otherwise });
                self.steps.push(Step::Place(next));
                self.steps.push(Step::Jump { code: JUMP_GREATER, value: high, then: otherwise, otherwise: then });
            }
        }
    }

    fn resolved(self) -> Result<Vec<BpfInstruction>, String> {
        let too_long = || "the filter is too long; ask for less at once".to_owned();
        let mut places = vec![0; self.labels];
        let mut length = 0;
        for step in &self.steps {
            match step {
                Step::Place(label) => *places.get_mut(*label).ok_or_else(too_long)? = length,
                _ => length += 1,
            }
        }
        if length > STEPS_MAX {
            return Err(too_long());
        }
        let mut program = Vec::with_capacity(length);
        for step in &self.steps {
            let after = program.len() + 1;
            let reach = |label: &Label| {
                let place = places.get(*label).and_then(|place| place.checked_sub(after));
                place.and_then(|steps| u8::try_from(steps).ok()).ok_or_else(too_long)
            };
            program.push(match step {
                Step::Place(_) => continue,
                Step::Plain { code, value } => BpfInstruction { code: *code, if_true: 0, if_false: 0, value: *value },
                Step::Jump { code, value, then, otherwise } => {
                    BpfInstruction { code: *code, if_true: reach(then)?, if_false: reach(otherwise)?, value: *value }
                }
            });
        }
        Ok(program)
    }
}
