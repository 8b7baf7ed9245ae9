//! What was installed, upgraded and removed lately: dpkg's log with apt's word on who asked for it, and rpm's database.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::SoftwareChange;

use super::apt::{self, Change, Run};
use super::{deb_version, rpm, zone};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const SOFTWARE_CHANGES: Collector = Collector {
    table: SoftwareChange::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

/// How far back, in days.
const DAYS: i64 = 30;

/// Most rows; the newest are kept.
const ROWS_MAX: usize = 500;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What dpkg writes may lag behind what apt writes by this much.
const SLACK_MS: i64 = 1_000;

/// How long a run may have gone on that has no end: it was ended from outside, or still runs.
const RUN_MAX_MS: i64 = 60 * 60 * 1_000;

/// Where dpkg keeps its database.
const DPKG: &str = "/var/lib/dpkg/status";

const RPM_FORMAT: &str = "%{INSTALLTIME}\\t%{NAME}\\t%{ARCH}\\t%{EVR}\\n";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    // Why from the beginning of a day: the set then loses its oldest rows once a day, and not at each look.
    let since_ms = (host.now_ms().div_euclid(DAY_MS) - DAYS).saturating_mul(DAY_MS);
    let mut missing = Vec::new();
    let mut all = Vec::new();
    let dpkg = from_dpkg(host, since_ms, &mut all, &mut missing)?;
    let rpm = from_rpm(host, since_ms, &mut all)?;
    if !dpkg && !rpm {
        return Ok(Rows::unsupported("there is neither a log of dpkg nor an rpm database"));
    }
    Ok(newest(all, missing))
}

/// How much of dpkg's log is read to find its last change.
const TAIL_BYTES: usize = 64 * 1024;

/// When packages were last changed, as far as the end of dpkg's log tells. Why not all that the table knows: this is asked every few minutes.
pub(in crate::collect) fn latest_ms(host: &dyn Host) -> Option<i64> {
    let tail = host.tail("/var/log/dpkg.log", TAIL_BYTES).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let zone = zone::of(host);
    apt::changes(&text, &zone).last().map(|change| change.at_ms)
}

/// The newest rows, oldest first.
fn newest(mut all: Vec<SoftwareChange>, missing: Vec<String>) -> Rows {
    all.sort_by(|a, b| (b.at_ms, &a.package, &a.architecture).cmp(&(a.at_ms, &b.package, &b.architecture)));
    let cut = all.len() > ROWS_MAX;
    all.truncate(ROWS_MAX);
    let mut rows: Rows = all.into_iter().rev().collect();
    if cut {
        rows.missing(format!("changes before the newest {ROWS_MAX}"));
    }
    for part in missing {
        rows.missing(part);
    }
    rows
}

/// Whether dpkg writes a log here.
fn from_dpkg(
    host: &dyn Host,
    since_ms: i64,
    all: &mut Vec<SoftwareChange>,
    missing: &mut Vec<String>,
) -> anyhow::Result<bool> {
    let zone = zone::of(host);
    let mut runs: Vec<Run> = Vec::new();
    let history =
        apt::history(host, &mut |text| runs.extend(apt::runs(text, &zone).filter(|run| run.begun_ms >= since_ms)));
    match history {
        Ok(history) => missing.extend(history.missing),
        Err(error) => missing.push(format!("who asked for the changes: {error:#}")),
    }
    let logs = apt::dpkg_log(host, &mut |text| {
        for change in apt::changes(text, &zone).filter(|change| change.at_ms >= since_ms) {
            // The log is in order: what comes later is newer. One more than is shown stays, so that the cut is told.
            if all.len() >= 2 * ROWS_MAX {
                all.drain(..ROWS_MAX - 1);
            }
            all.push(dpkg_row(&change, &runs));
        }
    })?;
    missing.extend(logs.missing);
    if logs.found == 0 {
        // Why: a machine whose log was taken away has not stood still.
        anyhow::ensure!(host.read(DPKG).is_err(), "dpkg is here, and /var/log/dpkg.log is not");
        return Ok(false);
    }
    Ok(true)
}

