//! From a machine's disks, printers, network and logs to evidence on a ticket, with everything real.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::process::{Agent, Server, Technician, until};
use ring::digest;
use serde_json::Value as Json;
use tempfile::TempDir;

/// A server, an agent and a technician.
struct House {
    folder: TempDir,
    server: Server,
    agent: Agent,
    technician: Technician,
    device: String,
}

impl House {
    fn open(settings: &str, program: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(folder.path())?;
        let mut agent = Agent::with_program(folder.path(), settings, program)?;
        let device = agent.enrol(&server)?;
        let technician = server.technician(folder.path())?;
        Ok(Self { folder, server, agent, technician, device })
    }

    /// Waits until the server knows these tables.
    fn known(&self, tables: &[&str]) -> anyhow::Result<()> {
        until(&format!("the tables {tables:?}"), || {
            let device = self.technician.json(&["device", &self.device])?;
            let known: BTreeSet<&str> =
                list(&device["tables"]).iter().filter_map(|table| table["table"].as_str()).collect();
            Ok(tables.iter().all(|table| known.contains(table)).then_some(()))
        })
        .with_context(|| self.agent.logged())
    }

    fn ticket(&self) -> anyhow::Result<String> {
        let ticket = self.technician.json(&["ticket", "new", "It is broken", "--device", &self.device])?;
        Ok(ticket["number"].as_u64().context("a ticket has a number")?.to_string())
    }

    fn connected(&self) -> anyhow::Result<bool> {
        let devices = self.technician.json(&["devices"])?;
        Ok(list(&devices).iter().any(|device| device["id"] == self.device.as_str() && device["connected"] == true))
    }
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The collection came, and what is not whole in it says why: few test machines have a journal or show their hardware.
fn has_ended(collection: &Json) {
    assert!(["done", "partial"].iter().any(|state| collection["state"] == *state), "{collection:#}");
    let whole = |part: &&Json| ["ok", "empty"].iter().any(|outcome| part["outcome"] == *outcome);
    let (whole, not_whole): (Vec<&Json>, Vec<&Json>) = list(&collection["parts"]).iter().partition(whole);
    assert!(whole.iter().any(|part| part["name"] == "os"), "{collection:#}");
    assert!(not_whole.iter().all(|part| part["reason"] != ""), "{collection:#}");
}

#[test]
fn from_a_stuck_queue_to_evidence_on_the_ticket() -> anyhow::Result<()> {
    let cups = Cups::start()?;
    let queue = cups.stuck_queue()?;
    let house = House::open(&format!("print_server = \"{}\"", cups.socket().display()), "deskside-agent")?;
    house.agent.write_lines(&["the paper is on fire".to_owned()])?;
    house.known(&["printers", "print_jobs", "disks", "interfaces", "log_events", "os"])?;
    let ticket = house.ticket()?;
    let escalated = house.technician.json(&["ticket", "escalate", &ticket, "--wait"])?;
    has_ended(&escalated["collections"][0]);

    let case = house.technician.json(&["ticket", "show", &ticket])?;
    assert_eq!(case["ticket"]["level"], 2);
    let known = &case["devices"][0];
    let first = &known["findings"][0];
    assert_eq!((&first["family"], &first["table"]), (&"printing".into(), &"printers".into()), "{first:#}");
    assert!(first["title"].as_str().is_some_and(|title| title.contains(&queue)), "{first:#}");
    let families: BTreeSet<&str> = list(&known["tables"]).iter().filter_map(|table| table["family"].as_str()).collect();
    assert!(["hardware", "printing", "network", "logs"].iter().all(|family| families.contains(family)), "{families:?}");

    let evidence = case["evidence"][0]["id"].as_str().context("evidence is attached")?;
    let opened = house.technician.json(&["evidence", "open", evidence])?;
    assert!(opened["summary"].as_str().is_some_and(|summary| summary.contains(&queue)), "{}", opened["summary"]);
    let bundle = house.folder.path().join("bundle.zip");
    house.technician.says(&["evidence", "get", evidence, "-o", &bundle.display().to_string()])?;
    let bytes = std::fs::read(&bundle)?;
    assert_eq!(Some(sha256(&bytes).as_str()), case["evidence"][0]["sha256"].as_str());
    check_bundle(&bytes, &queue)
}

/// The bundle as anyone can open it: every file is in the manifest with its hash, and the tables and logs are there.
fn check_bundle(bytes: &[u8], queue: &str) -> anyhow::Result<()> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes))?;
    let mut read = |name: &str| -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        zip.by_name(name)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let manifest: Json = serde_json::from_slice(&read("manifest.json")?)?;
    for file in list(&manifest["files"]) {
        let name = file["path"].as_str().context("a file has a path")?;
        assert_eq!(file["sha256"].as_str(), Some(sha256(&read(name)?).as_str()), "{name}");
    }
    let printers = String::from_utf8(read("tables/printers.jsonl")?)?;
    assert!(printers.contains(queue), "{printers}");
    let names: Vec<String> = zip.file_names().map(|name| Ok(name?.into_owned())).collect::<anyhow::Result<_>>()?;
    let own = ["manifest.json", "manifest.dsse.json"];
    assert!(own.iter().all(|own| names.iter().any(|name| name == own)), "{names:?}");
    assert_eq!(list(&manifest["files"]).len(), names.len() - own.len(), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("logs/")), "{names:?}");
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[test]
fn a_device_that_is_off_gives_its_evidence_when_it_is_back() -> anyhow::Result<()> {
    let mut house = House::open("", "deskside-agent")?;
    house.known(&["os"])?;
    house.agent.stop()?;
    until("the server to see that it is gone", || Ok((!house.connected()?).then_some(())))?;
    let ticket = house.ticket()?;
    let escalated = house.technician.json(&["ticket", "escalate", &ticket])?;
    let collection = &escalated["collections"][0];
    assert_eq!(collection["state"], "waiting", "{collection:#}");
    // A ticket on a device that is off shows what is known of it all the same.
    let case = house.technician.json(&["ticket", "show", &ticket])?;
    assert!(list(&case["devices"][0]["tables"]).iter().any(|table| table["table"] == "os"));
    house.agent.run()?;
    let id = collection["id"].as_str().context("a collection has an id")?;
    let ended = house.technician.json(&["collection", "wait", id])?;
    has_ended(&ended);
    let evidence = ended["evidence_id"].as_str().context("evidence came")?;
    house.technician.json(&["evidence", "open", evidence])?;
    Ok(())
}

