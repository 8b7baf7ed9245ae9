//! Connections that open, that are refused, reset, prohibited or not answered, by who ends them.

use std::net::{SocketAddr, TcpListener};

use deskside_tests::lab::town::{self, Bars, Town};

use super::{PORT, listen, probe};

#[test]
fn each_end_of_a_connection_is_told_from_the_others() {
    let town = Town::new().unwrap();
    let listener = listen(&town);
    let open = probe(&town, &["tcp", "server.town.example", "443"]);
    let sentence = "Port 443 of server.town.example takes connections over IPv4 (open within ";
    assert!(open.must_be_fine().sentence().starts_with(sentence), "{}", open.sentence());
    let families: Vec<&str> = open.rows.iter().filter_map(|row| row["family"].as_str()).collect();
    assert_eq!(families, ["inet", "inet6", ""]);
    assert!(open.rows.iter().all(|row| row["result"] == "open"), "{:#?}", open.rows);
    assert_eq!(open.number("connect", "segment_bytes") as u32, 1448);

    let server = format!("{}:{PORT}", town::SERVER);
    for (how, result, said) in [
        (Bars::Drops, "timed_out", "no answer within 6 s: it is down, or something on the way drops it."),
        (Bars::Resets, "refused", "nobody listens there, or a firewall says so."),
        (Bars::Prohibits, "prohibited", "203.0.113.2: 198.51.100.2 says that it is administratively prohibited."),
    ] {
        town.bar(PORT, how).unwrap();
        let barred = probe(&town, &["tcp", &server]);
        let begin = "Port 443 of 203.0.113.2 takes no connection: 203.0.113.2: ";
        let told = barred.must_fail().sentence();
        assert!(told.starts_with(begin) && told.ends_with(said), "{told}");
        assert_eq!(barred.row("connect")["result"], result);
        town.mend().unwrap();
    }
    let prohibited = {
        town.bar(PORT, Bars::Prohibits).unwrap();
        probe(&town, &["tcp", &town::SERVER_V6.to_string(), "443"])
    };
    assert_eq!(prohibited.must_fail().row("connect")["icmp_from"], "2001:db8:2::2");
    town.mend().unwrap();

    drop(listener);
    let closed = probe(&town, &["tcp", &server]);
    assert_eq!(closed.must_fail().row("connect")["result"], "refused");
    let listener = listen(&town);
    town.hang_up(PORT).unwrap();
    let reset = probe(&town, &["tcp", &server]);
    assert_eq!(reset.must_fail().row("connect")["result"], "reset", "{}", reset.sentence());
    town.mend().unwrap();
    drop(listener);

    let nobody = probe(&town, &["tcp", &format!("{}:{PORT}", town::NO_SERVER)]);
    assert_eq!(nobody.must_fail().row("connect")["result"], "unreachable");
    let told = nobody.sentence();
    assert!(told.ends_with("198.51.100.2 says that nobody answers at that address."), "{told}");
    let nameless = probe(&town, &["tcp", "nobody.town.example:443"]);
    assert!(nameless.must_fail().row("resolve")["found"].as_str().unwrap().starts_with("the name nobody.town.example"));
}

#[test]
fn one_family_that_is_not_there_is_no_fault_and_one_that_is_broken_is() {
    let town = Town::new().unwrap();
    let over_v4 = || TcpListener::bind(SocketAddr::new(town::SERVER, PORT));
    let _listener = town.server.within(over_v4).unwrap().unwrap();
    let half = probe(&town, &["tcp", "server.town.example:443"]);
    let begin =
        "Port 443 of server.town.example takes connections over IPv4, but not at 2001:db8:3::2: refused within ";
    assert!(half.must_fail().sentence().starts_with(begin), "{}", half.sentence());
    town.desk.ip("route del default via 2001:db8:1::1").unwrap();
    let without = probe(&town, &["tcp", "server.town.example:443"]);
    without.must_be_fine();
}
