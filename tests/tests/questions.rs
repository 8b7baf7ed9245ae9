//! Questions in SQL from a technician to a real machine: now, then, while it is off, and when it is back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use deskside_proto::v1::query_request::Scope;
use deskside_proto::v1::{Query, QueryRequest};
use deskside_tests::house::until;
use deskside_tests::lab::asker::{Asker, to_device, to_fleet};
use deskside_tests::lab::process::{Agent, Server, Technician};
use tonic::Code;

/// Far above what any step takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// A server, an agent of this machine, a technician with a command line and the ticket 1, and one who asks.
async fn open(folder: &Path) -> (Server, Agent, Technician, Asker, String) {
    let server = Server::start(folder).unwrap();
    let mut agent = Agent::new(folder, "").unwrap();
    let device = agent.enrol(&server).unwrap();
    let desk = server.technician(folder).unwrap();
    desk.says(&["ticket", "new", "cannot print", "--device", &device]).unwrap();
    let asker = Asker::new(&server, "tess", "technician").await.unwrap();
    connected(&desk, true).await;
    (server, agent, desk, asker, device)
}

async fn connected(desk: &Technician, wanted: bool) {
    until("the device to come or go", PATIENCE, || {
        let devices = desk.json(&["devices"])?;
        Ok((devices[0]["connected"] == wanted).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_machine_is_asked_how_it_is_and_how_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, _agent, desk, mut asker, device) = open(folder.path()).await;
    let now = asker.ask(to_device(&device, "SELECT hostname, kernel, _age_s FROM os")).await.unwrap();
    assert_eq!((now.columns.join(" "), now.rows.len()), ("hostname kernel _age_s".to_owned(), 1));
    assert!(now.end.cut.is_empty());
    let joined = "SELECT count(*) > 0 FROM filesystems JOIN os ON filesystems.mount_point = '/'";
    assert_eq!(asker.ask(to_device(&device, joined)).await.unwrap().rows, ["1"]);
    let history = asker.ask(to_device(&device, "SELECT valid_to FROM os_history")).await.unwrap();
    assert_eq!(history.rows, ["NULL"]);
    let before = asker.ask(to_device(&device, "SELECT * FROM os('-30 days')")).await.unwrap();
    assert!(before.rows.is_empty() && !before.notes.is_empty(), "{before:?}");
    let wrong = asker.ask(to_device(&device, "SELECT nothing FROM os")).await.unwrap_err();
    assert!(wrong.message().contains("nothing"), "{wrong:?}");
    drop(desk);
}

#[tokio::test]
async fn a_machine_that_is_off_is_answered_for_at_once_and_answers_itself_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, mut agent, desk, mut asker, device) = open(folder.path()).await;
    until("the first looks to be known", PATIENCE, || {
        let known = desk.json(&["device", &device])?;
        let tables = known["tables"].as_array().cloned().unwrap_or_default();
        Ok(tables.iter().any(|table| table["table"] == "os").then_some(()))
    })
    .await
    .unwrap();
    agent.stop().unwrap();
    connected(&desk, false).await;
    let sql = "SELECT hostname, _age_s >= 0 FROM os";
    let query = Query { sql: sql.into(), ticket: 1, ..Query::default() };
    let scope = Some(Scope::Device(device.clone()));
    let request = QueryRequest { query: Some(query), scope, when_back: true, ..QueryRequest::default() };
    let known = asker.ask(request).await.unwrap();
    assert_eq!(known.rows.len(), 1);
    assert!(known.notes("is off or cannot be reached since") && known.notes("is kept as"), "{known:?}");
    agent.run().unwrap();
    let begun = Instant::now();
    let question = loop {
        let question = asker.questions().await.unwrap().remove(0);
        if question.state != "waiting" {
            break question;
        }
        assert!(begun.elapsed() < PATIENCE, "{question:?}");
        tokio::time::sleep(PAUSE).await;
    };
    assert_eq!((question.id.as_str(), question.state.as_str()), (known.kept.as_str(), "answered"));
    let case = desk.says(&["ticket", "show", "1"]).unwrap();
    assert!(case.contains("answered 1 rows to: SELECT hostname"), "{case}");
    let evidence = desk.json(&["evidence", "list", "--ticket", "1"]).unwrap();
    assert_eq!(evidence[0]["id"], question.evidence_id.as_str());
}

