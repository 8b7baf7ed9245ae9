//! Rules about the board and what is plugged into it: memory, hardware errors, throttling, PCI and USB devices.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

fn with(table: &str, mut base: Value, more: &Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row(table, base)
}

fn kernel(message: &str) -> Value {
    row("log_events", json!({"at_ms": CHECKED_AT_MS - 1000, "program": "kernel", "priority": 4, "message": message}))
}

fn heat() -> Vec<Sample> {
    let cpu = |more: Value| {
        let base =
            json!({"driver": "intel_pstate", "limit_max_hz": 4_600_000_000_u64, "hardware_max_hz": 4_600_000_000_u64});
        with("cpu_throttling", base, &more)
    };
    vec![
        sample(
            "too-hot",
            kernel("thermal thermal_zone0: acpitz: critical temperature reached, shutting down"),
            "switched itself off",
            vec![
                kernel("CPU3: Core temperature above threshold, cpu clock throttled (total events = 1)"),
                kernel("CPU3: Core temperature/speed normal"),
            ],
        ),
        sample(
            "cpu-throttled",
            cpu(json!({"recent_throttled_ms": 120_000, "recent_throttles": 40, "watched_s": 3300})),
            "for 2 min of the last 55 min",
            vec![
                cpu(json!({"recent_throttled_ms": 900, "recent_throttles": 400, "watched_s": 3300})),
                cpu(json!({"core_throttled_ms": 900_000})),
                cpu(json!({})),
            ],
        ),
        sample(
            "cpu-throttled-often",
            cpu(json!({"recent_throttles": 400, "watched_s": 3300})),
            "400 times",
            vec![
                cpu(json!({"recent_throttled_ms": 900, "recent_throttles": 400})),
                cpu(json!({"recent_throttles": 3})),
                cpu(json!({"core_throttles": 4000})),
            ],
        ),
        sample(
            "cpu-limited",
            cpu(json!({"limit_max_hz": 800_000_000_u64})),
            "may run at 800 MHz and no faster",
            vec![
                cpu(json!({})),
                cpu(json!({"limit_max_hz": 2_900_000_000_u64})),
                row("cpu_throttling", json!({"limit_max_hz": 800_000_000_u64})),
            ],
        ),
    ]
}

fn hardware_errors() -> Vec<Sample> {
    let check = |more: Value| {
        let base = json!({"cpu": 4, "bank": 3, "kind": "cache", "severity": "corrected", "count": 9, "last_day": 9, "last_ms": 5});
        with("machine_checks", base, &more)
    };
    let memory = |more: Value| {
        with("memory_errors", json!({"controller": "mc0", "module": "dimm2", "label": "CPU_SrcID#0_DIMM#0"}), &more)
    };
    let link = |more: Value| {
        let base =
            json!({"address": "0000:01:00.0", "name": "Acme NVMe", "correctable": 9000, "nonfatal": 0, "fatal": 0});
        with("pcie_errors", base, &more)
    };
    vec![
        sample(
            "machine-check-uncorrected",
            check(json!({"severity": "fatal", "kind": "internal timer", "count": 1, "last_day": 0})),
            "Processor 4 reported a hardware error that could not be corrected: internal timer (1 times",
            vec![check(json!({})), check(json!({"count": 5000, "last_day": 5000}))],
        ),
        sample(
            "machine-check-corrected",
            check(json!({"cpu": null, "bank": null, "count": 30, "last_day": 10})),
            "The firmware corrected 10 hardware errors in the last day",
            vec![
                check(json!({})),
                check(json!({"count": 500, "last_day": 0})),
                check(json!({"severity": "fatal", "last_day": 12})),
            ],
        ),
        sample(
            "memory-errors-uncorrected",
            memory(json!({"uncorrected": 1, "corrected": 500})),
            "CPU_SrcID#0_DIMM#0 gave 1 errors",
            vec![memory(json!({"corrected": 500, "looks_with_more": 5})), memory(json!({}))],
        ),
        sample(
            "memory-errors-corrected",
            memory(json!({"label": "", "corrected": 12, "looks_with_more": 2})),
            "mc0 dimm2 keeps making errors: 12",
            vec![
                memory(json!({"corrected": 12, "looks_with_more": 1})),
                memory(json!({"corrected": 1})),
                memory(json!({"corrected": 500, "looks_with_more": 3, "uncorrected": 2})),
            ],
        ),
        sample("pcie-errors", link(json!({"fatal": 1})), "broke 1 times", vec![link(json!({"nonfatal": 3}))]),
        sample(
            "pcie-errors-storm",
            link(json!({"correctable_an_hour": 1726, "kinds": "RxErr 9000"})),
            "Acme NVMe (0000:01:00.0) makes 1726 errors an hour: RxErr 9000",
            vec![link(json!({"correctable_an_hour": 100})), link(json!({}))],
        ),
    ]
}

