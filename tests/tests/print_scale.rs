//! Print servers that are large, slow, silent or gone: what a look at them costs, and that it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use deskside_agent::host::{Live, LiveOptions};
use deskside_proto::READING_BYTES_MAX;
use deskside_proto::v1::{Outcome, Reading};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::queues::{host, reading};
use prost::Message;

const QUEUES: u32 = 500;
const JOBS: u32 = 10_000;

/// What each look may take on a busy machine; alone it takes a tenth.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// All tables that the print server is asked for.
const TABLES: [&str; 5] = ["printers", "print_jobs", "print_drivers", "print_server", "print_errors"];

/// The settings of five hundred queues and the history of ten thousand jobs, as cupsd writes them: one real job is copied.
fn grow(folder: &Path) -> anyhow::Result<()> {
    let mut queues = String::new();
    for queue in 0..QUEUES {
        write!(
            queues,
            "<Printer queue{queue}>\nPrinterId {}\nUUID urn:uuid:00000000-0000-4000-8000-{queue:012}\nInfo Queue {queue}\nLocation Room {queue}\n\
             DeviceURI socket://192.0.2.{}:9100\nState Idle\nStateTime 1768000000\nConfigTime 1768000000\nType 4\nAccepting Yes\nShared Yes\n\
             JobSheets none none\nQuotaPeriod 0\nPageLimit 0\nKLimit 0\nOpPolicy default\nErrorPolicy stop-printer\n</Printer>\n",
            queue + 2,
            queue % 250,
        )?;
    }
    let place = folder.join("etc/printers.conf");
    let one = fs::read_to_string(&place).context("reading printers.conf")?;
    fs::write(&place, one + &queues).context("writing printers.conf")?;

    let control = fs::read(folder.join("spool/c00001")).context("reading a control file")?;
    let mut cache = format!("NextJobId {}\n", JOBS + 1);
    for job in 1..=JOBS {
        let name = folder.join(format!("spool/c{job:05}"));
        // Why links: ten thousand new files take half a minute on some disks, and cupsd opens only those whose jobs are asked for.
        let opened = job + 1_010 > JOBS && job % 10 == 0 || job + 30 > JOBS;
        if opened {
            fs::write(&name, numbered(&control, job)).context("writing a control file")?;
        } else if job > 1 {
            fs::hard_link(folder.join("spool/c00001"), &name).context("linking a control file")?;
        }
        // Why every tenth: so many jobs were given up, and all of them today.
        let (state, ended) = (if job % 10 == 0 { 8 } else { 9 }, now_s() - i64::from(JOBS - job));
        write!(
            cache,
            "<Job {job}>\nState {state}\nCreated {ended}\nCompleted {ended}\nPriority 50\nUsername anna\nName A letter\nDestination first\n\
             DestType 0\nKOctets 1\nNumFiles 0\n</Job>\n"
        )?;
    }
    fs::write(folder.join("cache/job.cache"), cache).context("writing the history")
}

/// A control file (RFC 8010) with another `job-id`.
fn numbered(control: &[u8], job: u32) -> Vec<u8> {
    let name = b"\x21\x00\x06job-id\x00\x04";
    let mut file = control.to_vec();
    if let Some(place) = control.windows(name.len()).position(|seen| seen == name) {
        let begin = place + name.len();
        file.splice(begin..begin + 4, job.to_be_bytes());
    }
    file
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[test]
fn five_hundred_queues_and_ten_thousand_jobs_are_looked_at_quickly_and_within_bounds() {
    let mut cups = Cups::start().unwrap();
    cups.add_queue("first", "file:///dev/null").unwrap();
    let job = cups.submit("first", "a letter\n").unwrap();
    assert_eq!(job, 1);
    cups.wait_until("it is printed", |cups| Ok(cups.tool("lpstat", &["-W", "completed"])?.contains("first-1")))
        .unwrap();
    cups.restart_with(grow).unwrap();
    let kept = fs::read_dir(cups.folder().join("spool"))
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with('c')));
    assert_eq!(kept.count(), JOBS as usize, "the history is kept");

    let host = host(&cups);
    for table in TABLES {
        let begun = Instant::now();
        let seen = reading(&host, table).unwrap();
        let (took, bytes) = (begun.elapsed(), seen.encoded_len());
        println!(
            "{table}: {} rows, {bytes} bytes, {} ms, {:?} {}",
            seen.rows.len(),
            took.as_millis(),
            seen.outcome(),
            seen.reason
        );
        assert!(took < LOOK_MAX && bytes <= READING_BYTES_MAX, "{table}: {took:?}, {bytes} bytes");
        match table {
            "printers" | "print_drivers" => assert_eq!(seen.rows.len(), QUEUES as usize + 1, "{}", seen.reason),
            "print_jobs" => {
                assert_eq!(seen.outcome(), Outcome::Partial, "what is left out is told");
                assert!(seen.reason.contains("aborted jobs after the first 100"), "{}", seen.reason);
                assert!((100..=250).contains(&seen.rows.len()), "{} rows", seen.rows.len());
            }
            _ => assert_eq!(seen.outcome(), Outcome::Ok, "{table}: {}", seen.reason),
        }
    }
}

/// A print server on a socket of its own that treats each question as `answer` does; its path.
fn bad_server(folder: &Path, answer: fn(&mut dyn Write)) -> Live {
    let path = folder.join("cups.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let _read = stream.read(&mut request);
                answer(&mut stream);
            });
        }
    });
    let print_server = Some(path.to_str().unwrap().to_owned());
    Live::new(LiveOptions { print_server, root: Some(folder.into()), ..LiveOptions::default() })
}

fn looked(host: &Live, table: &str) -> (Reading, Duration) {
    let begun = Instant::now();
    (reading(host, table).unwrap(), begun.elapsed())
}

#[test]
fn a_print_server_that_never_answers_ends_the_look_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let host = bad_server(folder.path(), |_stream| std::thread::sleep(Duration::from_mins(5)));
    let (seen, took) = looked(&host, "printers");
    assert_eq!(seen.outcome(), Outcome::TimedOut, "{}", seen.reason);
    assert!(seen.reason.contains("did not answer within") && took < Duration::from_secs(8), "{took:?} {}", seen.reason);
}

#[test]
fn a_print_server_that_answers_a_byte_a_second_ends_the_look_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let host = bad_server(folder.path(), |stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n";
        for byte in head.iter().chain(std::iter::repeat_n(&2, 4000)) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(if *byte == 2 { Duration::from_secs(1) } else { Duration::ZERO });
        }
    });
    let (seen, took) = looked(&host, "print_jobs");
    assert_eq!(seen.outcome(), Outcome::TimedOut, "{}", seen.reason);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_print_server_that_hangs_up_or_talks_garbage_is_told_as_one_that_does_not_work() {
    let answers: [fn(&mut dyn Write); 2] =
        [|_stream| {}, |stream| drop(stream.write_all(b"\x16\x03\x01 garbage\r\n\r\n"))];
    for answer in answers {
        let folder = tempfile::tempdir().unwrap();
        let host = bad_server(folder.path(), answer);
        for table in ["printers", "print_jobs", "print_drivers"] {
            let (seen, _took) = looked(&host, table);
            assert_eq!((seen.outcome(), seen.rows.len()), (Outcome::Failed, 0), "{table}: {}", seen.reason);
        }
        let (server, _took) = looked(&host, "print_server");
        let server = deskside_proto::v1::PrintServer::decode(server.rows[0].clone()).unwrap();
        assert!(!server.answers && server.problem.contains("not HTTP"), "{server:?}");
    }
}
