//! Rules about disks from within and about mounts.

use serde_json::{Value, json};

use super::{Sample, row, sample};

/// A healthy disk, with some things otherwise.
fn disk(more: Value) -> Value {
    let mut disk = json!({
        "disk": "sda", "state": "read", "protocol": "ATA", "model": "Acme", "passed": true, "reallocated_sectors": 0, "pending_sectors": 0,
        "offline_uncorrectable_sectors": 0, "reported_uncorrectable_errors": 0, "command_timeouts": 0, "interface_crc_errors": 0,
        "temperature_celsius": 38,
    });
    merge(&mut disk, more);
    row("disk_health", disk)
}

fn nvme(more: Value) -> Value {
    let mut disk = json!({
        "disk": "nvme0n1", "state": "read", "protocol": "NVMe", "model": "Acme", "passed": true, "critical_warning": 0,
        "available_spare_percent": 100, "available_spare_threshold_percent": 10, "percentage_used": 3, "media_errors": 0,
        "temperature_celsius": 45, "temperature_limit_celsius": 85, "error_log_entries": 2210,
    });
    merge(&mut disk, more);
    row("disk_health", disk)
}

#[expect(clippy::needless_pass_by_value, reason = "a made-up row reads best where it is used")]
fn merge(row: &mut Value, more: Value) {
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
}

/// A row of which nothing is known: asleep before it was ever read, or behind a bridge.
fn unknown() -> Value {
    row("disk_health", json!({"disk": "sdg", "state": "not supported"}))
}

fn healthy() -> Vec<Value> {
    vec![disk(json!({})), nvme(json!({})), unknown()]
}

fn and(more: Vec<Value>) -> Vec<Value> {
    [healthy(), more].concat()
}

fn verdicts() -> Vec<Sample> {
    vec![
        sample(
            "disk-failing",
            disk(json!({"passed": false})),
            "sda (Acme) says of itself",
            and(vec![nvme(json!({"passed": false}))]),
        ),
        sample(
            "disk-nvme-failing",
            nvme(json!({"critical_warning": 9, "passed": false})),
            "accepts no more writes",
            // QEMU's disk has no spare blocks and no threshold; heat is told elsewhere.
            and(vec![
                nvme(json!({"available_spare_percent": 0, "available_spare_threshold_percent": 0})),
                nvme(json!({"critical_warning": 2, "passed": false})),
            ]),
        ),
        sample(
            "disk-nvme-failing",
            nvme(json!({"available_spare_percent": 8})),
            "has used up its spare blocks",
            vec![nvme(json!({"available_spare_percent": 10}))],
        ),
        sample("disk-memory-backup-failed", nvme(json!({"critical_warning": 16})), "when power goes", healthy()),
        sample(
            "disk-too-hot",
            nvme(json!({"critical_warning": 2, "temperature_celsius": 86})),
            "too hot: 86",
            healthy(),
        ),
        sample(
            "disk-self-test-failed",
            disk(json!({"last_self_test": "Short: failed", "last_self_test_passed": false})),
            "failed its own test: Short: failed",
            and(vec![disk(json!({"last_self_test": "Short: aborted"})), disk(json!({"last_self_test_passed": true}))]),
        ),
        sample("disk-smart-off", disk(json!({"state": "switched off"})), "SMART is switched off", healthy()),
    ]
}

fn media() -> Vec<Sample> {
    vec![
        sample(
            "disk-unreadable-sectors",
            disk(json!({"pending_sectors": 8})),
            "8 sectors cannot be read",
            and(vec![
                disk(json!({"reallocated_sectors": 4, "reallocated_sectors_gained": 0})),
                disk(json!({"passed": false, "pending_sectors": 8})),
            ]),
        ),
        sample(
            "disk-unreadable-sectors",
            disk(json!({"reallocated_sectors": 24, "reallocated_sectors_gained": 3})),
            "24 were replaced",
            healthy(),
        ),
        sample(
            "disk-bad-sectors",
            disk(json!({"reallocated_sectors": 4, "reallocated_sectors_gained": 0})),
            "4 bad sectors replaced",
            and(vec![
                disk(json!({"reallocated_sectors": 4, "pending_sectors": 1})),
                disk(json!({"reallocated_sectors": 4, "passed": false})),
            ]),
        ),
        sample(
            "disk-bad-sectors",
            disk(json!({"protocol": "SCSI", "reallocated_sectors": null, "grown_defects": 12})),
            "12 bad",
            healthy(),
        ),
        sample(
            "disk-command-timeouts",
            disk(json!({"command_timeouts": 4})),
            "did not answer in time 4 times",
            and(vec![disk(json!({"command_timeouts": 4, "pending_sectors": 1}))]),
        ),
        sample(
            "disk-attribute-failed",
            attribute(json!({"when_failed": "now", "prefail": true}), true),
            "past its limit in Spin_Up_Time",
            vec![
                attribute(json!({}), true),
                attribute(json!({"when_failed": "past", "prefail": true}), true),
                // An age attribute, as the temperature of a machine in the sun.
                attribute(json!({"when_failed": "now"}), true),
                attribute(json!({"when_failed": "now", "prefail": true}), false),
                // Seagate's raw numbers.
                attribute(json!({"id": 1, "name": "Raw_Read_Error_Rate", "raw": 156_430_312, "prefail": true}), true),
            ],
        ),
        sample(
            "disk-media-errors",
            nvme(json!({"media_errors": 12, "media_errors_gained": 3})),
            "3 times in the last week",
            healthy(),
        ),
        sample(
            "disk-media-errors-past",
            nvme(json!({"media_errors": 12})),
            "12 times in its life",
            and(vec![
                nvme(json!({"media_errors": 12, "media_errors_gained": 3})),
                nvme(json!({"media_errors": 12, "critical_warning": 4})),
            ]),
        ),
    ]
}

