//! The probe of the way to paper: on a real print server, with printers that refuse, are silent, jammed or well, in networks of our own; at
//! the machine, from the technician's desk, and in the evidence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::ipp_listener::{IppListener, Says};
use deskside_tests::lab::netns::Wired;
use deskside_tests::lab::process::{Agent, Server, Technician, until};
use deskside_tests::lab::snmp::{self, Snmp};
use serde_json::Value as Json;
use tempfile::TempDir;

/// What the agent's own command line said of a queue.
struct Tested {
    rows: Vec<Json>,
    complaint: String,
    fine: bool,
}

impl Tested {
    fn step(&self, name: &str) -> (&str, &str) {
        let row = self.rows.iter().find(|row| row["step"] == name).unwrap_or_else(|| panic!("no step {name}"));
        (row["outcome"].as_str().unwrap(), row["found"].as_str().unwrap())
    }

    fn verdict(&self) -> &str {
        self.step("verdict").1
    }

    fn broken_at(&self) -> &str {
        self.rows.last().expect("a verdict")["broken_at"].as_str().unwrap()
    }
}

/// Tests a queue as a person at the machine would; in a network of its own where there is one.
fn test(cups: &Cups, queue: &str, network: Option<&Wired>) -> Tested {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), &settings(cups)).unwrap();
    let agent = match network {
        Some(network) => agent.inside(&network.desk),
        None => agent,
    };
    let ran = agent.command().args(["probe", "print_path", queue, "--json"]).output().unwrap();
    let readings: Json = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    let rows = readings[0]["rows"].as_array().cloned().unwrap_or_default();
    let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
    Tested { rows, complaint, fine: ran.status.success() }
}

