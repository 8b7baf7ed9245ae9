//! What fails between a document and a printer, on a real print server: backends and filters of our own that fail as real ones do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Read;
use std::net::TcpListener;

use deskside_proto::v1::{Finding, PrintDriver, PrintError, PrintJob, PrintServer};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::queues::{diagnosed, diagnosed_later, job, printer, rows};

/// After this long a job that is held, or that waits, is told of.
const LATER_MS: i64 = 180_000;

/// Makes a queue whose backend says what it says and then fails, and sends it a job; the job's number.
fn failing(cups: &Cups, name: &str, policy: &str, says: &[&str], then: &str) -> u32 {
    cups.add_backend(name, says, then).unwrap();
    cups.tool("lpadmin", &["-p", name, "-o", &format!("printer-error-policy={policy}")]).unwrap();
    cups.submit(name, "a letter\n").unwrap()
}

/// Waits until a job is in a state.
fn until(cups: &Cups, id: u32, state: &str) -> PrintJob {
    cups.wait_until(state, |cups| Ok(job(cups, id).is_ok_and(|job| job.state == state))).unwrap();
    job(cups, id).unwrap()
}

/// The findings of one rule about one queue or job.
fn of<'a>(found: &'a [Finding], rule: &str, about: &str) -> Vec<&'a Finding> {
    found.iter().filter(|found| found.rule == rule && found.title.contains(about)).collect()
}

#[test]
fn each_exit_status_of_a_backend_is_seen_as_what_it_means() {
    let cups = Cups::start().unwrap();
    let policy = "stop-printer";
    let asks = failing(&cups, "asks", policy, &["ERROR: who are you?"], "exit 2");
    let holds = failing(&cups, "holds", "abort-job", &["ERROR: come back later"], "exit 3");
    let stops = failing(&cups, "stops", "retry-job", &["ERROR: lamp 4"], "exit 4");
    let cancels = failing(&cups, "cancels", policy, &["ERROR: no"], "exit 5");
    let later = failing(&cups, "later", policy, &["ERROR: lamp 6"], "exit 6");
    let at_once = failing(&cups, "at-once", policy, &["ERROR: lamp 7"], "sleep 0.5; exit 7");

    let asks = until(&cups, asks, "pending-held");
    assert_eq!(
        (asks.hold_until.as_str(), asks.state_reasons.as_slice()),
        ("auth-info-required", ["cups-held-for-authentication".to_owned()].as_slice())
    );
    let holds = until(&cups, holds, "pending-held");
    assert_eq!((holds.hold_until.as_str(), holds.message.as_str()), ("indefinite", "come back later"));
    until(&cups, stops, "pending");
    cups.wait_until("the queue stops", |cups| Ok(printer(cups, "stops")?.state == "stopped")).unwrap();
    let stopped = printer(&cups, "stops").unwrap();
    assert_eq!(
        (stopped.paused_by.as_str(), stopped.state_message.as_str(), stopped.waiting_jobs),
        ("error", "lamp 4", Some(1))
    );
    until(&cups, cancels, "canceled");
    let later = until(&cups, later, "pending-held");
    assert_eq!(later.message, "lamp 6", "{later:?}");
    let again = |cups: &Cups| Ok(cups.error_log()?.matches("(retry job immediately)").count() > 1);
    cups.wait_until("the job is tried again", again).unwrap();
    assert_eq!(job(&cups, at_once).unwrap().state, "processing");

    let found = diagnosed_later(&cups, LATER_MS).unwrap();
    assert_eq!(of(&found, "print-job-needs-a-password", "at asks waits for a password").len(), 1, "{found:#?}");
    assert_eq!(of(&found, "print-job-held", "at holds is held").len(), 1, "{found:#?}");
    assert_eq!(of(&found, "print-job-held", "at asks").len(), 0, "{found:#?}");
    assert_eq!(of(&found, "print-queue-stopped", "stops is stopped, jobs waiting: 1. It says: lamp 4").len(), 1);
    assert_eq!(of(&found, "print-job-given-up", "cancels").len(), 0, "{found:#?}");
}

