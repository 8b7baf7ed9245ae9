//! Packet capture: at the machine, and for a ticket with the consent of the person there; and the signed policy that says who must agree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use deskside_tests::lab::namespace::Namespace;
use deskside_tests::lab::process::{Agent, Server, Technician, until};
use deskside_tests::lab::traffic::{self, DATAGRAM_BYTES, DESK, FAR, Traffic};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tempfile::TempDir;

/// What tshark says of a file.
fn tshark(file: &Path, more: &[&str]) -> String {
    let ran = Command::new("tshark").arg("-n").arg("-r").arg(file).args(more).output().expect("tshark is installed");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// A desk and a far machine at one wire, and datagrams from there to port 5001 of the desk, so many a second.
fn wired(a_second: Option<u32>) -> (Namespace, Namespace, Traffic) {
    let (desk, far) = traffic::wire().unwrap();
    far.carries("eth0").unwrap();
    let socket = far.within(|| UdpSocket::bind((FAR, 0)).unwrap()).unwrap();
    let traffic = Traffic::begin(socket, &format!("{DESK}:5001"), a_second).unwrap();
    (desk, far, traffic)
}

/// Captures at the machine: the row, and the file.
fn captured(desk: &Namespace, folder: &Path, words: &[&str]) -> (Json, PathBuf) {
    std::fs::create_dir_all(folder).unwrap();
    let agent = Agent::new(folder, "").unwrap().inside(desk.name());
    let out = folder.join("out.pcapng");
    let ran = agent.command().args(["capture", "--json", "--out"]).arg(&out).args(words).output().unwrap();
    let readings: Json = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    assert_eq!(readings[0]["outcome"], "ok", "{readings} {}", String::from_utf8_lossy(&ran.stderr));
    (readings[0]["rows"][0].clone(), out)
}

#[test]
fn a_file_opens_in_an_analyser_with_interface_filter_and_comment_and_holds_what_the_filter_says() {
    let (desk, _far, _traffic) = wired(Some(200));
    let folder = tempfile::tempdir().unwrap();
    let words = ["--interface", "eth0", "--filter", "udp and dst port 5001 and src host 192.0.2.1", "--packets", "40"];
    let (row, file) = captured(&desk, folder.path(), &words);
    assert_eq!((row["packets"].as_u64(), row["dropped"].as_u64()), (Some(40), Some(0)), "{row}");
    let fields =
        ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.len", "-e", "frame.cap_len", "-e", "udp.dstport"];
    let told = tshark(&file, &fields);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 40);
    let frame = DATAGRAM_BYTES + 42;
    assert!(lines.iter().all(|line| *line == format!("eth0\t{frame}\t96\t5001")), "{told}");
    let about = Command::new("capinfos").arg(&file).output().unwrap();
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    for words in ["Asked for by somebody at the machine", "packets of eth0", "Capture length = 96", "deskside-agent"] {
        assert!(about.contains(words), "{words}: {about}");
    }
    assert!(about.contains(row["sha256"].as_str().unwrap()), "{about}");
    assert!(row["found"].as_str().unwrap().starts_with("40 packets ("), "{row}");
}

#[test]
fn what_is_not_wanted_is_left_out_by_the_kernel() {
    let (desk, _far, _traffic) = wired(Some(500));
    let folder = tempfile::tempdir().unwrap();
    let words = ["--interface", "any", "--filter", "tcp", "--seconds", "1"];
    let (row, file) = captured(&desk, folder.path(), &words);
    assert_eq!(row["packets"], 0, "{}", tshark(&file, &[]));
    assert!(row["found"].as_str().unwrap().starts_with("No packet was seen on all interfaces"), "{row}");
}

#[test]
fn packets_and_bytes_are_bounded_and_the_bound_that_ended_it_is_named() {
    let (desk, _far, _traffic) = wired(None);
    let folder = tempfile::tempdir().unwrap();
    let words = ["--interface", "eth0", "--bytes", "200000", "--seconds", "20"];
    let (row, file) = captured(&desk, folder.path(), &words);
    let bytes = row["bytes"].as_u64().unwrap();
    assert!(bytes <= 200_000 + 512 && bytes > 190_000, "{row}");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), bytes);
    let found = row["found"].as_str().unwrap();
    assert!(found.contains("the bound of 195.3 KiB ended it before the 20 s that were asked for"), "{row}");
    let (row, _file) = captured(&desk, &folder.path().join("again"), &["--interface", "eth0", "--packets", "50"]);
    let found = row["found"].as_str().unwrap();
    assert!(found.contains("the bound of 50 packets ended it before the 30 s that were asked for"), "{row}");
}

