//! Queries about queues, jobs and printers.

use serde_json::json;

use super::{HOUR, NOW, Sample, find};

pub(super) fn samples() -> Vec<Sample> {
    [queues(), history(), server(), devices()].concat()
}

fn queues() -> Vec<Sample> {
    let healthy = json!({"name": "attic", "state": "idle", "accepting_jobs": true, "device_uri": "ipp://new"});
    vec![
        (
            "queues-stopped",
            "hall",
            json!({"printers": [
                {"name": "hall", "state": "stopped", "accepting_jobs": true, "paused_by": "error"}, healthy,
            ]}),
        ),
        (
            "jobs-stuck",
            "not responding",
            json!({
                "print_jobs": [
                    {"id": 7, "printer": "hall", "state": "pending", "created_ms": NOW - HOUR},
                    {"id": 8, "printer": "hall", "state": "pending", "created_ms": NOW - 1_000},
                    {"id": 6, "printer": "hall", "state": "completed", "created_ms": NOW - HOUR},
                ],
                "printers": [{"name": "hall", "state": "processing", "state_message": "The printer is not responding."}],
            }),
        ),
        (
            "jobs-held",
            "auth-info-required",
            json!({"print_jobs": [
                {"id": 7, "printer": "hall", "state": "pending-held", "hold_until": "auth-info-required"},
                {"id": 8, "printer": "hall", "state": "pending", "hold_until": "no-hold"},
            ]}),
        ),
        (
            "jobs-lost",
            "cups-filter-crashed",
            json!({"print_jobs": [
                {"id": 7, "state": "completed", "state_reasons": ["cups-filter-crashed"]},
                {"id": 8, "state": "completed", "state_reasons": ["job-completed-successfully"]},
            ]}),
        ),
    ]
}

fn history() -> Vec<Sample> {
    vec![
        (
            "paper-jams",
            "hall|1",
            json!({"printers": [
                {"name": "hall", "state": "idle", "_ago_h": 5},
                {"name": "hall", "state": "stopped", "state_reasons": ["media-jam-error"], "_ago_h": 3},
                {"name": "hall", "state": "idle", "_ago_h": 2},
            ]}),
        ),
        (
            "queue-addresses-changed",
            "hall",
            json!({
                "printers": [
                    {"name": "hall", "device_uri": "ipp://old", "_ago_h": 9},
                    {"name": "hall", "device_uri": "ipp://new", "_ago_h": 2},
                ],
                "software_changes": [{"at_ms": NOW - 4 * HOUR, "action": "upgrade", "package": "cups"}],
            }),
        ),
        (
            "changes-since-update",
            "error_policy",
            json!({
                "printers": [
                    {"name": "hall", "error_policy": "retry-job", "device_uri": "a", "_ago_h": 9},
                    {"name": "hall", "error_policy": "retry-job", "device_uri": "b", "_ago_h": 6},
                    {"name": "hall", "error_policy": "stop-printer", "device_uri": "b", "_ago_h": 2},
                ],
                "software_changes": [{"at_ms": NOW - 4 * HOUR, "action": "upgrade", "package": "cups"}],
            }),
        ),
        (
            "what-changed",
            "printing|printers|hall|state|idle|stopped",
            json!({"printers": [
                {"name": "hall", "state": "idle", "_ago_h": 9}, {"name": "hall", "state": "stopped", "_ago_h": 2},
            ]}),
        ),
    ]
}

fn server() -> Vec<Sample> {
    vec![
        (
            "print-drivers",
            "Acme 2000|1.4",
            json!({"print_drivers": [
                {"queue": "hall", "kind": "ppd", "nickname": "Acme 2000", "file_version": "1.4"},
            ]}),
        ),
        (
            "drivers-broken",
            "rastertoacme",
            json!({"print_drivers": [
                {"queue": "hall", "missing_filters": ["rastertoacme"]}, {"queue": "attic"},
            ]}),
        ),
        (
            "print-errors",
            "returned status 1",
            json!({"print_errors": [
                {"queue": "hall", "program": "socket", "signature": "a", "example": "Backend returned status 1 (failed)"},
            ]}),
        ),
        ("print-spool", "|512", json!({"print_server": [{"answers": true, "spool_free_bytes": 512}]})),
        (
            "print-service-restarts",
            "cups.service",
            json!({"services": [
                {"name": "cups.service", "active_state": "active", "restarts": 4},
                {"name": "cups-browsed.service", "active_state": "active"},
                {"name": "ssh.service", "active_state": "failed"},
            ]}),
        ),
    ]
}

fn devices() -> Vec<Sample> {
    vec![
        (
            "printers-moved",
            "192.0.2.31",
            json!({"print_devices": [
                {"host": "192.0.2.30", "address_changed": true, "announced_addresses": ["192.0.2.31"]},
                {"host": "192.0.2.40", "address_changed": false},
            ]}),
        ),
        (
            "printers-silent",
            "timed out",
            json!({"print_devices": [
                {"host": "192.0.2.30", "reachable": false, "queue_port_state": "timed out"},
                {"host": "192.0.2.40", "reachable": true, "queue_port_state": "open"},
                {"host": "192.0.2.50"},
            ]}),
        ),
        (
            "paper-out",
            "Tray 2",
            json!({"print_trays": [
                {"host": "p", "index": "1", "name": "Tray 1", "empty": false},
                {"host": "p", "index": "2", "name": "Tray 2", "empty": true},
                {"host": "p", "index": "3", "name": "Tray 3"},
            ]}),
        ),
        (
            "printer-alerts",
            "Paper jam in tray 2",
            json!({
                "print_alerts": [{"host": "p", "index": "1", "severity": "critical", "description": "Paper jam in tray 2"}],
                "print_devices": [{"host": "p", "display": "JAM"}],
            }),
        ),
        (
            "supplies-low",
            "Black",
            json!({"print_supplies": [
                {"host": "p", "index": "1", "name": "Black", "percent_left": 7},
                {"host": "p", "index": "2", "name": "Cyan", "percent_left": 70, "low": false},
                {"host": "p", "index": "3", "name": "Waste", "percent_full": 20},
                {"host": "p", "index": "4", "name": "Magenta", "level_said": "some left"},
            ]}),
        ),
        (
            "supplies-of-all",
            "p|Black||AB-1|7|2",
            json!({"print_supplies": [
                {"host": "p", "index": "1", "name": "Black", "part_number": "AB-1", "percent_left": 7},
                {"host": "p", "index": "2", "name": "Waste", "receptacle": true, "percent_left": 1},
            ]}),
        ),
    ]
}

#[test]
fn queries_about_printing_find_their_rows() {
    find(samples());
}
