//! What changed on one device between two times: what each value was before and is after, by family, table and row.

use std::collections::BTreeMap;

use deskside_proto::show;
use deskside_proto::v1::cell::Value as Kind;
use deskside_proto::v1::{Cell, Query};
use serde_json::{Value as Json, json};

use crate::cli::screen::{Line, Screen};
use crate::cli::sql::{self, Asker, Whole};

/// All changes of all state tables; noise is left out by the catalogue.
const SQL: &str = "SELECT at, family, table_name, row_key, column_name, old, new FROM changes(:from, :to) \
                   WHERE :table = '' OR table_name = :table ORDER BY at";

/// The time between which is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// What became of one value, or of a whole row where it has no column.
#[derive(Clone, Debug, PartialEq)]
struct Fate {
    before: Cell,
    after: Cell,
    times: u64,
    last_ms: i64,
}

/// Family, table, row, column.
type Place = (String, String, String, String);

pub(super) async fn run(
    asker: &mut Asker,
    screen: Screen,
    device: &str,
    span: Span,
    table: Option<String>,
) -> anyhow::Result<()> {
    let parameters = [
        ("from".to_owned(), span.from_ms.to_string()),
        ("to".to_owned(), span.to_ms.to_string()),
        ("table".to_owned(), table.unwrap_or_default()),
    ];
    let query = Query { sql: SQL.into(), parameters: parameters.into(), ..Query::default() };
    let whole = sql::gather(asker, query).await?;
    let fates = fates(&whole);
    if screen.json {
        return Ok(screen.value(&shape(&fates, &whole, span))?);
    }
    let times = format!("  {} to {}", show::clock(span.from_ms), show::clock(span.to_ms));
    screen.line(Line::default().bold(format!("what changed on {device}")).dim(times))?;
    lines(&fates, screen.now_ms).into_iter().try_for_each(|line| screen.line(line))?;
    let end = sql::lines(whole.rows.len() as u64, whole.end.as_ref(), &whole.notes, screen.now_ms);
    Ok(end.into_iter().try_for_each(|line| screen.line(line))?)
}

/// Each value's first and last, in the order of families, tables and rows.
fn fates(whole: &Whole) -> BTreeMap<Place, Fate> {
    let mut fates: BTreeMap<Place, Fate> = BTreeMap::new();
    for row in &whole.rows {
        let [at, family, table, key, column, old, new] = row.as_slice() else { continue };
        let place = (sql::plain(family), sql::plain(table), sql::plain(key), sql::plain(column));
        let at_ms = match at.value {
            Some(Kind::Integer(at_ms)) => at_ms,
            _ => 0,
        };
        let fate = fates.entry(place).or_insert_with(|| Fate {
            before: old.clone(),
            after: new.clone(),
            times: 0,
            last_ms: at_ms,
        });
        (fate.after, fate.last_ms) = (new.clone(), at_ms);
        fate.times += 1;
    }
    fates
}

fn lines(fates: &BTreeMap<Place, Fate>, now_ms: i64) -> Vec<Line> {
    let (mut lines, mut last_family, mut last_row) = (Vec::new(), "", ("", ""));
    for ((family, table, key, column), fate) in fates {
        if family != last_family {
            lines.push(Line::default().bold(family));
            last_family = family;
        }
        if (table.as_str(), key.as_str()) != last_row {
            lines.push(Line::default().plain("  ").bold(table).plain(format!(" {key}")));
            last_row = (table, key);
        }
        let line = Line::default().plain("    ");
        let line = match (column.as_str(), &fate.before.value, &fate.after.value) {
            ("", None, Some(_)) => line.good("came"),
            ("", Some(_), None) => line.bad("went"),
            ("", ..) if fate.before.value.is_none() => line.plain("came and went"),
            ("", ..) => line.plain("went and came back"),
            _ if fate.before == fate.after => line.dim(column).plain(format!(": as before, {}", value(&fate.after))),
            _ => line.dim(column).plain(format!(": {} → {}", value(&fate.before), value(&fate.after))),
        };
        let times = if fate.times > 1 { format!(", {} changes", fate.times) } else { String::new() };
        lines.push(line.dim(format!("{times}  {}", show::time(fate.last_ms, now_ms))));
    }
    lines
}

fn value(cell: &Cell) -> String {
    match &cell.value {
        None => "not known".into(),
        Some(Kind::Text(text)) if text.is_empty() => "nothing".into(),
        Some(_) => sql::plain(cell),
    }
}

/// `from_ms, to_ms, changes, complete`; a change is `family, table, key, column, before, after, times, last_ms`.
fn shape(fates: &BTreeMap<Place, Fate>, whole: &Whole, span: Span) -> Json {
    let change = |((family, table, key, column), fate): (&Place, &Fate)| {
        let value = |cell: &Cell| cell.value.as_ref().map(|_known| sql::plain(cell));
        json!({
            "family": family, "table": table, "key": key, "column": column, "before": value(&fate.before),
            "after": value(&fate.after), "times": fate.times, "last_ms": fate.last_ms,
        })
    };
    let is_whole = whole.notes.is_empty() && whole.end.as_ref().is_some_and(|end| end.cut.is_empty());
    json!({
        "from_ms": span.from_ms, "to_ms": span.to_ms, "changes": fates.iter().map(change).collect::<Vec<_>>(),
        "complete": is_whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Cell {
        Cell { value: Some(Kind::Text(text.into())) }
    }

    fn change(at_ms: i64, words: [&str; 4], old: Cell, new: Cell) -> Vec<Cell> {
        let [family, table, key, column] = words.map(text);
        vec![Cell { value: Some(Kind::Integer(at_ms)) }, family, table, key, column, old, new]
    }

    #[test]
    fn each_value_is_told_once_with_what_it_was_and_is() {
        let state = ["printing", "printers", "hall", "state"];
        let whole = Whole {
            rows: vec![
                change(1, state, text("idle"), text("stopped")),
                change(2, state, text("stopped"), text("idle")),
                change(3, ["network", "routes", "default", "gateway"], text("a"), text("b")),
                change(4, ["printing", "printers", "attic", ""], Cell::default(), text("present")),
            ],
            ..Whole::default()
        };
        let lines: Vec<String> = lines(&fates(&whole), 4).iter().map(ToString::to_string).collect();
        let said = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        assert!(said.starts_with("network\n  routes default\n    gateway: a → b  "), "{said}");
        assert!(said.contains("printing\n  printers attic\n    came  "), "{said}");
        assert!(said.contains("  printers hall\n    state: as before, idle, 2 changes  "), "{said}");
    }
}
