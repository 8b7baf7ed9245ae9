//! smartctl(8) from version 7.0, which prints JSON of format 1.0 (smartmontools.org). Its exit status is a set of bits, of which the low
//! two say that there is no answer and the others what the answer is.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use deskside_proto::v1::DiskHealth;
use serde_json::Value;

use super::json::{degrees, flag, items, number, text};
use super::{ASLEEP, Answer, Smart, ata, nvme, scsi};
use crate::host::Host;

/// Most bytes of an answer that are read as JSON. Whole ones are 10 to 60 KiB.
const BYTES_MAX: usize = 1024 * 1024;

/// Most messages that are looked at.
const MESSAGES_MAX: usize = 16;

/// The bits of the exit status by name, from the lowest (smartctl(8), EXIT STATUS).
const EXIT_BITS: [&str; 8] = [
    "command-line",
    "open-failed",
    "command-failed",
    "disk-failing",
    "prefail-below-threshold",
    "below-threshold-in-the-past",
    "errors-logged",
    "self-test-failed",
];

/// The bits that mean that there is no answer.
const NO_ANSWER: u32 = 0b11;

/// What it says where it cannot reach a disk's health behind a bridge or a controller.
const NOT_REACHED: [&str; 4] =
    ["Unknown USB bridge", "Unable to detect device type", "specify device type with the -d option", "try adding '-d"];

/// Asks one disk. The disk is not woken (`-n standby`).
pub(super) fn ask(host: &dyn Host, disk: &str, time: Duration) -> anyhow::Result<Answer> {
    let device = format!("/dev/{disk}");
    let ran = host.run_shared("smartctl", &["--json=c", "-x", "-n", "standby", &device], time)?;
    let status = ran.status.context("smartctl was killed")?;
    ensure!(ran.stdout.len() <= BYTES_MAX, "smartctl said more than {BYTES_MAX} bytes");
    let json: Value =
        serde_json::from_slice(&ran.stdout).context("smartctl printed no JSON; version 7.0 or later is needed")?;
    read(disk, &json, u32::try_from(status).unwrap_or_default(), host.now_ms())
}

/// What an answer means.
pub(super) fn read(disk: &str, json: &Value, status: u32, now_ms: i64) -> anyhow::Result<Answer> {
    let messages: Vec<String> =
        items(json, "/smartctl/messages", MESSAGES_MAX).map(|message| text(message, "/string")).collect();
    let said = |part: &str| messages.iter().find(|message| message.contains(part));
    let mut health = DiskHealth {
        disk: disk.to_owned(),
        source: "smartctl".into(),
        exit_status: Some(status),
        exit_bits: exit_bits(status),
        protocol: text(json, "/device/protocol"),
        device_type: text(json, "/device/type"),
        model: model(json),
        ..DiskHealth::default()
    };
    if let Some(message) = said("mode, exit(") {
        health.state = ASLEEP.into();
        // The bit for "open failed" is meant otherwise here.
        health.exit_bits.clear();
        health.reason.clone_from(message);
        return Ok(Answer::Told(Box::new(Smart { health, ..Smart::default() })));
    }
    if let Some(message) = NOT_REACHED.iter().find_map(|part| said(part)) {
        health.state = "not supported".into();
        health.reason.clone_from(message);
        return Ok(Answer::Told(Box::new(Smart { health, ..Smart::default() })));
    }
    if said("Permission denied").or_else(|| said("Operation not permitted")).is_some() {
        return Ok(Answer::Denied);
    }
    if status & NO_ANSWER != 0 {
        bail!("smartctl ended with status {status}: {}", messages.join("; "));
    }
    let (state, reason) = match (flag(json, "/smart_support/available"), flag(json, "/smart_support/enabled")) {
        (Some(false), _) => ("not supported", "the disk has no SMART"),
        (_, Some(false)) => ("switched off", "SMART is switched off in the disk; `smartctl -s on` switches it on"),
        _ => ("read", ""),
    };
    health.state = state.into();
    health.reason = reason.into();
    health.passed = flag(json, "/smart_status/passed");
    health.temperature_celsius = degrees(json, "/temperature/current");
    health.temperature_limit_celsius = temperature_limit(json);
    health.power_on_hours = number(json, "/power_on_time/hours");
    health.power_cycles = number(json, "/power_cycle_count");
    health.read_ms = Some(now_ms);
    let mut smart = Smart { health, ..Smart::default() };
    match smart.health.protocol.as_str() {
        "NVMe" => nvme::read(json, &mut smart),
        "SCSI" => scsi::read(json, &mut smart),
        _ => ata::read(json, &mut smart),
    }
    Ok(Answer::Told(Box::new(smart)))
}

fn model(json: &Value) -> String {
    let models = ["/model_name", "/scsi_model_name"].map(|place| text(json, place));
    models.into_iter().find(|model| !model.is_empty()).unwrap_or_default()
}

/// Under the names that the three protocols have for it; 0 is not set.
fn temperature_limit(json: &Value) -> Option<i32> {
    let places = [
        "/temperature/drive_trip",
        "/temperature/op_limit_max",
        "/temperature/limit_max",
        "/nvme_composite_temperature_threshold/critical",
    ];
    places.iter().find_map(|place| degrees(json, place).filter(|limit| *limit > 0))
}

fn exit_bits(status: u32) -> Vec<String> {
    let bits = EXIT_BITS.iter().enumerate().filter(|(bit, _name)| status >> bit & 1 == 1);
    bits.map(|(_bit, name)| (*name).to_owned()).collect()
}
