//! What is asked of a device by SNMP and what it answers, in the text form that snmpsim and net-snmp's users know: `OID|TAG|VALUE`.

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// The port on which devices answer.
pub const SNMP_PORT: u16 = 161;

/// Name of an object: the numbers between its dots. Ordered as a walk goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Vec<u64>);

impl Oid {
    /// From its numbers.
    pub fn new(numbers: &[u64]) -> Self {
        Self(numbers.to_vec())
    }

    /// From "1.3.6.1"; absent where that is no name.
    pub fn parse(text: &str) -> Option<Self> {
        text.trim_start_matches('.').split('.').map(|number| number.parse().ok()).collect::<Option<_>>().map(Self)
    }

    /// Its numbers.
    pub fn numbers(&self) -> &[u64] {
        &self.0
    }

    /// The numbers behind a subtree's name; absent where it does not lie below.
    pub fn below(&self, subtree: &Self) -> Option<&[u64]> {
        self.0.strip_prefix(subtree.0.as_slice())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

/// Which parts of a device's tree are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnmpAsk {
    /// Address or name.
    pub host: String,
    /// UDP port; [`SNMP_PORT`] unless configured.
    pub port: u16,
    /// Names of the subtrees, each walked to its end.
    pub subtrees: Vec<Oid>,
}

/// What a device answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnmpAnswer {
    /// The version that it answered: "1", "2c" or "3".
    pub version: String,
    /// Objects and values, in the order of a walk.
    pub objects: Vec<(Oid, SnmpValue)>,
    /// Why the walk ended early; absent where it is whole.
    pub cut: Option<String>,
}

/// A value, by the types of RFC 2578.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnmpValue {
    /// INTEGER
    Integer(i64),
    /// OCTET STRING
    Octets(Vec<u8>),
    /// OBJECT IDENTIFIER
    Name(Oid),
    /// Counter32, Counter64
    Counter(u64),
    /// Gauge32, Unsigned32
    Gauge(u64),
    /// Hundredths of a second.
    Ticks(u64),
    /// IPv4 address
    Address([u8; 4]),
}

impl SnmpAnswer {
    /// One object a line: name, type and value. What is not plain ASCII is written in hex.
    pub(super) fn text(&self) -> String {
        let head = format!("# version {}\n", self.version);
        let lines = self.objects.iter().map(|(name, value)| {
            let (tag, text) = match value {
                SnmpValue::Integer(number) => ("2", number.to_string()),
                SnmpValue::Octets(octets) => octets_text(octets),
                SnmpValue::Name(name) => ("6", name.to_string()),
                SnmpValue::Address([a, b, c, d]) => ("64", format!("{a}.{b}.{c}.{d}")),
                SnmpValue::Counter(number) => ("70", number.to_string()),
                SnmpValue::Gauge(number) => ("66", number.to_string()),
                SnmpValue::Ticks(number) => ("67", number.to_string()),
            };
            format!("{name}|{tag}|{text}\n")
        });
        head + &lines.collect::<String>()
    }

    /// The opposite of [`Self::text`]. Lines that are none of its own are passed over.
    pub(super) fn read(text: &str) -> Self {
        let version = text.lines().find_map(|line| line.strip_prefix("# version ")).unwrap_or("2c").trim().to_owned();
        let mut objects: Vec<(Oid, SnmpValue)> = text.lines().filter_map(object).collect();
        objects.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { version, objects, cut: None }
    }
}

fn octets_text(octets: &[u8]) -> (&'static str, String) {
    let plain = octets.iter().all(|byte| (b' '..=b'~').contains(byte));
    match std::str::from_utf8(octets) {
        Ok(text) if plain => ("4", text.to_owned()),
        _ => ("4x", HEXLOWER.encode(octets)),
    }
}

fn object(line: &str) -> Option<(Oid, SnmpValue)> {
    let mut parts = line.splitn(3, '|');
    let (name, tag, value) = (Oid::parse(parts.next()?)?, parts.next()?, parts.next()?);
    let value = match tag {
        "2" => SnmpValue::Integer(value.parse().ok()?),
        "4" => SnmpValue::Octets(value.as_bytes().to_vec()),
        "4x" => SnmpValue::Octets(HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok()?),
        "6" => SnmpValue::Name(Oid::parse(value)?),
        "64" => SnmpValue::Address(value.parse::<std::net::Ipv4Addr>().ok()?.octets()),
        "65" | "70" => SnmpValue::Counter(value.parse().ok()?),
        "66" => SnmpValue::Gauge(value.parse().ok()?),
        "67" => SnmpValue::Ticks(value.parse().ok()?),
        _ => return None,
    };
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_being_written() {
        let oid = |text| Oid::parse(text).unwrap();
        let values = [
            SnmpValue::Integer(-3),
            SnmpValue::Octets(b"Tray 1 | manual".to_vec()),
            SnmpValue::Octets(vec![0x40, 0x80]),
            SnmpValue::Name(oid("1.3.6.1.4.1.11")),
            SnmpValue::Counter(u64::MAX),
            SnmpValue::Gauge(7),
            SnmpValue::Ticks(8_640_000),
            SnmpValue::Address([192, 0, 2, 9]),
        ];
        let objects = (1..).zip(values).map(|(last, value)| (Oid::new(&[1, 3, last]), value)).collect();
        let answer = SnmpAnswer { version: "1".into(), objects, cut: None };
        assert_eq!(SnmpAnswer::read(&answer.text()), answer);
    }

    #[test]
    fn lines_that_are_no_objects_are_passed_over() {
        let read = SnmpAnswer::read("# a comment\n\n1.3.x|2|1\n1.3.1|2|one\n1.3.2|99|1\n1.3.10|2|1\n1.3.9|2|2\n");
        let names: Vec<String> = read.objects.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!((read.version.as_str(), names), ("2c", vec!["1.3.9".to_owned(), "1.3.10".to_owned()]));
    }

    #[test]
    fn a_name_lies_below_its_subtree() {
        let tree = Oid::new(&[1, 3, 6]);
        assert_eq!(Oid::new(&[1, 3, 6, 9, 1]).below(&tree), Some([9, 1].as_slice()));
        assert_eq!(Oid::new(&[1, 3, 60]).below(&tree), None);
        assert_eq!(Oid::parse("1.3.-1"), None);
        assert_eq!(Oid::parse(""), None);
    }
}
