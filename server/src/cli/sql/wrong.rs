//! A question that went wrong: where in the SQL, and what may have been meant.

use deskside_proto::catalog;
use deskside_proto::sql::osquery;
use tonic::Status;

use crate::cli::screen::{self, Line, Screen};
use crate::cli::trouble::{self, Said};

/// Names further apart than this are no slip of the fingers.
const LIKENESS_MIN: f64 = 0.75;

/// Words that a question may mean.
const FORMS: [&str; 3] = ["changes", "tables", "columns"];

/// Says what is wrong, with the place in the SQL. In JSON the error goes on as it is.
pub(in crate::cli) fn say(screen: Screen, sql: &str, status: &Status) -> anyhow::Error {
    let told = explain(sql, status);
    if screen.json {
        return anyhow::Error::from(trouble::Trouble::new(told.what, told.advice));
    }
    match told.lines().iter().try_for_each(|line| screen::note(line.clone())) {
        Ok(()) => Said.into(),
        Err(error) => error.into(),
    }
}

/// What is wrong with a question.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Wrong {
    /// In a sentence.
    pub(in crate::cli) what: String,
    /// The line of the SQL, and a mark below the place.
    place: Option<(String, String)>,
    /// What to do.
    pub(in crate::cli) advice: String,
}

impl Wrong {
    /// As it is printed.
    pub(in crate::cli) fn lines(&self) -> Vec<Line> {
        let mut lines = vec![Line::default().bad("error: ").plain(&self.what)];
        if let Some((line, mark)) = &self.place {
            lines.push(Line::default().plain("  ").plain(line));
            lines.push(Line::default().plain("  ").bad(mark));
        }
        if !self.advice.is_empty() {
            lines.push(Line::default().plain("       ").plain(&self.advice));
        }
        lines
    }
}

/// Finds the place and the remedy.
pub(in crate::cli) fn explain(sql: &str, status: &Status) -> Wrong {
    let (what, advice) = trouble::explain(&anyhow::Error::from(status.clone()));
    let Some((what, near)) = what.strip_suffix("\")").and_then(|head| head.rsplit_once(" (at \"")) else {
        let advice = meant(&what).unwrap_or(advice);
        return Wrong { what, place: None, advice };
    };
    let advice = meant(what).unwrap_or_default();
    Wrong { what: what.to_owned(), place: sql.find(near).map(|at| mark(sql, at)), advice }
}

fn mark(sql: &str, at: usize) -> (String, String) {
    let before = sql.get(..at).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |line| line + 1);
    let line = sql.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let column = sql.get(begin..at).unwrap_or_default().chars().count();
    (line.to_owned(), format!("{}^", " ".repeat(column)))
}

/// The name that may have been meant.
fn meant(what: &str) -> Option<String> {
    if let Some(table) = what.strip_prefix("no such table: ") {
        let tables = catalog::tables().iter().map(|table| table.name.as_str()).chain(FORMS).chain(osquery::names());
        let near = nearest(table, tables);
        let near = near.map(|near| format!("did you mean {near}? "));
        return Some(format!("{}`SELECT name, doc FROM tables` lists them", near.unwrap_or_default()));
    }
    if let Some(column) = what.strip_prefix("no such column: ") {
        let column = column.rsplit('.').next().unwrap_or(column);
        let columns = catalog::tables().iter().flat_map(|table| &table.columns).map(|column| column.name.as_str());
        let near = nearest(column, columns).filter(|near| *near != column);
        let near = near.map(|near| format!("did you mean {near}? "));
        let how = "`SELECT name, doc FROM columns WHERE table_name = 'TABLE'` lists a table's columns";
        return Some(format!("{}{how}", near.unwrap_or_default()));
    }
    None
}

fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = names.map(|name| (strsim::jaro_winkler(word, name), name));
    let best = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= LIKENESS_MIN).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_marked_and_the_name_that_was_meant_is_said() {
        let sql = "SELECT name,\n  nme FROM printers";
        let status = Status::invalid_argument("no such column: nme (at \"nme FROM printers\")");
        let wrong = explain(sql, &status);
        assert_eq!(wrong.what, "no such column: nme");
        assert_eq!(wrong.place, Some(("  nme FROM printers".into(), "  ^".into())));
        assert!(wrong.advice.starts_with("did you mean name?"), "{}", wrong.advice);
        let wrong = explain("SELECT 1 FROM printer", &Status::invalid_argument("no such table: printer"));
        assert!(wrong.advice.starts_with("did you mean printers?"), "{}", wrong.advice);
    }

    #[test]
    fn what_is_not_about_the_sql_keeps_its_advice() {
        let wrong = explain("SELECT 1", &Status::not_found("no device \"x\"; `deskside devices` lists them"));
        assert_eq!((wrong.what.as_str(), wrong.advice.as_str()), ("no device \"x\"", "`deskside devices` lists them"));
    }
}
