//! Starts and crashes as the agent reads them from a real journal and a real wtmp, and what is made of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{SystemTime, UNIX_EPOCH};

use deskside_server::diagnose::rules::check_rule;
use deskside_tests::lab::past::Past;
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;
const STOPPED: &str = "d93fb3c9c24d451a97cea615ce59c00b";
const SHUTDOWN: &str = "98268866d1d54a499c4e98921d93bc40";
const DUMPED: &str = "fc2e22bc6ee647b6b90729ab34a250b1";

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A boot that is told step by step.
struct Boot<'a> {
    past: &'a mut Past,
    id: String,
    at_ms: i64,
}

impl<'a> Boot<'a> {
    /// One that began so many hours ago.
    fn begins(past: &'a mut Past, digit: char, hours_ago: i64) -> Self {
        let mut boot = Self { past, id: digit.to_string().repeat(32), at_ms: now_ms() - hours_ago * HOUR_MS };
        boot.kernel("Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org)", "5");
        boot.says(&[("MESSAGE", "Journal started"), ("PRIORITY", "6"), ("SYSLOG_IDENTIFIER", "systemd-journald")]);
        boot
    }

    fn says(&mut self, fields: &[(&str, &str)]) {
        self.at_ms += 1_000;
        self.past.log(&self.id, self.at_ms, fields);
    }

    fn kernel(&mut self, message: &str, priority: &str) {
        let fields =
            [("MESSAGE", message), ("PRIORITY", priority), ("_TRANSPORT", "kernel"), ("SYSLOG_IDENTIFIER", "kernel")];
        self.says(&fields);
    }

    fn asks_for_its_end(&mut self) {
        self.says(&[
            ("MESSAGE", "System is rebooting."),
            ("MESSAGE_ID", SHUTDOWN),
            ("SYSLOG_IDENTIFIER", "systemd-logind"),
        ]);
    }

    fn ends(&mut self) {
        self.asks_for_its_end();
        self.says(&[("MESSAGE", "Reached target reboot.target - System Reboot."), ("UNIT", "reboot.target")]);
        self.says(&[
            ("MESSAGE", "Journal stopped"),
            ("MESSAGE_ID", STOPPED),
            ("SYSLOG_IDENTIFIER", "systemd-journald"),
        ]);
    }

    fn dumps(&mut self, pid: &str) {
        let trace = format!(
            "Process {pid} (viewer) of user 0 dumped core.\n\nStack trace of thread {pid}:\n#0  0x00007f8a1b25afb2 raise (libc.so.6 + \
             0x3bfb2)\n#1  0x00007f8a1b245472 abort (libc.so.6 + 0x26472)\n#2  0x00007f8a1c001234 draw (libviewer.so.2 + 0x1234)\n"
        );
        self.says(&[
            ("MESSAGE", &trace),
            ("MESSAGE_ID", DUMPED),
            ("PRIORITY", "2"),
            ("SYSLOG_IDENTIFIER", "systemd-coredump"),
            ("COREDUMP_COMM", "viewer"),
            ("COREDUMP_EXE", "/usr/bin/viewer"),
            ("COREDUMP_PID", pid),
            ("COREDUMP_UID", "0"),
            ("COREDUMP_SIGNAL", "6"),
            ("COREDUMP_SIGNAL_NAME", "SIGABRT"),
        ]);
    }
}

fn of<'a>(reading: &'a Value, column: &str) -> Vec<&'a str> {
    reading["rows"].as_array().unwrap().iter().map(|row| row[column].as_str().unwrap()).collect()
}

