//! Updates that wait, that failed and that come by themselves, as apt and dnf know them without asking the network.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Updates;
use jiff::tz::TimeZone;

use super::{apt, dnf, zone};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Ran};

/// Why not more often: apt reads all package lists for it, and that takes 0.3 to 1.1 s of processor time.
pub(in crate::collect) const UPDATES: Collector =
    Collector { table: Updates::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(6)), look };

/// Most names of pending packages.
pub(super) const NAMES_MAX: usize = 50;

const LISTS: &str = "/var/lib/apt/lists";
const DPKG_UPDATES: &str = "/var/lib/dpkg/updates";
const UNATTENDED_LOG: &str = "/var/log/unattended-upgrades/unattended-upgrades.log";

/// apt touches the first after each fetch that went well, where it is so configured; the second changes with each new list.
const REFRESHED: [&str; 2] = ["/var/lib/apt/periodic/update-success-stamp", LISTS];

/// Timers of apt's package, masked by those who want no such thing.
const APT_TIMERS: [&str; 2] = ["/etc/systemd/system/apt-daily.timer", "/etc/systemd/system/apt-daily-upgrade.timer"];

/// Programs that change packages through dpkg.
const CHANGERS: [&str; 7] = ["dpkg", "apt", "apt-get", "aptitude", "unattended-upgr", "packagekitd", "synaptic"];

#[expect(clippy::unnecessary_wraps, reason = "it has the form of all looks, and tells of each part that fails")]
fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut missing = Vec::new();
    let found = [apt_row(host, &mut missing), dnf::row(host, &mut missing)];
    if found.iter().all(Option::is_none) {
        return Ok(Rows::unsupported("neither apt nor dnf keeps package lists here"));
    }
    let mut rows: Rows = found.into_iter().flatten().collect();
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// A part of the row, or its absence told.
pub(super) fn seen<T>(what: &str, found: anyhow::Result<T>, missing: &mut Vec<String>) -> Option<T> {
    found.map_err(|error| missing.push(format!("{what}: {error:#}"))).ok()
}

fn apt_row(host: &dyn Host, missing: &mut Vec<String>) -> Option<Updates> {
    if host.list(LISTS).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return None;
    }
    let mut row = Updates { manager: "apt".into(), ..Updates::default() };
    if let Some(pending) = seen("pending updates of apt", pending(host), missing) {
        pending.put_into(&mut row);
    }
    row.refreshed_ms = seen("when the package lists changed", changed_ms(host, &REFRESHED), missing).flatten();
    if let Some((refreshes, installs)) = seen("settings of apt", periodic(host), missing) {
        (row.refreshes_itself, row.installs_itself) = (Some(refreshes), Some(installs));
    }
    let local = zone::of(host);
    let history = apt::history(host, &mut |text| history_into(text, &local, &mut row));
    let logs = seen("apt's history", history, missing).unwrap_or_default();
    missing.extend(logs.missing);
    match host.text(UNATTENDED_LOG) {
        Ok(log) => unattended_into(&log, &local, &mut row),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => missing.push(format!("unattended runs: {UNATTENDED_LOG}: {error}; the group adm may read it")),
    }
    row.interrupted = seen("whether dpkg was interrupted", interrupted(host), missing).flatten();
    Some(row)
}

/// What waits to be installed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) all: Vec<String>,
    pub(super) security: Vec<String>,
}

impl Pending {
    pub(super) fn put_into(self, row: &mut Updates) {
        row.pending = u32::try_from(self.all.len()).ok();
        row.pending_security = u32::try_from(self.security.len()).ok();
        let others = self.all.into_iter().filter(|name| !self.security.contains(name));
        row.pending_names = self.security.iter().cloned().chain(others).take(NAMES_MAX).collect();
    }
}

fn pending(host: &dyn Host) -> anyhow::Result<Pending> {
    let ran = host.run("apt", &["list", "--upgradable"]).context("running apt")?;
    anyhow::ensure!(ran.status == Some(0), "apt ended with status {:?}: {}", ran.status, complaint(&ran));
    upgradable(&String::from_utf8_lossy(&ran.stdout))
}

