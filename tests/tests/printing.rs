//! Print queues and jobs as the collectors read them from a real print server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;

use deskside_agent::collect::{Registry, look};
use deskside_agent::host::{Live, LiveOptions};
use deskside_proto::v1::{Outcome, PrintJob, Printer};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::queues::{self, diagnosed, host};
use prost::Message;

fn rows<R: Message + Default>(cups: &Cups, table: &str) -> Vec<R> {
    queues::rows(cups, table).unwrap()
}

fn printer(cups: &Cups, name: &str) -> Printer {
    queues::printer(cups, name).unwrap()
}

fn job(cups: &Cups, id: u32) -> PrintJob {
    queues::job(cups, id).unwrap()
}

#[test]
fn a_stuck_queue_is_seen_with_its_message() {
    let cups = Cups::start().unwrap();
    let name = cups.stuck_queue().unwrap();

    let stuck = printer(&cups, &name);
    assert_eq!((stuck.state.as_str(), stuck.state_reasons.as_slice()), ("stopped", ["paused".to_owned()].as_slice()));
    assert_eq!(stuck.state_message, "The printer is not responding.");
    assert_eq!(stuck.queued_jobs, 1);
    assert_eq!(stuck.error_policy, "stop-printer");
    assert_eq!(stuck.device_uri, "socket://127.0.0.1:9/?contimeout=2");
    assert!(stuck.accepting_jobs && !stuck.is_class && stuck.state_changed_ms.is_some());

    let waiting: Vec<PrintJob> = rows(&cups, "print_jobs");
    let [waiting] = waiting.as_slice() else { panic!("one job: {waiting:?}") };
    assert_eq!((waiting.printer.as_str(), waiting.title.as_str()), (name.as_str(), "A letter"));
    assert_eq!(waiting.message, "The printer is not responding.");
    assert!(waiting.created_ms.is_some() && waiting.completed_ms.is_none());
}

#[test]
fn a_dead_printer_without_a_time_limit_stays_processing_and_only_the_message_tells() {
    let cups = Cups::start().unwrap();
    cups.add_queue("patient", "socket://127.0.0.1:9").unwrap();
    cups.submit("patient", "text\n").unwrap();
    cups.wait_until("the backend says something", |cups| Ok(!printer(cups, "patient").state_message.is_empty()))
        .unwrap();
    let patient = printer(&cups, "patient");
    assert_eq!((patient.state.as_str(), patient.state_reasons.len()), ("processing", 0), "{patient:?}");
    assert_eq!(patient.state_message, "The printer may not exist or is unavailable at this time.");
}

#[test]
fn a_pause_by_a_person_differs_from_a_stop_by_an_error_only_in_its_message_and_is_told_apart() {
    let cups = Cups::start().unwrap();
    let by_error = cups.stuck_queue().unwrap();
    cups.add_queue("by-person", "socket://127.0.0.1:9").unwrap();
    cups.tool("cupsdisable", &["by-person"]).unwrap();
    let (by_error, by_person) = (printer(&cups, &by_error), printer(&cups, "by-person"));
    assert_eq!((&by_error.state, &by_error.state_reasons), (&by_person.state, &by_person.state_reasons));
    assert_eq!(by_person.state_message, "Paused");
    assert_ne!(by_error.state_message, by_person.state_message);
    assert_eq!((by_error.paused_by.as_str(), by_person.paused_by.as_str()), ("error", "person"));
}

#[test]
fn a_queue_that_takes_no_jobs_says_so() {
    let cups = Cups::start().unwrap();
    cups.add_queue("moved", "socket://127.0.0.1:9").unwrap();
    cups.tool("cupsreject", &["-r", "moved to room 4", "moved"]).unwrap();
    let moved = printer(&cups, "moved");
    assert_eq!((moved.accepting_jobs, moved.state.as_str()), (false, "idle"));
    assert_eq!(moved.state_message, "moved to room 4");
}

#[test]
fn held_jobs_jobs_that_ended_badly_and_the_latest_printed_ones_are_listed() {
    let cups = Cups::start().unwrap();
    cups.add_queue("good", "file:///dev/null").unwrap();
    cups.add_queue("Büro", "file:///dev/null").unwrap();
    let far = cups.submit_with("Büro", "später\n", &["-o", "raw", "-o", "job-hold-until=indefinite"]).unwrap();
    cups.add_queue("bad", "socket://127.0.0.1:9/?contimeout=1").unwrap();
    cups.tool("lpadmin", &["-p", "bad", "-o", "printer-error-policy=abort-job"]).unwrap();
    cups.tool("lpadmin", &["-d", "good"]).unwrap();
    let held = cups.submit_with("good", "later\n", &["-o", "raw", "-o", "job-hold-until=indefinite"]).unwrap();
    let printed = cups.submit("good", "now\n").unwrap();
    let canceled = cups.submit_with("good", "never\n", &["-o", "raw", "-o", "job-hold-until=indefinite"]).unwrap();
    cups.tool("cancel", &[&format!("good-{canceled}")]).unwrap();
    let aborted = cups.submit("bad", "text\n").unwrap();
    cups.wait_until("the job is given up", |cups| {
        Ok(rows::<PrintJob>(cups, "print_jobs").iter().any(|job| job.id == aborted && job.state == "aborted"))
    })
    .unwrap();
    cups.wait_until("the good job is printed", |cups| {
        Ok(cups.tool("lpstat", &["-W", "completed", "good"])?.contains(&format!("good-{printed} ")))
    })
    .unwrap();

    let jobs: Vec<PrintJob> = rows(&cups, "print_jobs");
    let done = jobs.iter().find(|job| job.id == printed).unwrap();
    assert_eq!((done.state.as_str(), done.confirmed), ("completed", None), "nobody knows whether it came out");
    assert_eq!(job(&cups, held).state, "pending-held");
    assert_eq!(job(&cups, canceled).state, "canceled");
    assert_eq!(job(&cups, far).printer, "Büro");
    let aborted = job(&cups, aborted);
    assert_eq!(aborted.message, "The printer is not responding.");
    assert!(aborted.completed_ms.is_some());
    assert!(printer(&cups, "good").is_default && !printer(&cups, "bad").is_default);
}

