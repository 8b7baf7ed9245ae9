//! What NetworkManager says of an interface (org.freedesktop.NetworkManager.Device), asked over D-Bus by busctl(1).

use std::io::ErrorKind;

use anyhow::{Context, ensure};
use deskside_proto::v1::Wifi;
use serde_json::Value;

use crate::host::Host;

/// It is there while NetworkManager runs.
const RUNNING: &str = "/run/NetworkManager";

const SERVICE: &str = "org.freedesktop.NetworkManager";
const ROOT: &str = "/org/freedesktop/NetworkManager";
const DEVICE: &str = "org.freedesktop.NetworkManager.Device";

/// What busctl says where NetworkManager has just gone, or does not know the interface.
const ABSENT: [&str; 5] =
    ["was not provided by any", "ServiceUnknown", "not activatable", "Failed to connect to bus", "No device found"];

/// `NMDeviceState`.
const STATES: [(u64, &str); 12] = [
    (10, "unmanaged"),
    (20, "unavailable"),
    (30, "disconnected"),
    (40, "prepare"),
    (50, "config"),
    (60, "need-auth"),
    (70, "ip-config"),
    (80, "ip-check"),
    (90, "secondaries"),
    (100, "activated"),
    (110, "deactivating"),
    (120, "failed"),
];

/// `NMDeviceStateReason`, as far as it says what is wrong with a radio; the others are told by their number.
const REASONS: [(u64, &str); 19] = [
    (0, ""),
    (2, "now-managed"),
    (3, "now-unmanaged"),
    (4, "config-failed"),
    (5, "ip-config-unavailable"),
    (7, "no-secrets"),
    (8, "supplicant-disconnect"),
    (9, "supplicant-config-failed"),
    (10, "supplicant-failed"),
    (11, "supplicant-timeout"),
    (15, "dhcp-start-failed"),
    (16, "dhcp-error"),
    (17, "dhcp-failed"),
    (35, "firmware-missing"),
    (37, "sleeping"),
    (39, "user-requested"),
    (40, "carrier"),
    (42, "supplicant-available"),
    (53, "ssid-not-found"),
];

/// Adds who manages the interface, the state and its reason. Nothing where NetworkManager does not run.
pub(super) fn tell(host: &dyn Host, row: &mut Wifi) -> anyhow::Result<()> {
    match host.list(RUNNING) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // Who may not list it knows that it is there.
        _names => {}
    }
    let found = call(host, ROOT, SERVICE, &["GetDeviceByIpIface", "s", &row.interface])?;
    let path = found.as_ref().and_then(|found| found.pointer("/data/0")?.as_str());
    let Some(path) = path.filter(|path| path.starts_with(ROOT)) else { return Ok(()) };
    let all = call(host, path, "org.freedesktop.DBus.Properties", &["GetAll", "s", DEVICE])?;
    if let Some(properties) = all.as_ref().and_then(|all| all.pointer("/data/0")) {
        row.manager = "NetworkManager".into();
        (row.manager_state, row.manager_reason) = meaning(properties);
    }
    Ok(())
}

fn meaning(properties: &Value) -> (String, String) {
    let number = |place: &str| properties.pointer(place).and_then(Value::as_u64);
    let word = |words: &[(u64, &str)], number: u64| {
        let known = words.iter().find(|(known, _word)| *known == number);
        known.map_or_else(|| number.to_string(), |(_number, word)| (*word).to_owned())
    };
    let state = number("/State/data").map(|state| word(&STATES, state));
    let reason = number("/StateReason/data/1").map(|reason| word(&REASONS, reason));
    (state.unwrap_or_default(), reason.unwrap_or_default())
}

/// One call; absent where there is nobody to answer it.
fn call(host: &dyn Host, path: &str, interface: &str, more: &[&str]) -> anyhow::Result<Option<Value>> {
    let arguments = [&["--system", "--json=short", "call", SERVICE, path, interface], more].concat();
    let ran = match host.run("busctl", &arguments) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ran => ran.context("running busctl")?,
    };
    let complaint = String::from_utf8_lossy(&ran.stderr);
    if ran.status != Some(0) && ABSENT.iter().any(|part| complaint.contains(part)) {
        return Ok(None);
    }
    ensure!(ran.status == Some(0), "NetworkManager refused: {}", complaint.trim());
    serde_json::from_slice(&ran.stdout).map(Some).context("busctl printed no JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_and_reasons_are_words_and_unknown_ones_numbers() {
        let told = |state: u32, reason: u32| {
            meaning(
                &json!({"State": {"type": "u", "data": state}, "StateReason": {"type": "(uu)", "data": [state, reason]}}),
            )
        };
        assert_eq!(told(60, 7), ("need-auth".into(), "no-secrets".into()));
        assert_eq!(told(100, 0), ("activated".into(), String::new()));
        assert_eq!(told(1, 99), ("1".into(), "99".into()));
        assert_eq!(meaning(&json!([])), (String::new(), String::new()));
    }
}
