//! A log that is rotated in every way while the agent that follows it is killed again and again: each line arrives once.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use deskside_tests::lab::process::{Agent, Server, until};

/// Lines written between two rotations.
const LINES: usize = 100;

fn beside(path: &Path, end: &str) -> PathBuf {
    path.with_file_name(format!("{}{end}", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// What packs rotated files, in turn.
const PACKERS: [&str; 4] = ["gzip", "xz", "bzip2", "zstd"];

fn pack(path: &Path, round: usize) -> anyhow::Result<()> {
    // Rounds 2, 4, 7, 9, 12 and 14 pack.
    let packer = PACKERS[round * 2 / 5 % PACKERS.len()];
    let mut command = Command::new(packer);
    if packer == "zstd" {
        command.args(["--quiet", "--rm"]);
    }
    ensure!(command.arg(path).status()?.success(), "{packer} failed");
    Ok(())
}

/// The ways of logrotate and of programs that rotate their own logs.
fn rotate(log: &Path, round: usize) -> anyhow::Result<()> {
    let aside = beside(log, &format!("-2026{round:04}"));
    match round % 5 {
        0 => {
            fs::rename(log, aside)?;
            File::create(log)?;
        }
        1 => {
            fs::copy(log, aside)?;
            File::options().write(true).open(log)?.set_len(0)?;
        }
        2 => {
            fs::rename(log, &aside)?;
            File::create(log)?;
            pack(&aside, round)?;
        }
        3 => fs::rename(log, aside)?,
        _ => {
            fs::copy(log, &aside)?;
            File::options().write(true).open(log)?.set_len(0)?;
            pack(&aside, round)?;
        }
    }
    Ok(())
}

#[test]
fn every_line_comes_once_through_rotation_of_every_kind_and_kills() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let mut agent = Agent::new(folder.path(), "")?;
    let device = agent.enrol(&server)?;
    // What was rotated away before the agent ever read a line is not its business.
    agent.write_lines(&["begun".to_owned()])?;
    until("the first line to arrive", || {
        Ok(server.stored_lines(&device)?.contains(&"begun".to_owned()).then_some(()))
    })?;
    let mut sent = Vec::new();
    for round in 0..15 {
        for half in 0..2 {
            let from = round * LINES + half * LINES / 2;
            let lines: Vec<String> = (from..from + LINES / 2).map(|number| format!("entry {number}")).collect();
            if !agent.lines().exists() {
                File::create(agent.lines())?;
            }
            agent.write_lines(&lines)?;
            sent.extend(lines);
            if half == 0 && round % 3 == 1 {
                agent.kill()?;
            }
        }
        rotate(agent.lines(), round)?;
        if round % 3 == 1 {
            agent.run()?;
        }
    }
    let numbers = || -> anyhow::Result<Vec<usize>> {
        let lines = server.stored_lines(&device)?;
        let mut numbers: Vec<usize> =
            lines.iter().filter_map(|line| line.strip_prefix("entry ")?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    };
    let all = until("every line to arrive", || {
        let numbers = numbers()?;
        Ok((numbers.len() >= sent.len()).then_some(numbers))
    });
    let stored = numbers()?;
    let missing: Vec<usize> = (0..sent.len()).filter(|number| stored.binary_search(number).is_err()).collect();
    let few: Vec<_> = missing.iter().take(40).collect();
    ensure!(
        all.is_ok() && missing.is_empty(),
        "{} of {} are missing: {few:?}; the agent said:\n{}",
        missing.len(),
        sent.len(),
        agent.logged()
    );
    assert_eq!(stored.len(), sent.len(), "none is doubled");
    Ok(())
}

#[test]
fn the_log_around_a_time_is_shown_from_the_record_and_from_what_was_streamed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let mut agent = Agent::new(folder.path(), "")?;
    let device = agent.enrol(&server)?;
    let desk = server.technician(folder.path())?;
    agent.write_lines(&["the first".into(), "the second".into()])?;
    let logs = |more: &[&str]| desk.says(&[&["logs", &device], more].concat());
    let shown = until("the lines to be shown", || {
        let shown = logs(&["--since", "-5m"])?;
        Ok(shown.contains("the second").then_some(shown))
    })?;
    let at = |text: &str| shown.find(text);
    assert!(at("the first").is_some() && at("the first") < at("the second"), "{shown}");
    assert!(!logs(&["--at", "-2h", "--window", "10m"])?.contains("the first"));
    assert!(!logs(&["--since", "-5m", "--unit", "other"])?.contains("the first"));
    until("the lines to arrive", || Ok((server.stored_lines(&device)?.len() >= 2).then_some(())))?;
    agent.kill()?;
    let off = until("the lines to be shown of a device that is off", || {
        let off = logs(&["--since", "-5m"]);
        Ok(off.ok().filter(|off| off.contains("the second")))
    })?;
    assert!(off.contains("the first"), "{off}");
    Ok(())
}
