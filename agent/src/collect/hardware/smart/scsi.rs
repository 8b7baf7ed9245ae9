//! SCSI and SAS disks: defects, error counters and self-tests of their log pages (SPC, SBC).

use deskside_proto::v1::DiskSelfTest;
use serde_json::Value;

use super::json::{flag, number, small, text};
use super::{Smart, last_self_test};

/// Entries of the self-test log (SPC-3, 7.2.10).
const SELF_TESTS: usize = 20;

/// The counters of the error log.
const COUNTERS: [&str; 3] = ["read", "write", "verify"];

pub(super) fn read(json: &Value, smart: &mut Smart) {
    let disk = smart.health.disk.clone();
    let health = &mut smart.health;
    health.grown_defects = number(json, "/scsi_grown_defect_list");
    let uncorrected = |name: &&str| number(json, &format!("/scsi_error_counter_log/{name}/total_uncorrected_errors"));
    health.uncorrected_errors = COUNTERS.iter().filter_map(uncorrected).reduce(u64::saturating_add);
    let bytes = |name: &str| {
        let gigabytes = text(json, &format!("/scsi_error_counter_log/{name}/gigabytes_processed"));
        // What is too large for the column becomes its largest number.
        gigabytes.parse::<f64>().ok().filter(|number| *number >= 0.0).map(|number| (number * 1e9) as u64)
    };
    health.read_bytes = bytes("read");
    health.written_bytes = bytes("write");
    health.percentage_used = small(json, "/scsi_percentage_used_endurance_indicator");
    let cycles = number(json, "/scsi_start_stop_cycle_counter/accumulated_start_stop_cycles");
    health.power_cycles = health.power_cycles.or(cycles);
    let tests: Vec<DiskSelfTest> = (0..SELF_TESTS)
        .map_while(|place| json.get(format!("scsi_self_test_{place}")))
        .filter_map(|entry| self_test(entry, &disk))
        .collect();
    last_self_test(health, tests.first().cloned());
    smart.self_tests = super::folded(tests);
}

fn self_test(entry: &Value, disk: &str) -> Option<DiskSelfTest> {
    if flag(entry, "/self_test_in_progress") == Some(true) {
        return None;
    }
    let passed = match number(entry, "/result/value")? {
        0 => Some(true),
        3..=7 => Some(false),
        _ => None,
    };
    Some(DiskSelfTest {
        disk: disk.to_owned(),
        power_on_hours: number(entry, "/power_on_time/hours")?,
        r#type: text(entry, "/code/string"),
        status: text(entry, "/result/string"),
        passed,
        first_bad_lba: number(entry, "/lba_first_failure/value"),
        times: 1,
    })
}
