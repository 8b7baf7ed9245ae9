//! What an answer is written on: a table, CSV, JSON, Markdown, or a line for each value; rows go out as they come.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use deskside_proto::show;
use deskside_proto::v1::{Cell, QueryEnd, QueryNote, QueryPart, ResultColumn};
use serde_json::{Map, Value as Json, json};

use super::cell;
use super::ending;
use super::layout::Layout;
use crate::cli::screen::Line;

/// A table's columns are laid out by its first rows: this many, or those that came in this time.
const FIRST_ROWS: usize = 200;
const FIRST_WAIT: Duration = Duration::from_millis(400);

/// Rows that are written column by column where they are too wide to stand beside one another.
const TALL_ROWS_MAX: usize = 3;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Form {
    /// Rows below one another, cut to the terminal's width.
    #[default]
    Table,
    /// One object with columns, rows and what is missing.
    Json,
    /// RFC 4180, numbers as they are; what is missing goes to standard error.
    Csv,
    /// A table for a ticket or a wiki.
    Markdown,
    /// Each value in its own line.
    Line,
}

/// How values are read.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Look {
    /// The form.
    pub(in crate::cli) form: Form,
    /// Numbers as they are, without units.
    pub(in crate::cli) raw: bool,
    /// Width to fit; none for no bound.
    pub(in crate::cli) width: Option<usize>,
    /// The time that ages are counted from.
    pub(in crate::cli) now_ms: i64,
}

/// One answer on its way out.
pub(in crate::cli) struct Paper<'a> {
    look: Look,
    out: &'a mut (dyn Write + Send),
    /// Where what is missing is said, if not with the rows.
    aside: &'a mut (dyn Write + Send),
    columns: Vec<ResultColumn>,
    /// Names for members of an object: no two are the same.
    names: Vec<String>,
    begun: bool,
    /// Rows that wait for the table to be laid out.
    waiting: Vec<Vec<Cell>>,
    since: Instant,
    layout: Option<(Layout, Vec<bool>)>,
    rows: u64,
    notes: Vec<QueryNote>,
    /// Under which the question is kept until its device is back.
    question: String,
}

impl<'a> Paper<'a> {
    /// An empty one.
    pub(in crate::cli) fn new(look: Look, out: &'a mut (dyn Write + Send), aside: &'a mut (dyn Write + Send)) -> Self {
        Self {
            look,
            out,
            aside,
            columns: Vec::new(),
            names: Vec::new(),
            begun: false,
            waiting: Vec::new(),
            since: Instant::now(),
            layout: None,
            rows: 0,
            notes: Vec::new(),
            question: String::new(),
        }
    }

    /// Rows so far.
    pub(in crate::cli) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether anything is written, so that what follows must end it.
    pub(in crate::cli) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Takes a piece.
    pub(in crate::cli) fn take(&mut self, part: QueryPart) -> io::Result<()> {
        if !part.columns.is_empty() {
            self.names = distinct(&part.columns);
            self.columns = part.columns;
        }
        for row in part.rows {
            self.rows += 1;
            self.row(row.cells)?;
        }
        self.notes.extend(part.notes);
        if !part.question.is_empty() {
            self.question = part.question;
        }
        if self.is_ripe() {
            self.lay_out(false)?;
        }
        Ok(())
    }

    /// Whether rows have waited long enough for others.
    pub(in crate::cli) fn is_ripe(&self) -> bool {
        !self.waiting.is_empty() && (self.waiting.len() >= FIRST_ROWS || self.since.elapsed() >= FIRST_WAIT)
    }

