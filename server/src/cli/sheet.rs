//! One reading on the screen: its age and outcome in words, then its rows, beside one another where they fit and below one another where not.

use std::io;

use deskside_proto::rows::{self, Value};
use deskside_proto::v1::{ColumnOptions, Outcome, Reading, TableSchema};
use deskside_proto::{catalog, show};

use super::screen::{Line, Screen};

/// Rows that are shown below one another, column by column, where they are too wide to stand beside one another.
const TALL_ROWS_MAX: usize = 3;

/// A reading with its rows opened.
pub(super) struct Sheet<'a> {
    /// The table.
    pub(super) schema: &'a TableSchema,
    /// Values by row, in the order of the columns.
    pub(super) rows: Vec<Vec<Value>>,
    /// Rows that could not be opened.
    pub(super) unreadable: usize,
}

impl<'a> Sheet<'a> {
    /// Opens the rows.
    pub(super) fn open(schema: &'a TableSchema, reading: &Reading) -> Self {
        let rows: Vec<_> = reading.rows.iter().filter_map(|row| rows::open(schema, row).ok()).collect();
        let unreadable = reading.rows.len() - rows.len();
        Self { schema, rows, unreadable }
    }

    /// The rows as a person reads them: beside one another where they fit; a few rows below one another where not; of more rows, the
    /// columns that fit.
    pub(super) fn show(&self, screen: Screen) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut columns = self.columns();
        if !self.fit(screen, &columns) && self.rows.len() <= TALL_ROWS_MAX {
            tall(screen, &self.headings(&columns), &self.lines(&columns, screen.now_ms))?;
        } else {
            let left_out = self.leave_out(screen, &mut columns);
            screen.table(&self.headings(&columns), &self.lines(&columns, screen.now_ms))?;
            if !left_out.is_empty() {
                let text = format!("left out for want of room: {}; --json prints all", left_out.join(", "));
                screen.beside("", 1, &text)?;
            }
        }
        if self.unreadable > 0 {
            let text = format!("{} rows could not be read; this client may be older than the agent", self.unreadable);
            screen.line(Line::default().warn(text))?;
        }
        Ok(())
    }

    /// Columns in which at least one row says something.
    fn columns(&self) -> Vec<usize> {
        let says = |place: &usize| self.rows.iter().filter_map(|row| row.get(*place)).any(|value| !is_blank(value));
        (0..self.schema.columns.len()).filter(says).collect()
    }

    /// Takes columns away until the others fit: counters first, then from the right; what tells the rows apart stays.
    fn leave_out(&self, screen: Screen, columns: &mut Vec<usize>) -> Vec<&'a str> {
        let mut left_out = Vec::new();
        let has = |place: usize, what: fn(&ColumnOptions) -> bool| {
            self.schema.columns.get(place).is_some_and(|column| what(&catalog::options(column)))
        };
        while !self.fit(screen, columns) {
            let least = columns.iter().rposition(|place| has(*place, |options| options.noise && !options.key));
            let least = least.or_else(|| columns.iter().rposition(|place| !has(*place, |options| options.key)));
            let Some(least) = least else { break };
            let place = columns.remove(least);
            left_out.extend(self.schema.columns.get(place).map(|column| column.name.as_str()));
        }
        left_out.reverse();
        left_out
    }

    fn fit(&self, screen: Screen, columns: &[usize]) -> bool {
        screen.fits(&self.headings(columns), &self.lines(columns, screen.now_ms))
    }

    fn headings(&self, columns: &[usize]) -> Vec<&'a str> {
        columns.iter().filter_map(|place| self.schema.columns.get(*place)).map(|column| column.name.as_str()).collect()
    }

    fn lines(&self, columns: &[usize], now_ms: i64) -> Vec<Vec<String>> {
        self.rows.iter().map(|row| self.cells(row, columns, now_ms)).collect()
    }

    fn cells(&self, row: &[Value], columns: &[usize], now_ms: i64) -> Vec<String> {
        let cell = |place: &usize| match (self.schema.columns.get(*place), row.get(*place)) {
            (Some(column), Some(value)) => show::human(column, value, now_ms),
            _ => String::new(),
        };
        columns.iter().map(cell).collect()
    }
}

fn tall(screen: Screen, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width = headings.iter().map(|heading| heading.len()).max().unwrap_or_default() + 2;
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            screen.gap()?;
        }
        for (heading, cell) in headings.iter().zip(row).filter(|(_heading, cell)| !cell.is_empty()) {
            screen.beside(heading, width, cell)?;
        }
    }
    Ok(())
}

/// Nothing that a person would miss in a wide table. Zero and "no" are something.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::List(values) => values.is_empty(),
        Value::Blob(bytes) => bytes.is_empty(),
        _ => false,
    }
}

/// Whether the machine was seen at all.
pub(super) fn is_seen(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Ok | Outcome::Empty | Outcome::Partial)
}

/// How a look went, and why, in words.
pub(super) fn words(outcome: Outcome, reason: &str) -> String {
    let went = match outcome {
        Outcome::Ok => String::new(),
        Outcome::Empty => "nothing there".into(),
        Outcome::Partial => "incomplete".into(),
        Outcome::Unsupported => "not available here".into(),
        other => format!("not seen ({})", show::outcome(other)),
    };
    if reason.is_empty() { went } else { format!("{went}: {reason}") }
}

/// The same at the end of a line, coloured where it matters to the one who reads on.
pub(super) fn outcome(line: Line, outcome: Outcome, reason: &str) -> Line {
    match outcome {
        Outcome::Ok => line,
        Outcome::Empty | Outcome::Unsupported => line.dim(words(outcome, reason)),
        _ => line.warn(words(outcome, reason)),
    }
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::Printer;
    use prost::Message;

    use super::*;

    #[test]
    fn columns_that_say_nothing_are_left_out_and_garbage_is_counted() {
        let row = Printer { name: "office".into(), state: "stopped".into(), ..Printer::default() };
        let rows = vec![row.encode_to_vec().into(), vec![0xff_u8, 0xff].into()];
        let reading = Reading { table: "printers".into(), rows, ..Reading::default() };
        let sheet = Sheet::open(catalog::table("printers").unwrap(), &reading);
        assert_eq!((sheet.rows.len(), sheet.unreadable), (1, 1));
        let names: Vec<&str> = sheet.columns().iter().map(|place| sheet.schema.columns[*place].name.as_str()).collect();
        assert!(names.starts_with(&["name", "state"]) && !names.contains(&"location"), "{names:?}");
    }
}
