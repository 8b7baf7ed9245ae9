//! Filters on made-up packets, as the kernel would run them; files as analysers read them.

use proptest::prelude::*;

use super::pcapng::{Captured, Counted, File};
use super::program::program;
use super::*;
use crate::host::BpfInstruction;

/// What the kernel knows of a packet.
struct Seen {
    protocol: u32,
    kind: u32,
    link: u32,
    frame: Vec<u8>,
}

/// Runs a program over a packet as linux/filter.h says; 0 is left out.
fn runs(program: &[BpfInstruction], seen: &Seen) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    let load = |place: u32, bytes: usize| -> Option<u32> {
        let at = match place {
            0xffff_f000 => return Some(seen.protocol),
            0xffff_f004 => return Some(seen.kind),
            0xffff_f01c => return Some(seen.link),
            place if place >= 0xfff0_0000 => (place - 0xfff0_0000) as usize + 14,
            place => (place - 0xffe0_0000) as usize,
        };
        Some(seen.frame.get(at..at + bytes)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    };
    loop {
        let step = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { step.if_true } else { step.if_false });
        let loaded = match step.code {
            0x20 => load(step.value, 4),
            0x28 => load(step.value, 2),
            0x30 => load(step.value, 1),
            0x48 => load(step.value + x, 2),
            0x80 => Some(seen.frame.len() as u32),
            _ => Some(a),
        };
        // Past the packet's end the kernel leaves it out.
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
        match step.code {
            0xb1 => x = 4 * (load(step.value, 1).unwrap_or_default() & 0xf),
            0x54 => a &= step.value,
            0x15 => at += jump(a == step.value),
            0x25 => at += jump(a > step.value),
            0x35 => at += jump(a >= step.value),
            0x45 => at += jump(a & step.value != 0),
            0x06 => return step.value,
            _ => {}
        }
    }
}

fn keeps(filter: &str, seen: &Seen) -> bool {
    let condition = filter::read(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let kept = runs(&program(condition.as_ref(), 96).unwrap(), seen);
    assert!(kept == 0 || kept == 96);
    kept == 96
}

/// 192.0.2.1 port 40000 to 198.51.100.9, with a header of 24 bytes.
fn ipv4(protocol: u8, port: u16, piece: u16) -> Seen {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x46, 0, 0, 60, 0, 0]);
    frame.extend(piece.to_be_bytes());
    frame.extend([64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 9, 1, 1, 1, 1]);
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.resize(60, 0);
    Seen { protocol: 0x0800, kind: 0, link: 1, frame }
}

/// `2001:db8::1` port 40000 to `2001:db8:0:1::9`.
fn ipv6(protocol: u8, port: u16) -> Seen {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, protocol, 64];
    for address in ["2001:db8::1", "2001:db8:0:1::9"] {
        frame.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.resize(80, 0);
    Seen { protocol: 0x86dd, kind: 0, link: 1, frame }
}

fn arp() -> Seen {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1]);
    frame.extend([0, 0, 0, 0, 0, 0, 192, 0, 2, 254]);
    Seen { protocol: 0x0806, kind: 1, link: 1, frame }
}

#[test]
fn filters_keep_what_they_say_and_nothing_else() {
    let [https, dns, https6] = [ipv4(6, 443, 0), ipv4(17, 53, 0), ipv6(6, 443)];
    let later_piece = ipv4(6, 443, 0x00b9);
    for (filter, keep, leave) in [
        ("", vec![&https, &dns, &https6], vec![]),
        ("tcp", vec![&https, &https6, &later_piece], vec![&dns]),
        ("tcp port 443", vec![&https, &https6], vec![&dns, &later_piece]),
        ("port 53", vec![&dns], vec![&https, &https6]),
        ("src port 443", vec![], vec![&https, &https6]),
        ("dst portrange 400-500", vec![&https, &https6], vec![&dns]),
        ("host 192.0.2.1 and not udp", vec![&https], vec![&dns, &https6]),
        ("dst host 192.0.2.1", vec![], vec![&https, &dns]),
        ("src and dst net 192.0.2.0/24", vec![], vec![&https]),
        ("src or dst net 198.51.100.0/24", vec![&https, &dns], vec![&https6]),
        ("dst net 2001:db8:0:1::/64", vec![&https6], vec![&https]),
        ("src net 2001:db8:0:1::/64", vec![], vec![&https6]),
        ("host 2001:db8::1", vec![&https6], vec![&https]),
        ("net 0.0.0.0/0", vec![&https], vec![&https6]),
        ("ip6 or (udp and port 53)", vec![&https6, &dns], vec![&https]),
        ("!(tcp || udp)", vec![], vec![&https, &dns]),
        ("proto 17", vec![&dns], vec![&https]),
        ("proto tcp", vec![&https], vec![&dns]),
        ("ip host 198.51.100.9", vec![&https], vec![&https6]),
        ("ether src 02:00:00:00:00:01", vec![&https, &https6], vec![]),
        ("ether dst 02:00:00:00:00:01", vec![], vec![&https]),
        ("greater 70", vec![&https6], vec![&https]),
        ("less 60", vec![&https], vec![&https6]),
        ("198.51.100.9", vec![&https], vec![&https6]),
    ] {
        assert!(keep.iter().all(|seen| keeps(filter, seen)), "{filter} leaves out too much");
        assert!(!leave.iter().any(|seen| keeps(filter, seen)), "{filter} keeps too much");
    }
    let arp = arp();
    for filter in ["arp", "broadcast", "multicast", "host 192.0.2.254", "src 192.0.2.1", "arp or icmp"] {
        assert!(keeps(filter, &arp), "{filter}");
    }
    assert!(!keeps("ip", &arp) && !keeps("src host 192.0.2.254", &arp));
}