fn attribute(more: Value, passed: bool) -> Value {
    let mut attribute = json!({"disk": "sda", "id": 3, "name": "Spin_Up_Time", "value": 4, "threshold": 21});
    merge(&mut attribute, more);
    json!({"disk_attributes": [attribute], "disk_health": [{"disk": "sda", "model": "Acme", "passed": passed}]})
}

fn log(message: &str) -> Value {
    row(
        "log_events",
        json!({"source": "journal", "position": "1", "program": "kernel", "priority": 3, "message": message}),
    )
}

fn wear_and_links() -> Vec<Sample> {
    vec![
        sample(
            "disk-worn-out",
            nvme(json!({"percentage_used": 103, "written_bytes": 364_697_825_792_000_u64})),
            "has used up the life that its maker promised: 103.0 %",
            and(vec![nvme(json!({"percentage_used": 99}))]),
        ),
        sample(
            "disk-wearing-out",
            nvme(json!({"percentage_used": 97})),
            "has used 97.0 % of its life",
            and(vec![nvme(json!({"percentage_used": 89})), nvme(json!({"percentage_used": 100}))]),
        ),
        sample(
            "disk-cable",
            disk(json!({"interface_crc_errors": 214, "interface_crc_errors_gained": 24})),
            "24 transfers in the last week",
            // A cable that was changed years ago; and a medium that fails by itself.
            and(vec![
                disk(json!({"interface_crc_errors": 214, "interface_crc_errors_gained": 0})),
                disk(json!({"interface_crc_errors": 214})),
                disk(json!({"interface_crc_errors_gained": 3, "pending_sectors": 1})),
            ]),
        ),
        sample(
            "disk-cable-in-log",
            log("ata1.00: error: { ICRC ABRT }"),
            "damaged between disk and machine (1 times",
            vec![log("ata1.00: error: { UNC }"), log("ata3: SATA link down (SStatus 0 SControl 300)")],
        ),
        sample(
            "disk-slow",
            row("disk_io", json!({"disk": "sda", "busy_percent": 96.7, "read_latency_ms": 1000.0})),
            "busy 96.7 %",
            vec![
                row("disk_io", json!({"disk": "sda", "busy_percent": 96.7, "read_latency_ms": 12.0})),
                row("disk_io", json!({"disk": "sda", "busy_percent": 3.0, "write_latency_ms": 900.0})),
                row("disk_io", json!({"disk": "sda"})),
            ],
        ),
    ]
}

fn mount(more: Value) -> Value {
    let mut mount = json!({
        "mount_point": "/data", "source": "/dev/sdb1", "type": "ext4", "mounted": true, "options": ["rw"], "in_fstab": true,
        "fstab_options": ["defaults"], "at_boot": true,
    });
    merge(&mut mount, more);
    row("mounts", mount)
}

fn mounts() -> Vec<Sample> {
    let twice = json!({"mounts": [
        {"mount_point": "/data", "source": "/dev/sdb1", "remounted_read_only": true},
        {"mount_point": "/srv/data", "source": "/dev/sdb1", "remounted_read_only": true},
    ]});
    vec![
        sample(
            "mount-remounted-read-only",
            twice,
            "/data may not be written to",
            vec![mount(json!({})), mount(json!({"read_only": true}))],
        ),
        sample(
            "mount-errors",
            mount(json!({"errors": 3, "last_error_ms": 1_768_400_000_000_i64})),
            "is damaged: 3 errors",
            vec![
                mount(json!({})),
                mount(json!({"errors": 0})),
                mount(json!({"errors": 3, "remounted_read_only": true})),
            ],
        ),
        sample(
            "mount-missing",
            mount(json!({"mounted": false})),
            "/data is not mounted",
            vec![
                mount(json!({})),
                mount(json!({"mounted": false, "at_boot": false})),
                mount(json!({"mounted": false, "fstab_options": ["defaults", "nofail"]})),
            ],
        ),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [verdicts(), media(), wear_and_links(), mounts()].into_iter().flatten().collect()
}
