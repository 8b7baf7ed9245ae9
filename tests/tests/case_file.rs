//! A case from the report to what broke, collected again, planned and compared, with a real agent, server and print server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::process::{Agent, Server, Technician, until_for};
use serde_json::Value as Json;
use tempfile::TempDir;

/// How long a queue's fault may take to be known on the server. Why: the queue itself gives up after seconds, on an idle machine.
const KNOWN: Duration = Duration::from_mins(3);

/// Printing is looked at each second, so that a test waits for no interval.
const SETTINGS: &str = "[policy.tables.printers]\nevery_s = 1\n[policy.tables.print_jobs]\nevery_s = 1\n";

/// A server, an agent beside a print server, and a technician.
struct House {
    folder: TempDir,
    server: Server,
    agent: Agent,
    desk: Technician,
    device: String,
    cups: Cups,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cups = Cups::start().unwrap();
        cups.add_queue("attic", "file:///dev/null").unwrap();
        let server = Server::start_with(folder.path(), SETTINGS).unwrap();
        let settings = format!("print_server = \"{}\"", cups.socket().display());
        let mut agent = Agent::new(folder.path(), &settings).unwrap();
        let device = agent.enrol(&server).unwrap();
        let desk = server.technician(folder.path()).unwrap();
        Self { folder, server, agent, desk, device, cups }
    }

    /// Waits until the server knows that a queue is in a state.
    fn known(&self, queue: &str, state: &str) {
        until_for(KNOWN, &format!("the queue {queue} to be known as {state}"), || {
            let shown = self.desk.says(&["show", &self.device, "printers"]).unwrap_or_default();
            let is_it = |line: &str| line.contains(queue) && line.contains(state);
            Ok(shown.lines().any(is_it).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.agent.logged()));
    }

    fn case(&self) -> Json {
        self.desk.json(&["case", "1"]).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Places of moments of a kind whose text has a word.
fn told(moments: &Json, kind: &str, word: &str) -> Vec<usize> {
    let is_it =
        |moment: &Json| moment["kind"] == kind && moment["text"].as_str().is_some_and(|text| text.contains(word));
    list(moments).iter().enumerate().filter(|(_place, moment)| is_it(moment)).map(|(place, _)| place).collect()
}

#[test]
fn a_case_is_read_from_the_report_to_what_broke_and_is_compared_with_how_it_is_after() {
    let house = House::open();
    house.known("attic", "idle");
    let report = "Nothing comes out <b>since</b> this morning\nit says [paused](http://127.0.0.1/)";
    house.desk.says(&["ticket", "new", "Cannot <print>", "--device", &house.device, "--description", report]).unwrap();
    let queue = house.cups.stuck_queue().unwrap();
    house.known(&queue, "stopped");
    house.desk.says(&["ticket", "note", "1", "L1 turned it off and on"]).unwrap();
    house.desk.says(&["ticket", "escalate", "1", "--recipe", "cannot-print", "--wait"]).unwrap();

    let case = house.case();
    let timeline = &case["timeline"];
    let (began, note) = (told(timeline, "began", &queue), told(timeline, "note", "L1 turned"));
    assert!(told(timeline, "reported", "Nothing comes out").len() == 1 && !began.is_empty(), "{timeline:#}");
    assert!(began[0] < note[0] && note[0] < told(timeline, "collected", "collection 1")[0], "{timeline:#}");
    let families = list(&case["devices"][0]["families"]);
    assert_eq!(
        (&families[0]["family"], &families[0]["state"]),
        (&"printing".into(), &"critical".into()),
        "{families:#?}"
    );
    assert!(list(&case["missing"]).iter().any(|line| line.as_str().unwrap().contains("was enrolled")), "{case:#}");
    assert!(list(&case["evidence"][0]["custody"]).iter().any(|entry| entry["what"] == "stored"), "{case:#}");

    let shown = house.desk.says(&["case", "1"]).unwrap();
    assert!(shown.contains(&format!("Printer {queue} is stopped")) && shown.contains("WRONG"), "{shown}");
    let page = house.path("case.html");
    house.desk.says(&["case", "1", "--html", page.to_str().unwrap()]).unwrap();
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("Cannot &lt;print&gt;") && !html.contains("<b>since"), "{html}");
    let text = house.desk.says(&["case", "1", "--md"]).unwrap();
    assert!(text.contains("## Timeline") && text.contains("\\[paused\\](http\\://127"), "{text}");

    house.cups.tool("cancel", &["-a", &queue]).unwrap();
    house.cups.tool("cupsenable", &[&queue]).unwrap();
    house.known(&queue, "idle");
    let again = house.desk.json(&["case", "1", "again", "--why", "after the cable was changed", "--wait"]).unwrap();
    assert_eq!((&again["recipe"], &again["why"]), (&"cannot-print".into(), &"after the cable was changed".into()));
    let differs = house.desk.json(&["case", "1", "diff", "1", "2"]).unwrap();
    assert!(list(&differs["gone"]).iter().any(|finding| finding["rule"] == "print-queue-stopped"), "{differs:#}");
    assert!(!list(&differs["come"]).iter().any(|finding| finding["rule"] == "print-queue-stopped"), "{differs:#}");
    let printers = list(&differs["tables"]).iter().find(|table| table["table"] == "printers").unwrap();
    let state =
        list(&printers["values"]).iter().find(|value| value["key"] == queue && value["column"] == "state").unwrap();
    assert_eq!((&state["before"], &state["after"]), (&"stopped".into(), &"idle".into()), "{differs:#}");
    let shown = house.desk.says(&["case", "1", "diff", "1", "2"]).unwrap();
    assert!(shown.contains("over") && shown.contains("state: stopped → idle"), "{shown}");
    let ended = told(&house.case()["timeline"], "ended", &queue);
    assert!(!ended.is_empty(), "that it was over is in the timeline: {:#}", house.case()["timeline"]);
}

#[test]
fn a_follow_up_is_planned_outlives_a_restart_of_the_server_and_is_done_or_called_off() {
    let mut house = House::open();
    house.known("attic", "idle");
    house.desk.says(&["ticket", "new", "Cannot print", "--device", &house.device]).unwrap();
    let plan = |delay: &str, why: &str| {
        let asked = ["collect", &house.device, "--ticket", "1", "--table", "printers", "--in", delay, "--why", why];
        house.desk.json(&asked).unwrap()
    };
    let (soon, late) = (plan("5s", "after the toner came"), plan("2d", "after the printer was replaced"));
    assert!(late["note"].as_str().unwrap().contains("asked for") || late["note"].as_str().unwrap().contains("planned"));
    house.server.stop().unwrap();
    house.server.resume().unwrap();

    until_for(KNOWN, "the follow-up to be done", || {
        let case = house.desk.json(&["ticket", "show", "1"])?;
        let of = |id: &Json| list(&case["collections"]).iter().find(|asked| asked["id"] == *id).cloned();
        let (Some(soon), Some(late)) = (of(&soon["id"]), of(&late["id"])) else { return Ok(None) };
        assert_eq!(late["state"], "waiting", "{late:#}");
        Ok((soon["state"] == "done").then_some(()))
    })
    .unwrap();
    let case = house.case();
    assert!(!told(&case["timeline"], "planned", "after the printer was replaced").is_empty(), "{case:#}");
    let shown = house.desk.says(&["case", "1"]).unwrap();
    assert!(shown.contains("planned for") && shown.contains("after the toner came"), "{shown}");
    let cancelled = house.desk.json(&["collection", "cancel", late["id"].as_str().unwrap()]).unwrap();
    assert_eq!(cancelled["state"], "cancelled");
    let refused = house.desk.says(&["case", "1", "diff", "1", "2"]).unwrap_err().to_string();
    assert!(refused.contains("collection 2 has no evidence"), "{refused}");
}

/// A log as Windows exports it.
fn evtx(folder: &Path) -> PathBuf {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/logs/windows.evtx.gz");
    let path = folder.join("System.evtx");
    let status = Command::new("gunzip")
        .arg("--stdout")
        .stdin(File::open(recorded).unwrap())
        .stdout(Stdio::from(File::create(&path).unwrap()))
        .status();
    assert!(status.unwrap().success());
    path
}

#[test]
fn a_windows_log_a_mac_log_and_a_bundle_that_were_attached_by_hand_are_asked_with_the_case() {
    let house = House::open();
    house.known("attic", "idle");
    house.desk.says(&["ticket", "new", "Cannot print", "--device", &house.device]).unwrap();
    house.desk.says(&["collect", &house.device, "--ticket", "1", "--table", "printers", "--wait"]).unwrap();
    let evidence = house.desk.json(&["evidence", "list", "--ticket", "1"]).unwrap();
    let bundle = house.path("elsewhere.zip");
    house.desk.says(&["evidence", "get", evidence[0]["id"].as_str().unwrap(), "-o", bundle.to_str().unwrap()]).unwrap();

    house.desk.says(&["ticket", "new", "The same as ticket 1"]).unwrap();
    let mac = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/logs/macos.ndjson");
    let photo = house.path("photo.jpg");
    fs::write(&photo, [0xff, 0xd8, 0xff, 0xe0, 0, 0]).unwrap();
    for path in [&evtx(house.folder.path()), &mac, &bundle, &photo] {
        house.desk.says(&["attach", "2", path.to_str().unwrap()]).unwrap();
    }
    let ask = |sql: &str| house.desk.json(&["sql", sql, "--case", "2"]).unwrap();
    let spooler = ask(
        "SELECT device, event_id FROM log_events WHERE message LIKE '%spooler%' OR provider LIKE '%Service Control%'",
    );
    assert!(spooler.to_string().contains("System.evtx") && spooler.to_string().contains("7023"), "{spooler:#}");
    let refused = ask("SELECT device, program FROM log_events WHERE message LIKE '%refused%'");
    assert!(refused.to_string().contains("macos.ndjson") && refused.to_string().contains("symptomsd"), "{refused:#}");
    let queues = ask("SELECT device, name, state FROM printers");
    assert!(queues.to_string().contains("bundle elsewhere.zip") && queues.to_string().contains("attic"), "{queues:#}");
    assert!(queues.to_string().contains("photo.jpg"), "what cannot be asked is said: {queues:#}");
}
