//! The decoder on codes that are alone, on codes in messages, and on numbers that are none.

use std::collections::BTreeSet;

use super::tables::ALL;
use super::*;

fn names(found: &[Meaning]) -> Vec<&str> {
    found.iter().map(|meaning| meaning.name.as_str()).collect()
}

#[test]
fn every_table_is_well_formed_and_has_what_support_meets() {
    for table in ALL {
        let lines: Vec<_> = table.lines().collect();
        let numbers: BTreeSet<&str> = lines.iter().map(|line| line.0).collect();
        let several = table.kind == tables::RESULT.kind;
        assert!(several || numbers.len() == lines.len(), "{}: a number stands twice", table.kind);
        assert_eq!(lines.len(), table.text().lines().count(), "{}: a line has not three parts", table.kind);
        for (number, name, sentence) in lines {
            assert!(several || table.numbers().count() == numbers.len(), "{}: {number}", table.kind);
            assert!(!name.is_empty() && !sentence.is_empty() && !sentence.ends_with('.'), "{name}: {sentence}");
        }
    }
    let count = |kind: &str| ALL.iter().find(|table| table.kind == kind).map_or(0, |table| table.lines().count());
    assert_eq!((count("errno"), count("signal")), (131, 64));
    assert!(count("HRESULT") >= 150 && count("NTSTATUS") >= 150 && count("Win32") >= 150);
    assert!(count("HTTP status") >= 60 && count("IPP status") >= 45 && count("bug check") >= 60);
}

#[test]
fn a_bare_code_may_be_many_things_and_all_are_told() {
    assert_eq!(names(&decode("ENOSPC")), ["ENOSPC"]);
    assert_eq!(names(&decode("0x80070005")), ["E_ACCESSDENIED"]);
    assert_eq!(names(&decode("-2147024891")), ["E_ACCESSDENIED"]);
    assert_eq!(names(&decode("0x80070035")), ["ERROR_BAD_NETPATH"]);
    assert_eq!(names(&decode("exit status 203")), ["EXEC"]);
    assert_eq!(names(&decode("0x0000007E")), ["CANNOT_EXECUTE", "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED"]);
    assert_eq!(names(&decode("139")), ["SIGSEGV"]);
    let many = decode("28");
    assert!(names(&many).starts_with(&["ENOSPC", "SIGWINCH"]), "{many:?}");
    assert_eq!(names(&decode("0xC0000005")), ["STATUS_ACCESS_VIOLATION"]);
    assert_eq!(names(&decode("-110")), ["ETIMEDOUT"]);
    assert_eq!(decode("nonsense"), []);
    assert_eq!(decode(""), []);
}

#[test]
fn codes_are_found_in_messages_by_the_words_beside_them() {
    for (message, found) in [
        ("write failed: errno 28", "ENOSPC"),
        ("write failed: errno=28 (No space left on device)", "ENOSPC"),
        ("os error 13", "EACCES"),
        ("iwlwifi 0000:00:14.3: probe failed with error -110", "ETIMEDOUT"),
        ("cups.service: Main process exited, code=exited, status=203/EXEC", "EXEC"),
        ("app.service: Main process exited, code=killed, status=9/KILL", "SIGKILL"),
        ("cups.service: Failed with result 'start-limit-hit'.", "start-limit-hit"),
        ("Installation failed with 0x80070643", "ERROR_INSTALL_FAILURE"),
        ("The computer has rebooted from a bugcheck. The bugcheck was: 0x0000009f", "DRIVER_POWER_STATE_FAILURE"),
        ("GET https://a/b: HTTP 503", "Service Unavailable"),
        ("curl: (22) The requested URL returned error: 404", "Not Found"),
        ("Server returned client-error-not-possible", "client-error-not-possible"),
        ("ipp: status-code 0x0507", "server-error-busy"),
        ("Device: /dev/sda [SAT], SMART Usage Attribute: 197 Current_Pending_Sector", "Current_Pending_Sector"),
        ("wlp2s0: CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:00:01 reason=15", "4WAY_HANDSHAKE_TIMEOUT"),
        ("SSL routines: tlsv1 alert: SSL alert number 48", "unknown_ca"),
        ("GSSAPI Error: Clock skew too great", "KRB_AP_ERR_SKEW"),
        ("[Job 7] Backend returned status 4 (stop printer)", "CUPS_BACKEND_STOP"),
        ("child was ended by signal 11", "SIGSEGV"),
        ("command not run: exit code 127", "COMMAND_NOT_FOUND"),
    ] {
        let all = find(message);
        assert!(names(&all).contains(&found), "{message}: {all:?}");
    }
}

#[test]
fn numbers_that_are_no_codes_are_left_alone() {
    for message in [
        "28 pages printed",
        "job 28 done in 13 seconds",
        "port 404 is open",
        "Started session 11 of user 1000.",
        "read 0x7E bytes at 0x00400000",
        "error count 28",
        "usb 1-4: new high-speed USB device number 5",
        "EXT4-fs mounted",
        "temperature 45, fan 503",
        "EVERYTHING IS FINE",
        "status 200 pages left",
        "reason 3: paper is low",
        "",
    ] {
        assert_eq!(find(message), [], "{message}");
    }
}

#[test]
fn a_meaning_reads_as_a_sentence() {
    let told: Vec<String> = decode("ENOSPC").iter().map(ToString::to_string).collect();
    assert_eq!(told, ["ENOSPC (errno 28): no space is left on the device"]);
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_it(text in "\\PC{0,200}") {
        find(&text);
        decode(&text);
    }
}
