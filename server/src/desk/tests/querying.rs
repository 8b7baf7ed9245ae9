//! Questions in SQL through the desk: asked at the device, answered from what the server knows, and merged from many.

use deskside_proto::v1::cell::Value;
use deskside_proto::v1::query_request::Scope;

use super::*;

/// What an answer came to.
#[derive(Debug, Default)]
struct Answered {
    columns: Vec<String>,
    rows: Vec<String>,
    notes: Vec<String>,
    end: QueryEnd,
}

fn to_device(name: &str, sql: &str) -> QueryRequest {
    let query = Query { sql: sql.into(), ..Query::default() };
    QueryRequest { query: Some(query), scope: Some(Scope::Device(name.into())), ..QueryRequest::default() }
}

fn to_fleet(condition: &str, live: bool, sql: &str) -> QueryRequest {
    let scope = Scope::Fleet(Fleet { r#where: condition.into(), live });
    QueryRequest { scope: Some(scope), ..to_device("", sql) }
}

async fn answer(client: &mut Client, request: QueryRequest) -> Result<Answered, Status> {
    let mut parts = client.query(request).await?.into_inner();
    let mut answered = Answered::default();
    while let Some(part) = parts.message().await? {
        answered.columns.extend(part.columns.into_iter().map(|column| column.name));
        answered.rows.extend(part.rows.iter().map(line));
        answered.notes.extend(part.notes.iter().map(|note| format!("{}: {}", note.device, note.words)));
        answered.end = part.end.unwrap_or(answered.end);
    }
    Ok(answered)
}

fn line(row: &ResultRow) -> String {
    let cell = |cell: &Cell| match &cell.value {
        None => "NULL".to_owned(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Real(number)) => number.to_string(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Blob(bytes)) => format!("{bytes:?}"),
    };
    row.cells.iter().map(cell).collect::<Vec<_>>().join("|")
}

/// A device that answers the next question with these rows of one column, or refuses it.
async fn answers_once(mut call: Call, rows: &[&str], error: &str) -> (Call, Query) {
    let sent = call.outgoing.recv().await.unwrap();
    let Some(to_agent::Kind::Command(command)) = sent.kind else { panic!("a command was expected") };
    let Some(command::Kind::Query(query)) = command.kind else { panic!("a question was expected") };
    let column = ResultColumn { name: "name".into(), ..ResultColumn::default() };
    let text = |text: &&str| Cell { value: Some(Value::Text((*text).to_owned())) };
    let part = QueryPart {
        columns: vec![column],
        rows: rows.iter().map(|row| ResultRow { cells: vec![text(row)] }).collect(),
        end: Some(QueryEnd { rows: rows.len() as u64, ..QueryEnd::default() }),
        ..QueryPart::default()
    };
    let result = error.is_empty().then(|| Box::new(part));
    let answer = Answer { id: command.id, last: true, error: error.into(), result, ..Answer::default() };
    call.answer(answer).await;
    (call, *query)
}

async fn audit_of(house: &House, what: &str) -> Vec<String> {
    let lines = house.store.audit(100).await.unwrap();
    lines.into_iter().filter(|line| line.what == what).map(|line| format!("{}: {}", line.who, line.text)).collect()
}

fn printer(state: &str) -> Printer {
    Printer { state: state.into(), ..stopped() }
}

#[tokio::test]
async fn a_connected_device_answers_for_itself_and_hears_who_asks_and_what_they_may_see() {
    let house = House::open().await;
    for (who, sees) in [("viewer", false), ("technician", true), ("admin", true)] {
        let agent = tokio::spawn(answers_once(house.agent(), &["front", "back"], ""));
        let mut client = house.client(who).await;
        let request = to_device("desk-7", "SELECT name FROM printers");
        let answered = answer(&mut client, request).await.unwrap();
        assert_eq!((answered.rows.join(" "), answered.end.rows), ("front back".to_owned(), 2));
        let (_call, query) = agent.await.unwrap();
        assert_eq!((query.asked_by.as_str(), query.sight), (who, Some(Sight { personal: sees, content: sees })));
    }
    assert_eq!(audit_of(&house, "query").await[0], "viewer: desk-7: SELECT name FROM printers");
    assert_eq!(audit_of(&house, "answer").await[2], "admin: 2 rows, whole: desk-7: SELECT name FROM printers");
}

#[tokio::test]
async fn an_asker_may_not_claim_to_see_more_or_to_be_another() {
    let house = House::open().await;
    let agent = tokio::spawn(answers_once(house.agent(), &[], ""));
    let mut request = to_device("desk-7", "SELECT 1");
    let query = request.query.as_mut().unwrap();
    (query.sight, query.asked_by) = (Some(Sight { personal: true, content: true }), "admin".into());
    answer(&mut house.client("viewer").await, request).await.unwrap();
    let (_call, query) = agent.await.unwrap();
    assert_eq!((query.asked_by.as_str(), query.sight), ("viewer", Some(Sight::default())));
}

#[tokio::test]
async fn a_device_that_is_off_is_answered_for_with_the_age_of_what_is_known() {
    let house = House::open().await;
    let now = now_ms();
    house.streamed(1, now - 7_200_000, printer("idle")).await;
    house.streamed(2, now - 3_600_000, printer("stopped")).await;
    let mut client = house.client("technician").await;
    let answered =
        answer(&mut client, to_device("desk-7", "SELECT name, state, _age_s / 60 FROM printers")).await.unwrap();
    assert_eq!(answered.rows, ["front|stopped|60"]);
    assert!(answered.notes[0].starts_with("desk-7: desk-7 is off or cannot be reached since"), "{answered:?}");
    let then = to_device("desk-7", "SELECT state FROM printers('-90 minutes')");
    assert_eq!(answer(&mut client, then).await.unwrap().rows, ["idle"]);
    let history = "SELECT state, valid_to IS NULL FROM printers_history ORDER BY valid_from";
    assert_eq!(answer(&mut client, to_device("desk-7", history)).await.unwrap().rows, ["idle|0", "stopped|1"]);
    let changed = "SELECT old, new FROM changes('-90 minutes') WHERE column_name = 'state'";
    assert_eq!(answer(&mut client, to_device("desk-7", changed)).await.unwrap().rows, ["idle|stopped"]);
    let before = answer(&mut client, to_device("desk-7", "SELECT * FROM printers('-1 day')")).await.unwrap();
    assert!(before.rows.is_empty());
    assert!(before.notes.iter().any(|note| note.contains("the server holds printers since")), "{before:?}");
    let never = answer(&mut client, to_device("desk-7", "SELECT * FROM disks")).await.unwrap();
    assert!(never.notes.iter().any(|note| note.contains("nothing of it has reached the server")), "{never:?}");
}

#[tokio::test]
async fn what_is_known_can_be_asked_for_while_the_device_is_there() {
    let house = House::open().await;
    let _call = house.agent();
    house.streamed(1, now_ms(), printer("idle")).await;
    let request = QueryRequest { last_known: true, ..to_device("desk-7", "SELECT state FROM printers") };
    let answered = answer(&mut house.client("viewer").await, request).await.unwrap();
    assert_eq!(answered.rows, ["idle"]);
    assert_eq!(answered.notes, ["desk-7: desk-7 was not asked: this is what the server knows"]);
}

#[tokio::test]
async fn the_fleet_is_asked_from_what_is_known_and_says_whose_is_missing() {
    let house = House::open().await;
    enrol(&house.store, "desk-8").await;
    let _call = house.agent();
    house.streamed(1, now_ms() - 60_000, printer("stopped")).await;
    let mut client = house.client("technician").await;
    let answered = answer(&mut client, to_fleet("", false, "SELECT * FROM printers")).await.unwrap();
    assert_eq!(answered.columns[0], "device");
    assert!(answered.rows[0].starts_with("desk-7|front|stopped"), "{answered:?}");
    assert!(answered.notes.iter().any(|note| note.contains("from desk-8")), "{answered:?}");
    assert!(answered.notes.iter().any(|note| note.contains("1 of 2 devices are off")), "{answered:?}");
    let devices = "SELECT device, connected, open_tickets FROM devices ORDER BY device";
    assert_eq!(answer(&mut client, to_fleet("", false, devices)).await.unwrap().rows, ["desk-7|1|0", "desk-8|0|0"]);
    let some = to_fleet("connected AND name LIKE 'desk%' -- those here", false, "SELECT name FROM devices");
    assert_eq!(answer(&mut client, some).await.unwrap().rows, ["desk-7"]);
    let wrong = answer(&mut client, to_fleet("no_such_column", false, "SELECT 1")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(wrong.message().contains("no_such_column"), "{wrong:?}");
}

#[tokio::test]
async fn all_that_are_connected_are_asked_at_once_and_those_that_do_not_answer_are_named() {
    let house = House::open().await;
    let (second, off) = (enrol(&house.store, "desk-8").await, enrol(&house.store, "desk-9").await);
    let first = tokio::spawn(answers_once(house.agent(), &["front", "back"], ""));
    let call = house.switchboard.connect(second);
    call.arrived();
    let refusing = tokio::spawn(answers_once(call, &[], "this agent answers no questions in SQL; update it"));
    let mut client = house.client("technician").await;
    let answered = answer(&mut client, to_fleet("", true, "SELECT name FROM printers LIMIT 2")).await.unwrap();
    assert_eq!((answered.columns, answered.end.devices), (vec!["device".to_owned(), "name".to_owned()], 1));
    assert_eq!(answered.rows, ["desk-7|front", "desk-7|back"]);
    let said = |words: &str| answered.notes.iter().any(|note| note.starts_with(words));
    assert!(said("desk-8: this agent answers no questions in SQL"), "{:?}", answered.notes);
    assert!(said("desk-9: is off or cannot be reached since"), "{:?}", answered.notes);
    assert!(said(": each device answered for itself"), "{:?}", answered.notes);
    drop((first, refusing, off));
}

#[tokio::test]
async fn one_who_hangs_up_stops_the_question_at_the_device_and_that_is_written_down() {
    let house = House::open().await;
    let mut call = house.agent();
    let mut client = house.client("technician").await;
    let parts = client.query(to_device("desk-7", "SELECT 1")).await.unwrap();
    let Some(to_agent::Kind::Command(command)) = call.outgoing.recv().await.unwrap().kind else { panic!("a command") };
    drop(parts);
    let Some(to_agent::Kind::Cancel(cancel)) = call.outgoing.recv().await.unwrap().kind else { panic!("a cancel") };
    assert_eq!(cancel.id, command.id);
    let mut lines = Vec::new();
    while lines.is_empty() {
        lines = audit_of(&house, "answer").await;
    }
    assert_eq!(lines, ["technician: 0 rows, stopped: the asker hung up: desk-7: SELECT 1"]);
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_the_refusal_is_in_the_audit_log() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let delete = answer(&mut client, to_device("desk-7", "DELETE FROM printers")).await.unwrap_err();
    assert_eq!(delete.code(), Code::InvalidArgument, "{delete:?}");
    let long = answer(&mut client, to_device("desk-7", &"x".repeat(100_000))).await.unwrap_err();
    assert_eq!(long.code(), Code::InvalidArgument);
    let nobody = answer(&mut client, to_device("nobody", "SELECT 1")).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    let lines = audit_of(&house, "answer").await;
    assert!(lines[0].contains("failed: "), "{lines:?}");
    assert!(lines[1].contains("refused: ") && lines[1].len() < 4_096, "{lines:?}");
    assert!(lines[2].contains("refused: no device \"nobody\""), "{lines:?}");
    assert!(house.store.audit_broken_at().await.unwrap().is_none());
}

#[tokio::test]
async fn a_cut_answer_says_so_here_and_in_the_audit_log() {
    let house = House::open().await;
    let mut request =
        to_fleet("", false, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n");
    request.query.as_mut().unwrap().rows_max = 5;
    let answered = answer(&mut house.client("viewer").await, request).await.unwrap();
    assert_eq!((answered.rows.len(), answered.end.cut.is_empty()), (5, false));
    assert!(audit_of(&house, "answer").await[0].contains("5 rows, cut: the first 5 rows"));
}

/// A question for a ticket, kept if the device is off.
fn kept(ticket: u64, sql: &str) -> QueryRequest {
    let mut request = QueryRequest { when_back: true, ..to_device("desk-7", sql) };
    request.query.as_mut().unwrap().ticket = ticket;
    request
}

async fn questions(client: &mut Client) -> Vec<Question> {
    client.list_questions(ListQuestionsRequest { all: true, ticket: 0 }).await.unwrap().into_inner().questions
}

#[tokio::test]
async fn a_question_waits_for_its_device_and_its_answer_lands_on_the_ticket() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let ticket = ticket(&mut client).await;
    let answered = answer(&mut client, kept(ticket, "SELECT name FROM printers")).await.unwrap();
    assert!(answered.notes.iter().any(|note| note.contains("the question is kept as")), "{answered:?}");
    assert_eq!(questions(&mut client).await[0].state, "waiting");
    let (_call, query) = answers_once(house.agent(), &["front", "back"], "").await;
    assert_eq!((query.asked_by.as_str(), query.ticket), ("technician", ticket));
    let question = loop {
        let question = questions(&mut client).await.remove(0);
        if question.state != "waiting" {
            break question;
        }
    };
    assert_eq!((question.state.as_str(), question.note.as_str()), ("answered", "2 rows"));
    let case = client.get_case(GetCaseRequest { number: ticket }).await.unwrap().into_inner();
    let told = case.events.iter().rfind(|event| event.what == "question").unwrap();
    assert!(told.text.contains("answered 2 rows to: SELECT name FROM printers\nname\nfront\nback"), "{}", told.text);
    let item = case.evidence.iter().find(|item| item.id == question.evidence_id).unwrap();
    let mut chunks = client.get_evidence(GetEvidenceRequest { id: item.id.clone() }).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        bytes.extend(chunk.bytes);
    }
    let whole: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(whole["rows"], serde_json::json!([["front"], ["back"]]));
    assert!(audit_of(&house, "answer").await.iter().any(|line| line.contains("2 rows, kept question")));
}

#[tokio::test]
async fn a_kept_question_is_called_off_and_is_not_put_then() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let ticket = ticket(&mut client).await;
    answer(&mut client, kept(ticket, "SELECT 1")).await.unwrap();
    let id = questions(&mut client).await[0].id.clone();
    let cancelled = client.cancel_question(CancelQuestionRequest { id: id[..8].into() }).await.unwrap().into_inner();
    assert_eq!((cancelled.state.as_str(), cancelled.note.as_str()), ("cancelled", "called off by technician"));
    let again = client.cancel_question(CancelQuestionRequest { id }).await.unwrap_err();
    assert!(again.message().contains("has ended already"), "{again:?}");
    let agent = tokio::spawn(answers_once(house.agent(), &["here"], ""));
    assert_eq!(answer(&mut client, to_device("desk-7", "SELECT 'now'")).await.unwrap().rows, ["here"]);
    let (_call, query) = agent.await.unwrap();
    assert_eq!(query.sql, "SELECT 'now'", "the one that was called off did not come first");
}

#[tokio::test]
async fn a_question_that_its_device_refuses_ends_with_why() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let ticket = ticket(&mut client).await;
    answer(&mut client, kept(ticket, "SELECT 1")).await.unwrap();
    let _agent = answers_once(house.agent(), &[], "this agent answers no questions in SQL; update it").await;
    let question = loop {
        let question = questions(&mut client).await.remove(0);
        if question.state != "waiting" {
            break question;
        }
    };
    assert_eq!(question.state, "failed");
    assert!(question.note.contains("update it"), "{question:?}");
}

