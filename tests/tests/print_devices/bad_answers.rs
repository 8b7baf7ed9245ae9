//! Printers that answer with garbage, never, a byte at a time, or are not there at all: told as such, and within a look's time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use deskside_proto::v1::{Outcome, PrintDevice};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::netns::Wired;
use deskside_tests::lab::queues::reading;

use super::{device, diagnosed, host, titles, within};

/// How long the schedule waits for a look.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// A printer at an address that does this with each who connects.
fn printer(address: &str, answer: impl Fn(TcpStream) + Send + Sync + Copy + 'static) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                // A port that is only tried sends nothing.
                if stream.read(&mut [0; 4096]).unwrap_or_default() > 0 {
                    answer(stream);
                }
            });
        }
    });
}

fn garbage(mut stream: TcpStream) {
    drop(stream.write_all(b"@PJL INFO STATUS\r\nCODE=10001\r\n\r\n"));
}

fn never(mut stream: TcpStream) {
    drop(stream.read(&mut [0; 64]));
}

fn a_byte_a_second(mut stream: TcpStream) {
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef" {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn printers_that_answer_badly_are_told_as_such_in_time() {
    let addresses = ["192.0.2.31", "192.0.2.32", "192.0.2.33", "192.0.2.34"];
    within("bad_answers::printers_that_answer_badly_are_told_as_such_in_time", &addresses, || {
        printer("192.0.2.31:631", garbage);
        printer("192.0.2.32:631", never);
        printer("192.0.2.33:631", a_byte_a_second);
        let cups = Cups::start().unwrap();
        for (name, host) in [("garbage", 31), ("never", 32), ("slow", 33), ("closed", 34), ("absent", 99)] {
            cups.add_queue(name, &format!("ipp://192.0.2.{host}/ipp/print")).unwrap();
        }
        cups.add_queue("nameless", "socket://no-such-printer.invalid").unwrap();
        let host = host(&cups, None);
        let begun = Instant::now();
        let garbage = device(&host, "192.0.2.31");
        assert!(begun.elapsed() < LOOK_MAX, "{:?}", begun.elapsed());
        assert!(garbage.ipp.contains("not HTTP"), "{garbage:#?}");
        for (address, ipp, reachable) in [
            ("192.0.2.32", "timed out", true),
            ("192.0.2.33", "timed out", true),
            ("192.0.2.34", "refused", true),
            ("192.0.2.99", "unreachable", false),
        ] {
            let found = device(&host, address);
            assert_eq!((found.ipp.as_str(), found.reachable), (ipp, Some(reachable)), "{found:#?}");
        }
        let nameless = device(&host, "no-such-printer.invalid");
        assert!(nameless.summary.starts_with("its name has no address"), "{nameless:#?}");
        assert_eq!(reading(&host, "print_supplies").unwrap().outcome(), Outcome::Unsupported);

        let found = diagnosed(&host);
        let said = titles(&found);
        for (rule, words) in [
            ("printer-speaks-no-ipp", "192.0.2.31"),
            ("printer-speaks-no-ipp", "192.0.2.32"),
            ("printer-speaks-no-ipp", "192.0.2.33"),
            ("printer-port-closed", "192.0.2.34"),
            ("printer-silent", "192.0.2.99"),
            ("printer-silent", "no-such-printer.invalid"),
        ] {
            assert!(
                said.iter().any(|(known, title)| *known == rule && title.contains(words)),
                "{rule} {words}: {said:#?}"
            );
        }
        assert_eq!(said.len(), 6, "{said:#?}");
    });
}

#[test]
fn fifty_dead_printers_end_in_time_and_each_is_named() {
    let name = "bad_answers::fifty_dead_printers_end_in_time_and_each_is_named";
    if std::env::var_os(super::INSIDE).is_none() {
        return dead_wire(name);
    }
    let cups = Cups::start().unwrap();
    for number in 1..=50 {
        cups.add_queue(&format!("dead{number}"), &format!("socket://198.51.100.{number}")).unwrap();
    }
    let host = host(&cups, None);
    let begun = Instant::now();
    let reading = reading(&host, "print_devices").unwrap();
    assert!(begun.elapsed() < LOOK_MAX, "{:?}", begun.elapsed());
    assert_eq!(reading.rows.len(), 50, "each has a row, asked or not");
    let rows = reading.rows.iter().map(|row| <PrintDevice as prost::Message>::decode(row.clone()).unwrap());
    let (asked, unasked): (Vec<PrintDevice>, Vec<PrintDevice>) = rows.partition(|row| row.reachable.is_some());
    assert!(asked.len() >= 32, "{} were asked", asked.len());
    assert!(asked.iter().all(|row| row.reachable == Some(false) && row.port_9100 == "timed out"), "{asked:#?}");
    for row in &unasked {
        assert!(reading.reason.contains(&row.host), "{} lacks {}", reading.reason, row.host);
    }
}

/// Runs a test where a network of printers is behind a wire whose other end takes everything and answers nothing.
fn dead_wire(name: &str) {
    let wired = Wired::new().unwrap();
    let (desk, far) = (&wired.desk, &wired.far);
    wired.ip(&format!("link add eth0 netns {desk} type veth peer name far0 netns {far}")).unwrap();
    wired.at_far("link set far0 up").unwrap();
    for words in [
        "link set lo up",
        "link set eth0 up",
        "addr add 192.0.2.10/24 dev eth0",
        "neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
        "route add 198.51.100.0/24 via 192.0.2.1",
    ] {
        wired.at_desk(words).unwrap();
    }
    let own = std::env::current_exe().unwrap();
    let inside = wired.command(&own).args(["--exact", name, "--nocapture"]).env(super::INSIDE, "1").output().unwrap();
    let said = [inside.stdout, inside.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}
