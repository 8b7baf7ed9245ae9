//! What a technician types to ask in SQL, on a real server and a real agent: once, by name, at a prompt, of a bundle, and what differs.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deskside_tests::house::{House, Programs, until};
use serde_json::Value as Json;

/// How long an answer may take on a busy machine.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// A server with this machine enrolled, connected and known, and the machine's identity.
async fn open(folder: &Path) -> (House, String) {
    let mut house = House::open(Programs::found().expect("the programs are built"), folder).await.expect("a server");
    house.enrol().expect("an agent");
    let id = until("the device to be known", ANSWER_MAX, || {
        let devices = house.desk_json(&["devices"])?;
        let on = devices.pointer("/0/connected").and_then(Json::as_bool) == Some(true);
        let Some(id) = devices.pointer("/0/id").and_then(Json::as_str).filter(|_id| on) else { return Ok(None) };
        let known = house.desk_json(&["device", id])?;
        let tables = known.get("tables").and_then(Json::as_array).cloned().unwrap_or_default();
        let has = |table: &str| tables.iter().any(|state| state.get("table").and_then(Json::as_str) == Some(table));
        Ok((has("os") && has("filesystems")).then(|| id.to_owned()))
    });
    let id = id.await.expect("a known device");
    (house, id)
}

/// What a command prints on standard output and on standard error, and whether it went well.
fn says(command: &mut Command, typed: &str) -> (String, String, bool) {
    let mut running =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("deskside starts");
    running.stdin.take().expect("its input").write_all(typed.as_bytes()).expect("it reads");
    let done = running.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&done.stdout), text(&done.stderr), done.status.success())
}

#[tokio::test]
async fn a_question_is_answered_as_text_csv_markdown_and_json_and_says_whether_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (house, id) = open(folder.path()).await;
    let ask = |words: &[&str], typed: &str| says(house.desk_command().arg("sql").args(words), typed);

    let answer = house.desk_json(&["sql", &id, "SELECT hostname, kernel, ms('now') AS now FROM os"]).unwrap();
    assert_eq!((answer["rows"].as_array().map(Vec::len), &answer["complete"]), (Some(1), &true.into()), "{answer:#}");
    let hostname = answer["rows"][0]["hostname"].as_str().unwrap();
    let (csv, aside, _well) = ask(
        &[&id, "--csv", "SELECT hostname FROM os WHERE hostname = :name", "--param", &format!("name={hostname}")],
        "",
    );
    assert_eq!(csv, format!("hostname\r\n{hostname}\r\n"));
    assert!(aside.contains("1 row, whole"), "{aside}");
    let (markdown, ..) = ask(&[&id, "--markdown", "-"], "SELECT hostname AS host FROM os");
    assert!(markdown.starts_with(&format!("| host |\n| --- |\n| {hostname} |\n")), "{markdown}");
    let (text, ..) = ask(&["--fleet", "SELECT device, pretty_name FROM os"], "");
    assert!(text.starts_with("device") && text.contains("1 row"), "{text}");

    let (nothing, error, well) = ask(&[&id, "SELECT nme FROM os"], "");
    assert!(!well && nothing.is_empty() && error.contains("no such column: nme"), "{error}");
    assert!(error.contains("\n  SELECT nme FROM os\n         ^\n"), "{error}");
    let (_out, error, well) = ask(&["SELECT 1"], "");
    assert!(!well && error.contains("it is not said whom to ask"), "{error}");
}

#[tokio::test]
async fn questions_have_names_and_two_times_and_two_devices_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (house, id) = open(folder.path()).await;
    let listed = house.desk_json(&["query", "list", "disk"]).unwrap();
    assert!(listed.as_array().unwrap().iter().any(|query| query["name"] == "disk-full"));
    let full = house.desk_json(&["query", "run", "disk-full", &id, "--param", "percent=0"]).unwrap();
    assert!(!full["rows"].as_array().unwrap().is_empty(), "{full:#}");
    house.desk_json(&["query", "save", "my-host", "SELECT hostname FROM os", "--doc", "Mine."]).unwrap();
    assert_eq!(house.desk_json(&["query", "run", "my-host", &id]).unwrap()["row_count"], 1);

    let changed = house.desk_json(&["diff", &id, "--from", "-1h"]).unwrap();
    assert!(changed["changes"].is_array(), "{changed:#}");
    let differ = house.desk_json(&["diff", &id, &id]).unwrap();
    assert_eq!(differ["tables"], Json::Array(Vec::new()), "{differ:#}");
    assert!(differ["alike"].as_u64() > Some(5));
    assert!(house.desk_says(&["diff", &id]).is_err());
}

