//! Disks of NVM Express: the SMART / health log (page 02h), the error log (01h) and the self-test log (06h) of its base specification.

use deskside_proto::v1::{DiskError, DiskSelfTest};
use serde_json::Value;

use super::json::{items, number, small, text};
use super::{Smart, last_self_test};

/// Most entries of one log.
const ENTRIES_MAX: usize = 32;

/// Bytes of a data unit: a thousand times 512.
const DATA_UNIT_BYTES: u64 = 512_000;

/// The bits of the critical warning, from the lowest.
const CRITICAL_WARNINGS: [&str; 6] = [
    "spare-below-threshold",
    "temperature",
    "reliability-degraded",
    "media-read-only",
    "volatile-memory-backup-failed",
    "persistent-memory-unreliable",
];

pub(super) fn read(json: &Value, smart: &mut Smart) {
    let disk = smart.health.disk.clone();
    let log = json.get("nvme_smart_health_information_log").unwrap_or(&Value::Null);
    let count = |name: &str| number(log, &format!("/{name}"));
    let health = &mut smart.health;
    health.critical_warning = small(log, "/critical_warning");
    health.critical_warnings = critical_warnings(health.critical_warning.unwrap_or_default());
    health.available_spare_percent = small(log, "/available_spare");
    health.available_spare_threshold_percent = small(log, "/available_spare_threshold");
    health.percentage_used = small(log, "/percentage_used");
    health.unsafe_shutdowns = count("unsafe_shutdowns");
    health.media_errors = count("media_errors");
    health.error_log_entries = count("num_err_log_entries");
    health.read_bytes = count("data_units_read").map(|units| units.saturating_mul(DATA_UNIT_BYTES));
    health.written_bytes = count("data_units_written").map(|units| units.saturating_mul(DATA_UNIT_BYTES));
    // Since smartctl 7.4; before it these logs are not in its JSON.
    let tests = || items(json, "/nvme_self_test_log/table", ENTRIES_MAX).filter_map(|entry| self_test(entry, &disk));
    last_self_test(health, tests().next());
    let completed = small(json, "/nvme_self_test_log/current_self_test_completion_percent");
    health.self_test_remaining_percent = completed.and_then(|percent| 100_u32.checked_sub(percent));
    smart.self_tests = super::folded(tests());
    smart.errors = errors(json, &disk);
}

fn critical_warnings(byte: u32) -> Vec<String> {
    let bits = CRITICAL_WARNINGS.iter().enumerate().filter(|(bit, _name)| byte >> bit & 1 == 1);
    bits.map(|(_bit, name)| (*name).to_owned()).collect()
}

fn self_test(entry: &Value, disk: &str) -> Option<DiskSelfTest> {
    let passed = match number(entry, "/self_test_result/value")? {
        0 => Some(true),
        // Failed, in a segment that is known or not.
        5..=7 => Some(false),
        _ => None,
    };
    Some(DiskSelfTest {
        disk: disk.to_owned(),
        power_on_hours: number(entry, "/power_on_hours")?,
        r#type: text(entry, "/self_test_code/string"),
        status: text(entry, "/self_test_result/string"),
        passed,
        first_bad_lba: number(entry, "/lba").or_else(|| number(entry, "/lba/value")),
        times: 1,
    })
}

fn errors(json: &Value, disk: &str) -> Vec<DiskError> {
    let rows = items(json, "/nvme_error_information_log/table", ENTRIES_MAX).filter_map(|entry| {
        Some(DiskError {
            disk: disk.to_owned(),
            number: number(entry, "/error_count")?,
            description: text(entry, "/status_field/string"),
            lba: number(entry, "/lba/value"),
            ..DiskError::default()
        })
    });
    rows.collect()
}
