//! Rules about starts, crashes, services and groups of processes.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn with(table: &str, mut row: Value, more: &Value) -> Value {
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ table: [row] })
}

fn service(more: &Value) -> Value {
    let row = json!({
        "name": "cups.service", "description": "CUPS", "active_state": "active", "sub_state": "running", "result": "success",
    });
    with("services", row, more)
}

fn services() -> Vec<Sample> {
    let failed = json!({
        "active_state": "failed", "sub_state": "failed", "result": "exit-code", "exit_code": "exited", "exit_status": 203,
        "exit_meaning": "EXEC: the program could not be started",
    });
    vec![
        sample(
            "service-gave-up",
            service(&json!({"active_state": "failed", "result": "start-limit-hit", "restarts": 5, "exit_status": 1})),
            "failed again and again",
            vec![service(&failed), service(&json!({"restarts": 9})), service(&json!({}))],
        ),
        sample(
            "service-failed",
            service(&failed),
            "Service cups.service has failed (exit-code)",
            vec![
                service(&json!({})),
                service(&json!({"active_state": "inactive", "result": "success"})),
                service(&json!({"active_state": "failed", "result": "exit-code", "restarts": 5})),
            ],
        ),
        sample(
            "service-restart-loop",
            service(&json!({"active_state": "activating", "sub_state": "auto-restart", "restarts": 3})),
            "starts over and over (3 times)",
            vec![
                service(&json!({"restarts": 9})),
                service(&json!({"restarts": 9, "restarts_since": 2})),
                service(&json!({"active_state": "failed", "restarts": 5, "restarts_since": 5})),
            ],
        ),
        sample(
            "service-restart-loop",
            service(&json!({"restarts": 9, "restarts_since": 4})),
            "starts over and over (9 times)",
            vec![service(&json!({"restarts": 1, "restarts_since": 1}))],
        ),
        sample(
            "service-restarted-often",
            service(&json!({"restarts": 5})),
            "was restarted 5 times",
            vec![
                service(&json!({"restarts": 4})),
                service(&json!({"restarts": 5, "restarts_since": 4})),
                service(&json!({"active_state": "failed", "restarts": 5})),
            ],
        ),
    ]
}

/// Boots that ended so, days ago.
fn boots(ends: &[(&str, &str, i64)]) -> Value {
    let boot = |(place, (ended, reason, days)): (usize, &(&str, &str, i64))| {
        json!({
            "boot_id": place.to_string(), "ended": ended, "reason": reason, "last_message": "all is well",
            "last_ms": CHECKED_AT_MS - days * DAY_MS,
        })
    };
    json!({ "boots": ends.iter().enumerate().map(boot).collect::<Vec<_>>() })
}

fn starts() -> Vec<Sample> {
    const HOT: &str = "thermal thermal_zone0: acpitz: critical temperature reached, shutting down";
    let healthy = || boots(&[("running", "", 0), ("clean", "Power key pressed.", 1), ("clean", "", 2)]);
    let old = || boots(&[("running", "", 0), ("cut_off", "", 8), ("cut_off", "", 9), ("cut_off_asleep", "", 9)]);
    let twice = || boots(&[("running", "", 0), ("cut_off", "", 1), ("clean", "", 2), ("cut_off", "", 3)]);
    let once = || boots(&[("running", "", 0), ("cut_off", "", 1), ("clean", "", 2), ("unknown", "", 3)]);
    let asleep = || boots(&[("running", "", 0), ("cut_off_asleep", "", 1)]);
    vec![
        sample("goes-off", twice(), "went off 2 times in a week", vec![once(), healthy(), old(), asleep()]),
        sample("went-off", once(), "went off without being shut down", vec![twice(), healthy(), old(), asleep()]),
        sample(
            "went-off-too-hot",
            boots(&[("running", "", 0), ("cut_off_stopping", HOT, 1)]),
            "too hot (1 times",
            vec![healthy(), once(), boots(&[("clean", HOT, 9)])],
        ),
        sample("did-not-wake", asleep(), "did not wake (1 times", vec![once(), healthy(), old()]),
        sample(
            "hangs-going-down",
            boots(&[("cut_off_stopping", "", 2)]),
            "hung while it went down (1 times",
            vec![healthy(), boots(&[("cut_off_stopping", HOT, 2)]), boots(&[("cut_off_stopping", "", 9)])],
        ),
        sample(
            "modules-gone",
            row("reboot_required", json!({"reason": "modules", "running": "6.1.0-18-amd64"})),
            "6.1.0-18-amd64 are gone",
            vec![row("reboot_required", json!({"reason": "kernel"})), json!({})],
        ),
        sample(
            "reboot-pending",
            json!({"reboot_required": [
                {"reason": "asked", "packages": ["linux-base"], "running": "6.1.0-18-amd64", "since_ms": CHECKED_AT_MS - 9 * DAY_MS},
                {"reason": "kernel", "installed": "6.1.0-21-amd64", "running": "6.1.0-18-amd64", "uptime_s": 900_000},
            ]}),
            "for more than a week",
            vec![
                row(
                    "reboot_required",
                    json!({"reason": "kernel", "since_ms": CHECKED_AT_MS - 6 * DAY_MS, "uptime_s": 900_000}),
                ),
                row("reboot_required", json!({"reason": "asked", "uptime_s": 3600})),
                row("reboot_required", json!({"reason": "modules", "since_ms": CHECKED_AT_MS - 9 * DAY_MS})),
            ],
        ),
    ]
}

