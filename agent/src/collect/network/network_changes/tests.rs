//! Made-up news, one after the other, and what is told of them.

use netlink_packet_core::{NetlinkHeader, NetlinkMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_768_478_400_000;

fn bytes(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), message.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn link(name: &str, up: bool, carrier: bool, changes: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = 2;
    link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    if carrier {
        link.header.flags |= LinkFlags::LowerUp;
    }
    link.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::CarrierChanges(changes),
        LinkAttribute::CarrierDownCount(changes.div_ceil(2)),
    ];
    link
}

fn watch() -> Watch {
    let (known, limits) = (Known::default(), Limits::default());
    Watch { known, limits, routes_at_ms: None, all_at_ms: None }
}

fn hear(watch: &mut Watch, at_ms: i64, link: LinkMessage) {
    watch.hear(at_ms, &Heard::Network(bytes(RouteNetlinkMessage::NewLink(link))));
}

fn told(watch: &mut Watch, at_ms: i64) -> Vec<(String, u64, u64)> {
    watch.take(at_ms).into_iter().map(|change| (change.change, change.times, change.link_downs)).collect()
}

#[test]
fn each_difference_is_a_change_and_the_same_twice_is_none() {
    let mut watch = watch();
    hear(&mut watch, NOW, link("eth0", false, false, 0));
    hear(&mut watch, NOW, link("eth0", true, false, 0));
    hear(&mut watch, NOW + 5, link("eth0", true, true, 1));
    hear(&mut watch, NOW + 5, link("eth0", true, true, 1));
    hear(&mut watch, NOW + 10, link("eth0", true, false, 2));
    hear(&mut watch, NOW + 1_510, link("lan0", true, true, 3));
    let changes = watch.take(NOW + 2_000);
    let words: Vec<&str> = changes.iter().map(|change| change.change.as_str()).collect();
    assert_eq!(words, ["new", "switched on", "link up", "link down", "renamed", "link up"]);
    assert_eq!(changes.iter().map(|change| change.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(changes[5].down_ms, Some(1_500));
    assert_eq!(changes[5].message, "lan0 has a link again after 1.5 s");
    assert_eq!((changes[2].down_ms, changes[3].link_downs), (None, 1));
}

#[test]
fn what_the_kernel_counted_and_did_not_tell_is_counted() {
    let mut watch = watch();
    hear(&mut watch, NOW, link("eth0", true, true, 1));
    watch.take(NOW);
    hear(&mut watch, NOW, link("eth0", true, true, 21));
    assert_eq!(told(&mut watch, NOW), [("link up".to_owned(), 20, 10)]);
}

#[test]
fn a_link_that_is_switched_off_and_on_did_not_fail() {
    let mut watch = watch();
    hear(&mut watch, NOW, link("eth0", true, true, 1));
    watch.take(NOW);
    hear(&mut watch, NOW, link("eth0", false, false, 2));
    hear(&mut watch, NOW + 9, link("eth0", true, true, 3));
    let expected = [("switched off", 1, 0), ("switched on", 1, 0), ("link up", 1, 0)];
    assert_eq!(told(&mut watch, NOW + 9), expected.map(|(word, times, downs)| (word.to_owned(), times, downs)));
}

#[test]
fn a_storm_is_told_in_few_rows_that_account_for_all_of_it() {
    let mut watch = watch();
    hear(&mut watch, NOW, link("eth0", true, true, 0));
    let mut all = watch.take(NOW);
    for flap in 1..=2_000_u32 {
        let at_ms = NOW + i64::from(flap);
        hear(&mut watch, at_ms, link("eth0", true, flap % 2 == 0, flap));
        all.extend(watch.take(at_ms));
    }
    let due_ms = watch.limits.due_ms().unwrap();
    assert!(due_ms <= NOW + 12_000, "{due_ms}");
    all.extend(watch.take(due_ms));
    assert!(all.len() <= 22, "{} rows", all.len());
    let links = all.iter().filter(|change| change.change != "new");
    assert_eq!(
        links.map(|change| (change.times, change.link_downs)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (2_000, 1_000)
    );
    let last = all.last().unwrap();
    assert_eq!((last.change.as_str(), last.first_ms.is_some()), ("folded", true));
    assert!(last.message.ends_with("the last: link up"), "{}", last.message);
    assert_eq!(watch.limits.due_ms(), None);
}

#[test]
fn a_port_that_leaves_a_bridge_is_not_gone() {
    let mut watch = watch();
    hear(&mut watch, NOW, link("eth0", true, true, 0));
    watch.take(NOW);
    let mut port = link("eth0", true, true, 0);
    port.header.interface_family = netlink_packet_route::AddressFamily::Bridge;
    watch.hear(NOW, &Heard::Network(bytes(RouteNetlinkMessage::DelLink(port))));
    assert_eq!(told(&mut watch, NOW), []);
    watch.hear(NOW, &Heard::Network(bytes(RouteNetlinkMessage::DelLink(link("eth0", false, false, 0)))));
    assert_eq!(told(&mut watch, NOW), [("gone".to_owned(), 1, 0)]);
}

#[test]
fn other_name_servers_are_a_change_and_another_comment_is_none() {
    let mut known = Known::default();
    let mut told = Vec::new();
    for text in [
        "nameserver 192.0.2.1\n",
        "# by hand\nnameserver 192.0.2.1\n",
        "nameserver 192.0.2.2\nnameserver 192.0.2.1\n",
        "search example\n",
    ] {
        known.resolvers(text, &mut |change| told.push((change.before, change.after)));
    }
    let expected = [("", "192.0.2.1"), ("192.0.2.1", "192.0.2.2, 192.0.2.1"), ("192.0.2.2, 192.0.2.1", "")];
    assert_eq!(told, expected.map(|(before, after)| (before.to_owned(), after.to_owned())));
}

#[test]
fn news_that_were_lost_or_are_malformed_are_looked_up() {
    for heard in [Heard::Lost, Heard::Network(vec![255; 40])] {
        let mut watch = watch();
        watch.hear(NOW, &heard);
        assert!(!watch.doubts(NOW) && watch.doubts(NOW + DOUBT_MS));
        assert_eq!(watch.due_ms(), Some(NOW + DOUBT_MS));
        let live = crate::host::Live::default();
        watch.settle(&live).unwrap();
        let changes = watch.take(live.now_ms());
        assert_eq!((changes[0].change.as_str(), changes[0].first_ms), ("lost", Some(NOW)));
        assert!(changes.iter().any(|change| change.change == "new" && change.interface == "lo"));
        assert!(!watch.doubts(i64::MAX));
    }
}

#[test]
fn a_machine_that_was_known_from_the_start_has_not_changed() {
    let live = crate::host::Live::default();
    let mut watch = Watch::begin(&live).unwrap();
    assert_eq!(watch.take(live.now_ms()), []);
}

#[test]
fn a_look_shows_the_latest_that_were_noted() {
    let live = crate::host::Live::default();
    let reading = crate::collect::look(&NETWORK_CHANGES, &live);
    assert_eq!(reading.outcome(), deskside_proto::v1::Outcome::Unsupported);
    note(&live, &[]);
    assert_eq!(crate::collect::look(&NETWORK_CHANGES, &live).outcome(), deskside_proto::v1::Outcome::Empty);
    let changes: Vec<NetworkChange> =
        (0..100).map(|number| NetworkChange { number, ..NetworkChange::default() }).collect();
    note(&live, &changes);
    let rows = crate::collect::look(&NETWORK_CHANGES, &live).rows;
    let numbers: Vec<u64> = rows.iter().map(|row| NetworkChange::decode(row.clone()).unwrap().number).collect();
    assert_eq!(numbers, (36..100).collect::<Vec<u64>>());
}

proptest! {
    #[test]
    fn no_bytes_break_it(changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..8), cut in 0_usize..400) {
        let mut bytes = bytes(RouteNetlinkMessage::NewLink(link("eth0", true, true, 7)));
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[at % length] = byte;
        }
        bytes.truncate(cut);
        let mut watch = watch();
        watch.hear(NOW, &Heard::Network(bytes));
        watch.take(NOW);
    }
}