#[test]
fn a_print_server_without_queues_is_empty_and_none_at_all_is_unsupported() {
    let cups = Cups::start().unwrap();
    let registry = Registry::standard();
    let printers = registry.collector("printers").unwrap();
    let alive = host(&cups);
    assert_eq!(look(printers, &alive).outcome(), Outcome::Empty);
    assert_eq!(look(registry.collector("print_jobs").unwrap(), &alive).outcome(), Outcome::Empty);
    drop(cups);
    let gone = look(printers, &alive);
    assert_eq!(gone.outcome(), Outcome::Unsupported, "{}", gone.reason);
    assert!(gone.reason.contains("print server"), "{}", gone.reason);
}

#[test]
fn what_a_device_says_of_its_paper_and_toner_is_told_as_the_print_server_tells_it() {
    let cups = Cups::start().unwrap();
    let says = [
        "STATE: +media-jam-warning,marker-waste-almost-full-warning",
        r#"ATTR: marker-names='"Black Toner","Waste Box"' marker-levels=3,-2"#,
    ];
    cups.add_device("moody", &says).unwrap();
    cups.submit("moody", "text\n").unwrap();
    cups.wait_until("the device has spoken", |cups| Ok(!printer(cups, "moody").markers.is_empty())).unwrap();
    let moody = printer(&cups, "moody");
    assert_eq!(moody.markers, ["Black Toner 3 %", "Waste Box unknown"]);
    assert_eq!(moody.state_reasons, ["media-jam-warning", "marker-waste-almost-full-warning"]);
}

#[test]
fn a_stuck_queue_a_dead_printer_and_a_pause_are_diagnosed_each_as_what_it_is() {
    let cups = Cups::start().unwrap();
    cups.add_queue("patient", "socket://127.0.0.1:9").unwrap();
    cups.submit("patient", "text\n").unwrap();
    cups.add_queue("rested", "socket://127.0.0.1:9").unwrap();
    cups.tool("cupsdisable", &["rested"]).unwrap();
    cups.add_backend("jammed", &["STATE: +media-jam-error"], "exec sleep 600").unwrap();
    cups.submit("jammed", "text\n").unwrap();
    let stuck = cups.stuck_queue().unwrap();
    cups.wait_until("the device has spoken", |cups| Ok(!printer(cups, "jammed").state_reasons.is_empty())).unwrap();
    let found = diagnosed(&cups).unwrap();
    let said: Vec<(&str, &str)> = found.iter().map(|found| (found.rule.as_str(), found.title.as_str())).collect();
    let titles = format!("{said:#?}");
    for (rule, words) in [
        (
            "print-queue-stopped",
            format!("{stuck} is stopped, jobs waiting: 1. It says: The printer is not responding."),
        ),
        ("print-device-unreachable", "patient cannot be reached".to_owned()),
        ("print-queue-paused", "rested was paused by a person".to_owned()),
        ("print-device-needs-a-hand", "jammed needs a hand: paper jam (error)".to_owned()),
    ] {
        let hits: Vec<_> = said.iter().filter(|(known, _title)| *known == rule).collect();
        assert!(matches!(hits.as_slice(), [(_rule, title)] if title.contains(&words)), "{rule}: {titles}");
    }
    assert_eq!(said.len(), 4, "{titles}");
}

/// A print server that answers every question with these bytes; its address.
fn liar(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

#[test]
fn a_print_server_that_answers_nonsense_is_a_failure_with_a_reason() {
    let unending =
        [[1, 1, 0, 0, 0, 0, 0, 1, 4].as_slice(), &b"\x21\x00\x01a\x00\x04\x00\x00\x00\x01".repeat(500_000)].concat();
    let answers = [
        (b"not ipp at all, but quite long".to_vec(), "not IPP"),
        (Vec::new(), "0 bytes"),
        (vec![1, 1, 0, 0, 0, 0, 0, 1, 4, 0x21, 0, 9, b'x'], "ends early"),
        (unending, "values"),
        (vec![0; 9 * 1024 * 1024], "length limit"),
    ];
    for (answer, reason) in answers {
        let print_server = Some(liar(answer));
        let host = Live::new(LiveOptions { print_server, ..LiveOptions::default() });
        for table in ["printers", "print_jobs"] {
            let reading = look(Registry::standard().collector(table).unwrap(), &host);
            assert_eq!(reading.outcome(), Outcome::Failed, "{table}: {}", reading.reason);
            assert!(reading.reason.contains(reason), "{table}: {:?} lacks {reason:?}", reading.reason);
        }
    }
}
