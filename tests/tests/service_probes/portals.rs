//! What a network says itself of its portal: DHCP names the place (RFC 8910), which answers over TLS (RFC 8908).

use std::net::SocketAddr;

use deskside_tests::lab::dhcp::Lease;
use deskside_tests::lab::process::program;
use deskside_tests::lab::tls::{Authority, Valid};
use deskside_tests::lab::town::{self, Town};

use super::verdict_of;

#[test]
fn a_network_that_names_its_portal_is_asked_whether_it_lets_through() {
    let town = Town::new().unwrap();
    let (own, other) = (Authority::new("Town CA").unwrap(), Authority::new("Nobody's CA").unwrap());
    town.desk.settings_file("ssl/certs/ca-certificates.crt", &own.pem).unwrap();
    let options =
        ["--dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,1h", "--dhcp-option=114,https://portal.town.example/api"];
    let wanted = "also request default-url;\n";
    let lease = Lease::taken(&town.desk, (&town.router, "lan0"), &options, wanted).unwrap();
    let at = SocketAddr::new(town::ROUTER, 443);
    let told = |ca: &Authority, answer: &str| {
        let _portal = ca.serve(&town.router, at, "portal.town.example", Valid::Long, answer).unwrap();
        verdict_of(lease.command(&town.desk, &program("deskside-agent").unwrap()), &["captive"])
    };
    let is =
        |outcome: &str, problem: &str, sentence: &str| (outcome.to_owned(), problem.to_owned(), sentence.to_owned());
    let held = r#"{"captive": true, "user-portal-url": "https://portal.town.example/login"}"#;
    let wants = "A portal of this network wants a sign-in at https://portal.town.example/login before it lets anything through.";
    assert_eq!(told(&own, held), is("failed", "portal", wants));
    let free = "The portal of this network, https://portal.town.example/api, says that this machine is let through.";
    assert_eq!(told(&own, r#"{"captive": false}"#), is("ok", "", free));
    let (outcome, problem, sentence) = told(&other, held);
    assert_eq!((outcome.as_str(), problem.as_str()), ("unknown", ""), "{sentence}");
    assert!(sentence.contains("does not trust CN=Nobody's CA"), "{sentence}");
}
