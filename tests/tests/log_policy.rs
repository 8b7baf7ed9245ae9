//! Log files that the server's policy names: followed as it says, as far as the machine's own settings permit it, and no longer than it says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use deskside_proto::v1::LogEvent;
use deskside_tests::lab::process::{Agent, Server, until};
use prost::Message;

fn policy(folder: &Path, name: &str) -> String {
    format!(
        "[[policy.logs]]\nfiles = [\"{0}/{name}/*/*.log\", \"{0}/people/*.log\"]\nentries = \"timestamps\"\n",
        folder.display()
    )
}

fn write(path: &Path, lines: &str) {
    File::options().create(true).append(true).open(path).unwrap().write_all(lines.as_bytes()).unwrap();
}

#[test]
fn policy_names_logs_and_the_machine_forbids_some() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["first/app", "second/app", "people"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let now = jiff::Zoned::now().strftime("%F %T").to_string();
    let line = |text: &str| format!("<3>{now} {text}\n");
    write(&path("people/diary.log"), &line("dear diary"));
    std::os::unix::fs::symlink(path("people/diary.log"), path("first/app/link.log")).unwrap();
    let mut server = Server::start_with(folder.path(), &policy(folder.path(), "first")).unwrap();
    let mut agent = Agent::new(folder.path(), "").unwrap().forbidding(&path("people")).unwrap();
    let device = agent.enrol(&server).unwrap();
    let came = |server: &Server, text: &str| {
        let found = until(&format!("{text:?} to arrive"), || {
            let lines = server.stored_lines(&device)?;
            Ok(lines.into_iter().find(|line| line.contains(text)))
        });
        found.unwrap_or_else(|error| panic!("{error}; the agent said: {}", agent.logged()))
    };
    came(&server, "diary.log is not followed: this machine's settings forbid it to policy");
    write(&path("first/app/a.log"), &(line("first trouble") + "and more of it\n"));
    assert_eq!(came(&server, "first trouble"), "first trouble\nand more of it");

    server.stop().unwrap();
    server.set(&policy(folder.path(), "second")).unwrap();
    server.resume().unwrap();
    write(&path("second/app/b.log"), &line("second trouble"));
    came(&server, "second trouble");
    write(&path("first/app/a.log"), &line("no longer asked for"));
    write(&path("people/diary.log"), &line("dear diary"));
    write(&path("second/app/b.log"), &line("the last"));
    came(&server, "the last");
    let readings = server.stored(&device, "log_events").unwrap();
    let events = readings.iter().flat_map(|reading| &reading.rows).map(|row| LogEvent::decode(row.as_ref()).unwrap());
    let messages: Vec<String> = events.map(|event| event.message).collect();
    assert!(!messages.iter().any(|text| text.contains("dear diary") || text.contains("no longer")), "{messages:?}");
}