    /// Rows that waited are written, since no others come soon.
    pub(in crate::cli) fn lay_out(&mut self, whole: bool) -> io::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let headings: Vec<String> = self.columns.iter().map(|column| show::printable(&column.name)).collect();
        let shown: Vec<Vec<String>> = rows.iter().map(|row| self.shown(row)).collect();
        let of_column = |place: usize| rows.iter().filter_map(move |row| row.get(place));
        let places = 0..self.columns.len();
        let blank: Vec<bool> = places.clone().map(|place| of_column(place).all(is_blank)).collect();
        let layout = Layout::of(&headings, &shown, &blank, self.look.width);
        if whole
            && shown.len() <= TALL_ROWS_MAX
            && !layout.left_out.iter().all(|place| blank.get(*place) == Some(&true))
        {
            return rows.iter().try_for_each(|row| self.tall(row));
        }
        let number = |(column, place): (&ResultColumn, usize)| {
            let mut values = of_column(place).filter(|cell| cell.value.is_some()).peekable();
            values.peek().is_some() && values.all(|value| cell::is_number(column, value))
        };
        let right: Vec<bool> = self.columns.iter().zip(places).map(number).collect();
        writeln!(self.out, "{}", Line::default().bold(layout.line(&headings, &right)))?;
        for row in &shown {
            writeln!(self.out, "{}", layout.line(row, &right))?;
        }
        self.layout = Some((layout, right));
        self.out.flush()
    }

    fn shown(&self, row: &[Cell]) -> Vec<String> {
        let (raw, now_ms) = (self.look.raw, self.look.now_ms);
        let cells = self.columns.iter().zip(row);
        let shown = |(column, value): (&ResultColumn, &Cell)| {
            if raw { show::printable(&cell::plain(value)) } else { cell::human(column, value, now_ms) }
        };
        cells.map(shown).collect()
    }

    fn row(&mut self, row: Vec<Cell>) -> io::Result<()> {
        match self.look.form {
            Form::Table => {
                if let Some((layout, right)) = &self.layout {
                    let line = layout.line(&self.shown(&row), right);
                    return writeln!(self.out, "{line}");
                }
                if self.waiting.is_empty() {
                    self.since = Instant::now();
                }
                self.waiting.push(row);
                Ok(())
            }
            Form::Line => self.tall(&row),
            Form::Csv => {
                self.begin()?;
                let cells: Vec<String> = row.iter().map(cell::csv).collect();
                write!(self.out, "{}", show::csv(cells.iter().map(String::as_str)))
            }
            Form::Markdown => {
                self.begin()?;
                let cells = self.shown(&row);
                writeln!(self.out, "{}", markdown(&cells))
            }
            Form::Json => {
                let comma = if self.rows > 1 { "," } else { "" };
                self.begin()?;
                let pairs = self.names.iter().zip(self.columns.iter().zip(&row));
                let object: Map<String, Json> =
                    pairs.map(|(name, (column, value))| (name.clone(), cell::json(column, value))).collect();
                write!(self.out, "{comma}\n{}", Json::Object(object))
            }
        }
    }

    /// The head of forms that have one.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        match self.look.form {
            Form::Csv => write!(self.out, "{}", show::csv(names.iter().map(String::as_str))),
            Form::Markdown => {
                let dashes = vec!["---".to_owned(); names.len()];
                writeln!(self.out, "{}\n{}", markdown(&names), markdown(&dashes))
            }
            Form::Json => {
                let columns = self.names.iter().zip(&self.columns).map(|(name, column)| {
                    let unit = column.unit().as_str_name().to_ascii_lowercase().replace("unit_unspecified", "");
                    json!({ "name": name, "table": column.table, "column": column.column, "unit": unit })
                });
                write!(self.out, "{{\"columns\":{},\"rows\":[", Json::Array(columns.collect()))
            }
            Form::Table | Form::Line => Ok(()),
        }
    }

    /// A row as a paragraph.
    fn tall(&mut self, row: &[Cell]) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            writeln!(self.out)?;
        }
        let width = self.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or_default() + 2;
        for ((column, text), value) in self.columns.iter().zip(self.shown(row)).zip(row) {
            if !is_blank(value) || self.look.form == Form::Line {
                let name = format!("{:width$}", show::printable(&column.name));
                writeln!(self.out, "{}", Line::default().dim(name).plain(text))?;
            }
        }
        Ok(())
    }

    /// The end: how complete the answer is, and what it lacks. `broke` is why it has no proper end.
    pub(in crate::cli) fn end(mut self, end: Option<&QueryEnd>, broke: Option<&str>) -> io::Result<()> {
        if self.look.form == Form::Table && self.layout.is_none() && !self.waiting.is_empty() {
            self.lay_out(true)?;
        }
        if self.look.form == Form::Json {
            self.begin()?;
            let mut rest = ending::json(end, &self.notes, self.look.now_ms);
            if let Some(members) = rest.as_object_mut() {
                members.extend(broke.map(|broke| ("error".to_owned(), broke.into())));
                members.insert("question".into(), (!self.question.is_empty()).then_some(self.question).into());
            }
            let rest = rest.to_string();
            return writeln!(self.out, "\n],{}", rest.trim_start_matches('{'));
        }
        if matches!(self.look.form, Form::Csv | Form::Markdown) {
            self.begin()?;
        }
        let left_out = self.layout.as_ref().map(|(layout, _right)| &layout.left_out);
        let left_out = left_out.into_iter().flatten().filter_map(|place| self.columns.get(*place));
        let left_out: Vec<&str> = left_out.map(|column| column.name.as_str()).collect();
        let mut lines = ending::lines(self.rows, end, &self.notes, self.look.now_ms);
        if !left_out.is_empty() {
            let words =
                format!("left out for want of room: {}; name the columns, or ask for JSON", left_out.join(", "));
            lines.push(Line::default().dim(words));
        }
        match self.look.form {
            Form::Csv => lines.iter().try_for_each(|line| writeln!(self.aside, "{line}")),
            Form::Markdown => {
                writeln!(self.out)?;
                lines.iter().try_for_each(|line| writeln!(self.out, "- {line}"))
            }
            _ => lines.iter().try_for_each(|line| writeln!(self.out, "{line}")),
        }
    }
}

