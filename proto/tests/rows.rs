//! Rows are opened by their description alone, and nothing that a hostile peer writes can do more than be refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end by panic")]

use deskside_proto::rows::{self, Row, Value};
use deskside_proto::v1::{ColumnSchema, ColumnType, Filesystem, Interface, Printer, TableSchema};
use deskside_proto::{catalog, changes};
use proptest::prelude::*;
use prost::Message;

fn schema<R: Row>() -> &'static TableSchema {
    catalog::table(R::TABLE).expect("a table of the contract is in the catalogue")
}

fn cell<R: Row>(row: &R, column: &str) -> Value {
    let values = rows::open(schema::<R>(), &row.encode_to_vec()).unwrap();
    values[catalog::column(schema::<R>(), column).unwrap()].clone()
}

#[test]
fn what_a_collector_sealed_is_what_is_opened() {
    let printer = Printer {
        name: "Büro".into(),
        state_reasons: vec!["media-empty-error".into(), "paused".into()],
        queued_jobs: 3,
        accepting_jobs: true,
        state_changed_ms: Some(-5),
        ..Printer::default()
    };
    assert_eq!(cell(&printer, "name"), Value::Text("Büro".into()));
    assert_eq!(cell(&printer, "queued_jobs"), Value::Uint(3));
    assert_eq!(cell(&printer, "accepting_jobs"), Value::Bool(true));
    assert_eq!(cell(&printer, "state_changed_ms"), Value::Int(-5));
    let reasons = ["media-empty-error", "paused"].map(|reason| Value::Text(reason.into()));
    assert_eq!(cell(&printer, "state_reasons"), Value::List(reasons.into()));
}

#[test]
fn unknown_differs_from_zero() {
    assert_eq!(cell(&Filesystem::default(), "inodes_total"), Value::Null);
    assert_eq!(cell(&Filesystem { inodes_total: Some(0), ..Filesystem::default() }, "inodes_total"), Value::Uint(0));
    assert_eq!(cell(&Filesystem::default(), "total_bytes"), Value::Uint(0));
}

#[test]
fn a_newer_agents_field_is_passed_over() {
    let mut row = Printer { name: "a".into(), ..Printer::default() }.encode_to_vec();
    prost::encoding::string::encode(999, &"from the future".to_owned(), &mut row);
    assert_eq!(rows::open(schema::<Printer>(), &row).unwrap()[0], Value::Text("a".into()));
}

#[test]
fn packed_and_unpacked_lists_of_numbers_read_the_same() {
    let column = ColumnSchema {
        name: "ports".into(),
        number: 1,
        r#type: ColumnType::Uint.into(),
        repeated: true,
        ..ColumnSchema::default()
    };
    let schema = TableSchema { name: "t".into(), columns: vec![column], ..TableSchema::default() };
    let list = Value::List(vec![Value::Uint(1), Value::Uint(300)]);
    assert_eq!(rows::open(&schema, &[0x0a, 3, 1, 0xac, 2]).unwrap(), std::slice::from_ref(&list));
    assert_eq!(rows::open(&schema, &[0x08, 1, 0x08, 0xac, 2]).unwrap(), [list]);
}

#[test]
fn a_counter_that_moves_is_no_change_but_a_speed_is() {
    let seal = |speed, rx_bytes| {
        let row =
            Interface { name: "eth0".into(), speed_bits_per_second: Some(speed), rx_bytes, ..Interface::default() };
        row.encode_to_vec()
    };
    let schema = schema::<Interface>();
    assert_eq!(changes::essence(schema, &seal(1, 5)), changes::essence(schema, &seal(1, 6)));
    assert!(changes::between(schema, &[seal(1, 5)], &[seal(1, 6)]).unwrap().is_empty());
    let changed = changes::between(schema, &[seal(1, 5)], &[seal(2, 5)]).unwrap();
    assert_eq!((changed[0].key.as_str(), changed[0].column.as_str()), ("eth0", "speed_bits_per_second"));
    let gone = changes::between(schema, &[seal(1, 5)], &[] as &[Vec<u8>]).unwrap();
    assert_eq!((gone[0].column.as_str(), &gone[0].new), ("", &Value::Null));
}

#[test]
fn every_table_and_column_says_what_it_is() {
    for table in catalog::tables() {
        assert!(table.doc.len() > 10, "{} has no doc", table.name);
        assert!(table.kind != 0 && table.family != 0, "{} has no kind or family", table.name);
        for column in &table.columns {
            assert!(column.doc.len() > 4, "{}.{} has no doc", table.name, column.name);
        }
    }
}

proptest! {
    #[test]
    fn garbage_is_refused_or_read_but_never_harms(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for table in catalog::tables() {
            prop_assert_eq!(rows::check(table, &bytes).is_ok(), rows::open(table, &bytes).is_ok(), "{}", table.name);
            if let Ok(values) = rows::open(table, &bytes) {
                prop_assert_eq!(values.len(), table.columns.len());
                let _shown = deskside_proto::show::json(table, &values);
            }
        }
    }

    #[test]
    fn a_row_cut_anywhere_never_harms(cut in 0usize..60, text in "\\PC{0,20}") {
        let row = Printer { name: text, state: "stopped".into(), queued_jobs: 7, ..Printer::default() }.encode_to_vec();
        let opened = rows::open(schema::<Printer>(), &row[..cut.min(row.len())]);
        prop_assert_eq!(rows::check(schema::<Printer>(), &row[..cut.min(row.len())]).is_ok(), opened.is_ok());
    }

    #[test]
    fn a_row_with_altered_bytes_is_checked_as_it_is_opened(place in 0usize..40, byte in any::<u8>()) {
        let mut row = Printer { name: "a".into(), state: "stopped".into(), queued_jobs: 7, ..Printer::default() };
        row.state_reasons = vec!["paused".into(), "media-empty-error".into()];
        let mut row = row.encode_to_vec();
        let place = place % row.len();
        row[place] = byte;
        for table in catalog::tables() {
            prop_assert_eq!(rows::check(table, &row).is_ok(), rows::open(table, &row).is_ok(), "{}", table.name);
        }
    }

    #[test]
    fn an_invite_survives_being_read_back(host in "[a-z]{1,20}:[0-9]{1,5}", secret in proptest::collection::vec(any::<u8>(), 1..40)) {
        let invite = deskside_proto::v1::Invite { addresses: vec![host], ca_sha256: vec![1; 32], secret };
        prop_assert_eq!(deskside_proto::invite::read(&deskside_proto::invite::write(&invite)), Ok(invite));
    }
}