/// Datagrams that come while the agent stands still. The kernel's ring has room for a third of them.
const FLOOD: u32 = 60_000;

#[test]
fn packets_that_came_faster_than_the_agent_could_take_them_are_counted_in_the_row_the_sentence_and_the_file() {
    let (desk, far) = traffic::wire().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), "").unwrap().inside(desk.name());
    let file = folder.path().join("out.pcapng");
    let words = ["capture", "--json", "--interface", "eth0", "--filter", "udp port 5001", "--seconds", "5", "--out"];
    let capturing = agent.command().args(words).arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(capturing.id().cast_signed()).unwrap();
    until("the tap", || Ok(desk.within(taps)?.then_some(()))).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    until("the agent to stand still", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", capturing.id()))?;
        Ok(stat.contains(") T ").then_some(()))
    })
    .unwrap();
    let socket = far.within(|| UdpSocket::bind((FAR, 0)).unwrap()).unwrap();
    for _datagram in 0..FLOOD {
        socket.send_to(&[0x5a; DATAGRAM_BYTES], format!("{DESK}:5001")).ok();
    }
    kill_process(pid, Signal::CONT).unwrap();
    let ran = capturing.wait_with_output().unwrap();
    let readings: Json = serde_json::from_slice(&ran.stdout).unwrap();
    let row = &readings[0]["rows"][0];
    let (packets, dropped) = (row["packets"].as_u64().unwrap(), row["dropped"].as_u64().unwrap());
    assert!(packets > 0 && dropped > 0 && packets + dropped <= u64::from(FLOOD), "{row}");
    let words = format!("; {dropped} more came too fast and were dropped.");
    assert!(row["found"].as_str().unwrap().ends_with(&words), "{row}");
    assert_eq!(statistics(&std::fs::read(&file).unwrap()), [(5, dropped), (8, packets)].into());
    assert_eq!(tshark(&file, &[]).lines().count() as u64, packets);
}

/// Whether a socket hears packets here (packet(7) in proc: sk, references, type, protocol, interface, whether it is bound).
fn taps() -> bool {
    let table = std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
    table.lines().skip(1).any(|line| line.split_whitespace().nth(5) == Some("1"))
}

/// What a file's statistics say was dropped (`isb_ifdrop`) and delivered (`isb_usrdeliv`).
fn statistics(file: &[u8]) -> BTreeMap<u16, u64> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let half = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let (mut at, mut found) = (0, BTreeMap::new());
    while at < file.len() {
        let end = at + word(at + 4);
        let mut option = at + 20;
        while word(at) == 5 && half(option) != 0 {
            let number = u64::from_le_bytes(file[option + 4..option + 12].try_into().unwrap());
            found.insert(half(option), number);
            option += 4 + usize::from(half(option + 2)).next_multiple_of(4);
        }
        at = end;
    }
    found.retain(|option, _number| [5, 8].contains(option));
    found
}

#[test]
fn nobody_without_the_privilege_captures_and_is_told_what_it_takes() {
    let (desk, _far, _traffic) = wired(Some(10));
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), "").unwrap();
    let program = agent.command().get_program().to_owned();
    let out = std::env::temp_dir().join(format!("dsk-capture-{}.pcapng", std::process::id()));
    let ran = desk.command_as_nobody(program).args(["capture", "--interface", "eth0", "--out"]).arg(&out).output();
    std::fs::remove_file(&out).ok();
    let said = String::from_utf8_lossy(&ran.unwrap().stdout).into_owned();
    assert!(said.contains("denied") && said.contains("CAP_NET_RAW"), "{said}");
}

/// A server, an enrolled agent, a technician and a ticket. Traffic goes over the loopback interface.
struct Desk {
    folder: TempDir,
    server: Server,
    agent: Agent,
    device: String,
    technician: Technician,
    port: u16,
    _receiver: UdpSocket,
    _traffic: Traffic,
}

