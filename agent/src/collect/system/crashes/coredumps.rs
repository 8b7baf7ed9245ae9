//! Programs whose memory systemd-coredump(8) stored, and units from which systemd-oomd(8) killed something, as the journal has them.

use std::collections::BTreeMap;

use deskside_proto::v1::Crash;

use crate::collect::journalctl::{self, Entry};
use crate::collect::system::exits;
use crate::collect::system::processes::users;
use crate::host::Host;

/// `SD_MESSAGE_UNIT_OOMD_KILL`
const OOMD_KILLED: &str = "d989611b15e44c9dbf31e3c81256e4ed";
/// Most crashes of one look.
const ENTRIES_MAX: usize = 100;
/// The two ids are `SD_MESSAGE_COREDUMP` and `SD_MESSAGE_UNIT_OOMD_KILL`. Why all: without it a long stack trace is left out.
const STORED: [&str; 9] = [
    "--no-pager",
    "--all",
    "--output=json",
    "--output-fields=MESSAGE,MESSAGE_ID,UNIT,COREDUMP_COMM,COREDUMP_EXE,COREDUMP_PID,COREDUMP_UID,COREDUMP_SIGNAL,COREDUMP_SIGNAL_NAME,\
     COREDUMP_UNIT,COREDUMP_USER_UNIT,COREDUMP_PACKAGE_NAME,COREDUMP_PACKAGE_VERSION,_BOOT_ID",
    "--since=-7d",
    "--reverse",
    "--lines=100",
    "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1",
    "MESSAGE_ID=d989611b15e44c9dbf31e3c81256e4ed",
];

/// Functions by which a program ends itself: who called them is what crashed.
const BY_ITSELF: [&str; 12] = [
    "raise",
    "gsignal",
    "__GI_raise",
    "abort",
    "__GI_abort",
    "__pthread_kill_implementation",
    "__pthread_kill_internal",
    "pthread_kill",
    "__assert_fail",
    "__assert_fail_base",
    "__libc_message",
    "__fortify_fail",
];

/// One a crash, and what was left out; absent where there is no journal.
pub(super) fn crashes(host: &dyn Host) -> anyhow::Result<Option<(Vec<Crash>, Option<String>)>> {
    let Some(entries) = journalctl::entries(host, &STORED)? else { return Ok(None) };
    let cut = entries.len() >= ENTRIES_MAX;
    let users = users(&host.text("/etc/passwd").unwrap_or_default());
    let crashes = entries.iter().filter_map(|entry| crash(entry, &users)).collect();
    Ok(Some((crashes, cut.then(|| format!("crashes of programs before the last {ENTRIES_MAX}")))))
}

fn crash(entry: &Entry, users: &BTreeMap<u32, String>) -> Option<Crash> {
    let message = entry.field("MESSAGE");
    if entry.field("MESSAGE_ID") == OOMD_KILLED {
        let unit = entry.field("UNIT");
        return (!unit.is_empty()).then(|| Crash {
            kind: "oom".into(),
            program: unit.clone(),
            signal: "SIGKILL".into(),
            frame: "systemd-oomd".into(),
            last_ms: Some(entry.at_ms),
            unit,
            message,
            source: "systemd".into(),
            boot_id: entry.boot_id(),
            ..Crash::default()
        });
    }
    let program = entry.field("COREDUMP_COMM");
    if program.is_empty() {
        return None;
    }
    let number = entry.field("COREDUMP_SIGNAL");
    let name = entry.field("COREDUMP_SIGNAL_NAME");
    let known = number.parse().ok().and_then(exits::signal).map(str::to_owned);
    let signal = if name.is_empty() { known.unwrap_or(number) } else { name };
    let (frame, module) = top_frame(&message);
    let uid: Option<u32> = entry.field("COREDUMP_UID").parse().ok();
    let user = uid.map(|uid| users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()));
    // A user's own service manager names the unit better than the system's does.
    let (own, unit) = (entry.field("COREDUMP_USER_UNIT"), entry.field("COREDUMP_UNIT"));
    let package = [entry.field("COREDUMP_PACKAGE_NAME"), entry.field("COREDUMP_PACKAGE_VERSION")].join(" ");
    Some(Crash {
        kind: "program".into(),
        program,
        signal,
        frame,
        module,
        last_ms: Some(entry.at_ms),
        pid: entry.field("COREDUMP_PID").parse().ok(),
        unit: if own.is_empty() { unit } else { own },
        user: user.unwrap_or_default(),
        executable: entry.field("COREDUMP_EXE"),
        package: package.trim().to_owned(),
        message,
        source: "coredump".into(),
        boot_id: entry.boot_id(),
        ..Crash::default()
    })
}

