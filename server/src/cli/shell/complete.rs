//! What the Tab key completes: commands, tables, columns of the tables that a statement names, functions and keywords.

use deskside_proto::sql::{HISTORY, osquery};
use deskside_proto::v1::{Kind, TableSchema};
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::dot::COMMANDS;

const KEYWORDS: &str = "SELECT FROM WHERE AND OR NOT NULL IS IN LIKE GLOB BETWEEN JOIN LEFT ON USING GROUP BY HAVING ORDER \
    LIMIT OFFSET AS DISTINCT UNION ALL WITH RECURSIVE CASE WHEN THEN ELSE END EXISTS DESC ASC VALUES EXPLAIN OVER PARTITION";

const FUNCTIONS: &str = "count( sum( avg( min( max( total( group_concat( coalesce( nullif( iif( ms( length( lower( upper( \
    substr( instr( replace( trim( round( abs( json_each( json_extract( strftime( datetime( printf( typeof( row_number( lag( \
    lead( first_value(";

/// Tables that are no collector's.
const FORMS: [&str; 3] = ["changes", "tables", "columns"];

/// Columns that every table has and no star shows.
const HIDDEN: [&str; 4] = ["_at", "_age_s", "_outcome", "as_of"];

const MODES: [&str; 5] = ["table", "csv", "json", "markdown", "line"];

/// The words that can be completed.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// Tables and their columns.
    tables: Vec<(String, Vec<String>)>,
}

impl Words {
    pub(super) fn new(tables: &[TableSchema]) -> Self {
        let mut all = Vec::new();
        for table in tables {
            let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
            if table.kind() != Kind::Event {
                let validity = ["valid_from", "valid_to"].map(str::to_owned);
                all.push((format!("{}{HISTORY}", table.name), [columns.as_slice(), &validity].concat()));
            }
            all.push((table.name.clone(), columns));
        }
        let changes = "at family table_name row_key column_name old new";
        let listing = "name kind family columns doc table_name type unit is_key sensitivity";
        for form in FORMS {
            let columns = if form == "changes" { changes } else { listing };
            all.push((form.to_owned(), columns.split(' ').map(str::to_owned).collect()));
        }
        let foreign = osquery::names().filter(|name| tables.iter().all(|table| table.name != *name));
        all.extend(foreign.map(|name| (name.to_owned(), Vec::new())));
        Self { tables: all }
    }

    /// Where the word at the cursor begins, and what it may become.
    pub(super) fn of(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = line.get(..cursor).unwrap_or(line);
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
        let start = before
            .rfind(|letter| !is_word(letter))
            .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let word = before.get(start..).unwrap_or_default();
        if let Some(found) = self.of_command(before, start, word) {
            return (start, found);
        }
        if let Some((table, column)) = word.split_once('.') {
            let columns = self.columns(&table_of(line, table));
            return (start + table.len() + 1, beginning_with(column, columns));
        }
        let previous = before.get(..start).unwrap_or_default().split_whitespace().next_back().unwrap_or_default();
        let names = self.tables.iter().map(|(name, _columns)| name.as_str());
        if ["from", "join"].contains(&previous.to_lowercase().as_str()) {
            return (start, beginning_with(word, names.collect()));
        }
        let mut candidates: Vec<&str> = Vec::new();
        for name in named(line) {
            candidates.extend(self.columns(name));
        }
        if candidates.is_empty() {
            candidates.extend(self.tables.iter().flat_map(|(_name, columns)| columns).map(String::as_str));
        }
        candidates.extend(HIDDEN);
        candidates.extend(FUNCTIONS.split_whitespace());
        candidates.extend(KEYWORDS.split_whitespace());
        candidates.extend(names);
        (start, beginning_with(word, candidates))
    }

    /// The commands of the shell and what follows them.
    fn of_command(&self, before: &str, start: usize, word: &str) -> Option<Vec<String>> {
        let trimmed = before.trim_start();
        if !trimmed.starts_with('.') {
            return None;
        }
        if trimmed == word && before.len() - trimmed.len() == start {
            return Some(beginning_with(word, COMMANDS.iter().map(|(name, ..)| *name).collect()));
        }
        let command = trimmed.split_whitespace().next().unwrap_or_default();
        match command {
            ".mode" => Some(beginning_with(word, MODES.to_vec())),
            ".raw" | ".timer" | ".osquery" => Some(beginning_with(word, vec!["on", "off"])),
            ".schema" | ".tables" => {
                Some(beginning_with(word, self.tables.iter().map(|(name, _columns)| name.as_str()).collect()))
            }
            ".watch" => None,
            _ => Some(Vec::new()),
        }
    }

    fn columns(&self, table: &str) -> Vec<&str> {
        let known = self.tables.iter().find(|(name, _columns)| name == table);
        known.map(|(_name, columns)| columns.iter().map(String::as_str).collect()).unwrap_or_default()
    }
}

/// Candidates in order, each once; capitals do not matter.
fn beginning_with(word: &str, candidates: Vec<&str>) -> Vec<String> {
    let word = word.to_lowercase();
    let mut found: Vec<String> = Vec::new();
    for candidate in candidates {
        if candidate.to_lowercase().starts_with(&word) && !found.iter().any(|other| other == candidate) {
            found.push(candidate.to_owned());
        }
    }
    found
}

/// The tables that a statement reads.
fn named(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line
        .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let reads = |word: &str| word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("join");
    words.iter().zip(words.iter().skip(1)).filter(|(word, _table)| reads(word)).map(|(_word, table)| *table).collect()
}

/// The table that a short name stands for.
fn table_of(line: &str, short: &str) -> String {
    let words: Vec<&str> =
        line.split(|letter: char| letter.is_whitespace() || letter == ',' || letter == '(' || letter == ')').collect();
    let is_short = |word: &&str| *word == short;
    let reads = |word: &str| ["from", "join", "as", ""].contains(&word.to_lowercase().as_str());
    for (place, _word) in words.iter().enumerate().filter(|(_place, word)| is_short(word)) {
        let before = words.iter().take(place).rev().find(|word| !word.eq_ignore_ascii_case("as") && !word.is_empty());
        if let Some(table) = before.filter(|table| !reads(table) && !table.starts_with('\'')) {
            return (*table).to_owned();
        }
    }
    short.to_owned()
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, cursor: usize, _context: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.of(line, cursor))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use deskside_proto::catalog;

    use super::*;

    fn completed(line: &str) -> Vec<String> {
        Words::new(catalog::tables()).of(line, line.len()).1
    }

    #[test]
    fn tables_follow_from_and_columns_are_those_of_the_tables_named() {
        assert!(completed("SELECT * FROM print").contains(&"printers_history".to_owned()));
        assert!(completed("SELECT * FROM os_").contains(&"os_version".to_owned()));
        assert_eq!(completed("SELECT name FROM printers WHERE state_m"), ["state_message"]);
        assert_eq!(completed("SELECT j.id, p.state_m")[..0], [] as [String; 0]);
        assert_eq!(completed("SELECT 1 FROM print_jobs j JOIN printers p ON p.state_m"), ["state_message"]);
        assert!(completed("sel").contains(&"SELECT".to_owned()));
        assert!(completed("SELECT cou").contains(&"count(".to_owned()));
    }

    #[test]
    fn commands_and_what_follows_them_are_completed() {
        assert_eq!(completed(".mo"), [".mode"]);
        assert_eq!(completed(".mode ma"), ["markdown"]);
        assert_eq!(completed(".schema print_sup"), ["print_supplies_history", "print_supplies"]);
        assert_eq!(completed(".timer o"), ["on", "off"]);
    }
}