impl Desk {
    fn new(captures: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_with(folder.path(), &format!("[policy]\ncaptures = \"{captures}\"\n")).unwrap();
        let mut agent = Agent::new(folder.path(), "").unwrap();
        let device = agent.enrol(&server).unwrap();
        let technician = server.technician(folder.path()).unwrap();
        until("the session", || Ok(agent.status()?.connected_since_ms)).unwrap();
        technician.says(&["ticket", "new", "it is slow", "--device", &device]).unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = receiver.local_addr().unwrap();
        let traffic = Traffic::begin(UdpSocket::bind("127.0.0.1:0").unwrap(), &place.to_string(), Some(200)).unwrap();
        let port = place.port();
        Self { folder, server, agent, device, technician, port, _receiver: receiver, _traffic: traffic }
    }

    /// A technician captures, in a process of their own, within these bounds.
    fn asks(&self, bounds: &[&str]) -> Child {
        let filter = format!("udp port {}", self.port);
        let mut command = self.technician.command().unwrap();
        command.args(["--json", "capture", &self.device, "--ticket", "1", "--interface", "lo", "--filter", &filter]);
        command.args(bounds);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What waits for the person at the machine.
    fn pending(&self) -> Json {
        let pending = until("a request at the machine", || {
            let pending: Json = serde_json::from_str(&self.agent.says(&["consent", "--json"])?)?;
            Ok(pending.get(0).cloned())
        });
        pending.unwrap()
    }

    /// Lines of the audit log about consent, once one of them has this.
    fn audit(&self, words: &str) -> String {
        let found = until(words, || {
            let audit = self.server.says(&["audit"])?;
            Ok(audit.lines().any(|line| line.contains(words)).then_some(audit))
        });
        found.unwrap_or_else(|error| panic!("{error:#}: {}", self.server.says(&["audit"]).unwrap()))
    }
}

fn ended(asked: Child) -> (bool, Json) {
    let ran = asked.wait_with_output().unwrap();
    let collection = serde_json::from_slice(&ran.stdout);
    let collection = collection.unwrap_or_else(|_none| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
    (ran.status.success(), collection)
}

fn part(collection: &Json) -> &Json {
    let parts = collection["parts"].as_array().unwrap_or_else(|| panic!("{collection}"));
    parts.iter().find(|part| part["name"] == "capture").unwrap()
}

#[test]
fn what_the_person_agrees_to_becomes_evidence_of_the_ticket() {
    let desk = Desk::new("ask");
    let asked = desk.asks(&["--seconds", "300s", "--packets", "60"]);
    let pending = desk.pending();
    assert_eq!((&pending["ticket"], &pending["asked_by"]), (&1.into(), &"anna".into()));
    assert!(pending["what"].as_str().unwrap().contains("of lo with the filter \"udp port"), "{pending}");
    desk.agent.says(&["consent", "approve", &pending["request"].to_string()]).unwrap();
    let (fine, collection) = ended(asked);
    assert!(fine, "{collection}");
    assert_eq!(part(&collection)["outcome"], "ok", "{collection}");
    let evidence = collection["evidence_id"].as_str().unwrap();
    let unpacked = desk.folder.path().join("unpacked");
    desk.technician.says(&["evidence", "open", evidence, "-o", unpacked.to_str().unwrap()]).unwrap();
    let file = unpacked.join("capture.pcapng");
    let ports = tshark(&file, &["-T", "fields", "-e", "udp.dstport"]);
    assert_eq!(ports.lines().count(), 60, "{ports}");
    assert!(ports.lines().all(|port| port == desk.port.to_string()));
    let about = Command::new("capinfos").arg(&file).output().unwrap();
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    assert!(about.contains("Ticket 1. Asked for by anna") && about.contains("given by the person"), "{about}");
    let hash = about.lines().find_map(|line| line.strip_prefix("SHA256:")).unwrap().trim().to_owned();
    let audit = desk.audit(&hash);
    for step in ["asked", "approved", "started", "stopped"] {
        assert!(audit.contains(&format!("{step}: capture of packets of lo")), "{step}: {audit}");
    }
    until("consent in the custody", || {
        let custody = desk.technician.json(&["ticket", "show", "1"])?.to_string();
        Ok(custody.contains("approved: capture").then_some(()))
    })
    .unwrap();
}

#[test]
fn what_the_person_refuses_is_not_captured_and_the_refusal_is_in_the_audit() {
    let desk = Desk::new("ask");
    let asked = desk.asks(&["--seconds", "30s"]);
    let request = desk.pending()["request"].to_string();
    desk.agent.says(&["consent", "refuse", &request]).unwrap();
    let (fine, collection) = ended(asked);
    assert!(!fine);
    let part = part(&collection);
    assert_eq!(part["outcome"], "denied", "{collection}");
    assert!(part["reason"].as_str().unwrap().contains("the person at the machine refused"), "{collection}");
    let audit = desk.audit("refused: capture of packets of lo");
    assert!(!audit.contains("started: capture"), "{audit}");
    assert!(desk.agent.says(&["consent", "approve", &request]).is_err(), "it is over");
}

#[test]
fn where_policy_says_never_nobody_is_asked_and_nothing_is_captured() {
    let desk = Desk::new("never");
    let (fine, collection) = ended(desk.asks(&["--seconds", "30s"]));
    assert!(!fine);
    assert_eq!(part(&collection)["outcome"], "denied", "{collection}");
    desk.audit("refused: capture of packets of lo");
}

/// Whether a process holds an open tap.
fn taps_of(pid: u32) -> bool {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/packet")).unwrap();
    let taps: Vec<String> = table
        .lines()
        .skip(1)
        .filter_map(|line| Some(format!("socket:[{}]", line.split_whitespace().nth(8)?)))
        .collect();
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
    targets.any(|target| taps.iter().any(|tap| target.as_os_str() == tap.as_str()))
}

#[test]
fn a_capture_stops_when_the_technician_goes() {
    let desk = Desk::new("given");
    let mut asked = desk.asks(&["--seconds", "300s"]);
    desk.audit("started: capture of packets of lo");
    until("the tap", || Ok(taps_of(desk.agent.pid()?).then_some(()))).unwrap();
    asked.kill().unwrap();
    asked.wait().unwrap();
    until("the tap to be gone", || Ok((!taps_of(desk.agent.pid()?)).then_some(()))).unwrap();
    until("the stop to be recorded", || {
        let stored = desk.server.stored(&desk.device, "consents")?;
        let text = stored.iter().flat_map(|reading| &reading.rows).map(|row| String::from_utf8_lossy(row).into_owned());
        Ok(text.collect::<String>().contains("the technician has gone").then_some(()))
    })
    .unwrap();
    let tickets = desk.technician.json(&["ticket", "show", "1"]).unwrap().to_string();
    assert!(tickets.contains("cancelled by anna (hung up)"), "{tickets}");
}

#[test]
fn without_a_ticket_or_unattended_nothing_is_captured() {
    let desk = Desk::new("given");
    for words in
        [&["probe", &desk.device, "capture"][..], &["collect", &desk.device, "--ticket", "1", "--probe", "capture"]]
    {
        let error = format!("{:#}", desk.technician.says(words).unwrap_err());
        assert!(error.contains("belongs to a ticket"), "{error}");
    }
}

#[test]
fn a_policy_that_was_changed_on_the_disk_is_refused_and_the_defaults_hold() {
    let mut desk = Desk::new("given");
    let path = desk.agent.state().join("policy.pb");
    until("the policy", || Ok(path.exists().then_some(()))).unwrap();
    desk.agent.stop().unwrap();
    desk.server.stop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    desk.agent.run().unwrap();
    let logged = desk.agent.logged();
    assert!(logged.contains("policy refused") && logged.contains("not signed by the authority"), "{logged}");
    // The server sends it again, and it is in force: nobody is asked.
    desk.server.resume().unwrap();
    until("the session", || Ok(desk.agent.status()?.connected_since_ms)).unwrap();
    until("the policy", || Ok((std::fs::read(&path)? != bytes).then_some(()))).unwrap();
    let (fine, collection) = ended(desk.asks(&["--seconds", "1s"]));
    assert!(fine, "{collection}");
}
