//! A radio that a real kernel drives, as the real agent sees it: blocked, joined, faded, moved to another access point, out of reach, and
//! with a wrong password. The radios are simulated, in a virtual machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use deskside_server::diagnose::rules::{CHECKED_AT_MS, check_rule};
use deskside_tests::house::Programs;
use deskside_tests::lab::radios;
use deskside_tests::lab::vm::{Kernel, Vm};
use serde_json::{Value, json};

const FIRST: &str = "02:00:5e:00:00:00";
const SECOND: &str = "02:00:5e:00:00:02";

fn rows<'a>(seen: &'a Value, table: &str) -> &'a [Value] {
    let reading = seen.as_array().unwrap().iter().find(|reading| reading["table"] == table).unwrap();
    assert!(["ok", "empty"].contains(&reading["outcome"].as_str().unwrap()), "{reading}");
    reading["rows"].as_array().unwrap()
}

fn only<'a>(seen: &'a Value, table: &str) -> &'a Value {
    let rows = rows(seen, table);
    assert_eq!(rows.len(), 1, "{table}: {rows:?}");
    &rows[0]
}

fn event<'a>(seen: &'a Value, kind: &str) -> Option<&'a Value> {
    rows(seen, "wifi_events").iter().find(|row| row["kind"] == kind)
}

/// The titles of what a rule finds; the events are taken as a minute old.
fn told(rule: &str, seen: &Value, tables: &[&str]) -> Vec<String> {
    let mut all = json!({});
    for table in tables {
        let mut rows = rows(seen, table).to_vec();
        for row in rows.iter_mut().filter(|row| row.get("last_ms").is_some()) {
            row["last_ms"] = json!(CHECKED_AT_MS - 60_000);
        }
        all[*table] = json!(rows);
    }
    check_rule(rule, &all).unwrap().into_iter().map(|finding| finding.title).collect()
}

#[test]
fn a_radio_of_a_real_kernel_is_seen_and_judged_in_each_state() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    let (kernel, vm) = (Kernel::fetched(&folder).unwrap(), Vm::new().unwrap());
    let agent = Programs::found().unwrap().folder().join("deskside-agent");
    let said = vm.run(&kernel, &radios::root(&kernel, &vm, &agent).unwrap()).unwrap();
    let seen: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));

    let blocked = only(&seen["blocked"], "wifi");
    assert_eq!(
        (&blocked["state"], &blocked["soft_blocked"], &blocked["country"]),
        (&json!("blocked"), &json!(true), &json!("00"))
    );
    assert_eq!(told("wifi-blocked", &seen["blocked"], &["wifi"]).len(), 1);

    joined(&seen["joined"]);
    weak(&seen["weak"]);

    let roamed = only(&seen["roamed"], "wifi");
    assert_eq!((&roamed["bssid"], &roamed["channel"], &roamed["signal"]), (&json!(SECOND), &json!(11), &json!("good")));
    assert_eq!(event(&seen["roamed"], "roamed").unwrap()["bssid"], SECOND);

    assert!(["disconnected", "off"].contains(&only(&seen["gone"], "wifi")["state"].as_str().unwrap()));
    let lost = event(&seen["gone"], "disconnected").unwrap();
    assert_eq!((&lost["bssid"], &lost["code"]), (&json!(SECOND), &json!(4)), "{lost}");

    let wrong = event(&seen["wrong"], "wrong-key").unwrap();
    // A slow machine sees it try again.
    assert!(wrong["ssid"] == "desk-office" && wrong["count"].as_u64() >= Some(1), "{wrong}");
    let handshake = rows(&seen["wrong"], "wifi_events").iter().find(|row| row["code"] == 15).unwrap();
    assert_eq!(handshake["kind"], "disconnected");
    let title = "wlp4s0 cannot join \"desk-office\": the password is wrong";
    assert_eq!(told("wifi-wrong-password", &seen["wrong"], &["wifi", "wifi_events"]), [title]);
    assert_eq!(told("wifi-wrong-password", &seen["roamed"], &["wifi", "wifi_events"]), Vec::<String>::new());
}

fn joined(seen: &Value) {
    let row = only(seen, "wifi");
    for (column, value) in [
        ("interface", json!("wlp4s0")),
        ("mode", json!("station")),
        ("state", json!("connected")),
        ("ssid", json!("desk-office")),
        ("bssid", json!(FIRST)),
        ("channel", json!(1)),
        ("band", json!("2.4 GHz")),
        ("width_mhz", json!(20)),
        ("standard", json!("802.11n")),
        ("security", json!("WPA2-PSK")),
        ("frame_protection", json!("no")),
        ("country", json!("DE")),
        ("access_point_country", json!("DE")),
        ("signal", json!("good")),
        ("signal_dbm", json!(-30)),
        ("noise_dbm", json!(-92)),
        ("access_point_stations", json!(12)),
        ("roaming", json!(["802.11k", "802.11v"])),
        ("soft_blocked", json!(false)),
        ("power_save", json!(false)),
    ] {
        assert_eq!(row[column], value, "{column} of {row}");
    }
    assert!(row["tx_bits_per_second"].as_u64().is_some_and(|rate| rate >= 1_000_000), "{row}");
    let network = only(seen, "wifi_scan");
    assert_eq!(
        (&network["bssid"], &network["joined"], &network["own_network"]),
        (&json!(FIRST), &json!(true), &json!(true))
    );
    // Names of networks in the air are kept as pseudonyms.
    assert!(network["ssid"].as_str().unwrap().starts_with("person-"), "{network}");
    assert_eq!(only(seen, "wifi_link")["signal_dbm"], -30);
    for rule in ["wifi-weak-signal", "wifi-sticky", "wifi-slow", "wifi-no-country", "wifi-weak-security"] {
        assert_eq!(told(rule, seen, &["wifi"]), Vec::<String>::new(), "{rule}");
    }
}

/// The access point it is joined to fades, and another of the same network is near.
fn weak(seen: &Value) {
    let row = only(seen, "wifi");
    assert_eq!((&row["bssid"], &row["signal"], &row["better_bssid"]), (&json!(FIRST), &json!("poor"), &json!(SECOND)));
    assert_eq!(rows(seen, "wifi_scan").len(), 2);
    let title =
        format!("wlp4s0 stays at access point {FIRST}, though {SECOND} of the same network is heard much better");
    assert_eq!(told("wifi-sticky", seen, &["wifi"]), [title]);
    assert_eq!(told("wifi-weak-signal", seen, &["wifi"]), Vec::<String>::new());
}