fn crash(kind: &str, count: u32, hours: i64, more: &Value) -> Value {
    let row = json!({
        "kind": kind, "program": "viewer", "signal": "SIGSEGV", "frame": "draw", "module": "libviewer.so.2", "count": count,
        "last_ms": CHECKED_AT_MS - hours * HOUR_MS, "message": "viewer said so", "package": "viewer 1.2-3",
    });
    with("crashes", row, more)
}

fn crashes() -> Vec<Sample> {
    let plain = |kind: &str, count: u32, hours: i64| crash(kind, count, hours, &json!({}));
    vec![
        sample(
            "killed-for-memory",
            plain("oom", 2, 3),
            "viewer was killed because memory ran out (2 times",
            vec![plain("oom", 2, 30), plain("program", 9, 1), json!({})],
        ),
        sample(
            "kernel-fault",
            plain("panic", 1, 3),
            "The kernel itself failed (panic, 1 times",
            vec![plain("oops", 1, 30), plain("program", 9, 1), plain("oom", 1, 1)],
        ),
        sample("kernel-fault", plain("oops", 2, 30), "(oops, 2 times", vec![plain("lockup", 1, 30)]),
        sample(
            "kernel-fault-before",
            crash("panic", 1, 0, &json!({"last_ms": null})),
            "failed once this week (panic)",
            vec![plain("panic", 1, 3), plain("oops", 2, 30), plain("program", 1, 30)],
        ),
        sample(
            "program-crashes",
            plain("program", 3, 100),
            "viewer crashes again and again (3 times in a week, SIGSEGV)",
            vec![plain("program", 2, 1), plain("oom", 9, 30)],
        ),
    ]
}

fn groups() -> Vec<Sample> {
    let group = |more: &Value| with("cgroups", json!({"path": "/system.slice/cups.service", "kind": "service"}), more);
    let whole = json!({"path": "/user.slice", "kind": "slice", "memory_full_60": 30.0, "io_full_60": 90.0});
    let manager =
        json!({"path": "/user.slice/user-1000.slice/user@1000.service", "memory_full_60": 30.0, "io_full_60": 90.0});
    vec![
        sample(
            "group-waits-for-memory",
            group(&json!({"memory_full_60": 12.5, "memory_bytes": 1_073_741_824})),
            "/system.slice/cups.service stands still 12.5 %",
            vec![
                group(&json!({"memory_full_60": 9.0, "memory_some_60": 90.0})),
                group(&whole),
                group(&manager),
                group(&json!({})),
            ],
        ),
        sample(
            "group-waits-for-disk",
            group(&json!({"io_full_60": 45.0})),
            "waits for a disk 45.0 %",
            vec![group(&json!({"io_full_60": 20.0})), group(&whole), group(&manager), group(&json!({}))],
        ),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [services(), starts(), crashes(), groups()].into_iter().flatten().collect()
}
