//! What a packet capture costs: a minute of 100 Mbit/s on a wire of its own, and how soon it ends when the technician goes. Both are measured
//! and printed, and run only when they are asked for:
//! `cargo nextest run -p deskside-tests --run-ignored only --no-capture -E 'binary(capture_cost)'`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use deskside_tests::lab::namespace::Namespace;
use deskside_tests::lab::process::{Agent, Server, Technician, until};
use deskside_tests::lab::traffic::{self, DESK, FAR, FULL_RATE, Traffic};
use serde_json::Value as Json;
use tempfile::TempDir;

/// Between two looks at what the agent uses.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Above what the agent takes at rest: the ring of 4 MiB, and what packing and uploading take.
const ABOVE_REST_KIB_MAX: u64 = 12 * 1024;

/// A desk with an agent, a far machine with the server and the technician, one wire between them, and traffic on it.
struct Desk {
    technician: Technician,
    device: String,
    agent: Agent,
    _server: Server,
    _traffic: Traffic,
    _namespaces: (Namespace, Namespace),
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let (desk, far) = traffic::wire().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let settings = "[policy]\ncaptures = \"given\"\n";
        let server = Server::start_in(folder.path(), far.name(), FAR.parse().unwrap(), settings).unwrap();
        let mut agent = Agent::new(folder.path(), "").unwrap().inside(desk.name());
        let device = agent.enrol(&server).unwrap();
        let technician = server.technician(folder.path()).unwrap();
        until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
        technician.says(&["ticket", "new", "it is slow", "--device", &device]).unwrap();
        let socket = far.within(|| UdpSocket::bind((FAR, 0)).unwrap()).unwrap();
        let traffic = Traffic::begin(socket, &format!("{DESK}:5001"), Some(FULL_RATE)).unwrap();
        let namespaces = (desk, far);
        Self { technician, device, agent, _server: server, _traffic: traffic, _namespaces: namespaces, folder }
    }

    fn asks(&self, words: &[&str]) -> Child {
        let mut command = self.technician.command().unwrap();
        command.args(["--json", "capture", &self.device, "--ticket", "1", "--interface", "eth0"]).args(words);
        command.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// The agent's memory in KiB (PSS), and its processor time in seconds.
    fn uses(&self) -> (u64, f64) {
        let pid = self.agent.pid().unwrap();
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let pss = memory.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let times = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        let ticks: f64 = times.map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        let seconds = ticks / rustix::param::clock_ticks_per_second() as f64;
        (pss.trim().trim_end_matches(" kB").parse().unwrap(), seconds)
    }

    /// Whether the agent's namespace holds an open tap.
    fn taps(&self) -> bool {
        let table = fs::read_to_string(format!("/proc/{}/net/packet", self.agent.pid().unwrap())).unwrap();
        table.lines().count() > 1
    }
}

#[test]
#[ignore = "measures for more than two minutes"]
fn a_minute_of_100_mbit_a_second_in_bounded_memory() {
    let desk = Desk::new();
    // The first capture makes what stays: threads, the connection's buffers.
    for words in [&["--seconds", "2s"][..], &["--seconds", "60s"], &["--seconds", "60s", "--filter", "tcp"]] {
        thread::sleep(Duration::from_secs(5));
        let (rest_kib, before_s) = desk.uses();
        let mut asked = desk.asks(words);
        let (begun, mut most_kib, mut tapped) = (Instant::now(), rest_kib, None);
        while asked.try_wait().unwrap().is_none() {
            most_kib = most_kib.max(desk.uses().0);
            if desk.taps() {
                tapped = Some(desk.uses().1);
            }
            thread::sleep(LOOK_EVERY);
        }
        let took = begun.elapsed().as_secs_f64();
        let after_s = desk.uses().1;
        thread::sleep(Duration::from_secs(5));
        let later_kib = desk.uses().0;
        let ran = asked.wait_with_output().unwrap();
        let collection: Json = serde_json::from_slice(&ran.stdout).unwrap();
        assert!(ran.status.success(), "{collection}");
        let parts = collection["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == "capture").unwrap();
        let capturing_s = tapped.unwrap_or(before_s) - before_s;
        println!("{words:?}: {}", part["found"]);
        println!(
            "  with packing and uploading {took:.1} s; processor {capturing_s:.2} s capturing, {:.2} s in all",
            after_s - before_s
        );
        println!("  PSS at rest {rest_kib} KiB, at most {most_kib} KiB, 5 s after it {later_kib} KiB");
        let unpacked = desk.folder.path().join(format!("unpacked-{}", words.len()) + words[1]);
        let evidence = collection["evidence_id"].as_str().unwrap();
        desk.technician.says(&["evidence", "open", evidence, "-o", unpacked.to_str().unwrap()]).unwrap();
        let about = Command::new("capinfos").args(["-c", "-s", "-u"]).arg(unpacked.join("capture.pcapng")).output();
        println!("{}", String::from_utf8_lossy(&about.unwrap().stdout));
        assert!(most_kib - rest_kib < ABOVE_REST_KIB_MAX, "memory is bounded");
    }
}

#[test]
#[ignore = "measures"]
fn how_soon_a_capture_ends_when_the_technician_goes() {
    let desk = Desk::new();
    let mut took = Vec::new();
    for _time in 0..20 {
        let mut asked = desk.asks(&["--seconds", "300s"]);
        until("the tap", || Ok(desk.taps().then_some(()))).unwrap();
        let gone = Instant::now();
        asked.kill().unwrap();
        while desk.taps() {
            thread::sleep(Duration::from_micros(500));
        }
        took.push(gone.elapsed().as_secs_f64() * 1e3);
        asked.wait().unwrap();
    }
    took.sort_by(f64::total_cmp);
    println!("from the technician's end to the closed tap: median {:.1} ms, at most {:.1} ms", took[10], took[19]);
}
