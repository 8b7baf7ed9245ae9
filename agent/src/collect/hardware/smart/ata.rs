//! ATA disks: attributes, error log, self-test log and device statistics (ATA ACS, SMART feature set).

use deskside_proto::v1::{DiskAttribute, DiskError, DiskHealth, DiskSelfTest};
use serde_json::Value;

use super::json::{flag, items, number, small, text};
use super::{Smart, last_self_test};

/// Most attributes of a disk; the standard's table has 30.
const ATTRIBUTES_MAX: usize = 256;

/// Most entries of one log.
const ENTRIES_MAX: usize = 32;

/// Attributes whose normalised value is the share of life that is left, as makers name them.
const LIFE_LEFT: [&str; 6] = [
    "Percent_Lifetime_Remain",
    "SSD_Life_Left",
    "Remaining_Lifetime_Perc",
    "Media_Wearout_Indicator",
    "Wear_Leveling_Count",
    "Drive_Life_Remaining%",
];

pub(super) fn read(json: &Value, smart: &mut Smart) {
    let disk = smart.health.disk.clone();
    smart.attributes = attributes(json, &disk);
    smart.self_tests = self_tests(json, &disk);
    smart.errors = errors(json, &disk);
    counts(&smart.attributes, &mut smart.health);
    let statistic = |page: u64, name: &str| statistic(json, page, name);
    let life_left = smart.attributes.iter().find(|attribute| LIFE_LEFT.contains(&attribute.name.as_str()));
    let life_left = life_left.and_then(|attribute| attribute.value).filter(|left| *left <= 100);
    let health = &mut smart.health;
    health.percentage_used = small(json, "/endurance_used/current_percent")
        .or_else(|| statistic(7, "Percentage Used Endurance Indicator").and_then(|used| u32::try_from(used).ok()))
        .or_else(|| life_left.map(|left| 100 - left));
    health.available_spare_percent = small(json, "/spare_available/current_percent");
    health.available_spare_threshold_percent = small(json, "/spare_available/threshold_percent");
    let sector = number(json, "/logical_block_size").unwrap_or(512);
    let bytes = |name: &str| statistic(1, name).map(|sectors| sectors.saturating_mul(sector));
    health.read_bytes = bytes("Logical Sectors Read");
    health.written_bytes = bytes("Logical Sectors Written");
    health.logged_errors = log(json, "ata_smart_error_log").and_then(|log| number(log, "/count"));
    health.self_test_remaining_percent = small(json, "/ata_smart_data/self_test/status/remaining_percent");
    let newest = log(json, "ata_smart_self_test_log").and_then(|log| log.pointer("/table/0"));
    last_self_test(health, newest.and_then(|entry| self_test(entry, &disk)));
}

/// The counts that rules judge by, out of the attributes of smartctl or udisks2.
pub(super) fn counts(attributes: &[DiskAttribute], health: &mut DiskHealth) {
    let count = |id: u32| attributes.iter().find(|attribute| attribute.id == id).and_then(counted);
    health.reallocated_sectors = count(5);
    health.spin_retries = count(10);
    health.reported_uncorrectable_errors = count(187);
    // Some makers pack three counters of 16 bits into it; the lowest is the one that is meant.
    let timeouts = attributes.iter().find(|attribute| attribute.id == 188).and_then(|attribute| attribute.raw);
    health.command_timeouts = timeouts.map(|raw| raw & 0xffff);
    health.pending_sectors = count(197);
    health.offline_uncorrectable_sectors = count(198);
    health.interface_crc_errors = count(199);
}

/// The number that the tool reads out of the raw bytes: "0 (2000 0)" is none, though the bytes hold more than that.
fn counted(attribute: &DiskAttribute) -> Option<u64> {
    let first = attribute.raw_text.split(' ').next().and_then(|text| text.parse().ok());
    first.or(attribute.raw)
}

fn attributes(json: &Value, disk: &str) -> Vec<DiskAttribute> {
    let rows = items(json, "/ata_smart_attributes/table", ATTRIBUTES_MAX).filter_map(|entry| {
        Some(DiskAttribute {
            disk: disk.to_owned(),
            id: small(entry, "/id")?,
            name: text(entry, "/name"),
            value: small(entry, "/value"),
            worst: small(entry, "/worst"),
            threshold: small(entry, "/thresh"),
            raw: number(entry, "/raw/value"),
            raw_text: text(entry, "/raw/string"),
            when_failed: text(entry, "/when_failed"),
            prefail: flag(entry, "/flags/prefailure").unwrap_or_default(),
            updated_online: flag(entry, "/flags/updated_online").unwrap_or_default(),
        })
    });
    rows.collect()
}

/// A log in its larger form, else in its smaller one.
fn log<'a>(json: &'a Value, name: &str) -> Option<&'a Value> {
    let log = json.get(name)?;
    ["extended", "summary", "standard"].iter().find_map(|form| log.get(form))
}

fn self_tests(json: &Value, disk: &str) -> Vec<DiskSelfTest> {
    let log = log(json, "ata_smart_self_test_log").unwrap_or(&Value::Null);
    super::folded(items(log, "/table", ENTRIES_MAX).filter_map(|entry| self_test(entry, disk)))
}

fn self_test(entry: &Value, disk: &str) -> Option<DiskSelfTest> {
    Some(DiskSelfTest {
        disk: disk.to_owned(),
        power_on_hours: number(entry, "/lifetime_hours")?,
        r#type: text(entry, "/type/string"),
        status: text(entry, "/status/string"),
        passed: flag(entry, "/status/passed"),
        first_bad_lba: number(entry, "/lba"),
        times: 1,
    })
}

fn errors(json: &Value, disk: &str) -> Vec<DiskError> {
    let log = log(json, "ata_smart_error_log").unwrap_or(&Value::Null);
    let rows = items(log, "/table", ENTRIES_MAX).filter_map(|entry| {
        Some(DiskError {
            disk: disk.to_owned(),
            number: number(entry, "/error_number")?,
            power_on_hours: number(entry, "/lifetime_hours"),
            description: text(entry, "/error_description"),
            command: text(entry, "/previous_commands/0/command_name"),
            lba: number(entry, "/completion_registers/lba"),
        })
    });
    rows.collect()
}

/// A number of the device statistics (ACS-3, log 04h) by the page and the name that smartctl gives it, where the disk says that it is valid.
fn statistic(json: &Value, page: u64, name: &str) -> Option<u64> {
    let mut pages = items(json, "/ata_device_statistics/pages", ENTRIES_MAX);
    let page = pages.find(|entry| number(entry, "/number") == Some(page))?;
    let mut entries = items(page, "/table", ATTRIBUTES_MAX);
    let entry = entries.find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
    (flag(entry, "/flags/valid") != Some(false)).then(|| number(entry, "/value"))?
}