#[test]
fn each_error_policy_leaves_its_own_traces() {
    let cups = Cups::start().unwrap();
    let says = ["ERROR: The printer is not responding."];
    failing(&cups, "stop", "stop-printer", &says, "exit 1");
    let mute = failing(&cups, "mute", "stop-printer", &[], "exit 1");
    failing(&cups, "crash", "stop-printer", &[], "kill -SEGV $$");
    let retry = failing(&cups, "retry", "retry-job", &says, "exit 1");
    let abort = failing(&cups, "abort", "abort-job", &says, "exit 1");
    let current = failing(&cups, "current", "retry-current-job", &says, "sleep 0.5; exit 1");

    assert_eq!(until(&cups, abort, "aborted").message, "The printer is not responding.");
    until(&cups, retry, "pending-held");
    until(&cups, mute, "pending");
    for name in ["stop", "mute", "crash"] {
        cups.wait_until("the queue stops", |cups| Ok(printer(cups, name)?.state == "stopped")).unwrap();
        let stopped = printer(&cups, name).unwrap();
        assert_eq!((stopped.paused_by.as_str(), stopped.error_policy.as_str()), ("error", "stop-printer"), "{name}");
    }
    cups.tool("cupsdisable", &["-r", "toner change", "abort"]).unwrap();
    assert_eq!(printer(&cups, "abort").unwrap().paused_by, "unknown");
    cups.wait_until("it is tried again", |cups| Ok(cups.error_log()?.matches("[Job 6] Backend returned").count() > 2))
        .unwrap();
    assert_eq!((current, job(&cups, current).unwrap().state.as_str()), (6, "processing"));

    let found = diagnosed(&cups).unwrap();
    for name in ["stop", "mute", "crash"] {
        assert_eq!(of(&found, "print-queue-stopped", &format!("Printer {name} is stopped")).len(), 1, "{found:#?}");
    }
    assert_eq!(of(&found, "print-job-given-up", "for abort was given up. It says: The printer").len(), 1, "{found:#?}");
    assert_eq!(of(&found, "print-device-unreachable", "current cannot be reached").len(), 1, "{found:#?}");
    let errors: Vec<PrintError> = rows(&cups, "print_errors").unwrap();
    let failed =
        errors.iter().find(|error| error.queue == "current" && error.signature.starts_with("Backend")).unwrap();
    assert!(failed.count >= 2 && failed.program == "current" && failed.job == Some(6), "{failed:?}");
}

#[test]
fn a_filter_that_crashes_and_one_that_is_missing_stop_their_jobs_while_the_queue_looks_well() {
    let cups = Cups::start().unwrap();
    cups.add_program("filter", "crashing", "#!/bin/sh\necho 'ERROR: bad page' >&2\nkill -SEGV $$\n").unwrap();
    cups.add_driver("crash", "crashing").unwrap();
    cups.add_driver("gone", "notthere").unwrap();
    let crashed = cups.submit_with("crash", "one\n", &[]).unwrap();
    let again = cups.submit_with("crash", "two\n", &[]).unwrap();
    let gone = cups.submit_with("gone", "three\n", &[]).unwrap();
    until(&cups, again, "processing-stopped");
    let crashed = until(&cups, crashed, "processing-stopped");
    let gone = until(&cups, gone, "processing-stopped");
    assert_eq!(crashed.state_reasons, ["cups-filter-crashed"]);
    // Whichever cupsd wrote last: the filter's word, or its own.
    assert!(["bad page", "Filter failed"].contains(&crashed.message.as_str()), "{}", crashed.message);
    assert_eq!(gone.printer_reasons, ["cups-missing-filter-warning"]);
    assert_eq!(printer(&cups, "crash").unwrap().state, "idle");
    assert_eq!(printer(&cups, "gone").unwrap().troubles, ["a filter program is missing (warning)"]);

    let drivers: Vec<PrintDriver> = rows(&cups, "print_drivers").unwrap();
    let [here, lacking] = drivers.as_slice() else { panic!("two drivers: {drivers:?}") };
    assert_eq!(
        (here.kind.as_str(), here.nickname.as_str(), here.missing_filters.len()),
        ("ppd", "Acme 9, version 1.0", 0)
    );
    assert_eq!((here.filters.as_slice(), here.color), (["text/plain: crashing".to_owned()].as_slice(), Some(true)));
    assert_eq!(lacking.missing_filters, ["notthere"]);
    let errors: Vec<PrintError> = rows(&cups, "print_errors").unwrap();
    let crash = errors.iter().find(|error| error.signature.contains("crashed on signal")).unwrap();
    assert_eq!(
        (crash.queue.as_str(), crash.program.as_str(), crash.count, crash.job),
        ("crash", "crashing", 2, Some(again))
    );

    let found = diagnosed_later(&cups, LATER_MS).unwrap();
    assert_eq!(of(&found, "print-job-filter-failed", "could not be turned into the printer's language").len(), 3);
    assert_eq!(of(&found, "print-filter-missing", "Printer gone cannot print").len(), 1, "{found:#?}");
    assert_eq!(of(&found, "print-driver-lacks-a-program", "").len(), 0, "it is told once");
    assert_eq!(of(&found, "print-filter-crashes", "crashing of printer crash crashed 2 times").len(), 1, "{found:#?}");
    assert_eq!(of(&found, "print-jobs-waiting", "").len(), 0, "a stopped job is not told as a waiting one: {found:#?}");
}

