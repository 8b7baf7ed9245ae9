//! The town itself: it carries names and connections until it is told not to.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use deskside_tests::lab::town::resolver::{Answers, Manners};
use deskside_tests::lab::town::{self, Bars, Town};
use deskside_tests::lab::wire::Faults;

use super::{PORT, listen};

/// How long a connection may take in a town.
const CONNECT_MAX: Duration = Duration::from_secs(5);

fn connect(town: &Town, to: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    town.desk.within(|| TcpStream::connect_timeout(&SocketAddr::new(to, port), CONNECT_MAX)).unwrap()
}

fn resolve(town: &Town, name: &str) -> String {
    let ran = town.desk.command("getent").args(["ahostsv4", name]).output().unwrap();
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
fn the_town_carries_names_and_connections_until_it_is_told_not_to() {
    let mut town = Town::new().unwrap();
    let _listener = listen(&town);
    for server in [town::SERVER, town::SERVER_V6] {
        connect(&town, server, PORT).unwrap();
    }
    assert!(resolve(&town, "server.town.example").contains("203.0.113.2"));
    assert_eq!(resolve(&town, "nobody.town.example"), "");
    town.answers(Answers::Everywhere(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 99)))).unwrap();
    assert!(resolve(&town, "server.town.example").contains("198.51.100.99"));
    town.answers(Answers::Right).unwrap();
    let delay = Duration::from_millis(300);
    town.resolver.behave(Manners { delay, ..Manners::default() });
    let begun = Instant::now();
    assert!(resolve(&town, "help.town.example").contains("203.0.113.2"));
    assert!(begun.elapsed() >= delay);

    town.wire.set(Faults { delay, ..Faults::default() });
    let begun = Instant::now();
    connect(&town, town::SERVER, PORT).unwrap();
    assert!(begun.elapsed() >= delay * 2, "there and back");
    town.wire.set(Faults::default());
    town.bar(PORT, Bars::Resets).unwrap();
    assert_eq!(connect(&town, town::SERVER, PORT).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    town.mend().unwrap();
    town.captive().unwrap();
    let mut page = connect(&town, town::SERVER, 80).unwrap();
    page.write_all(b"GET / HTTP/1.1\r\nHost: server.town.example\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("Location: http://portal.town.example:8080/login"), "{answer}");
}
