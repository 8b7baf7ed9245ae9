//! Writes the print server of a recorded host: the answers of a real CUPS with queues in the states that technicians meet, its times
//! moved to the host's.
//!
//! `cargo run -p deskside-tests --example recorded_print_server -- tests/hosts/desktop`

use std::path::Path;
use std::{env, fs};

use anyhow::Context;
use deskside_agent::collect::{Registry, record_host};
use deskside_agent::host::{Host, Live, LiveOptions, Recorded};
use deskside_tests::lab::cups::Cups;

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
    let print_server = cups.socket().to_str().context("an odd folder")?.to_owned();
    let live = Live::new(LiveOptions { print_server: Some(print_server), ..LiveOptions::default() });
    let folder = tempfile::tempdir()?;
    record_host(folder.path(), &Registry::standard(), &live, &str::to_owned)?;
    let later_s = (live.now_ms() - then_ms) / 1000;
    let answers = host.join("ipp");
    if answers.exists() {
        fs::remove_dir_all(&answers).context("removing the old answers")?;
    }
    fs::create_dir(&answers).context("making the answers' folder")?;
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
    cups.submit_with("hall", "later\n", &["-o", "job-hold-until=indefinite"])?;
    let never = cups.submit_with("hall", "never\n", &["-o", "job-hold-until=indefinite"])?;
    cups.tool("cancel", &[&format!("hall-{never}")])?;
    cups.add_queue("lost", "socket://127.0.0.1:9/?contimeout=1")?;
    cups.tool("lpadmin", &["-p", "lost", "-o", "printer-error-policy=abort-job"])?;
    cups.submit("lost", "gone\n")?;
    cups.wait_until("the job is given up", |cups| Ok(cups.tool("lpstat", &["-W", "completed"])?.contains("lost-")))?;
    cups.tool("cupsreject", &["-r", "moved to room 4", "lost"])?;
    cups.tool("lpadmin", &["-p", "floor", "-v", "socket://127.0.0.1:9", "-E"])?;
    cups.tool("lpadmin", &["-p", "floor", "-c", "everywhere"])?;
    Ok(())
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
