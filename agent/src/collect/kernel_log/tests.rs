//! What is made of the answers of journalctl, tail and dmesg.

use std::fs;

use super::*;
use crate::host::Recorded;

const NOW: i64 = 1_795_320_600_000;

/// A machine whose programs answer so.
fn host(programs: &[(&str, Vec<&str>, i32, &str, &str)]) -> (tempfile::TempDir, Recorded) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("host.json"), format!("{{\"now_ms\": {NOW}}}")).unwrap();
    fs::create_dir(folder.path().join("run")).unwrap();
    for (number, (program, arguments, status, stdout, stderr)) in programs.iter().enumerate() {
        let place = folder.path().join("run").join(number.to_string());
        let json = serde_json::json!({"program": program, "arguments": arguments, "status": status, "stderr": stderr});
        fs::write(place.with_extension("json"), json.to_string()).unwrap();
        fs::write(place.with_extension("out"), stdout).unwrap();
    }
    let host = Recorded::open(folder.path()).unwrap();
    (folder, host)
}

fn search(pattern: &'static str) -> Vec<&'static str> {
    let grep = format!("--grep={pattern}").leak();
    [&SEARCH[..], &[grep]].concat()
}

fn kind(error: &anyhow::Error) -> ErrorKind {
    error.downcast_ref::<io::Error>().unwrap().kind()
}

#[test]
fn the_journal_tells_oldest_first() {
    let out = "{\"__REALTIME_TIMESTAMP\":\"1795320531853341\",\"_BOOT_ID\":\"cb0f\",\"MESSAGE\":[98,255]}\n\
               {\"__REALTIME_TIMESTAMP\":\"1795320531000000\",\"_BOOT_ID\":\"cb0f\",\"MESSAGE\":\"usb 1-1: a\"}\nnot json\n";
    let (_folder, host) = host(&[("journalctl", search("a"), 0, out, "")]);
    let found = lines(&host, "a").unwrap();
    let said: Vec<_> = found.lines.iter().map(|line| (line.at_ms, line.text.as_str())).collect();
    assert_eq!(said, [(1_795_320_531_000, "usb 1-1: a"), (1_795_320_531_853, "b\u{fffd}")]);
    assert_eq!(found.missing, None);
}

#[test]
fn a_journal_without_a_match_is_nothing_found_and_nothing_missing() {
    let any = "{\"__REALTIME_TIMESTAMP\":\"1795320531853341\",\"_BOOT_ID\":\"cb0f\"}\n";
    let (_folder, host) = host(&[("journalctl", search("a"), 1, "", ""), ("journalctl", ANY.to_vec(), 0, any, "")]);
    assert_eq!(lines(&host, "a").unwrap(), Found::default());
}

#[test]
fn a_journal_that_may_not_be_read_is_denied_and_names_the_group() {
    for stderr in [
        "No journal files were opened due to insufficient permissions.\n",
        "Hint: You are currently not seeing messages from other users and the system.\n",
    ] {
        let (_folder, host) = host(&[("journalctl", search("a"), 1, "", stderr)]);
        let error = lines(&host, "a").unwrap_err();
        assert_eq!(kind(&error), ErrorKind::PermissionDenied);
        assert!(format!("{error:#}").contains("systemd-journal"), "{error:#}");
    }
}

#[test]
fn a_search_that_journalctl_refuses_is_no_empty_journal() {
    let (_folder, host) = host(&[("journalctl", search("a"), 1, "", "Compiled without pattern matching support\n")]);
    assert!(lines(&host, "a").is_err());
}

#[test]
fn without_a_journal_of_the_kernel_the_log_files_are_read() {
    let file = "2026-11-22T03:50:00+00:00 desk kernel: [   12.345678] usb 1-2: USB disconnect, device number 4\n\
                2026-11-22T03:50:01+00:00 desk sshd[7]: usb USB disconnect\n\
                2026-10-01T03:50:00+00:00 desk kernel: usb 1-2: USB disconnect, device number 3\n";
    let (_folder, host) = host(&[
        ("journalctl", search("usb.*disconnect"), 1, "", ""),
        ("journalctl", ANY.to_vec(), 1, "", ""),
        ("tail", vec!["--bytes=1048576", "/var/log/kern.log"], 0, file, ""),
    ]);
    let found = lines(&host, "usb.*disconnect").unwrap();
    assert_eq!(found.lines.len(), 1);
    assert_eq!(found.lines[0].text, "usb 1-2: USB disconnect, device number 4");
    assert_eq!(found.missing, None);
}

#[test]
fn the_kernels_buffer_says_that_it_knows_this_start_alone() {
    let out = "2026-11-22T03:54:24,020609+00:00 mce: [Hardware Error]: CPU 0\nno time\n";
    let (_folder, host) = host(&[("dmesg", DMESG.to_vec(), 0, out, "")]);
    let found = lines(&host, r"\[Hardware Error\]").unwrap();
    assert_eq!((found.lines.len(), found.lines[0].at_ms), (1, 1_795_319_664_020));
    assert!(found.missing.unwrap().contains("before this start"));
}

#[test]
fn a_buffer_that_may_not_be_read_is_denied() {
    let refused = "dmesg: read kernel buffer failed: Operation not permitted\n";
    let (_folder, host) = host(&[("dmesg", DMESG.to_vec(), 1, "", refused)]);
    assert_eq!(kind(&lines(&host, "a").unwrap_err()), ErrorKind::PermissionDenied);
}

#[test]
fn a_machine_that_keeps_no_messages_is_unsupported() {
    let (_folder, host) = host(&[]);
    assert_eq!(kind(&lines(&host, "a").unwrap_err()), ErrorKind::NotFound);
}

#[test]
fn only_the_newest_lines_are_kept_and_the_cut_is_told() {
    let stamp = |number: i64| Timestamp::from_millisecond(NOW - 3_600_000 + number).unwrap();
    let out = (0..1200).map(|number| format!("{} a {number}", stamp(number))).collect::<Vec<_>>().join("\n");
    let (_folder, host) = host(&[("dmesg", DMESG.to_vec(), 0, &out, "")]);
    let found = lines(&host, "a").unwrap();
    assert_eq!((found.lines.len(), found.lines[999].text.as_str()), (LINES_MAX, "a 1199"));
}

#[test]
fn a_pattern_means_the_same_here_as_to_journalctl() {
    let matches = |pattern: &str, message: &str| Matcher::new(pattern).matches(message);
    assert!(matches(r"mce: \[Hardware Error\]|AER:", "mce: [Hardware Error]: CPU 2"));
    assert!(matches("mce:|AER:.*BadTLP", "pcieport: AER: x BadTLP"));
    assert!(!matches("AER:.*BadTLP", "BadTLP AER: x"));
    assert!(!matches("aer", "AER"));
}
