//! Loss, delay, jitter, doubled packets and a link that comes and goes, as echo requests see them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use deskside_tests::lab::process::Agent;
use deskside_tests::lab::town::{self, Town};
use deskside_tests::lab::wire::Faults;

use super::probe;

#[test]
fn what_a_wire_does_to_packets_is_measured() {
    let town = Town::new().unwrap();
    let server = town::SERVER.to_string();
    let well = probe(&town, &["ping", &server]);
    assert_eq!(
        (well.must_be_fine().number("ping", "received") as u32, well.row("ping")["duplicates"].as_u64()),
        (10, Some(0))
    );
    assert!(well.sentence().starts_with("Echo requests to 203.0.113.2: 0 of 10 lost; half of the answers within "));
    probe(&town, &["ping", &town::SERVER_V6.to_string(), "3"]).must_be_fine();
    let gateways = probe(&town, &["ping", "interval_ms=50"]);
    assert_eq!(gateways.must_be_fine().rows[0]["gateway"], true);
    assert_eq!(gateways.verdict()["target"], "192.0.2.1, 2001:db8:1::1");

    // Twice a sixth is 30 % there and back.
    town.wire.set(Faults { loss: 1.0 / 6.0, ..Faults::default() });
    let lossy = probe(&town, &["ping", &server, "100", "50"]);
    let loss = lossy.must_fail().number("ping", "loss_percent");
    assert!((20.0..=45.0).contains(&loss), "{loss}");
    town.wire.set(Faults::default());
    town.lose_upstream().unwrap();
    let upstream = probe(&town, &["trace", &server]);
    assert_eq!(upstream.must_fail().verdict()["way"], "lossy_upstream", "{:#?}", upstream.rows);
    assert!(upstream.sentence().contains("packets are lost from hop 2 (198.51.100.2) on, "), "{}", upstream.sentence());
    assert!(upstream.sentence().ends_with(" and none before, at hop 1 (192.0.2.1)."), "{}", upstream.sentence());
    town.mend().unwrap();

    town.wire.set(Faults { delay: Duration::from_millis(40), ..Faults::default() });
    let late = probe(&town, &["ping", &server, "10", "50"]);
    let least = late.must_be_fine().number("ping", "min_ms");
    assert!(least >= 80.0, "{least}");

    town.wire.set(Faults { jitter: Duration::from_millis(60), doubled: 0.5, ..Faults::default() });
    let shaken = probe(&town, &["ping", &server, "60", "50"]);
    let (jitter, p95) = (shaken.must_be_fine().number("ping", "jitter_ms"), shaken.number("ping", "p95_ms"));
    // A busy machine adds to both.
    assert!(jitter >= 5.0 && p95 > 40.0, "{jitter} {p95}");
    let (doubled, reordered) = (shaken.number("ping", "duplicates"), shaken.number("ping", "reordered"));
    assert!(doubled > 5.0 && reordered > 0.0, "{doubled} {reordered}");
}

#[test]
fn loss_and_delay_on_the_own_link_are_told_as_local() {
    let town = Town::with_faulty_cord().unwrap();
    let server = town::SERVER.to_string();
    let cord = town.cord().unwrap();
    cord.set(Faults { loss: 0.2, ..Faults::default() });
    let lossy = probe(&town, &["ping", &town::ROUTER.to_string(), "60", "50"]);
    assert_eq!(lossy.must_fail().row("ping")["gateway"], true);
    cord.set(Faults::default());
    town.lose_nearby().unwrap();
    let local = probe(&town, &["trace", &server]);
    assert_eq!(local.must_fail().verdict()["way"], "lossy_local", "{:#?}", local.rows);
    town.mend().unwrap();
    cord.set(Faults { delay: Duration::from_millis(15), ..Faults::default() });
    let slow = probe(&town, &["ping", &town::ROUTER.to_string()]);
    assert!(slow.must_fail().sentence().starts_with("Echo requests to the gateway 192.0.2.1: slow: half of"));
    probe(&town, &["ping", &server]).must_be_fine();
}

#[test]
fn a_link_that_goes_and_comes_back_while_it_is_tested_loses_some() {
    let town = Town::new().unwrap();
    // What waits for the gateway's address would be held until the link is back, and answered late rather than lost.
    town.desk.sysctl("ipv4/neigh/eth0/unres_qlen_bytes", "0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), "").unwrap().inside(town.desk.name());
    let mut command = agent.command();
    let mut child =
        command.args(["probe", "ping", "203.0.113.2", "100", "100"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // "203.0.113.2: 11 of 15 answered"
    let lost = |line: &str| -> Option<u32> {
        let (answered, asked) = line.strip_prefix("203.0.113.2: ")?.strip_suffix(" answered")?.split_once(" of ")?;
        asked.parse::<u32>().ok()?.checked_sub(answered.parse().ok()?)
    };
    assert!(told.any(|line| lost(&line).is_some()), "the count ended early");
    town.plugged(false).unwrap();
    assert!(told.any(|line| lost(&line).is_some_and(|lost| lost >= 12)), "none is lost");
    town.plugged(true).unwrap();
    let rest: Vec<String> = told.collect();
    assert!(!child.wait().unwrap().success(), "{rest:#?}");
    let lost = rest.iter().find_map(|line| line.strip_prefix("203.0.113.2: failed: ")?.split_once(" of 100 lost"));
    let lost: u32 = lost.unwrap_or_else(|| panic!("{rest:#?}")).0.parse().unwrap();
    // All but one that waits for the gateway's address.
    assert!((11..100).contains(&lost), "{rest:#?}");
}
