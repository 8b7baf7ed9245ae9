//! The largest packet: as large as the link, narrower and said so, narrower and not said.

use deskside_tests::lab::town::{self, Town};

use super::{PORT, listen, probe};

#[test]
fn a_narrow_link_is_told_from_a_black_hole() {
    let town = Town::new().unwrap();
    let _listener = listen(&town);
    let server = town::SERVER.to_string();
    let whole = probe(&town, &["mtu", &server, &PORT.to_string()]);
    assert_eq!(
        whole.must_be_fine().sentence(),
        "Packets of 1500 bytes, as large as this machine's own link takes, reach 203.0.113.2 whole."
    );
    assert_eq!((whole.number("link", "size") as u32, whole.number("tcp", "size") as u32), (1500, 1448));

    town.narrow(1380, true).unwrap();
    for target in [town::SERVER, town::SERVER_V6] {
        let told = probe(&town, &["mtu", &target.to_string()]);
        let from = if target.is_ipv4() { "198.51.100.2" } else { "2001:db8:2::2" };
        assert_eq!(
            told.must_be_fine().sentence(),
            format!(
                "Packets of up to 1380 bytes reach {target} whole, which {from} says; this machine's own link takes 1500."
            )
        );
        assert_eq!((&told.row("told")["address"], told.number("told", "size") as u32), (&from.into(), 1380));
    }
    town.mend().unwrap();

    town.narrow(1380, false).unwrap();
    for target in [town::SERVER, town::SERVER_V6] {
        let hole = probe(&town, &["mtu", &target.to_string()]);
        assert_eq!(
            hole.must_fail().sentence(),
            format!(
                "Packets to {target} of more than 1380 bytes vanish, and nobody says so (an MTU black hole): 1381 bytes were sent in vain."
            )
        );
        assert_eq!((&hole.verdict()["black_hole"], hole.number("verdict", "path_mtu") as u32), (&true.into(), 1380));
    }
}

#[test]
fn who_answers_no_echo_requests_is_not_tested() {
    let town = Town::new().unwrap();
    town.desk.ip("link set eth0 mtu 1400").unwrap();
    let narrow = probe(&town, &["mtu", &town::SERVER.to_string()]);
    assert!(narrow.must_be_fine().sentence().starts_with("Packets of 1400 bytes, as large as this machine's own link"));
    town.mute_far_router().unwrap();
    let mute = probe(&town, &["mtu", &town::FAR_ROUTER.to_string()]);
    assert_eq!(
        mute.sentence(),
        "The size of packets to 198.51.100.2 was not tested: it does not answer echo requests, or something on the way drops them."
    );
    assert_eq!((&mute.verdict()["outcome"], &mute.verdict()["black_hole"]), (&"unknown".into(), &false.into()));
}
