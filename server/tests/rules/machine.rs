//! Rules about hardware, system, logs and Deskside itself.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

fn filesystem(used_percent: f64, available_bytes: u64, more: &Value) -> Value {
    let mut row = json!({
        "mount_point": "/home", "source": "/dev/sda2", "type": "ext4", "total_bytes": 100 * GIB,
        "available_bytes": available_bytes, "used_percent": used_percent,
    });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "filesystems": [row] })
}

/// The same message so many times, a second apart.
fn log(times: i64, program: &str, priority: u8, message: &str) -> Value {
    let line = |second: i64| {
        json!({
            "at_ms": CHECKED_AT_MS - second * 1_000, "source": "journal", "position": second.to_string(),
            "program": program, "priority": priority, "message": message,
        })
    };
    json!({ "log_events": (0..times).map(line).collect::<Vec<_>>() })
}

fn kernel(message: &str) -> Value {
    log(1, "kernel", 4, message)
}

fn processes(count: usize, state: &str) -> Value {
    let row = |pid: usize| json!({"pid": pid + 10, "parent_pid": 4, "name": "rsync", "state": state});
    json!({ "processes": (0..count).map(row).collect::<Vec<_>>() })
}

fn filesystems() -> Vec<Sample> {
    let snap = json!({"type": "squashfs", "mount_point": "/snap/x"});
    vec![
        sample(
            "filesystem-full",
            filesystem(99.5, GIB / 2, &json!({})),
            "/home is full: 512.0 MiB left",
            vec![
                filesystem(98.0, 2 * GIB, &json!({})),
                filesystem(100.0, 0, &snap),
                filesystem(100.0, 0, &json!({"read_only": true})),
            ],
        ),
        sample(
            "filesystem-nearly-full",
            filesystem(96.0, 4 * GIB, &json!({})),
            "/home is 96.0 % full: 4.0 GiB left",
            vec![
                filesystem(99.5, GIB / 2, &json!({})),
                filesystem(96.0, 400 * GIB, &json!({})),
                filesystem(60.0, 40 * GIB, &json!({})),
            ],
        ),
        sample(
            "filesystem-inodes",
            filesystem(40.0, 60 * GIB, &json!({"inodes_total": 1000, "inodes_free": 49})),
            "49 inodes left of 1000",
            vec![
                filesystem(40.0, 60 * GIB, &json!({"inodes_total": 1000, "inodes_free": 51})),
                filesystem(40.0, 60 * GIB, &json!({"inodes_total": 0, "inodes_free": 0})),
                filesystem(40.0, 60 * GIB, &json!({})),
            ],
        ),
    ]
}

fn services_and_software() -> Vec<Sample> {
    vec![sample(
        "packages-broken",
        json!({"packages": [
            {"name": "vim", "status": "half-configured"}, {"name": "gone", "status": "config-files"}, {"name": "ok"},
        ]}),
        "Software is half installed: vim (half-configured)",
        vec![row("packages", json!({"name": "ok", "status": ""})), row("packages", json!({"status": "config-files"}))],
    )]
}

fn memory(available: u64, swap_used: u64) -> Value {
    row(
        "memory",
        json!({
            "total_bytes": 8 * GIB, "available_bytes": available, "swap_total_bytes": GIB, "swap_used_bytes": swap_used,
        }),
    )
}

fn load(more: &Value) -> Value {
    let mut load = json!({"load_1": 1.0, "load_5": 1.0, "load_15": 1.0, "processors": 4});
    load.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row("load", load)
}

fn use_of_the_machine() -> Vec<Sample> {
    let hog = |resident: u64| json!({"processes": [{"name": "java", "pid": 9, "resident_bytes": resident}], "memory": [{"total_bytes": 8 * GIB}]});
    let quiet = || load(&json!({}));
    vec![
        sample("memory-short", memory(200 * MIB, 0), "200.0 MiB available of 8.0 GiB", vec![memory(GIB, GIB)]),
        sample("swap-full", memory(GIB, GIB), "Swap is full", vec![memory(4 * GIB, GIB), memory(GIB, GIB / 2)]),
        sample(
            "memory-pressure",
            load(&json!({"memory_full_60": 12.5})),
            "waits for memory 12.5 %",
            vec![quiet(), load(&json!({"memory_full_60": 10.0, "memory_some_60": 90.0}))],
        ),
        sample("disk-pressure", load(&json!({"io_full_60": 35.0})), "waits for a disk 35.0 %", vec![quiet()]),
        sample(
            "cpu-pressure",
            load(&json!({"cpu_some_60": 70.0, "load_5": 9.0})),
            "70.0 % of the time",
            vec![quiet(), load(&json!({"cpu_some_60": 70.0}))],
        ),
        sample(
            "load-high",
            load(&json!({"load_15": 13.0})),
            "on 4 processors",
            vec![quiet(), load(&json!({"load_15": 13.0, "cpu_some_60": 80.0}))],
        ),
        sample("processes-wait-for-disk", processes(3, "D"), "3 processes stand still", vec![processes(2, "D")]),
        sample(
            "processes-not-collected",
            processes(3, "Z"),
            "Process 4 leaves",
            vec![processes(2, "Z"), processes(9, "S")],
        ),
        sample("process-takes-memory", hog(5 * GIB), "java holds 5.0 GiB", vec![hog(3 * GIB)]),
        sample(
            "cpu-waits-for-disk",
            row("cpu", json!({"iowait_percent": 55.0})),
            "55.0 %",
            vec![row("cpu", json!({"iowait_percent": 5.0})), row("cpu", json!({}))],
        ),
        sample(
            "cpu-stolen",
            row("cpu", json!({"steal_percent": 30.0})),
            "takes 30.0 %",
            vec![row("cpu", json!({"steal_percent": 3.0})), row("cpu", json!({}))],
        ),
    ]
}

