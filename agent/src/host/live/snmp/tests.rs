//! Devices that do not answer well, and credentials that are not well written. Real answers: the scenarios with a simulator.

use std::net::UdpSocket;
use std::thread;

use proptest::prelude::*;

use super::*;

#[allow(clippy::unnecessary_wraps, reason = "it stands for one that may fail")]
fn here(_name: &str) -> io::Result<Vec<IpAddr>> {
    Ok(vec![[127, 0, 0, 1].into()])
}

fn walked(port: u16) -> io::Result<SnmpAnswer> {
    let question = SnmpAsk { host: "printer".into(), port, subtrees: vec![Oid::new(&[1, 3, 6, 1, 2, 1, 43])] };
    ask(&Config::default(), &question, here)
}

/// A device that answers each packet with what is made of it; its port.
fn device(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let answer = answer(&packet[..length]);
            if !answer.is_empty() && socket.send_to(&answer, from).is_err() {
                return;
            }
        }
    });
    port
}

#[test]
fn silence_ends_in_time_and_says_what_was_tried() {
    let error = walked(device(|_packet| Vec::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("2c: no answer") && error.to_string().contains("1: no answer"), "{error}");
}

#[test]
fn a_closed_port_is_refused_and_not_waited_for() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(walked(port).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn garbage_is_invalid() {
    assert_eq!(walked(device(|_packet| b"garbage".to_vec())).unwrap_err().kind(), ErrorKind::InvalidData);
    // Its own question is no answer.
    assert_eq!(walked(device(<[u8]>::to_vec)).unwrap_err().kind(), ErrorKind::InvalidData);
}

/// The question turned into an answer with one object, the name of which never changes.
fn stuck(packet: &[u8]) -> Vec<u8> {
    let Ok(asked) = Pdu::from_bytes(packet) else { return Vec::new() };
    let id = asked.req_id.to_be_bytes();
    let (version, community) = (u8::from(asked.version() == Ok(snmp2::Version::V2C)), asked.community);
    let part = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let name = part(6, &[0x2b, 6, 1, 2, 1, 43, 5, 1]);
    let object = part(0x30, &[name, part(2, &[7])].concat());
    let answer = [part(2, &id), part(2, &[0]), part(2, &[0]), part(0x30, &object)].concat();
    part(0x30, &[part(2, &[version]), part(4, community), part(0xa2, &answer)].concat())
}

#[test]
fn a_device_that_tells_the_same_for_ever_is_walked_once() {
    let answer = walked(device(stuck)).unwrap();
    assert_eq!(answer.version, "2c");
    let only = (Oid::new(&[1, 3, 6, 1, 2, 1, 43, 5, 1]), SnmpValue::Integer(7));
    assert_eq!((answer.objects, answer.cut), (vec![only], None));
}

fn credentials(text: &str) -> io::Result<Credentials> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    read(file.path())
}

#[test]
fn credentials_are_read_and_a_wrong_line_is_not_quoted() {
    let read =
        credentials("communities = [\"floor3\"]\n[[users]]\nname = \"desk\"\nauth_password = \"auctoritas\"\n").ok();
    let read = read.unwrap();
    assert_eq!((read.communities, read.users.len()), (vec!["floor3".to_owned()], 1));
    for wrong in [
        "communities = hunter2222",
        "[[users]]\nname = \"desk\"\nauth_password = \"hunter\"\n",
        "secret = \"hunter22\"",
    ] {
        let Err(error) = credentials(wrong) else { panic!("{wrong} was taken") };
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
    let error = super::read(Path::new("/no/such/file")).err().unwrap();
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}

proptest! {
    #[test]
    fn no_packet_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), place in 0_usize..60, byte: u8) {
        drop(Pdu::from_bytes(&bytes).map(|answer| objects(&answer)));
        let mut near = stuck(&[0x30, 26, 2, 1, 1, 4, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 13, 2, 1, 1, 2, 1, 0, 2, 1, 0, 0x30, 2, 0x30, 0]);
        prop_assert!(!near.is_empty());
        if let Some(slot) = near.get_mut(place) {
            *slot = byte;
        }
        drop(Pdu::from_bytes(&near).map(|answer| objects(&answer)));
    }
}