fn pci() -> Vec<Sample> {
    let device = |more: Value| {
        let base = json!({
            "address": "0000:02:00.0", "vendor": "Acme", "name": "Wireless", "id": "14c3:7961", "class": "Network controller",
            "class_id": "028000", "driver": "acmewifi", "needs_driver": true,
        });
        with("pci_devices", base, &more)
    };
    vec![
        sample(
            "device-without-driver",
            device(json!({"driver": ""})),
            "Acme Wireless has no driver",
            vec![device(json!({})), device(json!({"driver": "", "needs_driver": false, "class_id": "088000"}))],
        ),
        sample(
            "device-without-firmware",
            device(
                json!({"firmware_missing": ["rtl_nic/a.fw", "rtl_nic/b.fw"], "name": "", "problems": ["firmware not found"]}),
            ),
            "14c3:7961 has no firmware to load: rtl_nic/a.fw, rtl_nic/b.fw",
            vec![device(json!({}))],
        ),
        sample(
            "firmware-missing",
            kernel("bluetooth hci0: Direct firmware load for rtl_bt/rtl8761bu_fw.bin failed with error -2"),
            "rtl_bt/rtl8761bu_fw.bin",
            vec![
                kernel("platform regulatory.0: Direct firmware load for regulatory.db failed with error -2"),
                kernel("i915 0000:00:02.0: Direct firmware load for i915/x.bin failed with error -2"),
                kernel("i915: firmware loaded"),
            ],
        ),
        sample(
            "link-degraded",
            device(json!({
                "class_id": "010802", "link_width": 2, "link_width_max": 4, "port_width_max": 4, "link_gts": 8.0, "link_gts_max": 16.0,
                "port_gts_max": 8.0, "problems": ["link narrower than device and port"],
            })),
            "with 2 lanes",
            vec![
                device(json!({"link_width": 2, "link_width_max": 4, "port_width_max": 2})),
                device(json!({"problems": ["no driver"]})),
            ],
        ),
    ]
}

fn usb() -> Vec<Sample> {
    let device = |more: Value| {
        let base = json!({"port": "1-4.2", "present": true, "vendor": "Acme", "name": "Dock LAN", "id": "0bda:8153", "authorized": true});
        with("usb_devices", base, &more)
    };
    vec![
        sample(
            "usb-drops",
            device(json!({"disconnects_worst_hour": 3, "disconnects_last_day": 4})),
            "Acme Dock LAN on USB port 1-4.2 drops out (4 disconnections",
            vec![
                device(json!({"disconnects_worst_hour": 1, "disconnects_last_day": 9})),
                device(json!({"errors_last_day": 2})),
                device(json!({})),
            ],
        ),
        sample(
            "usb-over-current",
            row("usb_devices", json!({"port": "1-7", "over_currents": 6, "over_currents_last_day": 3})),
            "USB port 1-7 switched off because it had to give too much current (nothing now connected)",
            vec![device(json!({"over_currents": 6})), device(json!({"over_currents": 0}))],
        ),
        sample(
            "usb-not-authorized",
            device(json!({"authorized": false})),
            "Acme Dock LAN on USB port 1-4.2 is not let in",
            vec![device(json!({})), device(json!({"authorized": null}))],
        ),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [heat(), hardware_errors(), pci(), usb()].into_iter().flatten().collect()
}
