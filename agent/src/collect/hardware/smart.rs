//! What disks say of their own health, asked once for several tables: by smartctl where it may, else by udisks2.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::rows::Row;
use deskside_proto::v1::{DiskAttribute, DiskError, DiskHealth, DiskSelfTest};

use super::disks::{BLOCK, names, transport};
use crate::collect::Rows;
use crate::host::{Before, Host};

mod ata;
mod json;
mod nvme;
mod scsi;
mod smartctl;
#[cfg(test)]
mod tests;
mod udisks;

/// How long all disks together may take. Why: what is done when the look's own deadline comes is lost, for healthy disks too.
const LOOK_MAX: Duration = Duration::from_secs(8);

/// How long one disk may take. A failing one may not answer for minutes.
const DISK_MAX: Duration = Duration::from_secs(5);

/// Time below which a disk is not begun.
const DISK_MIN: Duration = Duration::from_millis(500);

/// A disk that is not woken to be asked.
pub(super) const ASLEEP: &str = "asleep";

/// Connections whose disks have a health of their own. A hypervisor's disks have none; eMMC keeps its in another way.
const OWN_HEALTH: [&str; 5] = ["nvme", "sata", "sas", "scsi", "usb"];

/// What would allow smartctl to ask.
const ALLOWED_BY: &str = "smartctl may not ask; root may, or a user with CAP_SYS_RAWIO and CAP_SYS_ADMIN in the group disk; or install \
                          udisks2, which anybody may ask";

/// What would make it possible at all.
const INSTALL: &str =
    "neither smartctl nor udisks2 is here to ask disks for their health: install smartmontools or udisks2";

/// The source of what udisks2 told.
const UDISKS: &str = "udisks2";

/// What would show the logs too.
const NO_LOGS: &str =
    "udisks2 does not tell what disks keep in their own logs: install smartmontools, and let the agent use it";

/// What one disk says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Smart {
    pub(super) health: DiskHealth,
    pub(super) attributes: Vec<DiskAttribute>,
    pub(super) self_tests: Vec<DiskSelfTest>,
    pub(super) errors: Vec<DiskError>,
}

/// Rows that are a part of what a disk says.
pub(super) trait Part: Row + Default + Sized {
    /// udisks2 tells it too.
    const IN_UDISKS: bool;
    /// The part.
    fn of(smart: &Smart) -> Vec<Self>;
    /// The part of a disk that sleeps, from the rows that were read when it did not.
    fn asleep(_smart: &Smart, before: Vec<Self>) -> Vec<Self> {
        before
    }
}

/// What was found: the disks that were asked, and what could not be seen.
#[derive(Debug, Default)]
struct Found {
    disks: Vec<Smart>,
    missing: Vec<String>,
}

/// One table's part of all disks. What a disk said before it fell asleep is kept in a note, since it is not woken to say it again.
pub(super) fn look<R: Part>(host: &dyn Host) -> anyhow::Result<Rows> {
    look_with(host, |_row: &mut R| {})
}

/// The same, with what is to be added to each row.
pub(super) fn look_with<R: Part>(host: &dyn Host, mut add: impl FnMut(&mut R)) -> anyhow::Result<Rows> {
    let Some(mut found) = ask(host)? else { return Ok(Rows::unsupported(INSTALL)) };
    if !R::IN_UDISKS && found.disks.iter().any(|smart| smart.health.source == UDISKS) {
        found.disks.retain(|smart| smart.health.source != UDISKS);
        if found.disks.is_empty() && found.missing.is_empty() {
            return Ok(Rows::unsupported(NO_LOGS));
        }
        found.missing.push(NO_LOGS.into());
    }
    let mut before = host.noted(R::TABLE).as_ref().map(kept::<R>).unwrap_or_default();
    let (mut rows, mut note) = (Rows::none(), String::new());
    for smart in &found.disks {
        let disk = &smart.health.disk;
        let told = match smart.health.state.as_str() {
            ASLEEP => R::asleep(smart, before.remove(disk).unwrap_or_default()),
            _ => R::of(smart),
        };
        for mut row in told {
            add(&mut row);
            note.extend([disk, " ", &HEXLOWER.encode(&row.encode_to_vec()), "\n"]);
            rows.push(&row);
        }
    }
    host.recall(R::TABLE, note);
    for what in found.missing {
        rows.missing(what);
    }
    Ok(rows)
}

