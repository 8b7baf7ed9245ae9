//! How a boot ended, by what the machine said last.

use deskside_proto::v1::BootRecord;

use crate::collect::journalctl::Entry;

/// `SD_MESSAGE_JOURNAL_STOP`
const JOURNAL_STOPPED: &str = "d93fb3c9c24d451a97cea615ce59c00b";
/// `SD_MESSAGE_SHUTDOWN`: logind was asked for it.
const SHUTDOWN_ASKED: &str = "98268866d1d54a499c4e98921d93bc40";
/// `SD_MESSAGE_POWER_KEY`
const POWER_KEY: &str = "b72ea4a2881545a0b50e200e55b9b071";
/// journald stops last of all. Why not exactly: it stops, too, when its package is replaced in the midst of a boot.
const STOPPED_LAST_MS: i64 = 5_000;
/// The power key and the kernel's alerts say why a boot ended when they come this short before it.
const REASON_MS: i64 = 3 * 60 * 1000;
/// Longest text that is kept of one message.
const TEXT_BYTES_MAX: usize = 300;

/// What the kernel says when a machine goes to sleep, and when it wakes.
const ASLEEP: [&str; 3] = ["PM: suspend entry", "PM: hibernation: hibernation entry", "PM: hibernation entry"];
const AWAKE: [&str; 3] = ["PM: suspend exit", "PM: hibernation: hibernation exit", "PM: hibernation exit"];

/// What is said when the journal's own file system is about to go, before the rest does: nothing can be logged of the end then.
const CLOSED: [&str; 2] = ["client request to relinquish", "Flush Journal to Persistent Storage"];

/// Decides by the marks of one boot, newest first. Without a word about its end `ended` stays empty.
pub(super) fn from_marks(boot: &mut BootRecord, marks: &[Entry], last_ms: i64) {
    let (mut clean, mut asked) = (false, false);
    for mark in marks {
        let (message, id) = (mark.field("MESSAGE"), mark.field("MESSAGE_ID"));
        let before_end_ms = last_ms.saturating_sub(mark.at_ms);
        if id == JOURNAL_STOPPED {
            clean |= before_end_ms <= STOPPED_LAST_MS;
        } else if id == SHUTDOWN_ASKED {
            asked = true;
            set(&mut boot.how, how(&message));
        } else if id == POWER_KEY && before_end_ms <= REASON_MS {
            set(&mut boot.reason, &message);
        } else if mark.field("_TRANSPORT") == "kernel" {
            if before_end_ms <= REASON_MS {
                set(&mut boot.reason, &short(&message));
            }
            if before_end_ms <= REASON_MS && is_fatal(&message) {
                boot.ended = "crashed".into();
            }
        } else if let Some(unit) = mark.field("UNIT").strip_suffix(".target") {
            // Stopping a target that was never reached says nothing.
            if message.starts_with("Reached target") {
                clean = true;
                unit.clone_into(&mut boot.how);
            }
        }
    }
    if clean {
        boot.ended = "clean".into();
    } else if asked && boot.ended.is_empty() {
        boot.ended = "cut_off_stopping".into();
    }
}

/// Decides by its last lines, newest first, where the marks did not say that it ended clean.
pub(super) fn from_last_lines(boot: &mut BootRecord, lines: &[Entry]) {
    let messages = lines.iter().map(|line| (line.field("_TRANSPORT") == "kernel", line.field("MESSAGE")));
    let messages: Vec<(bool, String)> = messages.collect();
    let said = |words: &[&str]| {
        messages.iter().position(|(kernel, message)| *kernel && words.iter().any(|start| message.starts_with(start)))
    };
    let slept = match (said(&ASLEEP), said(&AWAKE)) {
        (Some(asleep), Some(awake)) => asleep < awake,
        (asleep, _) => asleep.is_some(),
    };
    let closed = boot.ended == "cut_off_stopping";
    let closed = closed && messages.iter().any(|(_kernel, message)| CLOSED.iter().any(|words| message.contains(words)));
    if slept {
        boot.ended = "cut_off_asleep".into();
    } else if closed {
        boot.ended = "unknown".into();
        set(&mut boot.reason, "the journal was closed before the machine was down");
    } else if boot.ended.is_empty() {
        boot.ended = "cut_off".into();
    }
    if let Some((_kernel, message)) = messages.first() {
        boot.last_message = short(message);
    }
}

/// The one line of a kernel's dump that says most: its panic, else its first fault, else its last line.
pub(super) fn last_words(dump: &str) -> String {
    let line = |what: &str| dump.lines().find(|line| line.contains(what));
    let found = line("Kernel panic").or_else(|| line("BUG:")).or_else(|| line("Oops")).or_else(|| dump.lines().last());
    short(without_stamp(found.unwrap_or_default()))
}

/// Without "<0>" and "[  123.456789] " in front.
pub(in crate::collect::system) fn without_stamp(line: &str) -> &str {
    let line = line.strip_prefix('<').and_then(|rest| rest.split_once('>')).map_or(line, |(_priority, rest)| rest);
    let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match stamp {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    }
}

