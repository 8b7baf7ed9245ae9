//! Rules about queues and jobs.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{finds, passes};

const MINUTE_MS: i64 = 60_000;

fn printer(change: &Value) -> Value {
    let mut row = json!({
        "name": "front", "state": "idle", "state_message": "", "state_reasons": [], "accepting_jobs": true, "queued_jobs": 0,
        "device_uri": "socket://192.0.2.9:9100", "state_changed_ms": CHECKED_AT_MS - 5 * MINUTE_MS, "make_and_model": "Acme",
    });
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "printers": [row] })
}

fn job(change: &Value) -> Value {
    let mut row = json!({
        "id": 7, "printer": "front", "state": "pending", "state_reasons": [], "message": "", "document_format": "text/plain",
        "created_ms": CHECKED_AT_MS - 5 * MINUTE_MS,
    });
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "print_jobs": [row] })
}

fn both(jobs: &Value, printers: &Value) -> Value {
    json!({ "print_jobs": jobs["print_jobs"], "printers": printers["printers"] })
}

#[test]
fn a_queue_that_an_error_stopped_is_told_apart_from_one_that_a_person_paused() {
    let stopped = |paused_by: &str, message: &str, jobs: u32| {
        printer(
            &json!({"state": "stopped", "paused_by": paused_by, "state_message": message, "queued_jobs": jobs, "state_reasons": ["paused"]}),
        )
    };
    let by_error = stopped("error", "The printer is not responding.", 1);
    let by_person = stopped("person", "Paused", 2);
    let idle_pause = stopped("person", "Paused", 0);
    finds("print-queue-stopped", &stopped("unknown", "toner change", 1), "toner change");
    passes("print-queue-stopped", &stopped("unknown", "toner change", 0));
    finds("print-queue-paused", &stopped("unknown", "toner change", 0), "nothing waits");
    finds("print-queue-paused-with-jobs", &stopped("never enabled", "", 1), "jobs waiting: 1");
    finds("print-queue-stopped", &by_error, "not responding");
    finds("print-queue-paused-with-jobs", &by_person, "jobs waiting: 2");
    finds("print-queue-paused", &idle_pause, "nothing waits");
    for (rule, others) in [
        ("print-queue-stopped", [&by_person, &idle_pause]),
        ("print-queue-paused-with-jobs", [&by_error, &idle_pause]),
        ("print-queue-paused", [&by_error, &by_person]),
    ] {
        for tables in others {
            passes(rule, tables);
        }
    }
}

#[test]
fn a_dead_printer_is_seen_by_its_message_alone() {
    let rule = "print-device-unreachable";
    for message in [
        "The printer may not exist or is unavailable at this time.",
        "The printer is not responding.",
        "Unable to connect to 192.0.2.9; will retry in 30 seconds.",
    ] {
        finds(rule, &printer(&json!({"state": "processing", "state_message": message, "queued_jobs": 1})), message);
    }
    passes(rule, &printer(&json!({"state": "processing", "state_message": "Sending data to printer."})));
    passes(rule, &printer(&json!({"state": "idle", "state_message": "The printer is not responding."})));
}

#[test]
fn a_printer_that_is_asleep_is_told_of_after_two_minutes() {
    let rule = "print-device-connecting";
    let connecting = json!({"state": "processing", "state_reasons": ["connecting-to-device"]});
    finds(rule, &printer(&connecting), "connecting-to-device");
    let mut fresh = printer(&connecting);
    fresh["printers"][0]["state_changed_ms"] = json!(CHECKED_AT_MS - MINUTE_MS);
    passes(rule, &fresh);
    passes(rule, &printer(&json!({"state": "processing"})));
    let idle = json!({"state": "idle", "state_reasons": ["connecting-to-device"], "reasons_stale": true});
    passes(rule, &printer(&idle));
}

/// A queue whose device gives these reasons, in words as the agent has them.
fn device(reasons: &[&str], troubles: &[&str], severity: &str, stale: bool, jobs: u32) -> Value {
    printer(&json!({
        "state": if stale { "idle" } else { "processing" }, "state_reasons": reasons, "troubles": troubles, "severity": severity,
        "reasons_stale": stale, "queued_jobs": jobs,
    }))
}