#[tokio::test]
async fn a_bundle_is_asked_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (house, id) = open(folder.path()).await;
    house.desk_json(&["ticket", "new", "no sound", "--device", &id]).unwrap();
    let wanted = ["collect", id.as_str(), "--ticket", "1", "--table", "os", "--table", "printers", "--wait"];
    let collection = house.desk_json(&wanted).unwrap();
    let bundle = folder.path().join("bundle.zip");
    let bundle = bundle.to_str().unwrap();
    house.desk_json(&["evidence", "get", collection["evidence_id"].as_str().unwrap(), "-o", bundle]).unwrap();
    let live = house.desk_json(&["sql", &id, "SELECT hostname, kernel FROM os"]).unwrap();
    let login = house.home();
    let programs = Programs::found().unwrap();
    drop(house);

    let deskside = |words: &[&str], typed: &str| {
        says(Command::new(programs.folder().join("deskside")).env("DESKSIDE_HOME", &login).args(words), typed)
    };
    let (json, error, well) = deskside(&["--json", "sql", "--file", bundle, "SELECT hostname, kernel FROM os"], "");
    assert!(well, "{error}");
    assert_eq!(serde_json::from_str::<Json>(&json).unwrap()["rows"], live["rows"]);
    let (text, ..) = deskside(&["sql", "--file", bundle, "SELECT * FROM filesystems"], "");
    assert!(text.contains("no rows, with reserve") && text.contains("nothing of it is held here"), "{text}");
    let (text, ..) = deskside(&["shell", "--file", bundle], "SELECT hostname\nFROM os;\n");
    assert!(text.contains("hostname") && text.contains("1 row, whole"), "{text}");
    let (text, _error, well) = deskside(&["shell", "--file", bundle], "SELECT nme FROM os;\nSELECT 1;");
    assert!(!well && text.contains("no such column: nme") && !text.contains("1 row"), "{text}");
}

#[tokio::test]
async fn at_a_terminal_ctrl_c_ends_the_question_and_not_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    let (house, id) = open(folder.path()).await;
    // script(1) gives the shell a terminal of its own.
    let deskside = Programs::found().unwrap().folder().join("deskside");
    let shell = format!("stty cols 100; exec {} shell {id}", deskside.display());
    let mut running = Command::new("script")
        .args(["-q", "-e", "-f", "-c", &shell, "/dev/null"])
        .env("DESKSIDE_HOME", house.home())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script of util-linux");
    let (mut typing, mut screen) = (running.stdin.take().unwrap(), running.stdout.take().unwrap());
    let seen = Arc::new(Mutex::new(String::new()));
    let shown = Arc::clone(&seen);
    let reading = std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(read @ 1..) = screen.read(&mut bytes) {
            shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    });
    let appears = async |what: &str| {
        let found = until(what, ANSWER_MAX, || {
            let mut seen = seen.lock().unwrap();
            let at = seen.find(what).map(|at| at + what.len());
            if let Some(at) = at {
                seen.drain(..at);
            }
            Ok(at)
        });
        found.await.unwrap_or_else(|error| panic!("{error:#}; seen: {}", seen.lock().unwrap()));
    };
    appears("> ").await;
    // The tables that begin with "o" have "os" in common.
    typing.write_all(b"SELECT hostname FROM o\t").unwrap();
    appears("FROM os").await;
    typing.write_all(b";\r").unwrap();
    appears("1 row").await;
    appears("> ").await;
    typing.write_all(b".watch 1s SELECT count(*) AS all_tables FROM tables;\r").unwrap();
    appears("every 1 s").await;
    appears("all_tables").await;
    typing.write_all(b"\x03").unwrap();
    appears("> ").await;
    typing.write_all(b"SELECT 40 + 2 AS answer;\r").unwrap();
    appears("answer").await;
    appears("42").await;
    typing.write_all(b".quit\r").unwrap();
    let ended = until("the shell to end", ANSWER_MAX, || Ok(running.try_wait()?)).await;
    drop(typing);
    let status = ended.unwrap_or_else(|error| {
        running.kill().ok();
        panic!("{error:#}");
    });
    reading.join().unwrap();
    assert!(status.success(), "{status}");
    let history = std::fs::read_to_string(house.home().join("shell_history")).unwrap();
    assert!(history.contains("SELECT 40 + 2 AS answer;"), "{history}");
}
