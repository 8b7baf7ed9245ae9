//! A value of an answer as it is shown: to a person by its column's unit, to a program as it is.

use data_encoding::HEXLOWER;
use deskside_proto::rows::Value;
use deskside_proto::v1::cell::Value as Kind;
use deskside_proto::v1::{Cell, ColumnOptions, ColumnSchema, ColumnType, ResultColumn, Unit};
use deskside_proto::{catalog, show};
use serde_json::Value as Json;

/// For a person: units and times human, lists by commas, NULL as "-".
pub(in crate::cli) fn human(column: &ResultColumn, cell: &Cell, now_ms: i64) -> String {
    match &cell.value {
        None => "-".into(),
        Some(Kind::Text(text)) if is_list(column) => listed(text),
        Some(Kind::Text(text)) => show::printable(text),
        Some(Kind::Blob(bytes)) => HEXLOWER.encode(bytes),
        Some(Kind::Integer(number @ 0..=1)) if column.r#type() == ColumnType::Bool => yes_or_no(*number).into(),
        Some(Kind::Integer(number)) => measured(column.unit(), &Value::Int(*number), now_ms),
        Some(Kind::Real(number)) => measured(column.unit(), &Value::Double(*number), now_ms),
    }
}

fn yes_or_no(number: i64) -> &'static str {
    if number == 0 { "no" } else { "yes" }
}

fn measured(unit: Unit, value: &Value, now_ms: i64) -> String {
    let options = ColumnOptions { unit: unit.into(), ..ColumnOptions::default() };
    let column = ColumnSchema { options: Some(options), ..ColumnSchema::default() };
    show::human(&column, value, now_ms)
}

/// Whether the column holds lists, which SQL has as JSON.
fn is_list(column: &ResultColumn) -> bool {
    let table = catalog::table(&column.table);
    let known = table.and_then(|table| table.columns.iter().find(|known| known.name == column.column));
    known.is_some_and(|known| known.repeated)
}

fn listed(text: &str) -> String {
    let Ok(Json::Array(values)) = serde_json::from_str::<Json>(text) else { return show::printable(text) };
    let words = values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    show::printable(&words.collect::<Vec<_>>().join(", "))
}

/// As it is: numbers in the column's unit, times in milliseconds since 1970, NULL empty.
pub(in crate::cli) fn plain(cell: &Cell) -> String {
    match &cell.value {
        None => String::new(),
        Some(Kind::Integer(number)) => number.to_string(),
        Some(Kind::Real(number)) => number.to_string(),
        Some(Kind::Text(text)) => text.clone(),
        Some(Kind::Blob(bytes)) => HEXLOWER.encode(bytes),
    }
}

/// For a spreadsheet: text that would be taken for a formula is marked as text.
pub(super) fn csv(cell: &Cell) -> String {
    match &cell.value {
        Some(Kind::Text(text)) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        _ => plain(cell),
    }
}

/// For a program.
pub(super) fn json(column: &ResultColumn, cell: &Cell) -> Json {
    match &cell.value {
        None => Json::Null,
        Some(Kind::Integer(number @ 0..=1)) if column.r#type() == ColumnType::Bool => (*number == 1).into(),
        Some(Kind::Integer(number)) => (*number).into(),
        Some(Kind::Real(number)) => (*number).into(),
        Some(Kind::Text(text)) if is_list(column) => {
            serde_json::from_str(text).unwrap_or_else(|_no_list| text.as_str().into())
        }
        Some(Kind::Text(text)) => text.as_str().into(),
        Some(Kind::Blob(bytes)) => HEXLOWER.encode(bytes).into(),
    }
}

/// Whether a value is a number that is read from the right.
pub(super) fn is_number(column: &ResultColumn, cell: &Cell) -> bool {
    let number = matches!(cell.value, Some(Kind::Integer(_) | Kind::Real(_)));
    number && column.unit() != Unit::UnixMs && column.r#type() != ColumnType::Bool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(number: i64) -> Cell {
        Cell { value: Some(Kind::Integer(number)) }
    }

    fn text(text: &str) -> Cell {
        Cell { value: Some(Kind::Text(text.into())) }
    }

    #[test]
    fn a_person_reads_units_lists_and_words_and_a_program_what_is_there() {
        let bytes = ResultColumn { unit: Unit::Bytes.into(), ..ResultColumn::default() };
        assert_eq!(human(&bytes, &integer(1_536), 0), "1.5 KiB");
        let reasons =
            ResultColumn { table: "printers".into(), column: "state_reasons".into(), ..ResultColumn::default() };
        assert_eq!(human(&reasons, &text(r#"["media-jam","door-open"]"#), 0), "media-jam, door-open");
        assert_eq!(json(&reasons, &text(r#"["media-jam"]"#)), serde_json::json!(["media-jam"]));
        let shared = ResultColumn { r#type: ColumnType::Bool.into(), ..ResultColumn::default() };
        assert_eq!((human(&shared, &integer(1), 0), json(&shared, &integer(0))), ("yes".into(), false.into()));
        assert_eq!(human(&shared, &Cell::default(), 0), "-");
    }

    #[test]
    fn no_cell_begins_a_formula_and_none_steers_the_terminal() {
        assert_eq!(csv(&text("=cmd|calc")), "'=cmd|calc");
        assert_eq!(csv(&integer(-5)), "-5");
        assert!(!human(&ResultColumn::default(), &text("\u{1b}[2J"), 0).contains('\u{1b}'));
    }
}
