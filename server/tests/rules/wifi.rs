//! Rules about the radio.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, sample};

const MINUTE_MS: i64 = 60_000;

fn wifi(change: &Value) -> Value {
    let mut row = json!({
        "interface": "wlp4s0", "mode": "station", "state": "connected", "ssid": "desk-office", "bssid": "02:00:5e:00:00:00",
        "signal": "good", "signal_dbm": -55, "rate": "normal", "retries": "few", "channel": 36, "band": "5 GHz", "country": "DE",
        "access_point_country": "DE", "security": "WPA2-PSK", "soft_blocked": false, "hard_blocked": false, "better_bssid": "",
    });
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    row
}

fn radio(change: &Value) -> Value {
    json!({"wifi": [wifi(change)]})
}

fn event(change: &Value) -> Value {
    let mut row = json!({
        "interface": "wlp4s0", "kind": "disconnected", "count": 1, "worst_hour": 1, "bssid": "02:00:5e:00:00:00", "reason": "", "ssid": "",
        "first_ms": CHECKED_AT_MS - 5 * MINUTE_MS, "last_ms": CHECKED_AT_MS - 5 * MINUTE_MS,
    });
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    row
}

fn events(changes: &[Value]) -> Value {
    json!({"wifi_events": changes.iter().map(event).collect::<Vec<_>>()})
}

/// Events on an interface in this state.
fn joining(state: &str, changes: &[Value]) -> Value {
    let mut all = events(changes);
    all.as_object_mut().unwrap().insert("wifi".into(), json!([wifi(&json!({"state": state}))]));
    all
}

pub(super) fn samples() -> Vec<Sample> {
    [link(), log(), joins(), switches()].into_iter().flatten().collect()
}

fn link() -> Vec<Sample> {
    let better = json!({"signal": "poor", "better_bssid": "02:00:5e:00:00:02", "better_by_db": 30});
    vec![
        sample(
            "wifi-weak-signal",
            radio(&json!({"signal": "poor", "signal_dbm": -80})),
            "wlp4s0 is poor",
            vec![
                radio(&json!({"signal": "fair", "signal_dbm": -72})),
                radio(&json!({"signal": "poor", "state": "disconnected"})),
                radio(&better),
            ],
        ),
        sample(
            "wifi-sticky",
            radio(&better),
            "stays at access point 02:00:5e:00:00:00, though 02:00:5e:00:00:02",
            vec![
                // A good link is no reason to move, whatever else is heard.
                radio(&json!({"signal": "good", "better_bssid": "02:00:5e:00:00:02", "better_by_db": 12})),
                radio(&json!({"signal": "poor"})),
            ],
        ),
        sample(
            "wifi-slow",
            radio(&json!({"retries": "many", "retry_percent": 34.5})),
            "more than a fifth",
            vec![
                // A resting radio.
                radio(&json!({"rate": "", "retries": "", "tx_mcs": 0})),
                // Told as a weak signal.
                radio(&json!({"rate": "low", "signal": "poor"})),
                radio(&json!({})),
            ],
        ),
    ]
}

fn log() -> Vec<Sample> {
    vec![
        sample(
            "wifi-roams-often",
            events(&[json!({"kind": "roamed", "count": 30, "worst_hour": 11})]),
            "11 times within an hour",
            vec![
                events(&[json!({"kind": "roamed", "count": 30, "worst_hour": 10})]),
                events(&[json!({"kind": "connected", "worst_hour": 20})]),
            ],
        ),
        sample(
            "wifi-drops-often",
            events(&[
                json!({"code": 4, "reason": "nothing was heard of it for too long", "count": 4, "worst_hour": 3}),
                json!({"kind": "beacons-lost", "count": 4, "worst_hour": 3}),
            ]),
            "broke off 3 times",
            vec![
                events(&[json!({"count": 9, "worst_hour": 2})]),
                // Suspend and switching off.
                events(&[json!({"kind": "left", "code": 3, "worst_hour": 9})]),
                // Told as a wrong password.
                events(&[json!({"code": 15, "worst_hour": 9})]),
            ],
        ),
        sample(
            "wifi-firmware-crash",
            events(&[json!({"kind": "firmware-crash", "interface": "iwlwifi 0000:00:14.3", "count": 2})]),
            "iwlwifi 0000:00:14.3 crashed 2 times",
            vec![events(&[json!({"kind": "restarted", "interface": "ieee80211 phy0"})]), events(&[])],
        ),
    ]
}

fn joins() -> Vec<Sample> {
    let wrong = json!({"kind": "wrong-key", "ssid": "desk-office", "reason": "wrong key"});
    let old = json!({"kind": "wrong-key", "ssid": "desk-office", "last_ms": CHECKED_AT_MS - 61 * MINUTE_MS});
    let failed = json!({"kind": "eap-failed"});
    let certificate = json!({"kind": "eap-certificate", "code": 4, "reason": "certificate has expired"});
    let refused =
        json!({"kind": "refused", "code": 17, "reason": "the access point has too many stations", "count": 3});
    vec![
        sample(
            "wifi-wrong-password",
            joining("disconnected", std::slice::from_ref(&wrong)),
            "cannot join \"desk-office\": the password is wrong",
            vec![joining("connected", &[wrong]), joining("disconnected", &[old])],
        ),
        sample(
            "wifi-eap-failed",
            joining("disconnected", &[failed.clone(), certificate.clone()]),
            "802.1X fails (certificate has expired)",
            vec![joining("connected", &[failed, certificate.clone()]), joining("disconnected", &[certificate])],
        ),
        sample(
            "wifi-refused",
            joining("disconnected", std::slice::from_ref(&refused)),
            "the access point has too many stations",
            vec![
                joining("connected", &[refused]),
                joining("disconnected", &[json!({"kind": "unanswered", "count": 2})]),
            ],
        ),
    ]
}

fn switches() -> Vec<Sample> {
    let blocked = |change: Value, carrier: bool| {
        let cable = json!({"name": "enp3s0", "kind": "ethernet", "carrier": carrier});
        json!({"wifi": [wifi(&change)], "interfaces": [cable]})
    };
    let soft = json!({"state": "blocked", "soft_blocked": true});
    vec![
        sample(
            "wifi-blocked",
            blocked(soft.clone(), false),
            "software (airplane mode)",
            vec![blocked(soft, true), blocked(json!({"state": "disconnected"}), false)],
        ),
        sample(
            "wifi-no-country",
            radio(&json!({"country": "00"})),
            "the access point says DE",
            vec![
                radio(&json!({"country": "00", "access_point_country": ""})),
                radio(&json!({"country": "00", "state": "disconnected"})),
                radio(&json!({})),
            ],
        ),
        sample(
            "wifi-weak-security",
            radio(&json!({"security": "WEP"})),
            "with WEP",
            vec![
                radio(&json!({"security": "open"})),
                radio(&json!({"security": "WPA2-PSK+WPA-PSK"})),
                radio(&json!({})),
            ],
        ),
    ]
}
