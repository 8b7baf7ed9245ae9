//! Lines in, text out, over readings made by hand.

use std::sync::Arc;

use deskside_proto::catalog;
use deskside_proto::sql::Shelf;
use deskside_proto::v1::{Outcome, Printer, Reading};
use prost::Message;

use super::*;
use crate::cli::sql::Form;

const NOW: i64 = 1_800_000_000_000;

fn session(home: &std::path::Path) -> Session {
    let printer = |name: &str, state: &str| Printer { name: name.into(), state: state.into(), ..Printer::default() };
    let rows = [printer("hall", "stopped"), printer("attic", "idle")];
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let reading =
        Reading { table: "printers".into(), at_ms: NOW, outcome: Outcome::Ok.into(), rows, ..Reading::default() };
    let tables = catalog::tables().iter().cloned().map(Arc::new).collect();
    let asker = Asker::File(Arc::new(Shelf::of(NOW, tables, vec![reading])));
    let look = Look { form: Form::Table, raw: false, width: Some(100), now_ms: NOW };
    Session::new(asker, Whom::default(), look, catalog::tables().to_vec(), home.to_owned())
}

async fn typed_into(session: &mut Session, lines: &[&str]) -> String {
    let mut out = Vec::new();
    for line in lines {
        session.line(line, &mut out, &Stop::default()).await.unwrap();
    }
    anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
}

async fn typed(lines: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    typed_into(&mut session(home.path()), lines).await
}

#[tokio::test]
async fn a_statement_may_have_many_lines_and_a_line_many_statements() {
    let said = typed(&["SELECT name", "FROM printers", "WHERE state = 'idle'; SELECT 7 AS seven;"]).await;
    assert!(said.starts_with("name\nattic\n1 row, whole"), "{said}");
    assert!(said.contains("\nseven\n    7\n"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_is_told_and_the_shell_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let mut session = session(home.path());
    let said = typed_into(&mut session, &["SELECT nme FROM printers;"]).await;
    assert!(said.contains("no such column: nme") && said.contains("\n         ^\n"), "{said}");
    assert!(session.outcome().is_err());
    assert!(typed_into(&mut session, &["SELECT 1;"]).await.contains("1 row"));
    assert!(session.outcome().is_ok());
    let said = typed_into(&mut session, &[".mode fancy", ".nothing", ".watch"]).await;
    assert_eq!(said.matches("error:").count(), 3, "{said}");
}

#[tokio::test]
async fn forms_parameters_and_files_are_set_by_commands() {
    let home = tempfile::tempdir().unwrap();
    let mut session = session(home.path());
    let file = home.path().join("export.csv");
    let said = typed_into(
        &mut session,
        &[
            ".param who=hall",
            ".param",
            ".mode csv",
            &format!(".output {}", file.display()),
            "SELECT name, state FROM printers WHERE name = :who;",
            ".output",
            ".unparam who",
            ".mode line",
            "SELECT count(*) AS printers FROM printers;",
        ],
    )
    .await;
    assert!(said.starts_with(":who = hall\nprinters  2\n"), "{said}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "name,state\r\nhall,stopped\r\n");
}

#[tokio::test]
async fn tables_and_their_columns_are_explained() {
    let said = typed(&[".tables print%", ".schema printers"]).await;
    assert!(
        said.contains("print_supplies") && said.contains("queued_jobs") && !said.contains("\nfilesystems"),
        "{said}"
    );
    let said = typed(&[".tables os_version", ".schema nothing", ".help"]).await;
    assert!(said.contains("as osquery has them: os_version") && said.contains("no table \"nothing\""), "{said}");
    assert!(said.contains(".watch TIME SELECT"));
}

#[tokio::test]
async fn a_query_with_a_name_runs_with_its_parameters() {
    let said = typed(&[".queries queues", ".run queues-stopped", ".run queues-stopped nothing=1"]).await;
    assert!(said.contains("queues-stopped") && said.contains("hall"), "{said}");
    assert!(said.contains("has no parameter nothing"), "{said}");
}

#[tokio::test]
async fn a_watch_ends_when_it_is_stopped() {
    let home = tempfile::tempdir().unwrap();
    let mut session = session(home.path());
    let stop = Stop::default();
    let (mut out, presser) = (Vec::new(), stop.clone());
    let watching = session.line(".watch 1s SELECT name, state FROM printers;", &mut out, &stop);
    let pressing = async {
        loop {
            presser.press();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        next = watching => assert_eq!(next.unwrap(), Next::Line),
        () = pressing => {}
    }
    assert!(session.line(".quit", &mut out, &stop).await.unwrap() == Next::Quit);
}

#[tokio::test]
async fn a_question_that_is_too_long_is_dropped() {
    let long = "x".repeat(TEXT_BYTES_MAX);
    let said = typed(&["SELECT '", &long, "SELECT 5 AS five;"]).await;
    assert!(said.contains("what was typed is dropped") && said.contains("five"), "{said}");
}