#[test]
fn the_severity_of_a_trouble_decides() {
    let (critical, warning) = ("print-device-needs-a-hand", "print-device-warns");
    for (reason, words) in [
        ("media-jam", "paper jam (error)"),
        ("media-empty-error", "out of paper (error)"),
        ("com.example-lamp-error", "com.example lamp (error)"),
    ] {
        let tables = device(&["paused", reason], &[words], "error", false, 1);
        finds(critical, &tables, words);
        passes(warning, &tables);
    }
    for (reason, words, severity) in [
        ("media-empty-warning", "out of paper (warning)", "warning"),
        ("toner-low-report", "low on toner (report)", "report"),
        ("marker-waste-toner-receptacle-a", "waste toner box almost full (severity cut off)", ""),
    ] {
        let tables = device(&[reason, "other-report"], &[words], severity, false, 0);
        finds(warning, &tables, words);
        passes(critical, &tables);
    }
    for tables in [
        device(&["media-jam-report"], &["paper jam (report)"], "report", false, 0),
        device(&["cups-waiting-for-job-completed"], &[], "", false, 1),
        device(&["offline-error"], &["offline (error)"], "error", false, 1),
    ] {
        passes(critical, &tables);
        passes(warning, &tables);
    }
}

#[test]
fn two_troubles_of_one_printer_are_one_finding() {
    let both =
        device(&["media-empty-error", "door-open"], &["out of paper (error)", "door open (error)"], "error", false, 2);
    finds("print-device-needs-a-hand", &both, "out of paper (error), door open (error), jobs waiting: 2");
}

#[test]
fn what_a_device_said_at_its_last_job_is_told_as_old() {
    let old = device(&["media-jam-error"], &["paper jam (error)"], "error", true, 0);
    let waiting = device(&["media-jam-error"], &["paper jam (error)"], "error", true, 1);
    finds("print-device-needed-a-hand", &old, "said at its last job: paper jam");
    passes("print-device-needed-a-hand", &waiting);
    finds("print-device-needs-a-hand", &waiting, "paper jam");
    passes("print-device-needs-a-hand", &old);
}

#[test]
fn a_filter_that_is_not_there_is_told_of_once() {
    let tables =
        device(&["cups-missing-filter-warning"], &["a filter program is missing (warning)"], "warning", false, 1);
    finds("print-filter-missing", &tables, "a filter program is missing");
    passes("print-device-warns", &tables);
    passes("print-filter-missing", &device(&["media-low-warning"], &["low on paper (warning)"], "warning", false, 0));
}

#[test]
fn a_supply_is_low_only_where_its_level_is_known() {
    let rule = "print-supply-below-ten-percent";
    finds(rule, &printer(&json!({"markers": ["Cyan 80 %", "Black Toner 3 %"]})), "Black Toner 3 %");
    finds(rule, &printer(&json!({"markers": ["Black Toner 0 %", "Cyan 80 %"]})), "Black Toner 0 %");
    for markers in
        [json!(["Black 10 %"]), json!(["Black unknown"]), json!(["Black some left"]), json!(["Waste Box 5 %"])]
    {
        passes(rule, &printer(&json!({"markers": markers})));
    }
}

#[test]
fn a_queue_that_rejects_jobs_is_told_of() {
    finds("print-queue-rejects-jobs", &printer(&json!({"accepting_jobs": false, "state_message": "moved"})), "moved");
    passes("print-queue-rejects-jobs", &printer(&json!({})));
}

#[test]
fn jobs_that_wait_and_jobs_that_do_not_end_are_told_of() {
    let waiting = job(&json!({}));
    finds("print-jobs-waiting", &both(&waiting, &printer(&json!({"state": "processing"}))), "front: 1");
    passes("print-jobs-waiting", &both(&waiting, &printer(&json!({"state": "stopped"}))));
    let fresh = job(&json!({"created_ms": CHECKED_AT_MS - MINUTE_MS}));
    passes("print-jobs-waiting", &both(&fresh, &printer(&json!({}))));

    let endless =
        json!({"state": "processing", "processing_ms": CHECKED_AT_MS - 11 * MINUTE_MS, "message": "Printing page 1"});
    finds("print-job-does-not-end", &job(&endless), "Printing page 1");
    passes("print-job-does-not-end", &job(&json!({"state": "processing", "processing_ms": CHECKED_AT_MS - MINUTE_MS})));
}

#[test]
fn held_jobs_are_told_apart_by_who_holds_them() {
    let by_password = job(&json!({"state": "pending-held", "state_reasons": ["cups-held-for-authentication"]}));
    let by_person = job(&json!({"state": "pending-held", "state_reasons": ["job-hold-until-specified"]}));
    finds("print-job-needs-a-password", &by_password, "waits for a password");
    let after_a_restart = job(&json!({
        "state": "pending-held", "state_reasons": ["job-hold-until-specified"], "hold_until": "auth-info-required",
    }));
    finds("print-job-needs-a-password", &after_a_restart, "waits for a password");
    passes("print-job-held", &after_a_restart);
    finds("print-job-held", &by_person, "is held");
    passes("print-job-needs-a-password", &by_person);
    passes("print-job-held", &by_password);
}

