//! The clock: who keeps it right (chrony, systemd-timesyncd, ntpd), and how far off it is by their word.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::TimeSync;
use jiff::Timestamp;
use serde_json::Value;

use super::{ntp, zone};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const TIME_SYNC: Collector =
    Collector { table: TimeSync::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(15)), look };

/// systemd-timesyncd's folder while it runs; it makes a file "synchronized" in it once it is.
const TIMESYNC: &str = "/run/systemd/timesync";

const RTC: &str = "/sys/class/rtc/rtc0/since_epoch";

#[expect(clippy::unnecessary_wraps, reason = "it has the form of all looks, and tells of each part that fails")]
fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut missing = Vec::new();
    let mut row = match service(host) {
        Ok(row) => row.unwrap_or_default(),
        Err(error) => {
            missing.push(format!("{error:#}"));
            TimeSync::default()
        }
    };
    if host.list("/run/systemd/system").is_ok() {
        match host.run("timedatectl", &["show", "--no-pager"]) {
            Ok(ran) if ran.status == Some(0) => timedated_into(&String::from_utf8_lossy(&ran.stdout), &mut row),
            Ok(ran) => missing.push(format!("timedatectl: {}", String::from_utf8_lossy(&ran.stderr).trim())),
            Err(error) => missing.push(format!("timedatectl: {error}")),
        }
    }
    if row.service == "systemd-timesyncd" && row.kernel_synchronized == Some(false) {
        row.synchronized = Some(false);
    }
    // Why not of systemd-timesyncd: it tells what it last measured, and has set the clock by it since.
    let now = row.offset_ms.filter(|_ms| row.service != "systemd-timesyncd");
    row.offset_s = now.map(|ms| (ms / 1_000.0) as i64);
    rtc_into(host, &mut row);
    if row.time_zone.is_empty() {
        let named = host.link("/etc/localtime").ok();
        let named = named.and_then(|link| link.split_once("zoneinfo/").map(|(_folder, zone)| zone.to_owned()));
        row.time_zone = named.or_else(|| host.line("/etc/timezone")).unwrap_or_default();
    }
    let mut rows = Rows::one(row);
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// The first service that answers.
fn service(host: &dyn Host) -> anyhow::Result<Option<TimeSync>> {
    if let Some(row) = ntp::chrony(host)? {
        return Ok(Some(row));
    }
    if let Some(row) = timesyncd(host)? {
        return Ok(Some(row));
    }
    ntp::ntpd(host)
}

fn timesyncd(host: &dyn Host) -> anyhow::Result<Option<TimeSync>> {
    let names = match host.list(TIMESYNC) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        names => names.with_context(|| format!("listing {TIMESYNC}"))?,
    };
    let mut row = TimeSync {
        service: "systemd-timesyncd".into(),
        synchronized: Some(names.iter().any(|name| name == "synchronized")),
        ..TimeSync::default()
    };
    let name = "org.freedesktop.timesync1";
    let place = "/org/freedesktop/timesync1";
    let interface = "org.freedesktop.timesync1.Manager";
    let arguments = ["--system", "--json=short", "get-property", name, place, interface, "ServerName", "NTPMessage"];
    let ran = host.run("busctl", &arguments).context("running busctl")?;
    let complaint = String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status == Some(0), "busctl ended with {:?}: {}", ran.status, complaint.trim());
    message_into(&String::from_utf8_lossy(&ran.stdout), &mut row)?;
    Ok(Some(row))
}

