//! Writes the print server of a recorded host: the answers of a real CUPS with queues in the states that technicians meet, its times
//! moved to the host's.
//!
//! `cargo run -p deskside-tests --example recorded_print_server -- tests/hosts/desktop`
//!
//! The settings and the folders of programs in that host's `files` are those of Debian's cups package, written by hand.

use std::path::Path;
use std::{env, fs};

use anyhow::Context;
use deskside_agent::collect::{Registry, record_host};
use deskside_agent::host::{Host, Recorded};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::queues;

/// Attributes that hold a time, in seconds since 1970.
const TIMES: [&str; 5] = [
    "printer-config-change-time",
    "printer-state-change-time",
    "time-at-creation",
    "time-at-processing",
    "time-at-completed",
];

fn main() -> anyhow::Result<()> {
    let host = env::args().nth(1).context("say which host's folder")?;
    let host = Path::new(&host);
    let then_ms = Recorded::open(host)?.now_ms();
    let cups = Cups::start()?;
    fill(&cups)?;
    let live = queues::host(&cups);
    let folder = tempfile::tempdir()?;
    record_host(folder.path(), &Registry::standard(), &live, &str::to_owned)?;
    let later_s = (live.now_ms() - then_ms) / 1000;
    let answers = host.join("ipp");
    if answers.exists() {
        fs::remove_dir_all(&answers).context("removing the old answers")?;
    }
    fs::create_dir(&answers).context("making the answers' folder")?;
    write_log(&cups, host, later_s)?;
    for entry in fs::read_dir(folder.path().join("ipp")).context("listing the answers")? {
        let entry = entry?;
        let mut answer = fs::read(entry.path())?;
        for name in TIMES {
            earlier(&mut answer, name, later_s);
        }
        fs::write(answers.join(entry.file_name()), answer).context("writing an answer")?;
    }
    Ok(())
}

/// A queue that an error stopped, one that a person paused, one that needs a hand, one that is well, and jobs in each state.
fn fill(cups: &Cups) -> anyhow::Result<()> {
    cups.stuck_queue()?;
    cups.submit("front-office", "Dear Sir or Madam,\nonce more\n")?;
    cups.add_queue("accounting", "ipp://printer.example/ipp/print")?;
    cups.tool(
        "lpadmin",
        &["-p", "accounting", "-D", "Accounting", "-L", "Room 12", "-o", "printer-error-policy=retry-job"],
    )?;
    cups.tool("cupsdisable", &["accounting"])?;
    let says = [
        "STATE: +media-jam-error,marker-waste-almost-full-warnin",
        r#"ATTR: marker-names='"Black Toner","Waste Box"' marker-levels=3,-2"#,
    ];
    cups.add_device("label", &says)?;
    cups.submit("label", "a label\n")?;
    cups.wait_until("the label is printed", |cups| Ok(cups.tool("lpstat", &["-W", "completed"])?.contains("label-")))?;
    cups.add_queue("hall", "file:///dev/null")?;
    cups.tool("lpadmin", &["-d", "hall"])?;
    cups.submit_with("hall", "later\n", &["-o", "raw", "-o", "job-hold-until=indefinite"])?;
    let never = cups.submit_with("hall", "never\n", &["-o", "raw", "-o", "job-hold-until=indefinite"])?;
    cups.tool("cancel", &[&format!("hall-{never}")])?;
    cups.add_queue("lost", "socket://127.0.0.1:9/?contimeout=1")?;
    cups.tool("lpadmin", &["-p", "lost", "-o", "printer-error-policy=abort-job"])?;
    cups.submit("lost", "gone\n")?;
    cups.wait_until("the job is given up", |cups| Ok(cups.tool("lpstat", &["-W", "completed"])?.contains("lost-")))?;
    cups.tool("cupsreject", &["-r", "moved to room 4", "lost"])?;
    cups.add_program("filter", "rastertoacme", "#!/bin/sh\necho 'ERROR: no such page' >&2\nkill -SEGV $$\n")?;
    cups.add_driver("plans", "rastertoacme")?;
    for _try in 0..2 {
        let broken = cups.submit_with("plans", "a plan\n", &[])?;
        cups.wait_until("the filter has crashed", |cups| {
            Ok(cups.error_log()?.contains(&format!("[Job {broken}] End of messages")))
        })?;
    }
    cups.add_driver("old", "rastertoold")?;
    cups.tool("lpadmin", &["-p", "floor", "-v", "socket://127.0.0.1:9", "-E"])?;
    cups.tool("lpadmin", &["-p", "floor", "-c", "everywhere"])?;
    Ok(())
}

/// Lines of the error log that are kept, from its end, without the long story of each failed job.
const LOG_LINES: usize = 120;

/// The error log as it would lie on the host: times moved, and CUPS's programs where its package puts them.
fn write_log(cups: &Cups, host: &Path, later_s: i64) -> anyhow::Result<()> {
    let log = cups.error_log()?.replace(&format!("{}/bin", cups.folder().display()), "/usr/lib/cups");
    let log = log.replace(&format!("{}/log/error", cups.folder().display()), "/var/log/cups/error_log");
    let lines: Vec<String> = log.lines().filter_map(|line| moved(line, later_s)).collect();
    let last = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n");
    let place = host.join("files/var/log/cups");
    fs::create_dir_all(&place).context("making the log's folder")?;
    fs::write(place.join("error_log"), last + "\n").context("writing the log")
}

fn moved(line: &str, seconds: i64) -> Option<String> {
    let (level, rest) = line.split_once(" [").filter(|(level, _)| *level != "D" || line.contains(" crashed on "))?;
    let (time, text) = rest.split_once("] ")?;
    let time = jiff::Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", time).ok()?;
    let time = time - jiff::SignedDuration::from_secs(seconds);
    Some(format!("{level} [{}] {text}", time.strftime("%d/%b/%Y:%H:%M:%S +0000")))
}

/// Moves each value of a time (tag 0x21, four bytes) back by some seconds.
fn earlier(answer: &mut [u8], name: &str, seconds: i64) {
    let head = [&[0x21, 0, name.len() as u8], name.as_bytes(), &[0, 4]].concat();
    let mut from = 0;
    while let Some(found) = answer.get(from..).and_then(|rest| rest.windows(head.len()).position(|seen| seen == head)) {
        from += found + head.len();
        let Some(value) = answer.get_mut(from..from + 4) else { return };
        let Ok(bytes) = <[u8; 4]>::try_from(&*value) else { return };
        let moved = i64::from(i32::from_be_bytes(bytes)) - seconds;
        value.copy_from_slice(&i32::try_from(moved).unwrap_or_default().to_be_bytes());
    }
}