fn disk(more: &Value) -> Value {
    let mut disk = json!({"name": "sda", "model": "Acme", "state": "running", "transport": "sata"});
    disk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row("disks", disk)
}

fn hardware() -> Vec<Sample> {
    vec![
        sample("disk-offline", disk(&json!({"state": "offline"})), "sda (Acme) is offline", vec![disk(&json!({}))]),
        sample(
            "disk-read-only",
            disk(&json!({"read_only": true})),
            "accepts no more writes",
            vec![disk(&json!({})), disk(&json!({"read_only": true, "transport": "usb", "removable": true}))],
        ),
    ]
}

fn hardware_in_the_log() -> Vec<Sample> {
    vec![
        sample(
            "disk-errors-in-log",
            kernel("blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ)"),
            "could not read or write a disk (1 times",
            vec![kernel("blk_update_request: I/O error, dev fd0, sector 0"), log(1, "dd", 3, "I/O error, dev sda")],
        ),
        sample(
            "disk-resets-in-log",
            kernel("nvme nvme0: I/O 12 QID 3 timeout, aborting"),
            "was reset (1 times",
            vec![kernel("nvme nvme0: 8/0/0 default/read/poll queues")],
        ),
    ]
}

fn system_in_the_log() -> Vec<Sample> {
    vec![
        sample(
            "filesystem-errors-in-log",
            kernel("EXT4-fs error (device sda2): ext4_find_entry:1455: inode #2"),
            "A file system is damaged: EXT4-fs error",
            vec![kernel("EXT4-fs (sda2): mounted filesystem with ordered data mode")],
        ),
        sample(
            "tasks-hung",
            kernel("INFO: task rsync:812 blocked for more than 120 seconds."),
            "rsync:812",
            vec![kernel("task rsync finished")],
        ),
        sample(
            "no-space-in-log",
            log(2, "cupsd", 3, "write: No space left on device"),
            "cupsd had no room to write (2 times",
            vec![log(2, "cupsd", 3, "space left")],
        ),
        sample(
            "certificate-errors-in-log",
            log(1, "curl", 4, "SSL certificate problem: certificate has expired"),
            "curl does not accept a certificate",
            vec![log(1, "curl", 4, "certificate renewed")],
        ),
        sample("log-alarms", log(1, "raidd", 1, "array degraded"), "raidd raised an alarm", vec![log(9, "x", 3, "no")]),
        sample(
            "log-errors",
            log(3, "sssd", 3, "cannot contact any KDC"),
            "sssd logged 3 errors in the last day; the latest: cannot contact any KDC",
            vec![log(2, "sssd", 3, "cannot"), log(9, "sssd", 4, "cannot")],
        ),
    ]
}

fn deskside() -> Vec<Sample> {
    let device = |row: Value| json!({ "device": [row] });
    let clock = |offset: i64| device(json!({"connected": true, "clock_offset_ms": offset}));
    vec![
        sample("clock-wrong", clock(-400_000), "off by 6 min", vec![clock(300_000), clock(0)]),
        sample("clock-off", clock(9_000), "off by 9 s", vec![clock(-5_000), clock(400_000)]),
        sample("device-off", device(json!({"connected": false})), "is off", vec![device(json!({"connected": true}))]),
        sample("readings-lost", device(json!({"lost": 3})), "3 readings were lost", vec![device(json!({"lost": 0}))]),
        sample(
            "looks-timed-out",
            row("agent", json!({"timed_out": 5})),
            "5 looks",
            vec![row("agent", json!({"timed_out": 4}))],
        ),
        sample("record-damaged", row("agent", json!({"set_aside": 1})), "(1 times)", vec![row("agent", json!({}))]),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [
        filesystems(),
        services_and_software(),
        use_of_the_machine(),
        hardware(),
        hardware_in_the_log(),
        system_in_the_log(),
        deskside(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