fn dpkg_row(change: &Change<'_>, runs: &[Run]) -> SoftwareChange {
    let within = |run: &Run, slack_ms: i64| {
        let end_ms = run.ended_ms.unwrap_or_else(|| run.begun_ms.saturating_add(RUN_MAX_MS));
        change.at_ms >= run.begun_ms.saturating_sub(slack_ms) && change.at_ms <= end_ms.saturating_add(slack_ms)
    };
    // The latest that had begun: one that was ended from outside has no end.
    let latest = |slack_ms| runs.iter().filter(|run| within(run, slack_ms)).max_by_key(|run| run.begun_ms);
    let run = latest(0).or_else(|| latest(SLACK_MS));
    // apt writes the machine's own architecture for packages that fit all.
    let of_all = change.architecture == "all";
    let this = |name: &String| match name.split_once(':') {
        Some((package, architecture)) => package == change.package && (of_all || architecture == change.architecture),
        None => name == change.package,
    };
    let told = |text: fn(&Run) -> &String| run.map(text).cloned().unwrap_or_default();
    SoftwareChange {
        at_ms: change.at_ms,
        action: action(change).into(),
        package: change.package.into(),
        architecture: change.architecture.into(),
        from_version: change.from_version.into(),
        to_version: change.to_version.into(),
        manager: "dpkg".into(),
        command: told(|run| &run.command),
        user: told(|run| &run.user),
        automatic: run.is_some_and(|run| run.automatic.iter().any(this)),
        error: told(|run| &run.error),
    }
}

/// dpkg calls it an upgrade whichever way it goes.
fn action(change: &Change<'_>) -> &'static str {
    match change.action {
        "upgrade" if change.from_version == change.to_version => "reinstall",
        "upgrade" if deb_version::older(change.to_version, change.from_version) => "downgrade",
        "upgrade" => "upgrade",
        "remove" => "remove",
        "purge" => "purge",
        _ => "install",
    }
}

/// Whether an rpm database is there.
fn from_rpm(host: &dyn Host, since_ms: i64, all: &mut Vec<SoftwareChange>) -> anyhow::Result<bool> {
    let Some(listing) = rpm::installed(host, RPM_FORMAT)? else { return Ok(false) };
    all.extend(listing.lines().filter_map(rpm_row).filter(|row| row.at_ms >= since_ms));
    Ok(true)
}

/// A line of [`RPM_FORMAT`]. Keys of repositories stand there as packages ("gpg-pubkey") and are none.
fn rpm_row(line: &str) -> Option<SoftwareChange> {
    let mut fields = line.split('\t');
    let at_ms = fields.next()?.parse::<i64>().ok()?.checked_mul(1_000)?;
    let package = fields.next().filter(|name| !name.is_empty() && *name != "gpg-pubkey")?.to_owned();
    Some(SoftwareChange {
        at_ms,
        action: "install".into(),
        package,
        architecture: fields.next()?.into(),
        to_version: fields.next()?.into(),
        manager: "rpm".into(),
        ..SoftwareChange::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change<'a>(action: &'a str, from_version: &'a str, to_version: &'a str) -> Change<'a> {
        Change { at_ms: 10_000, action, package: "vim", architecture: "amd64", from_version, to_version }
    }

    #[test]
    fn an_upgrade_to_an_older_version_is_a_downgrade() {
        assert_eq!(action(&change("upgrade", "1.2", "1.10")), "upgrade");
        assert_eq!(action(&change("upgrade", "1.10", "1.2")), "downgrade");
        assert_eq!(action(&change("upgrade", "1.2", "1.2")), "reinstall");
        assert_eq!(action(&change("install", "", "1.2")), "install");
    }

    #[test]
    fn a_change_belongs_to_the_run_within_which_it_fell() {
        let run = |begun_ms: i64, ended_ms, user: &str| Run { begun_ms, ended_ms, user: user.into(), ..Run::default() };
        let row = |runs: &[Run]| dpkg_row(&change("install", "", "1"), runs).user;
        assert_eq!(row(&[run(9_500, Some(10_500), "anna"), run(20_000, None, "ben")]), "anna");
        assert_eq!(row(&[run(1_000, None, "cut off"), run(9_500, Some(10_500), "anna")]), "anna");
        assert_eq!(row(&[run(1_000, Some(2_000), "anna")]), "", "dpkg by hand");
        assert_eq!(row(&[run(10_000 - 2 * RUN_MAX_MS, None, "cut off long ago")]), "");
    }

    #[test]
    fn the_newest_changes_are_kept_and_the_cut_is_told() {
        let all = (0..600).map(|at_ms| SoftwareChange { at_ms, ..SoftwareChange::default() }).collect();
        let rows = format!("{:?}", newest(all, Vec::new()));
        assert!(rows.contains("changes before the newest 500"), "{rows}");
    }

    #[test]
    fn a_key_of_a_repository_is_no_software() {
        assert_eq!(rpm_row("1700000000\tgpg-pubkey\t(none)\td651ff2e-5dadbbc1"), None);
        let row = rpm_row("1700000000\tbash\tx86_64\t5.2.32-1.fc41").unwrap();
        assert_eq!((row.at_ms, row.to_version.as_str()), (1_700_000_000_000, "5.2.32-1.fc41"));
        assert_eq!(rpm_row("99999999999999999999\tbash\tx86_64\t1"), None);
        assert_eq!(rpm_row(""), None);
    }
}
