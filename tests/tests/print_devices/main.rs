//! Printers themselves, as the collectors read them: a simulated SNMP agent, a virtual IPP printer, and printers that answer badly. Each
//! test has a network namespace of its own, in which it runs itself again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use deskside_agent::collect::Registry;
use deskside_agent::host::{Host, Live, LiveOptions, SnmpConfig};
use deskside_proto::v1::{Finding, PrintDevice};
use deskside_server::diagnose::{self, About, Known};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::netns::Wired;
use deskside_tests::lab::queues::reading;
use prost::Message;

mod bad_answers;
mod by_ipp;
mod by_snmp;

/// Set where a test runs itself again inside its namespace.
const INSIDE: &str = "DESKSIDE_TEST_INSIDE";

const TABLES: [&str; 7] =
    ["printers", "print_jobs", "print_devices", "print_supplies", "print_trays", "print_alerts", "print_counters"];

/// Runs a test in a namespace of its own, in which the loopback interface has these addresses.
fn within(name: &str, addresses: &[&str], test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let wired = Wired::new().unwrap();
    for words in ["link set lo up", "link set lo multicast on", "route add 224.0.0.0/4 dev lo"] {
        wired.at_desk(words).unwrap();
    }
    for address in addresses {
        wired.at_desk(&format!("addr add {address}/32 dev lo")).unwrap();
    }
    let own = std::env::current_exe().unwrap();
    let inside = wired.command(&own).args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = [inside.stdout, inside.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

fn host(cups: &Cups, credentials: Option<PathBuf>) -> Live {
    let print_server = Some(cups.socket().to_string_lossy().into_owned());
    Live::new(LiveOptions { print_server, snmp: SnmpConfig { credentials }, ..LiveOptions::default() })
}

/// All rows of a table, whatever could not be seen.
fn seen<R: Message + Default>(host: &Live, table: &str) -> Vec<R> {
    let reading = reading(host, table).unwrap();
    reading.rows.iter().map(|row| R::decode(row.clone()).unwrap()).collect()
}

fn device(host: &Live, name: &str) -> PrintDevice {
    let all: Vec<PrintDevice> = seen(host, "print_devices");
    all.iter().find(|device| device.host == name).unwrap_or_else(|| panic!("{name} is not among {all:#?}")).clone()
}

/// What the server says of printers and queues.
fn diagnosed(host: &Live) -> Vec<Finding> {
    let registry = Registry::standard();
    let known = TABLES.map(|table| {
        let reading = reading(host, table).unwrap();
        let checked_ms = reading.at_ms;
        Known { schema: registry.schema(table).unwrap().clone(), readings: vec![reading], checked_ms }
    });
    let about = About { now_ms: host.now_ms(), connected: true, ..About::default() };
    let mut found = diagnose::findings(&known, &about).unwrap();
    found.retain(|found| found.rule.starts_with("print"));
    found
}

fn titles(found: &[Finding]) -> Vec<(&str, &str)> {
    found.iter().map(|found| (found.rule.as_str(), found.title.as_str())).collect()
}
