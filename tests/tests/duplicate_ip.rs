//! The probe of duplicate addresses, on links where another machine has the same address, or none has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use deskside_tests::lab::namespace::Namespace;
use deskside_tests::lab::process::Agent;
use serde_json::Value as Json;

/// A desk and another machine at one wire.
fn link() -> (Namespace, Namespace) {
    let (desk, other) = (Namespace::new("desk").unwrap(), Namespace::new("other").unwrap());
    desk.ip(&format!("link add eth0 type veth peer name eth0 netns {}", other.name())).unwrap();
    desk.ip("addr add 192.0.2.20/24 dev eth0\nlink set eth0 up").unwrap();
    other.ip("link set eth0 address 02:00:00:00:00:09\nlink set eth0 up").unwrap();
    desk.carries("eth0").unwrap();
    (desk, other)
}

/// What the probe says at the desk: its rows, the verdict last.
fn probed(desk: &Namespace) -> Vec<Json> {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), "").unwrap().inside(desk.name());
    let ran = agent.command().args(["probe", "duplicate_ip", "--json"]).output().unwrap();
    let readings: Json = serde_json::from_slice(&ran.stdout).unwrap();
    readings[0]["rows"].as_array().cloned().unwrap()
}

#[test]
fn another_machine_with_the_same_address_is_named() {
    let (desk, other) = link();
    other.ip("addr add 192.0.2.20/24 dev eth0").unwrap();
    let rows = probed(&desk);
    let verdict = rows.last().unwrap();
    assert_eq!(verdict["found"], "The address 192.0.2.20 on eth0 is used by 02:00:00:00:00:09 too.");
    assert_eq!((&rows[0]["outcome"], &rows[0]["macs"]), (&"failed".into(), &serde_json::json!(["02:00:00:00:00:09"])));
}

#[test]
fn an_address_of_ones_own_is_nobody_elses() {
    let (desk, other) = link();
    other.ip("addr add 192.0.2.21/24 dev eth0").unwrap();
    // Why a second interface on the same link: Linux answers there for the first one's addresses, and that is no conflict.
    other.ip("link add bridge0 type bridge\nlink set bridge0 up\nlink set eth0 master bridge0").unwrap();
    desk.ip(&format!("link add eth1 type veth peer name eth1 netns {}", other.name())).unwrap();
    other.ip("link set eth1 master bridge0\nlink set eth1 up").unwrap();
    desk.ip("addr add 192.0.2.22/24 dev eth1\nlink set eth1 up").unwrap();
    for port in ["eth0", "eth1"] {
        other.wait_for(&format!("-j -d link show dev {port}"), "\"state\":\"forwarding\"").unwrap();
    }
    let rows = probed(&desk);
    assert_eq!(rows.last().unwrap()["found"], "Nobody else uses the 2 addresses of this machine.", "{rows:#?}");
}

#[test]
fn what_could_not_be_seen_is_not_called_well() {
    let (desk, _other) = link();
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), "").unwrap();
    let program = agent.command().get_program().to_owned();
    let ran = desk.command_as_nobody(program).args(["probe", "duplicate_ip", "--json"]).output();
    let readings: Json = serde_json::from_slice(&ran.unwrap().stdout).unwrap();
    let verdict = readings[0]["rows"].as_array().unwrap().last().cloned().unwrap();
    assert_eq!(verdict["outcome"], "unknown");
    assert!(verdict["found"].as_str().unwrap().contains("CAP_NET_RAW"), "{verdict}");
}
