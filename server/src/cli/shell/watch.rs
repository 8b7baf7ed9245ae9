//! Asking again and again: the rows as they are, with what changed since the look before marked.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use deskside_proto::show;
use deskside_proto::v1::{Query, ResultColumn};

use crate::cli::screen::Line;
use crate::cli::sql::{self, Layout, Stop, human, plain};

use super::session::{Session, now_ms};

/// Most rows of one look.
const ROWS_MAX: u64 = 1_000;

/// To the screen's top, and clear it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// The looks so far.
#[derive(Debug, Default)]
struct Watched {
    before: Option<BTreeMap<(String, usize), Vec<String>>>,
}

impl Watched {
    /// Which cells are not what they were. Rows are told apart by their first column, and by their order where it is the same.
    fn marks(&mut self, rows: &[Vec<String>]) -> Vec<Vec<bool>> {
        let mut now = BTreeMap::new();
        let mut marks = Vec::new();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows {
            let name = row.first().cloned().unwrap_or_default();
            let number = seen.entry(name.clone()).or_default();
            let place = (name, *number);
            *number += 1;
            let mark = match &self.before {
                None => vec![false; row.len()],
                Some(before) => match before.get(&place) {
                    None => vec![true; row.len()],
                    Some(old) => row.iter().zip(old).map(|(new, old)| new != old).collect(),
                },
            };
            marks.push(mark);
            now.insert(place, row.clone());
        }
        self.before = Some(now);
        marks
    }
}

/// Looks until it is stopped, or something goes wrong.
pub(super) async fn run(
    session: &mut Session,
    mut query: Query,
    every: Duration,
    out: &mut (dyn Write + Send),
    stop: &Stop,
) -> anyhow::Result<()> {
    query.rows_max = if query.rows_max == 0 { ROWS_MAX } else { query.rows_max.min(ROWS_MAX) };
    let mut watched = Watched::default();
    loop {
        let look = tokio::select! {
            look = sql::gather(&mut session.asker, query.clone()) => look,
            () = stop.pressed() => return Ok(()),
        };
        let look = match look {
            Ok(look) => look,
            Err(status) => {
                let lines = sql::explain(&query.sql, &status).lines();
                return Ok(session.wrong(&lines, out)?);
            }
        };
        let bare: Vec<Vec<String>> = look.rows.iter().map(|row| row.iter().map(plain).collect()).collect();
        let marks = watched.marks(&bare);
        let now_ms = now_ms();
        if session.look.width.is_some() {
            write!(out, "{CLEAR}")?;
        }
        writeln!(
            out,
            "{}",
            Line::default().dim(format!("{}, every {}", show::clock(now_ms), show::duration(every.as_secs_f64())))
        )?;
        let shown = look.rows.iter().map(|row| {
            let cells = look.columns.iter().zip(row);
            cells.map(|(column, cell)| human(column, cell, now_ms)).collect()
        });
        table(&look.columns, &shown.collect::<Vec<_>>(), &marks, session.look.width, out)?;
        let end = look.end.as_ref();
        sql::lines(look.rows.len() as u64, end, &look.notes, now_ms)
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()?;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.pressed() => return Ok(()),
        }
    }
}

fn table(
    columns: &[ResultColumn],
    rows: &[Vec<String>],
    marks: &[Vec<bool>],
    width: Option<usize>,
    out: &mut (dyn Write + Send),
) -> std::io::Result<()> {
    let headings: Vec<String> = columns.iter().map(|column| show::printable(&column.name)).collect();
    let layout = Layout::of(&headings, rows, &[], width);
    writeln!(out, "{}", Line::default().bold(layout.line(&headings, &[])))?;
    for (row, mark) in rows.iter().zip(marks) {
        writeln!(out, "{}", layout.marked(row, mark))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn what_changed_since_the_look_before_is_marked() {
        let mut watched = Watched::default();
        assert_eq!(watched.marks(&rows(&[&["hall", "idle"]])), [[false, false]]);
        let next = rows(&[&["attic", "idle"], &["hall", "stopped"]]);
        assert_eq!(watched.marks(&next), [[true, true], [false, true]]);
        assert_eq!(watched.marks(&next), [[false, false], [false, false]]);
    }
}
