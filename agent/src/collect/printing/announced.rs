//! Printers that announce themselves on the local network, as multicast DNS tells of them (RFC 6762, RFC 6763; the keys of Bonjour Printing).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, Question, TYPE};

use crate::host::Host;

/// What printers that speak IPP announce.
const SERVICES: [&str; 2] = ["_ipp._tcp.local", "_ipps._tcp.local"];

/// Most records of one answer that are read.
const RECORDS_MAX: usize = 512;

/// One announcement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    /// Name of the instance, with its service: "Name._ipp._tcp.local".
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) addresses: Vec<IpAddr>,
    /// UUID, in small letters.
    pub(super) uuid: String,
    /// Path of IPP (rp).
    pub(super) path: String,
    target: String,
}

impl Announced {
    /// Where it is asked by IPP.
    pub(super) fn ipp_uri(&self) -> String {
        let scheme = if self.name.contains("._ipps.") { "ipps" } else { "ipp" };
        match self.addresses.first() {
            Some(IpAddr::V6(address)) => format!("{scheme}://[{address}]:{}/{}", self.port, self.path),
            Some(address) => format!("{scheme}://{address}:{}/{}", self.port, self.path),
            None => String::new(),
        }
    }
}

/// Asks who is there.
pub(super) fn browse(host: &dyn Host) -> anyhow::Result<Vec<Announced>> {
    let answers = host.mdns(&query()?).context("asking by multicast DNS")?;
    Ok(read(&answers))
}

fn query() -> anyhow::Result<Vec<u8>> {
    let mut packet = Packet::new_query(0);
    for service in SERVICES {
        packet.questions.push(Question::new(Name::new(service)?, TYPE::PTR.into(), CLASS::IN.into(), false));
    }
    Ok(packet.build_bytes_vec()?)
}

/// What the answers say together: services, and the addresses of the hosts that offer them. Answers that are none are passed over.
fn read(answers: &[Vec<u8>]) -> Vec<Announced> {
    let mut services: BTreeMap<String, Announced> = BTreeMap::new();
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for answer in answers {
        let Ok(packet) = Packet::parse(answer) else { continue };
        for record in packet.answers.iter().chain(&packet.additional_records).take(RECORDS_MAX) {
            let name = plain(&record.name);
            match &record.rdata {
                RData::A(address) => hosts.entry(name).or_default().push(Ipv4Addr::from(address.address).into()),
                RData::AAAA(address) => hosts.entry(name).or_default().push(Ipv6Addr::from(address.address).into()),
                RData::SRV(service) => {
                    let entry = services.entry(name).or_default();
                    (entry.port, entry.target) = (service.port, plain(&service.target));
                }
                RData::TXT(keys) => {
                    let keys: BTreeMap<String, Option<String>> =
                        keys.attributes().into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
                    let key = |name: &str| keys.get(name).cloned().flatten().unwrap_or_default();
                    let entry = services.entry(name).or_default();
                    entry.uuid = key("uuid").trim_start_matches("urn:uuid:").to_lowercase();
                    entry.path = key("rp");
                }
                _ => {}
            }
        }
    }
    let whole = services.into_iter().filter(|(_name, service)| service.port != 0).map(|(name, service)| {
        let mut addresses = hosts.get(&service.target).cloned().unwrap_or_default();
        addresses.sort();
        addresses.dedup();
        Announced { name, addresses, ..service }
    });
    whole.collect()
}

/// A name as people write it: its labels with dots between.
fn plain(name: &Name<'_>) -> String {
    let labels: Vec<String> = name.as_bytes().map(|label| String::from_utf8_lossy(label).into_owned()).collect();
    labels.join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, SRV, TXT};

    use super::*;

    fn answer() -> Vec<u8> {
        let mut packet = Packet::new_reply(0);
        let name = "HP LaserJet [1A2B]._ipp._tcp.local";
        let labels = ["HP LaserJet [1A2B]", "_ipp", "_tcp", "local"]
            .map(|label| simple_dns::Label::new_unchecked(label.as_bytes()));
        let name_of = || Name::new_with_labels(&labels);
        let target = Name::new("npi1a2b.local").unwrap();
        let service = SRV { priority: 0, weight: 0, port: 631, target: target.clone() };
        let keys = TXT::new().with_string("UUID=564E4443-1").unwrap().with_string("rp=ipp/print").unwrap();
        let record = |name, data| ResourceRecord::new(name, CLASS::IN, 10, data);
        packet.answers.push(record(name_of(), RData::SRV(service)));
        packet.additional_records.push(record(name_of(), RData::TXT(keys)));
        packet.additional_records.push(record(target, RData::A(A { address: Ipv4Addr::new(192, 0, 2, 77).into() })));
        assert!(name.starts_with("HP"));
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn a_service_is_put_together_from_its_records() {
        let found = read(&[b"nonsense".to_vec(), answer()]);
        let [printer] = found.as_slice() else { panic!("one printer: {found:?}") };
        assert_eq!(printer.name, "HP LaserJet [1A2B]._ipp._tcp.local");
        assert_eq!(printer.addresses, [IpAddr::from([192, 0, 2, 77])]);
        assert_eq!(printer.uuid, "564e4443-1");
        assert_eq!(printer.ipp_uri(), "ipp://192.0.2.77:631/ipp/print");
    }

    #[test]
    fn the_question_names_both_services() {
        let bytes = query().unwrap();
        assert_eq!(Packet::parse(&bytes).unwrap().questions.len(), 2);
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it(place in 0_usize..150, byte: u8, end in 0_usize..150) {
            let mut bytes = answer();
            if let Some(slot) = bytes.get_mut(place) {
                *slot = byte;
            }
            bytes.truncate(end);
            drop(read(&[bytes]));
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(read(&[bytes]));
        }
    }
}
