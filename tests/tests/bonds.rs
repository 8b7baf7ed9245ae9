//! Bonds, a VLAN, a bridge and a cabled card that a real kernel drives, as the real agent sees them: whole, and with a port that lost its link.
//! In a virtual machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use deskside_tests::house::{Programs, said};
use deskside_tests::lab::initramfs::{Initramfs, find};
use deskside_tests::lab::vm::{Kernel, Vm};
use serde_json::{Value, json};

const MODULES: [&str; 5] = ["bonding", "veth", "8021q", "bridge", "e1000e"];

const TOOLS: [&str; 16] = [
    "sh", "mount", "insmod", "poweroff", "cat", "echo", "sleep", "grep", "unshare", "nsenter", "mkdir", "ls", "tr",
    "tar", "base64", "[",
];

const SCRIPT: &str = include_str!("../src/lab/bonds.sh");

/// The neighbour's address at the other end of the bond that speaks LACP.
const PARTNER: &str = "02:00:5e:00:00:09";

/// Runs the script; `keep` has it record the machine too.
fn seen(keep: bool) -> Value {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    let (kernel, mut vm) = (Kernel::fetched(&folder).unwrap(), Vm::new().unwrap());
    // A card with a cable in it, behind which nobody answers.
    vm.with("-netdev", "user,id=cable,restrict=on".into());
    vm.with("-device", "e1000e,netdev=cable,mac=52:54:00:12:34:56".into());
    let mut root = Initramfs::with_busybox(&TOOLS).unwrap();
    root.modules(&kernel.modules.join("kernel"), &MODULES).unwrap();
    root.program("/usr/bin/ip", &find("ip").unwrap(), vm.folder()).unwrap();
    let agent = Programs::found().unwrap().folder().join("deskside-agent");
    root.program("/usr/bin/deskside-agent", &agent, vm.folder()).unwrap();
    if keep {
        root.file("/bin/keep", "#!/bin/sh\n");
    }
    root.file("/init", SCRIPT);
    let said = vm.run(&kernel, &root).unwrap();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn rows<'a>(seen: &'a Value, table: &str) -> &'a [Value] {
    let reading = seen.as_array().unwrap().iter().find(|reading| reading["table"] == table).unwrap();
    assert_eq!(reading["outcome"], "ok", "{reading}");
    reading["rows"].as_array().unwrap()
}

/// The row of this kind and name, whose columns have these values.
fn is(seen: &Value, (kind, name): (&str, &str), columns: &Value) {
    let all = rows(seen, "bonds_bridges_vlans");
    let found = all.iter().find(|row| row["kind"] == kind && row["name"] == name);
    let row = found.unwrap_or_else(|| panic!("no {kind} {name}: {all:#?}"));
    for (column, value) in columns.as_object().unwrap() {
        assert_eq!(row[column], *value, "{column} of {row}");
    }
}

#[test]
fn bonds_of_a_real_kernel_are_seen_whole_and_with_a_port_that_failed() {
    let seen = seen(false);
    let whole = &seen["whole"];
    is(
        whole,
        ("bond", "bond0"),
        &json!({"mode": "active-backup", "active_port": "port0", "primary_port": "port0", "state": "up", "ports": 2, "mii_interval_ms": 100}),
    );
    is(
        whole,
        ("bond port", "port0"),
        &json!({"parent": "bond0", "state": "active", "mii_status": "up", "link_failures": 0}),
    );
    is(whole, ("bond port", "port1"), &json!({"parent": "bond0", "state": "backup", "mii_status": "up"}));
    is(
        whole,
        ("bond", "bond1"),
        &json!({"mode": "802.3ad", "state": "up", "ports": 2, "aggregated_ports": 2, "partner_mac": PARTNER}),
    );
    let partner = json!(["active", "short timeout", "aggregating", "synchronized", "collecting", "distributing"]);
    is(whole, ("bond port", "port2"), &json!({"parent": "bond1", "mii_status": "up", "partner_state": partner}));
    is(whole, ("vlan", "bond0.20"), &json!({"parent": "bond0", "vlan_id": 20, "mode": "802.1q"}));
    is(whole, ("bridge port", "bond0.20"), &json!({"parent": "br0"}));

    let failed = &seen["failed"];
    is(failed, ("bond", "bond0"), &json!({"active_port": "port1", "state": "up"}));
    is(failed, ("bond port", "port0"), &json!({"state": "backup", "mii_status": "down", "link_failures": 1}));
    is(failed, ("bond port", "port1"), &json!({"state": "active", "mii_status": "up", "link_failures": 0}));
    assert_eq!(seen["kernel"]["failures"], 1);

    let card = rows(whole, "interfaces").iter().find(|row| row["name"] == "eth0").unwrap();
    for (column, value) in [
        ("driver", json!("e1000e")),
        ("speed_bits_per_second", json!(1_000_000_000)),
        ("duplex", json!("full")),
        ("carrier", json!(true)),
    ] {
        assert_eq!(card[column], value, "{column} of {card}");
    }
    assert_eq!(rows(whole, "tcp_stats").len(), 1);
}

#[test]
#[ignore = "writes the recorded machine tests/hosts/bonds anew"]
fn the_machine_is_recorded() {
    let seen = seen(true);
    let archive = data_encoding::BASE64.decode(seen["kernel"]["host"].as_str().unwrap().as_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.tar");
    fs::write(&file, archive).unwrap();
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/bonds");
    fs::create_dir_all(&hosts).unwrap();
    said(Command::new("tar").args(["-x", "--strip-components=1", "-C"]).arg(&hosts).arg("-f").arg(&file)).unwrap();
}
