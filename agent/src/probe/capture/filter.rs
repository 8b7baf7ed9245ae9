//! Filters as technicians write them: the part of pcap-filter(7) that tells hosts, networks, ports and protocols, with and, or, not.
//!
//! Why our own and neither libpcap nor a crate: libpcap would be one more C library in every build of the agent, and no maintained crate
//! compiles filters without it. Names are not resolved: a capture sends nothing.

use std::net::IpAddr;

use super::program::{ARP, Condition, End, IPV4, IPV6};

/// Longest filter.
const CHARS_MAX: usize = 512;

/// Words and brackets of a filter.
const WORDS_MAX: usize = 96;

/// Brackets and negations within each other.
const DEPTH_MAX: usize = 16;

const TCP: u32 = 6;
const UDP: u32 = 17;
const SCTP: u32 = 132;

/// Protocols by name: over IPv4, over IPv6.
const PROTOCOLS: &[(&str, Option<u32>, Option<u32>)] = &[
    ("icmp", Some(1), None),
    ("igmp", Some(2), None),
    ("tcp", Some(TCP), Some(TCP)),
    ("udp", Some(UDP), Some(UDP)),
    ("gre", Some(47), Some(47)),
    ("esp", Some(50), Some(50)),
    ("ah", Some(51), Some(51)),
    ("icmp6", None, Some(58)),
    ("sctp", Some(SCTP), Some(SCTP)),
];

/// Which ends a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Source,
    Destination,
    Either,
    Both,
}

/// Reads a filter; none for an empty one, which is all packets.
pub(super) fn read(text: &str) -> Result<Option<Condition>, String> {
    let words = words(text)?;
    if words.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader { words: &words, depth: 0 };
    let condition = reader.any()?;
    match reader.words.first() {
        None => Ok(Some(condition)),
        Some(word) => Err(format!("the filter says {word:?} where \"and\" or \"or\" or its end should be")),
    }
}

