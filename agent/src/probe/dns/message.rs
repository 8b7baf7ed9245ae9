//! Questions and answers of the domain name system (RFC 1035, RFC 6891).

use std::net::IpAddr;

use anyhow::Context;
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

/// Largest answer by UDP that is asked for (DNS flag day 2020: what passes without fragments).
const UDP_BYTES: u16 = 1_232;

/// Most answers that are kept.
const ANSWERS_MAX: usize = 16;

/// Types that can be asked for.
const TYPES: [(&str, TYPE); 9] = [
    ("A", TYPE::A),
    ("AAAA", TYPE::AAAA),
    ("CNAME", TYPE::CNAME),
    ("MX", TYPE::MX),
    ("NS", TYPE::NS),
    ("PTR", TYPE::PTR),
    ("SOA", TYPE::SOA),
    ("SRV", TYPE::SRV),
    ("TXT", TYPE::TXT),
];

/// A type by its name.
pub(super) fn kind(name: &str) -> Option<(&'static str, TYPE)> {
    TYPES.into_iter().find(|(known, _kind)| known.eq_ignore_ascii_case(name))
}

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::probe) struct Reply {
    pub(in crate::probe) rcode: String,
    pub(in crate::probe) answers: Vec<String>,
    pub(in crate::probe) addresses: Vec<IpAddr>,
    pub(in crate::probe) truncated: bool,
    pub(in crate::probe) recursion_available: bool,
    pub(in crate::probe) edns: bool,
}

/// A question.
pub(super) fn query(id: u16, name: &str, kind: TYPE) -> anyhow::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).with_context(|| format!("{name:?} is no name"))?;
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: UDP_BYTES, version: 0 });
    packet.build_bytes_vec().context("writing the question")
}

/// Reads an answer to the question with this number.
pub(super) fn reply(bytes: &[u8], id: u16) -> anyhow::Result<Reply> {
    let packet = Packet::parse(bytes).context("the answer does not read as one")?;
    anyhow::ensure!(packet.id() == id && packet.has_flags(PacketFlag::RESPONSE), "the answer is to another question");
    let mut reply = Reply {
        rcode: rcode(packet.rcode()),
        truncated: packet.has_flags(PacketFlag::TRUNCATION),
        recursion_available: packet.has_flags(PacketFlag::RECURSION_AVAILABLE),
        edns: packet.opt().is_some(),
        ..Reply::default()
    };
    for answer in packet.answers.iter().take(ANSWERS_MAX) {
        let told = match &answer.rdata {
            RData::A(a) => IpAddr::from(a.address.to_be_bytes()).to_string(),
            RData::AAAA(a) => IpAddr::from(a.address.to_be_bytes()).to_string(),
            RData::CNAME(name) => format!("CNAME {}", name.0),
            RData::NS(name) => name.0.to_string(),
            RData::PTR(name) => name.0.to_string(),
            RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange),
            RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
            RData::SOA(soa) => format!("{} {} {}", soa.mname, soa.rname, soa.serial),
            RData::TXT(txt) => txt.clone().try_into().unwrap_or_else(|_unread| "text".to_owned()),
            other => format!("{:?}", other.type_code()),
        };
        reply.addresses.extend(told.parse::<IpAddr>().ok());
        reply.answers.push(told);
    }
    reply.addresses.sort_unstable();
    Ok(reply)
}

/// The names of IANA's registry.
fn rcode(code: RCODE) -> String {
    match code {
        RCODE::NoError => "NOERROR",
        RCODE::FormatError => "FORMERR",
        RCODE::ServerFailure => "SERVFAIL",
        RCODE::NameError => "NXDOMAIN",
        RCODE::NotImplemented => "NOTIMP",
        RCODE::Refused => "REFUSED",
        other => return format!("{other:?}").to_uppercase(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, AAAA};

    use super::*;

    fn answered(id: u16) -> Vec<u8> {
        let mut packet = Packet::new_reply(id);
        packet.set_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::TRUNCATION);
        let name = || Name::new("a.example").unwrap();
        let a = RData::A(A { address: 0xc000_0207 });
        packet.answers.push(ResourceRecord::new(name(), CLASS::IN, 60, a));
        let aaaa = RData::AAAA(AAAA { address: 0x2001_0db8 << 96 | 7 });
        packet.answers.push(ResourceRecord::new(name(), CLASS::IN, 60, aaaa));
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn an_answer_is_read_and_one_to_another_question_is_not() {
        let read = reply(&answered(7), 7).unwrap();
        assert_eq!((read.rcode.as_str(), read.answers.join(" ").as_str()), ("NOERROR", "192.0.2.7 2001:db8::7"));
        assert!(read.truncated && read.recursion_available && !read.edns);
        assert!(reply(&answered(7), 8).unwrap_err().to_string().contains("another question"));
        let own = query(7, "a.example", TYPE::A).unwrap();
        assert!(reply(&own, 7).is_err(), "a question is no answer");
        assert!(query(7, &"a".repeat(300), TYPE::A).is_err());
    }

    #[test]
    fn an_answer_cut_anywhere_is_no_panic() {
        let whole = answered(7);
        for cut in 0..whole.len() {
            let _read = reply(&whole[..cut], 7).is_ok();
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = reply(&bytes, 7).is_ok();
        }
    }
}