/// A line a property. `NTPMessage` is (leap, version, mode, stratum, precision, root delay, root dispersion, reference, origin,
/// receive, transmit, destination, ignored, packets, jitter), times in microseconds (org.freedesktop.timesync1(5)).
fn message_into(told: &str, row: &mut TimeSync) -> anyhow::Result<()> {
    let mut lines = told.lines().map(serde_json::from_str::<Value>);
    let mut next = || lines.next().context("a property is missing")?.context("a property is no JSON");
    let (server, message) = (next()?, next()?);
    server.get("data").and_then(Value::as_str).unwrap_or_default().clone_into(&mut row.source);
    let field = |place: usize| message.get("data").and_then(|data| data.get(place)).and_then(Value::as_i64);
    // Before the first answer all fields are zero.
    let Some(destination) = field(11).filter(|micros| *micros > 0) else { return Ok(()) };
    row.stratum = field(3).and_then(|stratum| u32::try_from(stratum).ok());
    row.root_delay_ms = field(5).map(|micros| micros as f64 / 1e3);
    row.root_dispersion_ms = field(6).map(|micros| micros as f64 / 1e3);
    row.last_sync_ms = Some(destination / 1_000);
    if let (Some(origin), Some(receive), Some(transmit)) = (field(8), field(9), field(10)) {
        // RFC 5905, section 8.
        let there = receive.saturating_sub(origin);
        let back = transmit.saturating_sub(destination);
        row.offset_ms = Some(there.saturating_add(back) as f64 / 2e3);
    }
    Ok(())
}

/// Lines "Key=value" of `timedatectl show`.
fn timedated_into(told: &str, row: &mut TimeSync) {
    let value = |key: &str| told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let flag = |key: &str| value(key).map(|word| word == "yes");
    row.kernel_synchronized = flag("NTPSynchronized");
    row.ntp_enabled = flag("NTP");
    row.rtc_local = flag("LocalRTC");
    value("Timezone").unwrap_or_default().clone_into(&mut row.time_zone);
}

/// The hardware clock, which some machines lack.
fn rtc_into(host: &dyn Host, row: &mut TimeSync) {
    // `adjtime_config(5)`: the third line is UTC or LOCAL.
    let adjtime = host.text("/etc/adjtime").ok();
    let written = adjtime.as_deref().and_then(|text| text.lines().nth(2)).map(|word| word.trim() == "LOCAL");
    row.rtc_local = row.rtc_local.or(written);
    let shown = host.line(RTC).and_then(|text| text.parse::<i64>().ok());
    let now = Timestamp::from_millisecond(host.now_ms()).ok();
    if let (Some(shown), Some(now)) = (shown, now) {
        let local = row.rtc_local == Some(true);
        let shift = if local { i64::from(zone::of(host).to_offset(now).seconds()) } else { 0 };
        row.rtc_ahead_s = shown.checked_sub(now.as_second()).and_then(|ahead| ahead.checked_sub(shift));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(origin: i64, receive: i64, transmit: i64, destination: i64) -> String {
        format!(
            "{{\"type\":\"s\",\"data\":\"ntp.example\"}}\n{{\"type\":\"(uuuuittayttttbtt)\",\"data\":[0,4,4,2,-24,15640,30776,\
             [192,0,2,1],{origin},{receive},{transmit},{destination},false,1,0]}}\n"
        )
    }

    #[test]
    fn the_offset_is_reckoned_from_the_four_times() {
        let mut row = TimeSync::default();
        let second = 1_000_000;
        message_into(&message(10 * second, 410 * second, 411 * second, 12 * second), &mut row).unwrap();
        assert_eq!(row.offset_ms, Some(399_500.0));
        assert_eq!((row.source.as_str(), row.stratum, row.root_delay_ms), ("ntp.example", Some(2), Some(15.64)));
        assert_eq!(row.last_sync_ms, Some(12_000));
    }

    #[test]
    fn before_the_first_answer_nothing_is_known() {
        let mut row = TimeSync::default();
        message_into(&message(0, 0, 0, 0), &mut row).unwrap();
        assert_eq!((row.offset_ms, row.stratum, row.last_sync_ms), (None, None, None));
        assert!(message_into("{}\n", &mut row).is_err());
        message_into(&message(i64::MIN, i64::MAX, i64::MAX, 1), &mut row).unwrap();
    }

    #[test]
    fn timedated_tells_what_the_kernel_holds() {
        let mut row = TimeSync::default();
        timedated_into("Timezone=Europe/Berlin\nLocalRTC=no\nCanNTP=yes\nNTP=yes\nNTPSynchronized=no\n", &mut row);
        assert_eq!((row.kernel_synchronized, row.ntp_enabled, row.rtc_local), (Some(false), Some(true), Some(false)));
        assert_eq!(row.time_zone, "Europe/Berlin");
    }
}