fn words(text: &str) -> Result<Vec<String>, String> {
    if text.len() > CHARS_MAX {
        return Err(format!("a filter has {CHARS_MAX} characters at most"));
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace("&&", " and ").replace("||", " or ");
    let spaced = spaced.replace('!', " not ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_lowercase).collect();
    if words.len() > WORDS_MAX { Err(format!("a filter has {WORDS_MAX} words at most")) } else { Ok(words) }
}

struct Reader<'a> {
    words: &'a [String],
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        self.words.first().map(String::as_str).unwrap_or_default()
    }

    fn next(&mut self, wanted: &str) -> Result<&str, String> {
        let (first, rest) =
            self.words.split_first().ok_or_else(|| format!("the filter ends where {wanted} should be"))?;
        self.words = rest;
        Ok(first)
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.peek() == word;
        if found {
            self.words = self.words.get(1..).unwrap_or_default();
        }
        found
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut condition = self.all()?;
        while self.skip("or") {
            condition = condition.or(self.all()?);
        }
        Ok(condition)
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut condition = self.one()?;
        while self.skip("and") {
            condition = condition.and(self.one()?);
        }
        Ok(condition)
    }

    fn one(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("a filter has {DEPTH_MAX} brackets within each other at most"));
        }
        let condition = if self.skip("not") {
            self.one()?.negated()
        } else if self.skip("(") {
            let inner = self.any()?;
            if !self.skip(")") {
                return Err("the filter lacks a closing bracket".into());
            }
            inner
        } else {
            self.primitive()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn primitive(&mut self) -> Result<Condition, String> {
        if self.skip("ether") {
            return self.ether();
        }
        for (word, condition) in [("broadcast", Condition::to_all()), ("multicast", Condition::to_many())] {
            if self.skip(word) {
                return Ok(condition);
            }
        }
        if self.skip("less") {
            return Ok(Condition::length(0, self.number("a length", u32::MAX)?));
        }
        if self.skip("greater") {
            return Ok(Condition::length(self.number("a length", u32::MAX)?, u32::MAX));
        }
        if self.skip("proto") {
            let name = self.peek().to_owned();
            if let Some(condition) = by_name(&name) {
                self.skip(&name);
                return Ok(condition);
            }
            return Ok(Condition::protocol(self.number("a protocol", 255)?));
        }
        let name = self.peek().to_owned();
        let carried = [("ip", IPV4), ("ip6", IPV6), ("arp", ARP)].into_iter().find(|(word, _kind)| *word == name);
        if let Some((word, kind)) = carried {
            self.skip(word);
            let condition = Condition::carries(kind);
            return if self.at_ends() { Ok(condition.and(self.ends_of(&[TCP, UDP, SCTP])?)) } else { Ok(condition) };
        }
        if let Some(condition) = by_name(&name) {
            self.skip(&name);
            let number = match name.as_str() {
                "tcp" => TCP,
                "udp" => UDP,
                "sctp" => SCTP,
                _ => return Ok(condition),
            };
            return if self.at_ends() { Ok(condition.and(self.ends_of(&[number])?)) } else { Ok(condition) };
        }
        self.ends_of(&[TCP, UDP, SCTP])
    }

    /// Something about the ends follows.
    fn at_ends(&self) -> bool {
        ["src", "dst", "host", "net", "port", "portrange"].contains(&self.peek())
    }

    fn ends(&mut self) -> Ends {
        let mut pair = [("src", "dst", Ends::Source), ("dst", "src", Ends::Destination)].into_iter();
        let Some((_first, other, ends)) = pair.find(|(word, _other, _ends)| self.skip(word)) else {
            return Ends::Either;
        };
        for (word, both) in [("or", Ends::Either), ("and", Ends::Both)] {
            if self.peek() == word && self.words.get(1).is_some_and(|next| next == other) {
                self.words = self.words.get(2..).unwrap_or_default();
                return both;
            }
        }
        ends
    }

    fn ends_of(&mut self, protocols: &[u32]) -> Result<Condition, String> {
        let ends = self.ends();
        if self.skip("port") {
            let port = self.number("a port", 65_535)?;
            return Ok(at(ends, |end| Condition::port(end, port, port, protocols)));
        }
        if self.skip("portrange") {
            let word = self.next("a range of ports")?;
            let range = word.split_once('-').and_then(|(low, high)| Some((port(low)?, port(high)?)));
            let (low, high) = range
                .filter(|(low, high)| low <= high)
                .ok_or_else(|| format!("{word:?} is no range of ports, as in 8000-8080"))?;
            return Ok(at(ends, |end| Condition::port(end, low, high, protocols)));
        }
        let network = self.skip("net");
        if !network {
            self.skip("host");
        }
        let word = self.next("a host, a net or a port")?;
        let (address, bits) = word.split_once('/').map_or((word, None), |(address, bits)| (address, Some(bits)));
        let read: Option<IpAddr> = address.parse().ok();
        let address = read.ok_or_else(|| {
            format!(
                "{word:?} is nothing that a filter may say here: addresses are numbers, and of pcap-filter(7) there are host, net, port, \
                 portrange, src, dst, proto, ether, less, greater, broadcast, multicast, and names of protocols"
            )
        })?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most));
        let bits = bits.filter(|bits| network || *bits == most);
        let bits = bits.ok_or_else(|| format!("{word:?} is no network, as in net 192.0.2.0/24"))?;
        Ok(at(ends, |end| Condition::address(end, address, bits)))
    }

    fn ether(&mut self) -> Result<Condition, String> {
        let ends = self.ends();
        self.skip("host");
        let word = self.next("a hardware address")?;
        let bytes: Option<Vec<u8>> = word.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let mac = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        let mac = mac.ok_or_else(|| format!("{word:?} is no hardware address, as in ether host 02:00:00:00:00:01"))?;
        Ok(at(ends, |end| Condition::hardware(end, mac)))
    }

    fn number(&mut self, what: &str, most: u32) -> Result<u32, String> {
        let word = self.next(what)?;
        let number = word.parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| format!("{word:?} is not {what}, which is a number"))
    }
}

fn port(word: &str) -> Option<u32> {
    word.parse().ok().filter(|port| *port <= 65_535)
}

fn by_name(name: &str) -> Option<Condition> {
    let (_name, ipv4, ipv6) = PROTOCOLS.iter().find(|(known, _ipv4, _ipv6)| *known == name)?;
    let (ipv4, ipv6) = (ipv4.map(Condition::over_ipv4), ipv6.map(Condition::over_ipv6));
    match (ipv4, ipv6) {
        (Some(ipv4), Some(ipv6)) => Some(ipv4.or(ipv6)),
        (ipv4, ipv6) => ipv4.or(ipv6),
    }
}

fn at(ends: Ends, condition: impl Fn(End) -> Condition) -> Condition {
    match ends {
        Ends::Source => condition(End::Source),
        Ends::Destination => condition(End::Destination),
        Ends::Either => condition(End::Source).or(condition(End::Destination)),
        Ends::Both => condition(End::Source).and(condition(End::Destination)),
    }
}
