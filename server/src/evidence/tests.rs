//! Bundles made by hand, asked in SQL.

use std::io::{Seek, Write};
use std::time::{Duration, Instant};

use deskside_proto::sql::{Bounds, Brake, answer};
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::{Query, QueryPart};
use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// A bundle of desk-7 with two looks at its printers; its disks were not allowed to be seen.
fn bundle(evidence: &str, state: &str) -> Bundle {
    let rows = format!(
        "{}\n{}\nnot JSON\n",
        json!({"_at": "2026-03-01T09:00:00.000+00:00", "_outcome": "ok", "_source": "record", "name": "hall", "state": "idle"}),
        json!({"_at": "2026-03-01T10:00:00.000+00:00", "_outcome": "ok", "_source": "look", "name": "hall", "state": state}),
    );
    let manifest = json!({
        "format": "deskside-evidence", "version": 1, "collected": {"at": "", "ms": 1_772_359_200_000_i64},
        "device": {"id": "d-7", "hostname": "desk-7"},
        "parts": [
            {"name": "printers", "outcome": "partial", "reason": "rows were left out", "files": [{"path": "tables/printers.jsonl"}]},
            {"name": "disks", "outcome": "denied", "reason": "needs CAP_SYS_RAWIO", "files": []},
        ],
    });
    open(&[("manifest.json", &manifest.to_string()), ("tables/printers.jsonl", &rows)], evidence).unwrap()
}

fn open(files: &[(&str, &str)], evidence: &str) -> anyhow::Result<Bundle> {
    let mut zip = ZipWriter::new(tempfile::tempfile().unwrap());
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let mut file = zip.finish().unwrap();
    file.rewind().unwrap();
    Bundle::open(file, evidence)
}

fn ask(sql: &str) -> (Vec<String>, Vec<String>) {
    let source: Arc<dyn Source> = Arc::new(Evidence::new(
        [bundle("e-1", "stopped"), bundle("e-2", "idle")].map(|bundle| Item::Bundle(Box::new(bundle))).into(),
        Vec::new(),
    ));
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(1)));
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    let query = Query { sql: sql.into(), ..Query::default() };
    answer(&source, &query, Bounds::default(), &brake, &mut |part: QueryPart| {
        for row in part.rows {
            let cells = row.cells.into_iter().map(|cell| match cell.value {
                Some(Value::Text(text)) => text,
                Some(Value::Integer(number)) => number.to_string(),
                other => format!("{other:?}"),
            });
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
        notes.extend(part.notes.into_iter().map(|note| note.words));
        true
    })
    .unwrap();
    (rows, notes)
}

#[test]
fn each_bundle_tells_what_its_machine_was_like_and_which_item_it_is() {
    let (rows, notes) = ask("SELECT device, name, state, _evidence FROM printers ORDER BY _evidence");
    assert_eq!(rows, ["desk-7|hall|stopped|e-1", "desk-7|hall|idle|e-2"]);
    assert!(notes.contains(&"rows were left out".to_owned()), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("1 lines cannot be read")), "{notes:?}");
    assert_eq!(ask("SELECT count(*) FROM printers('2026-03-01 09:30') WHERE state = 'idle'").0, ["2"]);
    assert_eq!(ask("SELECT device, new FROM changes WHERE column_name = 'state'").0, ["desk-7|stopped"]);
}

#[test]
fn what_a_bundle_could_not_see_never_looks_healthy() {
    let (rows, notes) = ask("SELECT * FROM disks");
    assert!(rows.is_empty() && notes.contains(&"needs CAP_SYS_RAWIO".to_owned()), "{notes:?}");
    assert!(ask("SELECT * FROM cpu").1.iter().any(|note| note.contains("was not asked for")));
}

#[test]
fn what_is_no_bundle_is_refused_in_words() {
    let refusal = |files: &[(&str, &str)]| format!("{:#}", open(files, "").unwrap_err());
    assert!(refusal(&[("a", "b")]).contains("no manifest.json"));
    assert!(refusal(&[("manifest.json", "[]")]).contains("cannot be read"));
    let other =
        json!({"format": "x", "version": 1, "collected": {"ms": 1}, "device": {"id": "", "hostname": ""}, "parts": []});
    assert!(refusal(&[("manifest.json", &other.to_string())]).contains("does not read"));
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"not a zip").unwrap();
    assert!(format!("{:#}", Bundle::open(file, "").unwrap_err()).contains("not a ZIP"));
}