/// The last line of what a program said on standard error.
pub(super) fn complaint(ran: &Ran) -> String {
    let text = String::from_utf8_lossy(&ran.stderr);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// Lines "name/suite,suite version architecture [upgradable from: version]" after a line "Listing...".
fn upgradable(listing: &str) -> anyhow::Result<Pending> {
    let mut pending = Pending::default();
    for line in listing.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("Listing")) {
        let (name, rest) = line.split_once('/').with_context(|| format!("apt lists {line:?}, which does not read"))?;
        let suites = rest.split(' ').next().unwrap_or_default();
        if suites.split(',').any(|suite| suite.contains("security")) {
            pending.security.push(name.to_owned());
        }
        pending.all.push(name.to_owned());
    }
    Ok(pending)
}

/// When the newest of some files changed; nothing where none of them is there.
pub(super) fn changed_ms(host: &dyn Host, files: &[&str]) -> anyhow::Result<Option<i64>> {
    let ran = host.run("stat", &[&["--format=%Y"], files].concat()).context("running stat")?;
    let seconds = String::from_utf8_lossy(&ran.stdout).lines().filter_map(|line| line.trim().parse::<i64>().ok()).max();
    Ok(seconds.and_then(|seconds| seconds.checked_mul(1_000)))
}

/// Whether apt fetches lists and installs updates by itself (apt.conf(5), `APT::Periodic` of apt.systemd.daily).
fn periodic(host: &dyn Host) -> anyhow::Result<(bool, bool)> {
    let ran = host.run("apt-config", &["dump", "APT::Periodic"]).context("running apt-config")?;
    anyhow::ensure!(ran.status == Some(0), "apt-config ended with status {:?}: {}", ran.status, complaint(&ran));
    let settings = String::from_utf8_lossy(&ran.stdout);
    let [lists_timer, upgrade_timer] = APT_TIMERS.map(|timer| host.link(timer).is_ok_and(|link| link == "/dev/null"));
    let enabled = setting(&settings, "Enable").is_none_or(is_on);
    let on = |key: &str| enabled && setting(&settings, key).is_some_and(is_on);
    Ok((on("Update-Package-Lists") && !lists_timer, on("Unattended-Upgrade") && !upgrade_timer))
}

/// `APT::Periodic::KEY "VALUE";`
fn setting<'a>(settings: &'a str, key: &str) -> Option<&'a str> {
    let line = settings.lines().find_map(|line| line.strip_prefix("APT::Periodic::")?.strip_prefix(key))?;
    Some(line.strip_prefix(" \"")?.trim_end_matches("\";"))
}

/// An interval in days, or with a unit ("always", "1d", "12h").
fn is_on(value: &str) -> bool {
    !matches!(value, "" | "0")
}

/// The latest change that went well, and the latest that did not.
fn history_into(text: &str, local: &TimeZone, row: &mut Updates) {
    for run in apt::runs(text, local).filter(|run| run.changes) {
        let at_ms = run.ended_ms.unwrap_or(run.begun_ms);
        if run.error.is_empty() {
            row.last_success_ms = row.last_success_ms.max(run.ended_ms);
        } else {
            failed(row, at_ms, &run.error);
        }
    }
}

/// The later of two failures is told.
fn failed(row: &mut Updates, at_ms: i64, text: &str) {
    if row.last_failure_ms.is_none_or(|known| at_ms >= known) {
        row.last_failure_ms = Some(at_ms);
        text.clone_into(&mut row.last_failure);
    }
}

/// Lines "2026-03-01 06:25:03,123 LEVEL text" of unattended-upgrades; a run begins with its "Starting".
fn unattended_into(log: &str, local: &TimeZone, row: &mut Updates) {
    // Of one run the first error is told: those after it follow from it.
    let mut has_failed = false;
    for line in log.lines() {
        let Some((when, rest)) = line.split_once(',') else { continue };
        let mut words = rest.splitn(3, ' ').skip(1);
        let (Some(level), Some(text)) = (words.next(), words.next()) else { continue };
        let Some(at_ms) = zone::ms(when, local) else { continue };
        let begins = text.starts_with("Starting unattended upgrades script");
        let well = ["No packages found that can be upgraded", "All upgrades installed"];
        if begins {
            row.last_run_ms = row.last_run_ms.max(Some(at_ms));
            has_failed = false;
        } else if matches!(level, "ERROR" | "CRITICAL") && !has_failed {
            failed(row, at_ms, text);
            has_failed = true;
        } else if well.iter().any(|begin| text.starts_with(begin)) && !has_failed {
            row.last_success_ms = row.last_success_ms.max(Some(at_ms));
        }
    }
}