#[test]
fn a_table_the_server_does_not_know_is_still_answered() -> anyhow::Result<()> {
    let house = House::open("", "deskside-agent-next")?;
    house.known(&["docks"])?;
    let shown = house.technician.json(&["show", &house.device, "docks"])?;
    let row = &shown["reading"]["rows"][0];
    assert_eq!(
        (&row["port"], &row["temperature"], &row["link"]),
        (&"left".into(), &41.0.into(), &2_500_000_000_u64.into())
    );
    let asked = house.technician.json(&["ask", &house.device, "docks"])?;
    assert_eq!(asked["readings"][0]["rows"][0]["port"], "left", "{asked:#}");
    let text = house.technician.says(&["show", &house.device, "docks"])?;
    assert!(text.contains("41 °C") && text.contains("2.5 Gbit/s"), "{text}");
    let described = house.technician.json(&["tables", "docks"])?.to_string();
    assert!(described.contains("Docking stations.") && described.contains("celsius"), "{described}");
    let ticket = house.ticket()?;
    let arguments = ["collect", &house.device, "--ticket", &ticket, "--table", "docks", "--wait"];
    let collection = house.technician.json(&arguments)?;
    let evidence = collection["evidence_id"].as_str().context("evidence came")?;
    let opened = house.technician.json(&["evidence", "open", evidence])?;
    assert!(list(&opened["files"]).iter().any(|file| file == "tables/docks.csv"), "{}", opened["files"]);
    Ok(())
}

#[test]
fn a_device_is_asked_and_its_log_is_followed_live() -> anyhow::Result<()> {
    let house = House::open("", "deskside-agent")?;
    house.known(&["os"])?;
    let asked = house.technician.json(&["ask", &house.device, "os", "interfaces"])?;
    let outcomes: Vec<_> = list(&asked["readings"]).iter().map(|reading| &reading["outcome"]).collect();
    assert_eq!(outcomes, ["ok", "ok"], "{asked:#}");
    let mut tail = house.technician.command()?;
    tail.args(["--json", "tail", &house.device, "--priority", "3"]).stdout(Stdio::piped());
    let mut tail = Tail(tail.spawn()?);
    let mut lines = BufReader::new(tail.0.stdout.take().context("tail has an output")?).lines();
    // Written again and again, since following begins at a moment that is not shown.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let agent = &house.agent;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let wait = Duration::from_millis(200);
            while stopped.recv_timeout(wait) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                agent.write_lines(&["seen as it happens".to_owned()]).expect("the log is written");
            }
        });
        let line = lines.next().context("tail ended")??;
        drop(stop);
        assert!(line.contains("seen as it happens"), "{line}");
        anyhow::Ok(())
    })
}

struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_revoked_device_is_cut_off_within_a_second_and_cannot_come_back() -> anyhow::Result<()> {
    let mut house = House::open("", "deskside-agent")?;
    house.known(&["os"])?;
    until("a session", || Ok(house.connected()?.then_some(())))?;
    house.server.says(&["device", "revoke", &house.device])?;
    let revoked = Instant::now();
    until("the session to end", || Ok(house.agent.status()?.connected_since_ms.is_none().then_some(())))?;
    assert!(revoked.elapsed() < Duration::from_secs(1), "cut off after {:?}", revoked.elapsed());
    house.agent.stop()?;
    house.agent.run()?;
    let why = until("a refusal", || Ok(house.agent.status()?.why))?;
    assert!(why.contains("revoked"), "{why}");
    assert!(!house.connected()?);
    house.agent.write_lines(&["not to be heard".to_owned()])?;
    until("the line to be recorded", || Ok((house.agent.status()?.record.queued > 0).then_some(())))?;
    assert!(!house.server.stored_lines(&house.device)?.contains(&"not to be heard".to_owned()));
    house.agent.must_live()
}