#[test]
fn a_job_that_a_filter_broke_is_told_apart_from_one_that_was_given_up() {
    let by_filter = job(&json!({"state": "aborted", "message": "Filter failed", "completed_ms": CHECKED_AT_MS}));
    let given_up = job(&json!({"state": "aborted", "message": "The printer is not responding."}));
    let canceled = job(&json!({"state": "canceled", "state_reasons": ["job-canceled-by-user"]}));
    finds("print-job-filter-failed", &by_filter, "Filter failed");
    finds("print-job-given-up", &given_up, "not responding");
    let stopped =
        json!({"state": "processing-stopped", "state_reasons": ["cups-filter-crashed"], "message": "about to die"});
    let stopped = job(&stopped);
    finds("print-job-filter-failed", &stopped, "about to die");
    passes("print-jobs-waiting", &both(&stopped, &printer(&json!({}))));
    let lacking = job(&json!({"state": "processing-stopped", "printer_reasons": ["cups-missing-filter-warning"]}));
    finds("print-job-filter-failed", &lacking, "Job 7");
    passes("print-job-given-up", &lacking);
    passes("print-job-filter-failed", &given_up);
    passes("print-job-given-up", &by_filter);
    passes("print-job-filter-failed", &canceled);
    passes("print-job-given-up", &canceled);
}

fn server(change: &Value) -> Value {
    let mut row = json!({"answers": true, "log_level": "warn", "spool": "/var/spool/cups", "spool_bytes": 1_000_000_000_i64,
        "spool_free_bytes": 500_000_000_i64});
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "print_server": [row] })
}

#[test]
fn a_print_server_that_is_off_is_told_apart_from_one_that_hangs() {
    let off =
        server(&json!({"answers": false, "problem": "no print server runs here: there is no /run/cups/cups.sock"}));
    let hangs = server(&json!({"answers": false, "problem": "the print server did not answer within 5 s"}));
    finds("print-server-not-running", &off, "does not run");
    finds("print-server-hangs", &hangs, "did not answer within 5 s");
    passes("print-server-not-running", &hangs);
    passes("print-server-hangs", &off);
    for rule in ["print-server-not-running", "print-server-hangs", "print-spool-full", "print-server-logs-everything"] {
        passes(rule, &server(&json!({})));
    }
}

#[test]
fn a_full_spool_and_a_server_that_logs_everything_are_told_of() {
    finds("print-spool-full", &server(&json!({"spool_free_bytes": 1_000_000})), "no room for print jobs");
    passes("print-spool-full", &server(&json!({"spool_free_bytes": null})));
    finds("print-server-logs-everything", &server(&json!({"log_level": "debug2"})), "debug2");
}

#[test]
fn a_driver_that_lacks_a_program_is_told_of_where_the_queue_does_not_say_so() {
    let rule = "print-driver-lacks-a-program";
    let lacking = json!([{"queue": "front", "nickname": "Acme 9", "missing_filters": ["rastertoacme"]}]);
    let tables =
        |reasons: Value| json!({"print_drivers": lacking, "printers": [{"name": "front", "state_reasons": reasons}]});
    finds(rule, &tables(json!([])), "rastertoacme");
    passes(rule, &tables(json!(["cups-missing-filter-warning"])));
    passes(rule, &json!({"print_drivers": [{"queue": "front", "nickname": "Acme 9"}]}));
}

#[test]
fn what_fails_again_and_again_is_told_of() {
    let error = |signature: &str, example: &str, count: u32, ago_ms: i64| {
        json!({"queue": "front", "program": "gs", "signature": signature, "example": example, "count": count,
            "last_ms": CHECKED_AT_MS - ago_ms})
    };
    let crash = |count| json!({"print_errors": [error("PID # (/usr/gs) crashed on signal #.", "PID 7", count, 0)]});
    finds("print-filter-crashes", &crash(2), "crashed 2 times");
    passes("print-filter-crashes", &crash(1));

    let fails = |count, state: &str| {
        let error = error("Backend returned status # (failed)", "Backend returned status 1 (failed)", count, 0);
        json!({"print_errors": [error], "printers": [{"name": "front", "state": state}]})
    };
    finds("print-backend-fails-now-and-then", &fails(3, "idle"), "failed 3 times");
    passes("print-backend-fails-now-and-then", &fails(2, "idle"));
    passes("print-backend-fails-now-and-then", &fails(9, "stopped"));

    let full = |ago_ms| json!({"print_errors": [error("x", "Unable to write: No space left on device", 1, ago_ms)]});
    finds("print-server-out-of-space", &full(MINUTE_MS), "want of room");
    passes("print-server-out-of-space", &full(120 * MINUTE_MS));
}