/// dpkg leaves numbered files where it was stopped; while it works they are there too, and then nothing can be said.
fn interrupted(host: &dyn Host) -> anyhow::Result<Option<bool>> {
    let names = match host.list(DPKG_UPDATES) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        names => names.with_context(|| format!("listing {DPKG_UPDATES}"))?,
    };
    if !names.iter().any(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        return Ok(Some(false));
    }
    let processes = host.list("/proc").context("listing /proc")?;
    let mut programs = processes.iter().filter_map(|pid| host.line(&format!("/proc/{pid}/comm")));
    let busy = programs.any(|name| CHANGERS.contains(&name.as_str()));
    Ok((!busy).then_some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_security_update_is_known_by_its_archive() {
        let listing = "Listing...\nlibnss3/oldstable-security 2:3.87.1-1+deb12u4 amd64 [upgradable from: 2:3.87.1-1]\n\
                       tzdata/jammy-updates,jammy-security 2026a all [upgradable from: 2025b]\n\
                       vim/oldstable 2:9.0 amd64 [upgradable from: 2:8.2]\n\n";
        let pending = upgradable(listing).unwrap();
        assert_eq!((pending.all.len(), pending.security), (3, vec!["libnss3".to_owned(), "tzdata".to_owned()]));
        assert_eq!(upgradable("Listing... Done\n").unwrap(), Pending::default());
        assert!(upgradable("E: broken\n").is_err());
    }

    #[test]
    fn settings_are_on_only_where_they_say_so() {
        let settings = "APT::Periodic \"\";\nAPT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"0\";\n";
        assert!(setting(settings, "Update-Package-Lists").is_some_and(is_on));
        assert!(!setting(settings, "Unattended-Upgrade").is_some_and(is_on));
        assert_eq!(setting(settings, "Enable"), None);
        assert!(is_on("always"));
    }

    #[test]
    fn the_first_error_of_an_unattended_run_is_told_and_a_later_run_can_go_well() {
        let log = "2026-01-14 06:25:03,120 INFO Starting unattended upgrades script\n\
                   2026-01-14 06:25:09,001 ERROR Installing the upgrades failed!\n\
                   2026-01-14 06:25:09,002 ERROR error message: installArchives() failed\n\
                   Traceback (most recent call last):\n";
        let mut row = Updates::default();
        unattended_into(log, &TimeZone::UTC, &mut row);
        assert_eq!((row.last_failure.as_str(), row.last_success_ms), ("Installing the upgrades failed!", None));
        assert_eq!(row.last_failure_ms.zip(row.last_run_ms).map(|(failed, begun)| failed - begun), Some(6_000));
        let well = "2026-01-15 06:25:03,120 INFO Starting unattended upgrades script\n\
                    2026-01-15 06:25:05,120 INFO No packages found that can be upgraded unattended and no pending auto-removals\n";
        unattended_into(well, &TimeZone::UTC, &mut row);
        assert!(row.last_success_ms > row.last_failure_ms);
    }

    #[test]
    fn a_run_that_was_ended_from_outside_is_no_success() {
        let mut row = Updates::default();
        history_into("Start-Date: 2026-01-15  13:00:00\nUpgrade: vim:amd64 (1, 2)\n", &TimeZone::UTC, &mut row);
        assert_eq!((row.last_success_ms, row.last_failure_ms), (None, None));
    }

    #[test]
    fn names_are_bounded_and_security_comes_first() {
        let all: Vec<String> = (0..200).map(|n| format!("p{n}")).collect();
        let mut row = Updates::default();
        Pending { all, security: vec!["p199".into()] }.put_into(&mut row);
        assert_eq!((row.pending, row.pending_security, row.pending_names.len()), (Some(200), Some(1), NAMES_MAX));
        assert_eq!(row.pending_names[..2], ["p199", "p0"]);
    }
}