/// The first frame of the thread that crashed that is not the program's way of ending itself: its function and its file. The trace's
/// lines are "#0  0x00007f8a1b2c3d4e draw (libfoo.so.1 + 0x11400)"; an unknown function is "n/a".
fn top_frame(message: &str) -> (String, String) {
    let trace = message.lines().map(str::trim).skip_while(|line| !line.starts_with("Stack trace of thread"));
    let frames: Vec<_> = trace.skip(1).take_while(|line| line.starts_with('#')).filter_map(frame).collect();
    // A program that handles its own signals stands above the trampoline by which the kernel called its handler.
    let handled =
        frames.iter().rposition(|(function, _file, _offset)| *function == "__restore_rt").map_or(0, |at| at + 1);
    let mut first = None;
    for &(function, file, offset) in frames.iter().skip(handled) {
        let own = BY_ITSELF.contains(&function);
        let described = if function != "n/a" {
            function.to_owned()
        } else if file != "n/a" {
            format!("{file}+{offset}")
        } else {
            continue;
        };
        if !own {
            return (described, file.to_owned());
        }
        first.get_or_insert((described, file.to_owned()));
    }
    first.unwrap_or_default()
}

/// Function, file without its folder, and offset.
fn frame(line: &str) -> Option<(&str, &str, &str)> {
    let (_number, rest) = line.split_once(' ')?;
    let (_address, rest) = rest.trim_start().split_once(' ')?;
    let (function, place) = rest.rsplit_once(" (")?;
    let (file, offset) = place.strip_suffix(')')?.rsplit_once(" + ")?;
    let name = if file == "n/a" { file } else { file.rsplit('/').next().unwrap_or(file) };
    Some((function, name, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABORTED: &str = "Process 4242 (viewer) of user 1000 dumped core.\n\nModule libviewer.so.2 from deb viewer-1.2-3.amd64\n\
        Stack trace of thread 4242:\n\
        #0  0x00007f8a1b2a9eec n/a (libc.so.6 + 0x8aeec)\n\
        #1  0x00007f8a1b25afb2 raise (libc.so.6 + 0x3bfb2)\n\
        #2  0x00007f8a1b245472 abort (libc.so.6 + 0x26472)\n\
        #3  0x00007f8a1c001234 draw(Page const&) (/usr/lib/libviewer.so.2 + 0x1234)\n\
        #4  0x000055d0c0de1234 main (viewer + 0x1234)\n\n\
        Stack trace of thread 4243:\n#0  0x00007f8a1b2f0 poll (libc.so.6 + 0x1)\n";

    #[test]
    fn who_called_abort_is_what_crashed() {
        let ended_by =
            ABORTED.replace("n/a (libc.so.6 + 0x8aeec)", "__pthread_kill_implementation (libc.so.6 + 0x8aeec)");
        assert_eq!(top_frame(&ended_by), ("draw(Page const&)".into(), "libviewer.so.2".into()));
    }

    #[test]
    fn a_frame_without_a_name_is_told_by_its_offset() {
        assert_eq!(top_frame(ABORTED), ("libc.so.6+0x8aeec".into(), "libc.so.6".into()));
        let nowhere =
            "Stack trace of thread 1:\n#0  0x0000000000000000 n/a (n/a + 0x0)\n#1  0x1 main (viewer + 0x12)\n";
        assert_eq!(top_frame(nowhere).0, "main");
    }

    #[test]
    fn a_program_that_handles_its_signals_crashed_below_the_handler() {
        let handled = ABORTED.replace("abort (libc.so.6 + 0x26472)", "__restore_rt (libc.so.6 + 0x3c050)");
        assert_eq!(top_frame(&handled).0, "draw(Page const&)");
    }

    #[test]
    fn a_trace_cut_anywhere_is_no_panic_of_our_own() {
        for cut in 0..ABORTED.len() {
            let (frame, _module) = top_frame(&ABORTED[..cut]);
            assert!(frame.len() < 40, "{frame}");
        }
    }

    #[test]
    fn an_entry_tells_program_signal_user_and_package() {
        let line = serde_json::json!({
            "__REALTIME_TIMESTAMP": "1795000000000000", "MESSAGE": ABORTED, "COREDUMP_COMM": "viewer", "COREDUMP_SIGNAL": "6",
            "COREDUMP_PID": "4242", "COREDUMP_UID": "1000", "COREDUMP_USER_UNIT": "app-viewer.scope", "COREDUMP_UNIT": "user@1000.service",
            "COREDUMP_PACKAGE_NAME": "viewer", "COREDUMP_PACKAGE_VERSION": "1.2-3", "_BOOT_ID": "b",
        });
        let entries = journalctl::read(line.to_string().as_bytes());
        let crash = crash(&entries[0], &BTreeMap::from([(1000, "anna".to_owned())])).unwrap();
        assert_eq!(
            (crash.signal.as_str(), crash.user.as_str(), crash.package.as_str()),
            ("SIGABRT", "anna", "viewer 1.2-3")
        );
        assert_eq!(
            (crash.unit.as_str(), crash.pid, crash.last_ms),
            ("app-viewer.scope", Some(4242), Some(1_795_000_000_000))
        );
    }
}
