//! The agent as its package installs it, in a whole Debian with systemd: it enrols, streams, and comes back from what ends it; upgrades keep
//! everything, one that does not work is taken back; and when it goes, it is gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use deskside_agent::local::Status;
use deskside_proto::rows::Row;
use deskside_proto::v1::Os;
use deskside_tests::lab::booted::{Debian, Package, RootFs};
use deskside_tests::lab::process::{Server, program, until_for};
use serde_json::Value as Json;

const UNIT: &str = "deskside-agent.service";

/// A service manager waits, and an upgrade is watched, beside other tests.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is exposed at most, by systemd-analyze(1).
const EXPOSURE_MAX: f64 = 2.0;

/// Tables whose rows come and go by themselves, or that only the service itself can fill.
const MOVING: [&str; 2] = ["error_signatures", "log_events"];

fn debian() -> Debian {
    Debian::booted(&RootFs::made(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("rootfs")).unwrap()).unwrap()
}

fn package() -> Package {
    Package::of("deskside-agent", &program("deskside-agent").unwrap()).unwrap()
}

fn status(debian: &Debian) -> Option<Status> {
    serde_json::from_str(&debian.says(&["deskside-agent", "status", "--json"]).ok()?).ok()
}

/// Waits until the agent is in contact; its identity.
fn connected(debian: &Debian) -> String {
    let told = until_for(PATIENCE, "the agent to be in contact", || {
        Ok(status(debian).filter(|status| status.connected_since_ms.is_some()))
    });
    let told = told.unwrap_or_else(|error| panic!("{error}: {}", journal(debian)));
    told.device_id.unwrap()
}

fn journal(debian: &Debian) -> String {
    debian.says(&["journalctl", "--no-pager", "--lines=40", "--unit=deskside-agent*"]).unwrap_or_default()
}

