//! README is true where a program can tell: its list of tables is the catalogue, and the commands that it names exist.

use std::fs;

use deskside_proto::catalog;
use deskside_proto::v1::TableSchema;

const BEGIN: &str = "<!-- tables: begin -->\n";
const END: &str = "<!-- tables: end -->";

fn line(table: &TableSchema) -> String {
    let family = table.family().as_str_name().to_lowercase();
    let kind = table.kind().as_str_name().to_lowercase();
    format!("| `{}` | {family} | {kind} | {} |\n", table.name, table.doc)
}

fn list() -> String {
    let head = "| table | family | kind | what it is |\n|---|---|---|---|\n";
    let lines: String = catalog::tables().iter().map(line).collect();
    format!("{head}{lines}")
}

/// `UPDATE_README=1` writes the list instead.
#[test]
fn readme_lists_the_tables_of_the_catalogue() {
    let path = super::top().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README has a list of tables");
    let (written, after) = rest.split_once(END).expect("the list of tables has an end");
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", list())).unwrap();
        return;
    }
    assert_eq!(written, list(), "run the tidy test with UPDATE_README=1");
}