/// Nothing that a person would miss. Zero and "no" are something.
fn is_blank(value: &Cell) -> bool {
    matches!(cell::plain(value).as_str(), "" | "[]")
}

fn markdown(cells: &[String]) -> String {
    let cells: Vec<String> =
        cells.iter().map(|cell| show::printable(cell).replace('\\', "\\\\").replace('|', "\\|")).collect();
    format!("| {} |", cells.join(" | "))
}

/// A join gives one name twice; an object has each once.
fn distinct(columns: &[ResultColumn]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for column in columns {
        let mut name = column.name.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::cell::Value as Kind;
    use deskside_proto::v1::{ResultRow, Unit};

    use super::*;

    fn column(name: &str, unit: Unit) -> ResultColumn {
        ResultColumn { name: name.into(), unit: unit.into(), ..ResultColumn::default() }
    }

    fn answer(rows: usize) -> QueryPart {
        let row = |number: usize| ResultRow {
            cells: vec![
                Cell { value: Some(Kind::Text(format!("queue|{number}"))) },
                Cell { value: Some(Kind::Integer(1_024 * number as i64)) },
                Cell { value: None },
            ],
        };
        QueryPart {
            columns: vec![
                column("name", Unit::Unspecified),
                column("size", Unit::Bytes),
                column("name", Unit::Unspecified),
            ],
            rows: (1..=rows).map(row).collect(),
            ..QueryPart::default()
        }
    }

    fn written(form: Form, width: Option<usize>, part: QueryPart) -> String {
        let (mut out, mut aside) = (Vec::new(), Vec::new());
        let look = Look { form, raw: false, width, now_ms: 0 };
        let mut paper = Paper::new(look, &mut out, &mut aside);
        let end = QueryEnd { rows: part.rows.len() as u64, took_ms: 5, ..QueryEnd::default() };
        paper.take(part).unwrap();
        paper.end(Some(&end), None).unwrap();
        out.extend(aside);
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn each_form_holds_the_rows_and_says_how_complete_they_are() {
        assert_eq!(
            written(Form::Table, Some(80), answer(2)),
            "name        size  name\nqueue|1  1.0 KiB  -\nqueue|2  2.0 KiB  -\n2 rows, whole, in 5 ms\n"
        );
        let csv = written(Form::Csv, None, answer(1));
        assert_eq!(csv, "name,size,name\r\nqueue|1,1024,\r\n1 row, whole, in 5 ms\n");
        let markdown = written(Form::Markdown, None, answer(1));
        assert!(markdown.contains("| queue\\|1 | 1.0 KiB | - |\n\n- 1 row, whole"), "{markdown}");
        let json: Json = serde_json::from_str(&written(Form::Json, None, answer(2))).unwrap();
        assert_eq!(json["rows"][1], json!({ "name": "queue|2", "size": 2_048, "name_2": null }));
        assert_eq!((&json["complete"], &json["row_count"]), (&true.into(), &2.into()));
        assert_eq!(
            written(Form::Line, None, answer(1)),
            "name  queue|1\nsize  1.0 KiB\nname  -\n1 row, whole, in 5 ms\n"
        );
    }

    #[test]
    fn an_empty_answer_is_whole_too() {
        for form in [Form::Table, Form::Line] {
            assert_eq!(written(form, Some(80), answer(0)), "no rows, whole, in 5 ms\n");
        }
        let json: Json = serde_json::from_str(&written(Form::Json, None, answer(0))).unwrap();
        assert_eq!(json["rows"], json!([]));
        assert!(written(Form::Csv, None, answer(0)).starts_with("name,size,name\r\n"));
    }

    #[test]
    fn few_rows_that_are_too_wide_are_written_below_one_another() {
        let mut part = answer(1);
        part.columns = (0..30).map(|number| column(&format!("column_{number}"), Unit::Unspecified)).collect();
        part.rows[0].cells = vec![Cell { value: Some(Kind::Text("a value".into())) }; 30];
        let text = written(Form::Table, Some(60), part);
        assert!(text.contains("column_29  a value\n"), "{text}");
    }
}