#[test]
fn a_wrong_address_is_seen_while_cups_tries_for_ever() {
    let cups = Cups::start().unwrap();
    cups.add_queue("moved", "ipp://127.66.66.66:9/ipp/print").unwrap();
    cups.submit("moved", "a letter\n").unwrap();
    cups.wait_until("the backend says something", |cups| Ok(!printer(cups, "moved")?.state_message.is_empty()))
        .unwrap();
    let moved = printer(&cups, "moved").unwrap();
    assert_eq!((moved.state.as_str(), moved.driver.as_str(), moved.reasons_stale), ("processing", "raw", false));
    let found = diagnosed_later(&cups, LATER_MS).unwrap();
    let told =
        [of(&found, "print-device-unreachable", "moved"), of(&found, "print-device-connecting", "moved")].concat();
    assert!(!told.is_empty() && told.iter().all(|found| found.next_step.contains("127.66.66.66")), "{found:#?}");
}

#[test]
fn a_printer_that_dies_in_the_middle_of_a_job_is_not_taken_for_one_that_prints() {
    let cups = Cups::start().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    cups.add_queue("dies", &format!("socket://{address}/?contimeout=2")).unwrap();
    let id = cups.submit("dies", &"a long letter\n".repeat(600_000)).unwrap();
    let mut taken = vec![0; 65_536];
    let (mut printer_side, _backend) = listener.accept().unwrap();
    printer_side.read_exact(&mut taken).unwrap();
    // It goes with the rest of the job unread, and nobody listens any more.
    drop((printer_side, listener));
    cups.wait_until("the queue gives up", |cups| Ok(printer(cups, "dies")?.state == "stopped")).unwrap();
    let (queue, job) = (printer(&cups, "dies").unwrap(), job(&cups, id).unwrap());
    assert_eq!((queue.paused_by.as_str(), queue.queued_jobs), ("error", 1), "{queue:#?}");
    assert!(job.state != "completed" && job.confirmed.is_none() && job.completed_ms.is_none(), "{job:#?}");
    let found = diagnosed(&cups).unwrap();
    assert_eq!(of(&found, "print-queue-stopped", "dies is stopped, jobs waiting: 1").len(), 1, "{found:#?}");
}

#[test]
fn reasons_are_current_while_a_job_prints_and_old_after_it() {
    let cups = Cups::start().unwrap();
    cups.add_backend("busy", &["STATE: +media-empty-error,toner-low-report"], "exec sleep 600").unwrap();
    cups.add_device("done", &["STATE: +door-open,com.example-lamp-warning"]).unwrap();
    let busy = cups.submit("busy", "a letter\n").unwrap();
    let done = cups.submit("done", "a letter\n").unwrap();
    until(&cups, done, "completed");
    cups.wait_until("the device has spoken", |cups| Ok(!printer(cups, "busy")?.troubles.is_empty())).unwrap();
    let (now, then) = (printer(&cups, "busy").unwrap(), printer(&cups, "done").unwrap());
    assert_eq!(
        (now.troubles.join(", ").as_str(), now.severity.as_str(), now.reasons_stale),
        ("out of paper (error), low on toner (report)", "error", false)
    );
    assert_eq!(
        (then.troubles.join(", ").as_str(), then.reasons_stale),
        ("door open (error), com.example lamp (warning)", true)
    );
    let found = diagnosed(&cups).unwrap();
    assert_eq!(
        of(&found, "print-device-needs-a-hand", "busy needs a hand: out of paper (error)").len(),
        1,
        "{found:#?}"
    );
    assert_eq!(of(&found, "print-device-needed-a-hand", "done said at its last job: door open").len(), 1, "{found:#?}");
    cups.tool("cancel", &[&format!("busy-{busy}")]).unwrap();
}

#[test]
fn a_print_server_tells_how_it_is_set_up_and_whether_it_answers() {
    let cups = Cups::start().unwrap();
    cups.add_queue("hall", "file:///dev/null").unwrap();
    let server = |cups: &Cups| rows::<PrintServer>(cups, "print_server").unwrap().remove(0);
    let well = server(&cups);
    assert!(well.answers && well.problem.is_empty() && well.version.starts_with('2'), "{well:?}");
    assert_eq!((well.log_level.as_str(), well.browsing, well.sharing), ("info", Some(false), Some(false)));
    assert_eq!(
        (well.retry_interval_s, well.job_history.as_str(), well.policies.as_slice()),
        (Some(2), "Yes", ["default".to_owned()].as_slice())
    );
    assert!(well.filters.iter().any(|name| name == "pdftopdf") || !well.filters.is_empty(), "{well:?}");
    assert!(well.backends.iter().any(|name| name == "socket") && well.spool_free_bytes.is_some(), "{well:?}");
    assert_eq!(diagnosed(&cups).unwrap(), [], "a healthy print server is told in no finding");
}