fn settings(cups: &Cups) -> String {
    format!("print_server = \"{}\"", cups.socket().display())
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_dead_port_is_named_with_what_is_fine_before_it() {
    let cups = Cups::start().unwrap();
    let port = closed_port();
    cups.add_queue("front", &format!("socket://127.0.0.1:{port}")).unwrap();
    let tested = test(&cups, "front", None);
    let sentence = format!(
        "The printer at 127.0.0.1 does not answer on port {port}: connection refused; name and route are fine."
    );
    assert_eq!(tested.verdict(), sentence);
    assert_eq!((tested.broken_at(), tested.fine), ("port", false));
    assert!(tested.complaint.contains(&sentence), "{}", tested.complaint);
    let steps: Vec<&str> = tested.rows.iter().map(|row| row["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["queue", "scheduler", "filters", "resolve", "route", "port", "answer", "device", "verdict"]);
    assert_eq!(tested.step("route"), ("ok", "this machine itself"));
    let (outcome, found) = tested.step("scheduler");
    assert!(outcome == "ok" && found.starts_with("answers: CUPS 2.") && found.ends_with(", 1 queue"), "{found}");
    assert_eq!(tested.step("filters"), ("ok", "raw: documents are passed on as they are"));
    assert!(tested.rows[5]["took_ms"].is_u64() && tested.rows[8]["took_ms"].is_null());
}

#[test]
fn a_queue_that_gave_up_on_its_printer_is_told_with_the_printer() {
    let cups = Cups::start().unwrap();
    let queue = cups.stuck_queue().unwrap();
    let tested = test(&cups, &queue, None);
    let sentence = format!(
        "Queue {queue} is stopped (\"The printer is not responding.\"), and the printer at 127.0.0.1 does not answer on port 9: \
         connection refused; name and route are fine."
    );
    assert_eq!((tested.verdict(), tested.broken_at()), (sentence.as_str(), "port"));
}

#[test]
fn a_name_without_an_address_is_named() {
    let cups = Cups::start().unwrap();
    cups.add_queue("front", "socket://no-such-printer.invalid").unwrap();
    let tested = test(&cups, "front", None);
    let begin = "The name no-such-printer.invalid of the printer does not resolve: ";
    assert!(tested.verdict().starts_with(begin), "{}", tested.verdict());
    assert_eq!(tested.broken_at(), "resolve");
    for step in ["route", "port", "answer", "device"] {
        assert_eq!(tested.step(step), ("not done", "not done, because the address is not known"));
    }
}

/// A workstation with one wire, a router at its other end that passes nothing on, and nobody else.
fn network() -> Wired {
    let wired = Wired::new().unwrap();
    wired.ip(&format!("link add eth0 netns {} type veth peer name far0 netns {}", wired.desk, wired.far)).unwrap();
    wired.at_far("addr add 192.0.2.1/24 dev far0").unwrap();
    wired.at_far("link set far0 up").unwrap();
    for words in ["link set lo up", "addr add 192.0.2.10/24 dev eth0", "link set eth0 up"] {
        wired.at_desk(words).unwrap();
    }
    wired.at_desk("route add default via 192.0.2.1").unwrap();
    wired
}

#[test]
fn a_wrong_address_is_told_apart_by_who_is_silent() {
    let (cups, network) = (Cups::start().unwrap(), network());
    cups.add_queue("moved", "socket://192.0.2.99").unwrap();
    cups.add_queue("swallowed", "socket://198.51.100.9").unwrap();
    cups.add_queue("barred", "socket://203.0.113.9").unwrap();
    cups.add_queue("gone", "dnssd://Acme%20Laser._ipp._tcp.local/?uuid=0").unwrap();
    network.at_desk("route add unreachable 203.0.113.0/24").unwrap();

    let moved = test(&cups, "moved", Some(&network));
    let sentence = "No way leads to the printer at 192.0.2.99: over eth0, on the same link, but nobody answers for 192.0.2.99 (ARP: ";
    assert!(moved.verdict().starts_with(sentence), "{}", moved.verdict());
    assert_eq!(moved.broken_at(), "route");
    assert_eq!(moved.step("answer"), ("not done", "not done, because nothing answers at that address"));

    let swallowed = test(&cups, "swallowed", Some(&network));
    assert_eq!(
        swallowed.verdict(),
        "The printer at 198.51.100.9 does not answer on port 9100: no answer in time; name and route are fine."
    );
    let (outcome, found) = swallowed.step("route");
    assert!(outcome == "ok" && found.starts_with("over eth0 through 192.0.2.1; 192.0.2.1 is "), "{found}");

    let barred = test(&cups, "barred", Some(&network));
    assert_eq!(
        barred.verdict(),
        "No way leads to the printer at 203.0.113.9: a route of the kind unreachable bars the way; the name is fine."
    );

    let gone = test(&cups, "gone", Some(&network));
    let sentence = "The printer Acme Laser is not found by multicast DNS: no printer announces this name here.";
    assert_eq!((gone.verdict(), gone.broken_at()), (sentence, "resolve"));
}

#[test]
fn a_filter_that_is_missing_is_named() {
    let cups = Cups::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let driver = folder.path().join("acme.ppd");
    std::fs::write(&driver, PPD).unwrap();
    let driver = driver.display().to_string();
    cups.tool("lpadmin", &["-p", "front", "-v", "file:///dev/null", "-E", "-P", &driver]).unwrap();
    let tested = test(&cups, "front", None);
    let (begin, end) = (
        "Queue front cannot turn documents into the printer's language: a filter of its driver is missing",
        "rastertoacme",
    );
    assert!(tested.verdict().starts_with(begin) && tested.verdict().contains(end), "{}", tested.verdict());
    assert_eq!((tested.broken_at(), tested.step("filters").0), ("filters", "failed"));

    // One that goes later is not noticed by the print server, which looks when it reads the driver.
    let filter = folder.path().join("rastertolater");
    std::fs::write(&filter, "#!/bin/sh\ncat\n").unwrap();
    std::fs::set_permissions(&filter, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&driver, PPD.replace("rastertoacme", &filter.display().to_string())).unwrap();
    cups.tool("lpadmin", &["-p", "later", "-v", "file:///dev/null", "-E", "-P", &driver]).unwrap();
    let (outcome, found) = (test(&cups, "later", None).step("filters").0.to_owned(), filter.display().to_string());
    assert_eq!(outcome, "ok");
    std::fs::remove_file(&filter).unwrap();
    let tested = test(&cups, "later", None);
    assert_eq!(tested.step("filters"), ("failed", format!("a filter of its driver is missing: {found}").as_str()));
}

/// As short as cupsd takes it (Adobe's PPD specification, 4.3, and CUPS's cupsFilter).
const PPD: &str = "*PPD-Adobe: \"4.3\"\n*FormatVersion: \"4.3\"\n*FileVersion: \"1.0\"\n*LanguageVersion: English\n\
    *LanguageEncoding: ISOLatin1\n*PCFileName: \"ACME.PPD\"\n*Manufacturer: \"Acme\"\n*Product: \"(Laser)\"\n*ModelName: \"Acme Laser\"\n\
    *ShortNickName: \"Acme Laser\"\n*NickName: \"Acme Laser\"\n*PSVersion: \"(3010.000) 0\"\n*LanguageLevel: \"3\"\n*ColorDevice: False\n\
    *DefaultColorSpace: Gray\n*FileSystem: False\n*cupsFilter: \"application/vnd.cups-raster 0 rastertoacme\"\n\
    *OpenUI *PageSize/Media Size: PickOne\n*DefaultPageSize: A4\n*PageSize A4/A4: \"<</PageSize[595 842]>>setpagedevice\"\n\
    *CloseUI: *PageSize\n*OpenUI *PageRegion/Media Size: PickOne\n*DefaultPageRegion: A4\n\
    *PageRegion A4/A4: \"<</PageSize[595 842]>>setpagedevice\"\n*CloseUI: *PageRegion\n*DefaultImageableArea: A4\n\
    *ImageableArea A4/A4: \"18 18 577 824\"\n*DefaultPaperDimension: A4\n*PaperDimension A4/A4: \"595 842\"\n*DefaultFont: Courier\n";

#[test]
fn a_printer_says_itself_whether_it_is_jammed_or_well() {
    let cups = Cups::start().unwrap();
    let jammed = IppListener::start(Says::State(5, vec!["media-jam-error".into()])).unwrap();
    let well = IppListener::start(Says::State(3, vec!["none".into()])).unwrap();
    cups.add_queue("jammed", &jammed.uri()).unwrap();
    cups.add_queue("well", &well.uri()).unwrap();

    let tested = test(&cups, "jammed", None);
    assert_eq!(
        tested.verdict(),
        "The printer at 127.0.0.1 says that it is stopped: paper jam (error); name, route, port and answer are fine."
    );
    assert_eq!((tested.broken_at(), tested.fine), ("device", false));

    let tested = test(&cups, "well", None);
    assert_eq!(
        tested.verdict(),
        "The way from queue well to the printer at 127.0.0.1 is whole: it answers and is ready."
    );
    assert!(tested.fine && tested.broken_at().is_empty(), "{}", tested.complaint);
    assert!(tested.rows.iter().all(|row| row["outcome"] == "ok"), "{:#?}", tested.rows);
    assert_eq!(tested.step("answer").1, "answers IPP: Acme Laser");

    let path = format!("ipp://127.0.0.1:{}/printers/front", well.port);
    cups.add_queue("remote", &path).unwrap();
    assert_eq!(
        test(&cups, "remote", None).verdict(),
        "The way from queue remote to the print server at 127.0.0.1 is whole: it answers and says that the queue there is ready."
    );

    cups.tool("cupsdisable", &["well"]).unwrap();
    let paused = test(&cups, "well", None);
    assert_eq!(
        paused.verdict(),
        "Queue well was paused by a person, though the printer at 127.0.0.1 answers and is ready; ask why, then `cupsenable well` \
         lets its jobs print."
    );
    assert_eq!((paused.broken_at(), paused.fine), ("queue", false));
}

/// Set where the test runs itself again inside the namespace.
const INSIDE: &str = "DESKSIDE_TEST_INSIDE";

/// A printer that is jammed, as RFC 2790 and RFC 3805 tell it: sysDescr, hrDeviceStatus down, the bit of a jam, an alert.
const JAMMED: &str = "1.3.6.1.2.1.1.1.0|4|Acme Laser\n1.3.6.1.2.1.25.3.2.1.5.1|2|5\n1.3.6.1.2.1.25.3.5.1.2.1|4x|04\n\
    1.3.6.1.2.1.43.18.1.1.8.1.1|4|Jam in tray 2\n";

#[test]
fn a_printer_that_takes_pages_only_is_asked_by_snmp() {
    if std::env::var_os(INSIDE).is_none() {
        snmp::install().unwrap();
        let wired = Wired::new().unwrap();
        wired.at_desk("link set lo up").unwrap();
        let own = std::env::current_exe().unwrap();
        let name = "a_printer_that_takes_pages_only_is_asked_by_snmp";
        let inside = wired.command(&own).args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
        let said = [inside.stdout, inside.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(inside.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let cups = Cups::start().unwrap();
    cups.add_queue("front", "socket://127.0.0.1").unwrap();
    let pages = TcpListener::bind("127.0.0.1:9100").unwrap();
    let silent = test(&cups, "front", None);
    assert_eq!((silent.step("answer").0, silent.fine), ("unknown", true));
    assert!(silent.verdict().contains("is whole as far as it can be seen; neither SNMP nor IPP is answered"));

    let _snmp = Snmp::start("127.0.0.1:161".parse().unwrap(), JAMMED).unwrap();
    let jammed = test(&cups, "front", None);
    assert_eq!(
        jammed.verdict(),
        "The printer at 127.0.0.1 says that it is stopped: paper jam (\"Jam in tray 2\"); name, route, port and answer are fine."
    );
    assert!(jammed.step("answer").1.starts_with("answers SNMP "), "{}", jammed.step("answer").1);
    drop(pages);
}

#[test]
fn what_cannot_be_tested_is_said_and_never_called_whole() {
    let cups = Cups::start().unwrap();
    cups.add_queue("file", "file:///dev/null").unwrap();
    cups.tool("lpadmin", &["-p", "file", "-c", "class"]).unwrap();
    cups.tool("cupsenable", &["class"]).unwrap();
    cups.tool("cupsaccept", &["class"]).unwrap();
    let file = test(&cups, "file", None);
    assert_eq!(
        file.verdict(),
        "Queue file is fine, but the way behind it was not tested: the queue prints into a file."
    );
    let class = test(&cups, "class", None);
    assert!(
        class.verdict().ends_with("a class has no device of its own; test its queues: file."),
        "{}",
        class.verdict()
    );
    for tested in [file, class] {
        assert_eq!((tested.step("verdict").0, tested.step("port").0), ("unknown", "not done"));
    }
}

#[test]
fn what_there_is_not_is_answered_with_what_there_is() {
    let cups = Cups::start().unwrap();
    cups.add_queue("front", "file:///dev/null").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path(), &settings(&cups)).unwrap();
    for (words, said) in [
        (vec!["probe", "print_path", "back"], "there is no queue \"back\"; there are front"),
        (vec!["probe", "print_path", "front", "twice"], "usage: print_path [QUEUE]"),
        (vec!["probe", "paper"], "there is no probe \"paper\"; this agent has "),
    ] {
        let error = agent.says(&words).unwrap_err().to_string();
        assert!(error.contains(said), "{words:?}: {error}");
    }
    let listed = agent.says(&["probe", "--list"]).unwrap();
    assert!(listed.contains("print_path") && listed.contains("QUEUE"), "{listed}");
    drop(cups);
    let silent = agent.command().args(["probe", "print_path", "front", "--json"]).output().unwrap();
    let readings: Json = serde_json::from_slice(&silent.stdout).unwrap();
    let verdict = readings[0]["rows"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&verdict["broken_at"], &verdict["outcome"]), (&"scheduler".into(), &"failed".into()), "{verdict}");
    let sentence = verdict["found"].as_str().unwrap();
    assert!(sentence.starts_with("The print server of this machine does not answer: "), "{sentence}");
}

/// A server, an agent on a print server, and a technician.
struct House {
    _folder: TempDir,
    _server: Server,
    agent: Agent,
    technician: Technician,
    device: String,
}

impl House {
    fn open(cups: &Cups) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(folder.path())?;
        let mut agent = Agent::new(folder.path(), &settings(cups))?;
        let device = agent.enrol(&server)?;
        let technician = server.technician(folder.path())?;
        let house = Self { _folder: folder, _server: server, agent, technician, device };
        until("a session", || {
            let devices = house.technician.json(&["devices"])?;
            Ok((devices[0]["connected"] == true).then_some(()))
        })?;
        Ok(house)
    }

    /// Runs the probe on a queue; its exit status, and what it printed.
    fn probe(&self, words: &[&str]) -> anyhow::Result<(bool, String)> {
        let ran = self.technician.command()?.args(["probe", &self.device, "print_path"]).args(words).output()?;
        let said = [ran.stdout, ran.stderr].concat();
        Ok((ran.status.success(), String::from_utf8(said)?))
    }

    fn findings(&self) -> anyhow::Result<Vec<String>> {
        let known = self.technician.json(&["device", &self.device])?;
        let findings = known["findings"].as_array().cloned().unwrap_or_default();
        let ours = findings.iter().filter(|finding| finding["rule"] == "print-path-broken");
        Ok(ours.map(|finding| finding["title"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

#[test]
fn from_the_desk_a_probe_is_run_recorded_judged_and_packed() -> anyhow::Result<()> {
    let cups = Cups::start()?;
    let port = closed_port();
    cups.add_queue("front", &format!("socket://127.0.0.1:{port}"))?;
    let house = House::open(&cups)?;
    let sentence = format!(
        "The printer at 127.0.0.1 does not answer on port {port}: connection refused; name and route are fine."
    );

    let (fine, said) = house.probe(&["front"])?;
    assert!(!fine && said.trim_end().ends_with(&sentence), "{said}");
    assert!(said.contains(&format!("front: port 127.0.0.1:{port}: failed: connection refused")), "{said}");
    until("the finding", || Ok((house.findings()? == [sentence.clone()]).then_some(())))?;
    let shown = house.technician.json(&["show", &house.device, "print_path"])?;
    assert_eq!(shown["reading"]["rows"].as_array().map(Vec::len), Some(9), "{shown:#}");

    let (fine, said) = house.probe(&["back"])?;
    assert!(!fine && said.contains("there is no queue \"back\"; there are front"), "{said}");
    let unknown = house.technician.says(&["probe", &house.device, "paper"]).unwrap_err().to_string();
    assert!(unknown.contains("no probe \"paper\", there are: ") && unknown.contains("print_path"), "{unknown}");
    let listed = house.technician.says(&["probe", "--list"])?;
    assert!(listed.contains("print_path [QUEUE]"), "{listed}");

    let ticket = house.technician.json(&["ticket", "new", "No paper", "--device", &house.device])?;
    let number = ticket["number"].to_string();
    let asked = ["collect", &house.device, "--ticket", &number, "--recipe", "cannot-print", "--wait"];
    let collection = house.technician.json(&asked)?;
    let parts = collection["parts"].as_array().cloned().unwrap_or_default();
    let part = parts.iter().find(|part| part["name"] == "print_path").expect("a part of the probe");
    assert_eq!((&part["outcome"], &part["found"]), (&"ok".into(), &sentence.as_str().into()), "{part:#}");
    let evidence = collection["evidence_id"].as_str().expect("evidence came");
    let opened = house.technician.json(&["evidence", "open", evidence])?;
    assert!(opened["summary"].as_str().is_some_and(|summary| summary.contains(&sentence)), "{}", opened["summary"]);
    assert!(house.technician.says(&["ticket", "show", &number])?.contains("print_path: The printer at"));

    // Once the printer is back, a new test takes the finding away.
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let (fine, said) = house.probe(&["front"])?;
    assert!(fine && said.contains("is whole"), "{said}");
    until("the finding to go", || Ok(house.findings()?.is_empty().then_some(())))?;
    drop(listener);
    Ok(())
}

#[test]
fn a_probe_stops_when_its_technician_hangs_up_and_a_third_one_waits() -> anyhow::Result<()> {
    let cups = Cups::start()?;
    let silent = IppListener::start(Says::Nothing)?;
    let well = IppListener::start(Says::State(3, vec!["none".into()]))?;
    cups.add_queue("a-silent", &silent.uri())?;
    cups.add_queue("b-well", &well.uri())?;
    for queue in ["a-silent", "b-well"] {
        cups.submit_with(queue, "later\n", &["-o", "job-hold-until=indefinite"])?;
    }
    let house = House::open(&cups)?;
    let mut probing = Vec::new();
    for _technician in 0..2 {
        let mut command = house.technician.command()?;
        command.args(["probe", &house.device, "print_path"]).stdout(Stdio::piped());
        let mut begun = Hung(command.spawn()?);
        let lines = BufReader::new(begun.0.stdout.take().expect("an output")).lines();
        let asked = lines.map_while(Result::ok).find(|line| line.contains("a-silent: port"));
        assert!(asked.is_some(), "the silent printer was not reached");
        probing.push(begun);
    }
    drop(probing);
    // Both hold their turn until their next step, which ends them: the printer's silence takes five seconds.
    let (fine, said) = house.probe(&["b-well"])?;
    assert!(fine && said.contains("2 other probes run; this one waits"), "{said}");
    let stopped = || house.agent.logged().matches("nobody waits for the answer").count();
    until("both probes to stop", || Ok((stopped() == 2).then_some(())))?;
    until("what was tested to be known", || {
        let shown = house.technician.json(&["show", &house.device, "print_path"])?;
        let rows = shown["reading"]["rows"].as_array().cloned().unwrap_or_default();
        assert!(rows.iter().all(|row| row["queue"] == "b-well"), "{rows:#?}");
        Ok((!rows.is_empty()).then_some(()))
    })
}

/// A technician's command that ends when this value does.
struct Hung(Child);

impl Drop for Hung {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