#[tokio::test]
async fn a_viewer_sees_nothing_of_persons_and_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _agent, _desk, mut asker, device) = open(folder.path()).await;
    let mut viewer = Asker::new(&server, "vera", "viewer").await.unwrap();
    let sql = "SELECT count(*), count(user) FROM processes";
    let (technician, viewer) =
        (asker.ask(to_device(&device, sql)).await.unwrap(), viewer.ask(to_device(&device, sql)).await.unwrap());
    let users = |row: &str| row.split('|').nth(1).unwrap().parse::<u64>().unwrap();
    assert!(users(&technician.rows[0]) > 0, "{technician:?}");
    assert_eq!(users(&viewer.rows[0]), 0, "{viewer:?}");
    assert!(viewer.notes("user is not shown"), "{viewer:?}");
}

#[tokio::test]
async fn one_who_hangs_up_stops_the_question_at_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _agent, _desk, mut asker, device) = open(folder.path()).await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    for _time in 0..2 {
        let mut parts = asker.put(to_device(&device, endless)).await.unwrap();
        assert!(!parts.message().await.unwrap().unwrap().columns.is_empty(), "it has begun");
        drop(parts);
    }
    let begun = Instant::now();
    loop {
        let stopped = "SELECT count(*) FROM questions WHERE ended = 'stopped'";
        if asker.ask(to_device(&device, stopped)).await.unwrap().rows == ["2"] {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the machine did not stop them");
        tokio::time::sleep(PAUSE).await;
    }
    let audit = until("the ends to be written down", PATIENCE, || {
        let audit = server.says(&["audit", "--last", "50", "--json"])?;
        Ok((audit.matches("the asker hung up").count() == 2).then_some(audit))
    })
    .await
    .unwrap();
    assert!(audit.contains("tess"), "{audit}");
}

#[tokio::test]
async fn the_whole_fleet_answers_at_once_and_one_that_is_off_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _agent, desk, mut asker, _device) = open(folder.path()).await;
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let mut second = Agent::new(&other, "").unwrap();
    second.enrol(&server).unwrap();
    let on = |count: usize| {
        let desk = &desk;
        until("the devices to come and go", PATIENCE, move || {
            let devices = desk.json(&["devices"])?;
            let here = devices.as_array().map_or(0, |all| all.iter().filter(|one| one["connected"] == true).count());
            Ok((here == count).then_some(()))
        })
    };
    on(2).await.unwrap();
    let both = asker.ask(to_fleet(true, "SELECT hostname FROM os")).await.unwrap();
    assert_eq!((both.columns.join(" "), both.rows.len(), both.end.devices), ("device hostname".to_owned(), 2, 2));
    second.stop().unwrap();
    on(1).await.unwrap();
    let one = asker.ask(to_fleet(true, "SELECT hostname FROM os")).await.unwrap();
    assert_eq!((one.rows.len(), one.end.devices), (1, 1));
    assert!(one.notes("is off or cannot be reached since"), "{one:?}");
    let known = asker.ask(to_fleet(false, "SELECT device, connected FROM devices ORDER BY connected")).await.unwrap();
    let connected: Vec<&str> = known.rows.iter().map(|row| row.rsplit('|').next().unwrap()).collect();
    assert_eq!(connected, ["0", "1"]);
    let refused = asker.ask(to_fleet(true, "SELECT nothing FROM os")).await.unwrap();
    assert!(refused.rows.is_empty() && refused.notes("nothing"), "{refused:?}");
    let delete = asker.ask(to_fleet(false, "DELETE FROM os")).await.unwrap_err();
    assert_eq!(delete.code(), Code::InvalidArgument);
}