#[test]
fn what_leaves_by_the_loopback_interface_is_seen_once() {
    let left_out = Condition::sent_over_loopback().negated();
    let program = program(Some(&left_out), 96).unwrap();
    for (link, kind, kept) in [(772, 4, 0), (772, 0, 96), (1, 4, 96), (1, 0, 96)] {
        assert_eq!(runs(&program, &Seen { kind, link, ..ipv4(6, 443, 0) }), kept, "{link} {kind}");
    }
}

#[test]
fn what_a_filter_may_not_say_is_named() {
    for (filter, said) in [
        ("port https", "\"https\" is not a port"),
        ("host printer.example", "addresses are numbers"),
        ("tcp port", "ends where a port"),
        ("(tcp", "closing bracket"),
        ("tcp udp", "\"udp\" where"),
        ("host 192.0.2.0/24", "no network"),
        ("net 192.0.2.0/33", "no network"),
        ("portrange 20-10", "no range"),
        ("port 70000", "not a port"),
        ("ether host 02:00", "no hardware address"),
        ("not", "ends where"),
    ] {
        let error = filter::read(filter).unwrap_err();
        assert!(error.contains(said), "{filter}: {error}");
    }
    let long = vec!["host 2001:db8::1"; 30].join(" or ");
    assert!(filter::read(&long).and_then(|read| program(read.as_ref(), 96)).is_err(), "too long");
}

#[test]
fn a_file_has_its_blocks_in_order_and_their_lengths_at_both_ends() {
    let mut out = Vec::new();
    let mut file = File::begin(&mut out, "Ticket 7.", "deskside-agent").unwrap();
    let number = file.interface("eth0", 1, 96, "tcp").unwrap();
    let packet =
        Captured { interface: number, at_ns: 1_768_478_400_000_000_001, outgoing: true, length: 1500, bytes: &[7; 61] };
    let before = file.bytes();
    file.packet(&packet).unwrap();
    assert!(file.bytes() - before <= File::<Vec<u8>>::needs(packet.bytes));
    let (bytes, hash) = file.finish(1, Counted { accepted: 3, dropped: 2 }, &[1]).unwrap();
    assert_eq!((bytes, hash), (out.len() as u64, ring::digest::digest(&ring::digest::SHA256, &out).as_ref().to_vec()));
    let (mut kinds, mut rest) = (Vec::new(), out.as_slice());
    while !rest.is_empty() {
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let length = number(4) as usize;
        assert_eq!((length % 4, number(length - 4) as usize), (0, length));
        kinds.push(number(0));
        rest = &rest[length..];
    }
    assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 5]);
}

#[test]
fn drops_of_several_interfaces_are_told_together_since_the_kernel_counts_them_so() {
    let mut out = Vec::new();
    let mut file = File::begin(&mut out, "Ticket 7.", "deskside-agent").unwrap();
    for name in ["eth0", "wlan0"] {
        file.interface(name, 1, 96, "").unwrap();
    }
    file.finish(1, Counted { accepted: 3, dropped: 2 }, &[1, 0]).unwrap();
    let text = String::from_utf8_lossy(&out);
    assert_eq!(text.matches("Of all interfaces together 2 packets were dropped.").count(), 2);
}

proptest! {
    #[test]
    fn no_filter_makes_it_panic(text in "[a-z0-9 ./():!&|-]{0,80}") {
        if let Ok(condition) = filter::read(&text)
            && let Ok(program) = program(condition.as_ref(), 96)
        {
            prop_assert!(program.len() <= 251);
            runs(&program, &ipv4(6, 443, 0));
        }
    }

    #[test]
    fn no_words_of_a_filter_make_it_panic(words in proptest::collection::vec(
        prop::sample::select(vec!["tcp", "udp", "not", "and", "or", "(", ")", "port", "host", "src", "dst", "net", "1", "::1", "10.0.0.0/8", "ip6"]), 0..40)) {
        if let Ok(condition) = filter::read(&words.join(" "))
            && let Ok(program) = program(condition.as_ref(), 96)
        {
            runs(&program, &ipv6(17, 53));
        }
    }
}
