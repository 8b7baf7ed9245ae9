//! Queries about disks, memory, heat, batteries and what is plugged in.

use serde_json::json;

use super::{HOUR, NOW, Sample, find};

pub(super) fn samples() -> Vec<Sample> {
    [disks(), board(), heat_and_plugs()].concat()
}

fn disks() -> Vec<Sample> {
    let well = json!({"disk": "sdb", "passed": true, "reallocated_sectors": 0, "pending_sectors": 0, "critical_warning": 0,
        "percentage_used": 3, "interface_crc_errors": 0, "media_errors": 0});
    vec![
        (
            "disks-failing",
            "sda|",
            json!({"disk_health": [{"disk": "sda", "passed": true, "pending_sectors": 8}, well]}),
        ),
        ("disk-wear", "nvme0n1", json!({"disk_health": [{"disk": "nvme0n1", "percentage_used": 97}, well]})),
        (
            "disk-cables",
            "sda|",
            json!({"disk_health": [
                {"disk": "sda", "interface_crc_errors": 41, "reallocated_sectors": 0, "pending_sectors": 0},
                {"disk": "sdc", "interface_crc_errors": 41, "reallocated_sectors": 9}, well,
            ]}),
        ),
        (
            "disk-timeouts",
            "nvme0: I/O 12 QID 3 timeout",
            json!({"log_events": [
                {"at_ms": NOW - HOUR, "position": "1", "program": "kernel", "message": "nvme nvme0: I/O 12 QID 3 timeout", "_ago_h": 1},
                {"at_ms": NOW - HOUR, "position": "2", "program": "kernel", "message": "usb 1-1: new device", "_ago_h": 1},
                {"at_ms": NOW - HOUR, "position": "3", "program": "app", "message": "I/O error", "_ago_h": 1},
            ]}),
        ),
        (
            "file-systems-damaged",
            "/home",
            json!({"mounts": [
                {"mount_point": "/home", "remounted_read_only": true, "read_only": true},
                {"mount_point": "/usr", "read_only": true}, {"mount_point": "/", "errors": 0},
            ]}),
        ),
    ]
}

fn board() -> Vec<Sample> {
    vec![
        (
            "hardware-errors",
            "memory|corrected",
            json!({"machine_checks": [
                {"cpu": 0, "bank": 7, "kind": "memory", "severity": "corrected", "count": 12},
            ]}),
        ),
        (
            "memory-errors",
            "DIMM_A1",
            json!({"memory_errors": [
                {"controller": "mc0", "module": "dimm0", "label": "DIMM_A1", "corrected": 12},
                {"controller": "mc0", "module": "dimm1", "label": "DIMM_B1"},
            ]}),
        ),
        (
            "pcie-errors",
            "0000:04:00.0",
            json!({"pcie_errors": [
                {"address": "0000:04:00.0", "correctable_an_hour": 900, "fatal": 0, "nonfatal": 0},
                {"address": "0000:05:00.0", "correctable_an_hour": 1, "fatal": 0, "nonfatal": 0},
            ]}),
        ),
        (
            "sudden-ends",
            "cut_off",
            json!({"boots": [
                {"boot_id": "a", "ended": "cut_off", "last_ms": NOW - HOUR}, {"boot_id": "b", "ended": "clean"},
                {"boot_id": "c", "ended": "running"},
            ]}),
        ),
        (
            "throttled",
            "powersave",
            json!({"cpu_throttling": [
                {"recent_throttles": 14, "governor": "powersave", "limit_max_hz": 4_000_000_000_u64, "hardware_max_hz": 4_000_000_000_u64},
            ]}),
        ),
    ]
}

fn heat_and_plugs() -> Vec<Sample> {
    vec![
        (
            "hottest",
            "coretemp|Core 0||97",
            json!({"temperatures": [
                {"chip": "coretemp", "sensor": "temp1", "label": "Core 0", "temperature_celsius": 97.0, "_ago_h": 3},
                {"chip": "coretemp", "sensor": "temp1", "label": "Core 0", "temperature_celsius": 45.0, "_ago_h": 1},
            ]}),
        ),
        (
            "batteries-worn",
            "BAT0",
            json!({"batteries": [
                {"name": "BAT0", "health_percent": 61.0}, {"name": "BAT1", "health_percent": 97.0},
            ]}),
        ),
        (
            "graphics-hangs",
            "amdgpu",
            json!({"gpus": [
                {"address": "0000:01:00.0", "driver": "amdgpu", "hangs": 3}, {"address": "0000:00:02.0", "driver": "i915", "hangs": 0},
            ]}),
        ),
        (
            "usb-drops",
            "Dock",
            json!({"usb_devices": [
                {"port": "1-2", "name": "Dock", "disconnects_worst_hour": 5}, {"port": "1-3", "name": "Mouse", "present": true},
            ]}),
        ),
        (
            "drivers-missing",
            "iwlwifi-9000.ucode",
            json!({"pci_devices": [
                {"address": "0000:00:14.3", "needs_driver": true, "driver": "iwlwifi", "firmware_missing": ["iwlwifi-9000.ucode"]},
                {"address": "0000:00:1f.0", "needs_driver": false, "driver": ""},
            ]}),
        ),
    ]
}

#[test]
fn queries_about_hardware_find_their_rows() {
    find(samples());
}