/// Waits until systemd runs another process than this one.
fn another_than(debian: &Debian, pid: &str) {
    until_for(PATIENCE, "systemd to start it again", || {
        let now = debian.property(UNIT, "MainPID")?;
        Ok((now != "0" && now != pid && debian.property(UNIT, "ActiveState")? == "active").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", journal(debian)));
}

#[test]
fn it_is_installed_streams_comes_back_from_what_ends_it_and_is_gone_when_it_is_purged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let debian = debian();
    let preseed = format!("deskside-agent deskside-agent/token password {}\n", server.token(&[]).unwrap());
    debian.write("/srv/preseed", &preseed).unwrap();
    debian.says(&["debconf-set-selections", "/srv/preseed"]).unwrap();

    debian.install(&package().file()).unwrap();
    let device = connected(&debian);
    until_for(PATIENCE, "its first look to be there", || Ok(server.stored(&device, Os::TABLE)?.pop())).unwrap();
    let kept = fs::read_to_string(debian.path("/var/cache/debconf/passwords.dat")).unwrap_or_default();
    assert!(!kept.contains("dsk1"), "the token stays in no database");

    let said = debian.says(&["systemd-analyze", "security", "--no-pager", UNIT]).unwrap();
    let exposure = said.split("level for deskside-agent.service: ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(exposure.parse::<f64>().unwrap() <= EXPOSURE_MAX, "{said}");
    sees_the_same_as_outside(&debian);

    let pid = debian.property(UNIT, "MainPID").unwrap();
    debian.says(&["kill", "-KILL", &pid]).unwrap();
    another_than(&debian, &pid);
    assert_eq!(connected(&debian), device);

    debian.write("/etc/systemd/system/deskside-agent.service.d/soon.conf", "[Service]\nWatchdogSec=2s\n").unwrap();
    debian.says(&["systemctl", "daemon-reload"]).unwrap();
    debian.says(&["systemctl", "restart", UNIT]).unwrap();
    let pid = debian.property(UNIT, "MainPID").unwrap();
    debian.says(&["kill", "-STOP", &pid]).unwrap();
    another_than(&debian, &pid);
    assert_eq!(connected(&debian), device);

    debian.says(&["dpkg", "--remove", "deskside-agent"]).unwrap();
    assert_eq!(debian.property(UNIT, "MainPID").unwrap(), "0");
    assert!(debian.path("/var/lib/deskside-agent/record").is_dir(), "what it remembers stays until it is purged");
    debian.says(&["rm", "-r", "/etc/systemd/system/deskside-agent.service.d", "/srv/preseed"]).unwrap();
    debian.says(&["dpkg", "--purge", "deskside-agent"]).unwrap();
    let left = debian.says(&["find", "/", "-xdev", "-name", "*deskside*", "-not", "-path", "/proc/*"]).unwrap();
    assert_eq!(left, "");
    let users = fs::read_to_string(debian.path("/etc/passwd")).unwrap();
    assert!(!users.contains("deskside"), "{users}");
}

/// Each table that the service looked at says what the same look says outside its sandbox, by the same account.
fn sees_the_same_as_outside(debian: &Debian) {
    let looked = until_for(PATIENCE, "every table to be looked at", || {
        let status = status(debian).filter(|status| status.tables.len() > 50);
        Ok(status.filter(|status| status.stuck.is_empty()))
    });
    let inside: BTreeMap<String, (String, String)> =
        looked.unwrap().tables.into_iter().map(|(table, seen)| (table, (seen.outcome, seen.reason))).collect();
    assert!(inside.values().all(|(outcome, reason)| outcome == "ok" || outcome == "empty" || !reason.is_empty()));
    let collected = debian.says(&["runuser", "-u", "deskside-agent", "--", "deskside-agent", "collect", "--json"]);
    let collected: Json = serde_json::from_str(&collected.unwrap()).unwrap();
    let mut differ = Vec::new();
    for reading in collected.as_array().unwrap() {
        let text = |key: &str| reading[key].as_str().unwrap_or_default().to_owned();
        let (table, outside) = (text("table"), (text("outcome"), text("reason")));
        let Some(inside) = inside.get(&table) else { continue };
        // The reasons count processes, which come and go.
        if inside.0 != outside.0 && !MOVING.contains(&table.as_str()) {
            differ.push(format!("{table}: {inside:?} in the sandbox, {outside:?} outside"));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
    let mounts =
        |sql: &str| debian.says(&["runuser", "-u", "deskside-agent", "--", "deskside-agent", "sql", "--csv", sql]);
    let kept = "SELECT mount_point, type, read_only FROM filesystems_history WHERE valid_to IS NULL ORDER BY 1";
    let now = "SELECT mount_point, type, read_only FROM filesystems ORDER BY 1";
    assert_eq!(mounts(kept).unwrap(), mounts(now).unwrap(), "the service sees the machine's mounts, not its own");
}

#[test]
fn an_upgrade_keeps_everything_and_one_that_does_not_work_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let (debian, package) = (debian(), package());
    debian.write("/etc/deskside/token", &server.token(&[]).unwrap()).unwrap();
    debian
        .write(
            "/etc/systemd/system/deskside-agent-trial.service.d/soon.conf",
            "[Service]\nEnvironment=DESKSIDE_TRIAL_S=5\n",
        )
        .unwrap();
    debian.install(&package.file()).unwrap();
    let device = connected(&debian);

    let writing = "for i in $(seq 400); do logger --priority user.err \"line $i of 400\"; sleep 0.02; done";
    let mut writer = debian.command("sh").args(["-c", writing]).spawn().unwrap();
    debian.install(&package.version("0.1.0-2", |_root| Ok(())).unwrap()).unwrap();
    assert!(writer.wait().unwrap().success());
    assert_eq!(connected(&debian), device, "the identity is kept");
    let lines = until_for(PATIENCE, "all lines to be there", || {
        let lines = server.stored_lines(&device)?;
        let lines: Vec<String> = lines.into_iter().filter(|line| line.ends_with(" of 400")).collect();
        Ok((lines.len() >= 400).then_some(lines))
    });
    let mut lines = lines.unwrap();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 400, "each once");
    trial_ends(&debian);

    // It ends at once; the next runs, and finds no server.
    let broken = package.version("0.1.0-3", |root| script(root, "exit 1"));
    debian.install(&broken.unwrap()).unwrap();
    taken_back(&debian, "does not run", &device);
    let mute = package.version("0.1.0-4", |root| {
        fs::rename(root.join("usr/bin/deskside-agent"), root.join("usr/lib/deskside-agent/other"))?;
        script(root, "exec /usr/lib/deskside-agent/other --state /var/lib/deskside-agent/other \"$@\"")
    });
    debian.install(&mute.unwrap()).unwrap();
    taken_back(&debian, "no contact", &device);
}

/// The program of a package becomes a script.
fn script(root: &Path, text: &str) -> anyhow::Result<()> {
    let program = root.join("usr/bin/deskside-agent");
    fs::write(&program, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?)
}

fn trial_ends(debian: &Debian) {
    until_for(PATIENCE, "the trial to end", || {
        Ok((debian.property("deskside-agent-trial.service", "ActiveState")? == "inactive").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", journal(debian)));
}

fn taken_back(debian: &Debian, why: &str, device: &str) {
    trial_ends(debian);
    let said = fs::read_to_string(debian.path("/var/lib/deskside-agent-trial/rolled-back"));
    assert!(said.as_ref().is_ok_and(|said| said.contains(why)), "{said:?}: {}", journal(debian));
    assert_eq!(connected(debian), device);
}
