//! The way to a target, where it ends and where packets begin to be lost; gateways that are not there or lead nowhere.

use deskside_tests::lab::town::{self, Town};
use deskside_tests::lab::wire::Faults;

use super::probe;

#[test]
fn the_way_is_followed_to_its_end() {
    let mut town = Town::new().unwrap();
    let server = town::SERVER.to_string();
    let whole = probe(&town, &["trace", "server.town.example"]);
    let begin = "The way to server.town.example (2001:db8:3::2) works: 3 hops, answered within ";
    assert!(whole.must_be_fine().sentence().starts_with(begin), "{}", whole.sentence());
    let over_v6: Vec<&str> = whole.rows.iter().filter_map(|row| row["address"].as_str()).collect();
    assert_eq!(over_v6, ["2001:db8:1::1", "2001:db8:2::2", "2001:db8:3::2", "2001:db8:3::2"]);
    let whole = probe(&town, &["trace", &server]);
    let hops: Vec<&str> = whole.rows.iter().filter_map(|row| row["address"].as_str()).collect();
    assert_eq!(hops, ["192.0.2.1", "198.51.100.2", "203.0.113.2", "203.0.113.2"]);
    assert!(
        whole.must_be_fine().rows[..3].iter().all(|row| row["sent"] == 3 && row["received"] == 3),
        "{:#?}",
        whole.rows
    );

    town.mute_far_router().unwrap();
    let mute = probe(&town, &["trace", &server]);
    assert_eq!((&mute.must_be_fine().rows[1]["outcome"], &mute.rows[1]["address"]), (&"unknown".into(), &"".into()));
    town.mend().unwrap();

    town.prohibit_all().unwrap();
    let prohibited = probe(&town, &["trace", &server]);
    assert_eq!(
        prohibited.must_fail().sentence(),
        "The way to 203.0.113.2 ends at hop 2: 198.51.100.2 says that it is administratively prohibited."
    );
    town.mend().unwrap();

    let nobody = probe(&town, &["trace", &town::NO_SERVER.to_string()]);
    assert_eq!(
        nobody.must_fail().sentence(),
        "The way to 203.0.113.77 ends at hop 2: 198.51.100.2 says that nobody answers at that address."
    );

    town.wire.set(Faults { silent: true, ..Faults::default() });
    let cut = probe(&town, &["trace", &server]);
    assert_eq!(
        cut.must_fail().sentence(),
        "The way to 203.0.113.2 can be followed to hop 1 (192.0.2.1); behind it nobody answers: it ends there, or something drops echo requests."
    );
    assert_eq!((&cut.verdict()["way"], &cut.verdict()["broken_at"]), (&"ended".into(), &2.into()));
    town.wire.set(Faults::default());

    town.neighbor().unwrap();
    town.gateway(town::NEIGHBOR).unwrap();
    let idle = probe(&town, &["trace", &server]);
    assert_eq!(
        idle.must_fail().sentence(),
        "The way to 203.0.113.2 ends at once: nobody answers, not even the first router."
    );
    probe(&town, &["ping"]).must_be_fine();
    town.desk.ip("route del default").unwrap();
    let nowhere = probe(&town, &["trace", &server]);
    assert!(nowhere.must_fail().sentence().starts_with("No way leads from this machine to 203.0.113.2: "));
}

#[test]
fn a_gateway_that_is_not_there_is_told_from_one_that_is_mute() {
    let town = Town::new().unwrap();
    town.desk.ip("route del default via 2001:db8:1::1").unwrap();
    town.gateway(town::NOBODY).unwrap();
    let nobody = probe(&town, &["ping"]);
    let begin = "Echo requests to the gateway 192.0.2.77: none of 10 answered, and the gateway does not answer on the link either (";
    assert!(nobody.must_fail().sentence().starts_with(begin), "{}", nobody.sentence());
    town.gateway(town::ROUTER).unwrap();
    town.router.sysctl("ipv4/icmp_echo_ignore_all", "1").unwrap();
    let mute = probe(&town, &["ping"]);
    assert_eq!(mute.verdict()["outcome"], "unknown", "{}", mute.sentence());
    assert!(mute.sentence().contains("none of 10 answered, though the gateway is there ("), "{}", mute.sentence());
    town.desk.ip("route del default").unwrap();
    let none = probe(&town, &["ping"]);
    assert_eq!(none.sentence(), "There is no gateway to ask: this machine has no default route.");
}