#[test]
fn each_start_is_told_with_how_it_ended() {
    let mut past = Past::new().unwrap();
    Boot::begins(&mut past, 'a', 100).ends();
    let mut lost = Boot::begins(&mut past, 'b', 90);
    lost.says(&[("MESSAGE", "session opened for user jon"), ("PRIORITY", "6")]);
    Boot::begins(&mut past, 'c', 80).kernel("PM: suspend entry (deep)", "6");
    Boot::begins(&mut past, 'd', 70);
    let mut after = Boot::begins(&mut past, 'e', 60);
    let died = (now_ms() - 65 * HOUR_MS) / 1000;
    after.says(&[
        ("MESSAGE", &format!("PStore dmesg-efi-{died}01001 moved to /var/lib/systemd/pstore/{}", died / 10)),
        ("SYSLOG_IDENTIFIER", "systemd-pstore"),
        ("FILE", "Panic#1 Part1\n<4>[  9.0] RIP: 0010:bad+0x1d/0x60 [mod]\n<0>[  9.1] Kernel panic - not syncing: Fatal exception\n"),
    ]);
    after.asks_for_its_end();
    Boot::begins(&mut past, 'f', 10);
    past.write().unwrap();
    let seconds = |hours_ago: i64| u32::try_from((now_ms() - hours_ago * HOUR_MS) / 1000).unwrap();
    let boot = |hours_ago| (2, "reboot", "6.1.0-17-amd64", seconds(hours_ago));
    let down = (1, "shutdown", "6.1.0-17-amd64", seconds(210));
    past.write_wtmp(&[boot(300), boot(220), down, boot(100)]).unwrap();

    let readings = past.collect(&["boots", "crashes"]).unwrap();
    let (boots, crashes) = (&readings[0], &readings[1]);
    assert_eq!(boots["outcome"], "ok", "{boots}");
    let ended =
        ["running", "cut_off", "cut_off_stopping", "crashed", "cut_off_asleep", "cut_off", "clean", "clean", "cut_off"];
    assert_eq!(of(boots, "ended"), ended, "{boots:#}");
    let known = ["", "journal", "journal", "pstore", "journal", "journal", "journal", "wtmp", "wtmp"];
    assert_eq!(of(boots, "known_from"), known);
    assert_eq!(of(boots, "kernel")[1..], [["6.1.0-18-amd64"; 6].as_slice(), &["6.1.0-17-amd64"; 2]].concat());
    assert_eq!(of(boots, "reason")[3], "Kernel panic - not syncing: Fatal exception");
    assert_eq!(of(boots, "last_message")[5], "session opened for user jon");
    assert_eq!((of(boots, "how")[6], of(boots, "how")[2]), ("reboot", "reboot"));
    assert_eq!((of(crashes, "kind"), of(crashes, "frame")), (vec!["panic"], vec!["bad+0x1d"]), "{crashes:#}");

    let found = check_rule("goes-off", &json!({ "boots": boots["rows"] })).unwrap();
    assert!(found.len() == 1 && found[0].title.contains("went off 3 times"), "{found:#?}");
}

#[test]
fn alike_crashes_are_one_row_whoever_noted_them() {
    let mut past = Past::new().unwrap();
    let mut boot = Boot::begins(&mut past, 'a', 20);
    for pid in ["101", "102", "103"] {
        boot.kernel(
            &format!(
                "viewer[{pid}]: segfault at 0 ip 00007f8a1c001234 sp 0 error 4 in libviewer.so.2[7f8a1c000000+8000]"
            ),
            "6",
        );
        boot.dumps(pid);
    }
    boot.kernel("calc[77]: segfault at 0 ip 000055d000001100 sp 0 error 4 in calc[55d000001000+2000]", "6");
    boot.kernel("BUG: kernel NULL pointer dereference, address: 0000000000000008", "1");
    boot.kernel("CPU: 1 PID: 812 Comm: kworker/u8:3 Tainted: G           OE      6.1.0-18-amd64 #1", "4");
    boot.kernel("RIP: 0010:draw_line+0x1d/0x40 [gpu]", "4");
    boot.kernel("Out of memory: Killed process 900 (java) total-vm:9000kB, anon-rss:8000kB, UID:1000", "3");
    boot.ends();
    past.write().unwrap();

    let crashes = past.collect(&["crashes"]).unwrap().remove(0);
    assert_eq!(crashes["outcome"], "ok", "{crashes}");
    let keys: Vec<[&Value; 5]> = crashes["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| ["kind", "program", "signal", "frame", "count"].map(|column| &row[column]))
        .collect();
    let expected = [
        [json!("oom"), json!("java"), json!("SIGKILL"), json!(""), json!(1)],
        [json!("oops"), json!("kworker/u8:3"), json!(""), json!("draw_line+0x1d"), json!(1)],
        [json!("program"), json!("calc"), json!("SIGSEGV"), json!("calc+0x100"), json!(1)],
        [json!("program"), json!("viewer"), json!("SIGABRT"), json!("draw"), json!(3)],
    ];
    assert_eq!(keys, expected.each_ref().map(<[Value; 5]>::each_ref), "{crashes:#}");
    let found = check_rule("program-crashes", &json!({ "crashes": crashes["rows"] })).unwrap();
    assert!(found.len() == 1 && found[0].title.contains("viewer crashes again and again (3 times"), "{found:#?}");
}

#[test]
fn a_journal_that_may_not_be_read_is_denied_with_the_group_that_may() {
    let mut past = Past::new().unwrap();
    Boot::begins(&mut past, 'a', 20).ends();
    past.write().unwrap();
    for reading in past.collect_as_nobody(&["boots", "crashes"]).unwrap() {
        assert_eq!(reading["outcome"], "denied", "{reading}");
        assert!(reading["reason"].as_str().unwrap().contains("group systemd-journal"), "{reading}");
    }
}