fn kept<R: Part>(note: &Before) -> BTreeMap<String, Vec<R>> {
    let mut kept = BTreeMap::<String, Vec<R>>::new();
    for (disk, row) in note.text.lines().filter_map(|line| line.split_once(' ')) {
        let bytes = HEXLOWER.decode(row.as_bytes()).ok();
        if let Some(row) = bytes.and_then(|bytes| R::decode(bytes.as_slice()).ok()) {
            kept.entry(disk.to_owned()).or_default().push(row);
        }
    }
    kept
}

/// How one disk answered.
enum Answer {
    Told(Box<Smart>),
    Denied,
}

/// Absent where nothing is installed that could ask.
fn ask(host: &dyn Host) -> anyhow::Result<Option<Found>> {
    let mut disks = names(host)?;
    disks.retain(|name| OWN_HEALTH.contains(&transport(&host.link(&format!("{BLOCK}/{name}")).unwrap_or_default())));
    let (mut found, mut denied) = (Found::default(), Vec::new());
    let began_ms = host.now_ms();
    for disk in &disks {
        let spent = Duration::from_millis(u64::try_from(host.now_ms() - began_ms).unwrap_or_default());
        let time = LOOK_MAX.saturating_sub(spent).min(DISK_MAX);
        if time < DISK_MIN {
            found.missing.push(format!("disk {disk}: those before it took too long to answer"));
            continue;
        }
        match smartctl::ask(host, disk, time) {
            Ok(Answer::Told(smart)) => found.disks.push(*smart),
            Ok(Answer::Denied) => denied.push(disk.clone()),
            Err(error) if is_absent(&error) => return others(host, &disks),
            Err(error) => found.missing.push(format!("disk {disk}: {error:#}")),
        }
    }
    if denied.is_empty() {
        return Ok(Some(found));
    }
    // The agent's own user may not use smartctl; udisks2 answers everybody.
    match udisks::ask(host, &denied) {
        Ok(theirs) => {
            found.disks.extend(theirs.disks);
            found.missing.extend(theirs.missing);
        }
        Err(_error) if found.disks.is_empty() && found.missing.is_empty() => {
            return Err(io::Error::new(ErrorKind::PermissionDenied, ALLOWED_BY).into());
        }
        Err(_error) => found.missing.push(format!("{}: {ALLOWED_BY}", denied.join(", "))),
    }
    Ok(Some(found))
}

/// Without smartctl.
fn others(host: &dyn Host, disks: &[String]) -> anyhow::Result<Option<Found>> {
    match udisks::ask(host, disks) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => {
            Err(error).context("smartctl is not installed, and udisks2 does not answer; install smartmontools")
        }
    }
}

fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Writes the newest self-test into a disk's health.
fn last_self_test(health: &mut DiskHealth, newest: Option<DiskSelfTest>) {
    let Some(test) = newest else { return };
    health.last_self_test = format!("{}: {}", test.r#type, test.status);
    health.last_self_test_passed = test.passed;
    health.last_self_test_hours = Some(test.power_on_hours);
}

/// Tests that a log holds twice alike, as after two aborted ones in an hour, become one row.
fn folded(tests: impl IntoIterator<Item = DiskSelfTest>) -> Vec<DiskSelfTest> {
    let mut rows = Vec::<DiskSelfTest>::new();
    for test in tests {
        let same = |row: &&mut DiskSelfTest| {
            (row.power_on_hours, &row.r#type, &row.status) == (test.power_on_hours, &test.r#type, &test.status)
        };
        match rows.iter_mut().find(same) {
            Some(row) => row.times += 1,
            None => rows.push(test),
        }
    }
    rows
}
