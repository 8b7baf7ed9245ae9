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

/// Anonymous memory above what the agent takes at rest. Why not all of it: the rest is the ring of 4 MiB, and the program's own file, of which
/// more is read in the more of it runs.
const ABOVE_REST_KIB_MAX: u64 = 4 * 1024;

/// Memory by its share (PSS), the part of it that is no file's, and processor time.
#[derive(Clone, Copy, Debug)]
struct Used {
    pss_kib: u64,
    anonymous_kib: u64,
    processor_s: f64,
}

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

    /// What the agent uses.
    fn uses(&self) -> Used {
        let pid = self.agent.pid().unwrap();
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let kib = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let times = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        let ticks: f64 = times.map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        let processor_s = ticks / rustix::param::clock_ticks_per_second() as f64;
        Used { pss_kib: kib("Pss:"), anonymous_kib: kib("Pss_Anon:"), processor_s }
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
    for words in [&["--seconds", "2s"][..], &["--seconds", "60s"], &["--seconds", "60s", "--filter", "tcp"]] {
        thread::sleep(Duration::from_secs(5));
        let rest = desk.uses();
        let mut asked = desk.asks(words);
        let (begun, mut most, mut captured) = (Instant::now(), rest, rest);
        while asked.try_wait().unwrap().is_none() {
            let now = desk.uses();
            most.pss_kib = most.pss_kib.max(now.pss_kib);
            most.anonymous_kib = most.anonymous_kib.max(now.anonymous_kib);
            if desk.taps() {
                captured = now;
            }
            thread::sleep(LOOK_EVERY);
        }
        let (took, after) = (begun.elapsed().as_secs_f64(), desk.uses());
        thread::sleep(Duration::from_secs(5));
        let later = desk.uses();
        let ran = asked.wait_with_output().unwrap();
        let collection: Json = serde_json::from_slice(&ran.stdout).unwrap();
        assert!(ran.status.success(), "{collection}");
        let parts = collection["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == "capture").unwrap();
        let (capturing_s, all_s) = (captured.processor_s - rest.processor_s, after.processor_s - rest.processor_s);
        println!("{words:?}: {}", part["found"]);
        println!(
            "  with packing and uploading {took:.1} s; processor {capturing_s:.2} s capturing, {all_s:.2} s in all"
        );
        println!("  at rest {rest:?}\n  at most {most:?}\n  5 s after it {later:?}");
        let unpacked = desk.folder.path().join(format!("unpacked-{}", words.len()) + words[1]);
        let evidence = collection["evidence_id"].as_str().unwrap();
        desk.technician.says(&["evidence", "open", evidence, "-o", unpacked.to_str().unwrap()]).unwrap();
        let about = Command::new("capinfos").args(["-c", "-s", "-u"]).arg(unpacked.join("capture.pcapng")).output();
        println!("{}", String::from_utf8_lossy(&about.unwrap().stdout));
        assert!(most.anonymous_kib - rest.anonymous_kib < ABOVE_REST_KIB_MAX, "memory is bounded");
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