#[tokio::test]
async fn a_question_is_kept_for_an_open_ticket_and_by_a_technician_alone() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let ticket = ticket(&mut client).await;
    let refused = answer(&mut house.client("viewer").await, kept(ticket, "SELECT 1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let none = answer(&mut client, kept(0, "SELECT 1")).await.unwrap_err();
    assert!(none.message().contains("needs a ticket"), "{none:?}");
    assert_eq!(answer(&mut client, kept(77, "SELECT 1")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn the_evidence_of_a_ticket_is_asked_and_says_what_it_lacks() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let ticket = ticket(&mut client).await;
    let asked = CollectRequest { device: "desk-7".into(), ticket, ..CollectRequest::default() };
    let collection = client.collect(asked).await.unwrap().into_inner();
    house.uploaded(&collection.id, &bundle()).await;
    let scope = Some(Scope::CaseTicket(ticket));
    let sql = "SELECT device, name, state FROM printers WHERE _evidence <> ''";
    let request = QueryRequest { scope, ..to_device("", sql) };
    let answered = answer(&mut house.client("viewer").await, request.clone()).await.unwrap();
    assert_eq!(answered.rows, ["desk-7|front|stopped"]);
    let other = QueryRequest { scope: Some(Scope::CaseTicket(99)), ..request };
    assert_eq!(answer(&mut client, other).await.unwrap_err().code(), Code::NotFound);
}

/// A bundle with one look at the printers of desk-7.
fn bundle() -> Vec<u8> {
    use std::io::{Cursor, Write};
    let manifest = serde_json::json!({
        "format": "deskside-evidence", "version": 1, "collected": {"ms": 1_772_359_200_000_i64},
        "device": {"id": "d-7", "hostname": "desk-7"},
        "parts": [{"name": "printers", "outcome": "ok", "files": [{"path": "tables/printers.jsonl"}]}],
    });
    let row = serde_json::json!({
        "_at": "2026-03-01T10:00:00.000+00:00", "_outcome": "ok", "_source": "look", "name": "front", "state": "stopped",
    });
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in [("manifest.json", manifest.to_string()), ("tables/printers.jsonl", row.to_string())] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
