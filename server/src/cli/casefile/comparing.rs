//! Two collections of a case, side by side: what is over, what is new, what stands, and what each table says otherwise.

use std::io;

use deskside_proto::show;
use deskside_proto::v1::{Collection, Comparison, Finding, ValueDifference};
use serde_json::{Value as Json, json};

use crate::cli::screen::{Line, Screen};
use crate::cli::shape;

pub(super) fn show(screen: Screen, number: u64, places: (u32, u32), comparison: &Comparison) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(&shape_of(comparison))?);
    }
    screen.line(Line::default().bold(format!("Ticket {number}: collections {} and {}", places.0, places.1)))?;
    for (place, collection) in [(places.0, &comparison.one), (places.1, &comparison.other)] {
        side(screen, place, collection.as_ref())?;
    }
    for (word, findings) in [("over", &comparison.gone), ("new", &comparison.come), ("still", &comparison.stands)] {
        findings.iter().try_for_each(|finding| line(screen, word, finding))?;
    }
    if comparison.gone.is_empty() && comparison.come.is_empty() && comparison.stands.is_empty() {
        screen.line(
            Line::default().dim("  neither has critical findings or warnings, or one table alone was compared"),
        )?;
    }
    tables(screen, comparison)?;
    screen.line(Line::default().dim(format!(
        "{} tables differ, {} are alike",
        comparison.tables.len(),
        comparison.alike
    )))?;
    for why in &comparison.uncompared {
        screen.line(Line::default().warn("not compared: ").plain(why))?;
    }
    Ok(())
}

fn side(screen: Screen, place: u32, collection: Option<&Collection>) -> io::Result<()> {
    let collection = collection.cloned().unwrap_or_default();
    let device = collection.device.clone().unwrap_or_default().name;
    let what = if collection.recipe.is_empty() { "by hand" } else { &collection.recipe };
    let when = show::time(collection.ended_ms, screen.now_ms);
    let line = Line::default()
        .plain(format!("  {place}  "))
        .bold(device)
        .plain(format!("  {what}  {}: {}", collection.state, collection.note));
    screen.line(line.dim(format!("  {when}")))?;
    if collection.why.is_empty() { Ok(()) } else { screen.beside("", 5, &collection.why) }
}

fn line(screen: Screen, word: &str, finding: &Finding) -> io::Result<()> {
    let label = format!("  {word:7}");
    let line = match word {
        "over" => Line::default().good(label),
        "new" => Line::default().bad(label),
        _ => Line::default().warn(label),
    };
    screen.line(line.dim(format!("{:9}", finding.severity)).plain(&finding.title))
}

fn tables(screen: Screen, comparison: &Comparison) -> io::Result<()> {
    let mut last = String::new();
    for table in &comparison.tables {
        let family = shape::family(table.family());
        if family != last {
            screen.gap()?;
            screen.line(Line::default().bold(&family))?;
            last = family;
        }
        screen.line(Line::default().plain("  ").bold(&table.table))?;
        table.values.iter().try_for_each(|value| screen.line(difference(value)))?;
        if table.more > 0 {
            screen.line(Line::default().dim(format!(
                "    … and {} more; --table {} shows no more of them, `deskside sql --case N` does",
                table.more, table.table
            )))?;
        }
    }
    if comparison.tables.is_empty() { Ok(()) } else { screen.gap() }
}

fn difference(value: &ValueDifference) -> Line {
    let line = Line::default().plain("    ").plain(&value.key);
    if value.column.is_empty() {
        return if value.before.is_empty() { line.good("  came") } else { line.bad("  went") };
    }
    let said = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
    line.dim(format!(" {}: ", value.column)).plain(format!("{} → {}", said(&value.before), said(&value.after)))
}

/// `one, other, gone, come, stands, tables, alike, uncompared`; a table has `table, family, values, more`.
fn shape_of(comparison: &Comparison) -> Json {
    let value = |value: &ValueDifference| json!({ "key": value.key, "column": value.column, "before": value.before, "after": value.after });
    let tables = comparison.tables.iter().map(|table| {
        json!({
            "table": table.table, "family": shape::family(table.family()), "values": shape::list(&table.values, value),
            "more": table.more,
        })
    });
    json!({
        "one": comparison.one.as_ref().map(shape::collection), "other": comparison.other.as_ref().map(shape::collection),
        "gone": shape::list(&comparison.gone, shape::finding), "come": shape::list(&comparison.come, shape::finding),
        "stands": shape::list(&comparison.stands, shape::finding), "tables": tables.collect::<Vec<_>>(),
        "alike": comparison.alike, "uncompared": comparison.uncompared,
    })
}
