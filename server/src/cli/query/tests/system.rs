//! Queries about room, services, crashes, updates, time and the log.

use serde_json::json;

use super::{HOUR, NOW, Sample, find};

pub(super) fn samples() -> Vec<Sample> {
    [room(), services(), updates(), fleet()].concat()
}

fn room() -> Vec<Sample> {
    let gib = 1_u64 << 30;
    vec![
        (
            "disk-full",
            "/var",
            json!({"filesystems": [
                {"mount_point": "/var", "used_percent": 97.0, "available_bytes": 5 * gib},
                {"mount_point": "/", "used_percent": 40.0, "available_bytes": 50 * gib},
            ]}),
        ),
        (
            "inodes-full",
            "/srv",
            json!({"filesystems": [
                {"mount_point": "/srv", "inodes_total": 1_000, "inodes_free": 10},
                {"mount_point": "/", "inodes_total": 1_000, "inodes_free": 900}, {"mount_point": "/boot/efi"},
            ]}),
        ),
        (
            "who-writes",
            "/system.slice/a.service|900",
            json!({"cgroups": [
                {"path": "/system.slice/a.service", "kind": "service", "written_bytes": 100, "_ago_h": 3},
                {"path": "/system.slice/a.service", "kind": "service", "written_bytes": 1_000, "_ago_h": 1},
            ]}),
        ),
        ("largest-packages", "texlive", json!({"packages": [{"name": "texlive", "size_bytes": 5 * gib}]})),
        (
            "killed-for-memory",
            "firefox",
            json!({"crashes": [
                {"kind": "oom", "program": "firefox"}, {"kind": "program", "program": "vlc"},
            ]}),
        ),
        (
            "memory-hogs",
            "firefox|2|300",
            json!({"processes": [
                {"pid": 1, "name": "firefox", "resident_bytes": 100}, {"pid": 2, "name": "firefox", "resident_bytes": 200},
            ]}),
        ),
        (
            "pressure",
            "|41",
            json!({"load": [
                {"memory_full_60": 41.0, "_ago_h": 2}, {"memory_full_60": 3.0, "_ago_h": 2},
            ]}),
        ),
    ]
}

fn services() -> Vec<Sample> {
    let line = |message: &str, program: &str, priority: u32, position: &str| json!({"at_ms": NOW - 60_000, "position": position, "program": program, "priority": priority, "message": message});
    vec![
        (
            "restart-loops",
            "sync.service",
            json!({"services": [
                {"name": "sync.service", "active_state": "activating", "restarts": 12},
                {"name": "ssh.service", "active_state": "active", "restarts": 1},
            ]}),
        ),
        ("crashes-repeated", "vlc", json!({"crashes": [{"kind": "program", "program": "vlc", "count": 4}]})),
        (
            "kernel-faults",
            "soft lockup",
            json!({"log_events": [
                line("watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", "kernel", 0, "1"), line("all well", "kernel", 6, "2"),
                line("soft lockup", "chat", 6, "3"),
            ]}),
        ),
        (
            "errors-of-log",
            "out of paper",
            json!({"log_events": [
                line("out of paper", "cupsd", 3, "1"), line("page printed", "cupsd", 6, "2"),
            ]}),
        ),
        (
            "new-errors",
            "can not open <path>",
            json!({"error_signatures": [
                {"id": "a", "template": "can not open <path>", "new_since_update": true},
                {"id": "b", "template": "old", "new_since_update": false, "new_since_boot": false},
            ]}),
        ),
        (
            "worst-errors",
            "|900|",
            json!({"error_signatures": [
                {"id": "a", "priority": 3, "count": 900}, {"id": "b", "priority": 6, "count": 9_000},
            ]}),
        ),
        (
            "clock-skew",
            "chronyd",
            json!({"time_sync": [
                {"service": "chronyd", "synchronized": true, "offset_ms": 412_000.0},
                {"service": "systemd-timesyncd", "synchronized": true, "offset_ms": 1.0},
            ]}),
        ),
        (
            "certificates-expiring",
            "/etc/ssl/old.pem",
            json!({"certificates": [
                {"file": "/etc/ssl/old.pem", "not_after_ms": NOW + 48 * HOUR},
                {"file": "/etc/ssl/new.pem", "not_after_ms": NOW + 4_800 * HOUR},
            ]}),
        ),
    ]
}

fn updates() -> Vec<Sample> {
    vec![
        ("restart-pending", "kernel", json!({"reboot_required": [{"reason": "kernel", "running": "6.1.0-1"}]})),
        (
            "updates-failing",
            "half-configured",
            json!({
                "packages": [
                    {"name": "cups", "manager": "dpkg", "status": "half-configured"}, {"name": "bash", "manager": "dpkg"},
                ],
                "updates": [{"manager": "apt", "last_success_ms": NOW}],
            }),
        ),
        (
            "updates-done",
            "2.4.2-3",
            json!({"software_changes": [
                {"at_ms": NOW - HOUR, "action": "upgrade", "package": "cups", "to_version": "2.4.2-3"},
                {"at_ms": NOW - 9_000 * HOUR, "action": "upgrade", "package": "bash"},
            ]}),
        ),
    ]
}

fn fleet() -> Vec<Sample> {
    vec![
        (
            "systems-of-all",
            "Debian 12|6.1|2|anna",
            json!({"os": [{"hostname": "x", "pretty_name": "Debian 12", "kernel": "6.1"}]}),
        ),
        (
            "package-versions",
            "cups|2.4.2|2|anna",
            json!({"packages": [{"name": "cups", "version": "2.4.2"}, {"name": "bash"}]}),
        ),
    ]
}

#[test]
fn queries_about_the_system_find_their_rows() {
    find(samples());
}