/// What a kernel says only when it does not go on.
fn is_fatal(message: &str) -> bool {
    ["Kernel panic", "BUG:", "Oops", "Unable to handle kernel"].iter().any(|what| message.contains(what))
}

/// "System is powering down.", "The system will reboot now!": logind's words for what it was asked.
fn how(message: &str) -> &'static str {
    let known = [("power", "poweroff"), ("reboot", "reboot"), ("halt", "halt"), ("kexec", "kexec")];
    known.iter().find(|(word, _how)| message.contains(word)).map_or("", |(_word, how)| how)
}

/// The newest word stands.
fn set(field: &mut String, text: &str) {
    if field.is_empty() {
        text.clone_into(field);
    }
}

fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    line.get(..line.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::journalctl;

    fn entries(lines: &[(i64, &str, &str)]) -> Vec<Entry> {
        let line = |(at_ms, fields, message): &(i64, &str, &str)| {
            format!("{{\"__REALTIME_TIMESTAMP\":\"{at_ms}000\",{fields}\"MESSAGE\":\"{message}\"}}\n")
        };
        journalctl::read(lines.iter().map(line).collect::<String>().as_bytes())
    }

    const STOPPED: &str = "\"MESSAGE_ID\":\"d93fb3c9c24d451a97cea615ce59c00b\",";
    const ASKED: &str = "\"MESSAGE_ID\":\"98268866d1d54a499c4e98921d93bc40\",";
    const KERNEL: &str = "\"_TRANSPORT\":\"kernel\",";

    fn ended(marks: &[(i64, &str, &str)], lines: &[(i64, &str, &str)]) -> (String, String, String) {
        let mut boot = BootRecord::default();
        from_marks(&mut boot, &entries(marks), 1_000_000);
        if boot.ended != "clean" && boot.ended != "crashed" {
            from_last_lines(&mut boot, &entries(lines));
        }
        (boot.ended, boot.how, boot.reason)
    }

    #[test]
    fn a_journal_that_stopped_last_ended_clean() {
        let marks = [
            (999_900, STOPPED, "Journal stopped"),
            (999_000, "\"UNIT\":\"reboot.target\",", "Reached target reboot.target - System Reboot."),
            (990_000, ASKED, "System is rebooting."),
        ];
        assert_eq!(ended(&marks, &[]), ("clean".into(), "reboot".into(), String::new()));
        assert_eq!(ended(&marks[..1], &[]).0, "clean");
    }

    #[test]
    fn a_journal_that_stopped_in_the_midst_was_only_replaced() {
        assert_eq!(ended(&[(500_000, STOPPED, "Journal stopped")], &[]).0, "cut_off");
    }

    #[test]
    fn an_end_that_was_asked_for_and_not_reached_hung() {
        let marks = [(990_000, ASKED, "System is powering down.")];
        assert_eq!(ended(&marks, &[]), ("cut_off_stopping".into(), "poweroff".into(), String::new()));
    }

    #[test]
    fn a_journal_that_was_closed_before_the_end_says_nothing_of_it() {
        let marks = [(990_000, ASKED, "System is rebooting.")];
        let closing = (999_000, "", "Stopping systemd-journal-flush.service - Flush Journal to Persistent Storage...");
        assert_eq!(ended(&marks, &[closing]).0, "unknown");
        assert_eq!(ended(&[], &[closing]).0, "cut_off");
    }

    #[test]
    fn a_machine_that_slept_last_did_not_wake() {
        let asleep = (999_000, KERNEL, "PM: suspend entry (deep)");
        let awake = (999_500, KERNEL, "PM: suspend exit");
        assert_eq!(ended(&[], &[asleep]).0, "cut_off_asleep");
        assert_eq!(ended(&[], &[awake, asleep]).0, "cut_off");
        assert_eq!(ended(&[], &[asleep, awake]).0, "cut_off_asleep");
    }

    #[test]
    fn heat_and_the_kernel_s_own_end_are_reasons() {
        let hot = (950_000, KERNEL, "thermal thermal_zone0: acpitz: critical temperature reached, shutting down");
        let (how_ended, _how, reason) = ended(&[hot, (951_000, ASKED, "System is powering down.")], &[]);
        assert_eq!(how_ended, "cut_off_stopping");
        assert!(reason.contains("critical temperature"));
        let bug = (999_990, KERNEL, "BUG: kernel NULL pointer dereference, address: 0000000000000008");
        assert_eq!(ended(&[bug], &[]).0, "crashed");
        assert_eq!(ended(&[(100_000, KERNEL, "BUG: long ago")], &[]).0, "cut_off");
    }

    #[test]
    fn a_dump_is_told_by_its_panic() {
        let dump = "<1>[  9.0] BUG: kernel NULL pointer dereference\n<0>[  9.1] Kernel panic - not syncing: Fatal exception\n<0>[ 9.2] end\n";
        assert_eq!(last_words(dump), "Kernel panic - not syncing: Fatal exception");
        assert_eq!(last_words(""), "");
    }
}
