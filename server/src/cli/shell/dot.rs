//! The shell's own commands, which begin with a dot.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use deskside_proto::catalog;
use deskside_proto::sql::{osquery, type_name};
use deskside_proto::v1::{Family, TableSchema};

use crate::cli::query::{self, library};
use crate::cli::screen::Line;
use crate::cli::sql::{Form, Stop, parameter};
use crate::cli::{shape, trouble, when};

use super::session::{Next, Session};
use super::watch;

/// Each command, what follows it, and what it does.
pub(super) const COMMANDS: [(&str, &str, &str); 15] = [
    (".help", "", "this list"),
    (".tables", "[PATTERN]", "which tables there are; % stands for anything"),
    (".schema", "TABLE", "a table's columns, their units and what they mean"),
    (".mode", "table|csv|json|markdown|line", "how answers are written"),
    (".raw", "on|off", "numbers as they are, without units"),
    (".output", "[FILE]", "answers go to a file; without one back to the screen"),
    (".param", "[NAME=VALUE]", "a value for :name; without one those that are set"),
    (".unparam", "NAME", "forgets a parameter"),
    (".queries", "[WORD]", "queries that have a name"),
    (".run", "NAME [PARAM=VALUE ...]", "asks one of them"),
    (".watch", "TIME SELECT ...", "asks again and again, and marks what changed; Ctrl-C ends it"),
    (".timer", "on|off", "how long an answer took from here"),
    (".osquery", "on|off", "names that osquery has too mean what they mean there"),
    (".quit", "", "ends the shell, as Ctrl-D does"),
    (".exit", "", "the same"),
];

/// Does a command. What is wrong with it is told; only what can not be written is an error.
pub(super) async fn run(
    session: &mut Session,
    line: &str,
    out: &mut (dyn Write + Send),
    stop: &Stop,
) -> anyhow::Result<Next> {
    let line = line.trim_end_matches(';').trim_end();
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let done = match command {
        ".quit" | ".exit" => return Ok(Next::Quit),
        ".watch" => watch(session, rest, out, stop).await,
        ".run" => named(session, rest, out, stop).await,
        _ => at_once(session, command, rest, out),
    };
    if let Err(error) = done {
        if error.is::<io::Error>() {
            return Err(error);
        }
        let (what, advice) = trouble::explain(&error);
        let line = Line::default().bad("error: ").plain(what);
        let advice = (!advice.is_empty()).then(|| Line::default().plain("       ").plain(advice));
        session.wrong(&[vec![line], advice.into_iter().collect()].concat(), out)?;
    }
    Ok(Next::Line)
}

/// Commands that ask nobody.
fn at_once(session: &mut Session, command: &str, rest: &str, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    match command {
        ".help" => help(out)?,
        ".tables" => tables(&session.tables, rest, out)?,
        ".schema" => schema(&session.tables, rest, out)?,
        ".mode" => {
            session.look.form = Form::from_str(rest, true).map_err(|_unknown| said(".mode"))?;
        }
        ".raw" => session.look.raw = switch(".raw", rest)?,
        ".timer" => session.timer = switch(".timer", rest)?,
        ".osquery" => session.whom.osquery = switch(".osquery", rest)?,
        ".output" => output(session, rest)?,
        ".param" if rest.is_empty() => {
            session.whom.params.iter().try_for_each(|(name, value)| writeln!(out, ":{name} = {value}"))?;
        }
        ".param" => {
            let (name, value) = parameter(rest).map_err(anyhow::Error::msg)?;
            session.whom.params.retain(|(other, _value)| *other != name);
            session.whom.params.push((name, value));
        }
        ".unparam" => session.whom.params.retain(|(name, _value)| name != rest),
        ".queries" => {
            for named in library::all(&session.home)?.iter().filter(|named| named.has(rest)) {
                writeln!(out, "{}", Line::default().bold(format!("{:24}", named.name)).plain("  ").plain(&named.doc))?;
            }
        }
        other => anyhow::bail!("no command {other:?}; .help lists them"),
    }
    Ok(())
}

fn help(out: &mut (dyn Write + Send)) -> io::Result<()> {
    for (command, follows, what) in COMMANDS {
        let call = format!("{command} {follows}");
        writeln!(out, "{}", Line::default().bold(format!("{call:40}")).plain(what))?;
    }
    writeln!(
        out,
        "Anything else is SQL, up to a \";\": printers is now, printers('-1 day') is then, printers_history is all"
    )?;
    writeln!(out, "that is held, changes('-1 day') is what changed; ms('-1 hour') is a time as a number.")
}

/// How a command is called.
fn said(command: &str) -> anyhow::Error {
    let follows = COMMANDS.iter().find(|(name, ..)| *name == command).map_or("", |(_name, follows, _what)| follows);
    anyhow::anyhow!("write {command} {follows}")
}

fn switch(command: &str, word: &str) -> anyhow::Result<bool> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(said(command)),
    }
}

fn output(session: &mut Session, path: &str) -> anyhow::Result<()> {
    session.output = None;
    if path.is_empty() {
        return Ok(());
    }
    // What a file holds already stays: a slip must not cost an export.
    let file = OpenOptions::new().create(true).append(true).open(path);
    session.output = Some(file.map_err(|error| anyhow::anyhow!("{path}: {error}"))?);
    Ok(())
}

fn tables(tables: &[TableSchema], pattern: &str, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let parts: Vec<String> = pattern.to_lowercase().split('%').map(str::to_owned).collect();
    let fits = |name: &str| {
        let mut rest = name;
        parts.iter().all(|part| match rest.find(part.as_str()) {
            Some(at) => {
                rest = rest.get(at + part.len()..).unwrap_or_default();
                true
            }
            None => false,
        })
    };
    for table in tables.iter().filter(|table| fits(&table.name)) {
        let kind = format!("{:7}{:10}", shape::kind(table.kind()), family(table.family()));
        let doc = table.doc.lines().next().unwrap_or_default();
        writeln!(out, "{}", Line::default().bold(format!("{:20}", table.name)).dim(format!("  {kind}")).plain(doc))?;
    }
    let foreign: Vec<&str> =
        osquery::names().filter(|name| fits(name) && tables.iter().all(|table| table.name != *name)).collect();
    if !foreign.is_empty() {
        writeln!(out, "{}", Line::default().dim("as osquery has them: ").plain(foreign.join(", ")))?;
    }
    Ok(())
}

fn family(family: Family) -> String {
    shape::family(family)
}

fn schema(tables: &[TableSchema], name: &str, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let base = name.strip_suffix(deskside_proto::sql::HISTORY).unwrap_or(name);
    let table = tables.iter().find(|table| table.name == base);
    let table = table.ok_or_else(|| anyhow::anyhow!("no table {name:?}; .tables lists them"))?;
    let kind = format!("  {}, {}", family(table.family()), shape::kind(table.kind()));
    writeln!(out, "{}", Line::default().bold(&table.name).dim(kind))?;
    table.doc.lines().try_for_each(|line| writeln!(out, "{}", Line::default().plain(line)))?;
    let width = table.columns.iter().map(|column| column.name.len()).max().unwrap_or_default();
    for column in &table.columns {
        let options = catalog::options(column);
        let unit = shape::unit(options.unit()).map(|unit| format!(", {unit}")).unwrap_or_default();
        let key = if options.key { ", key" } else { "" };
        let line = Line::default().plain("  ").bold(format!("{:width$}", column.name));
        let line = line.dim(format!("  {}{unit}{key}  ", type_name(column)));
        writeln!(out, "{}", line.plain(column.doc.replace('\n', " ")))?;
    }
    let hidden = "hidden: _at (when it was looked at), _age_s, _outcome; as arguments: a time, or two";
    Ok(writeln!(out, "{}", Line::default().dim(format!("  {hidden}")))?)
}

async fn watch(session: &mut Session, rest: &str, out: &mut (dyn Write + Send), stop: &Stop) -> anyhow::Result<()> {
    let (every, sql) = rest.split_once(char::is_whitespace).ok_or_else(|| said(".watch"))?;
    let every = Duration::from_secs(when::seconds(every).map_err(anyhow::Error::msg)?);
    let query = session.whom.query(sql.trim())?;
    watch::run(session, query, every, out, stop).await
}

async fn named(session: &mut Session, rest: &str, out: &mut (dyn Write + Send), stop: &Stop) -> anyhow::Result<()> {
    let mut words = rest.split_whitespace();
    let name = words.next().ok_or_else(|| said(".run"))?;
    let named = library::one(&session.home, name)?;
    let given = words.map(parameter).collect::<Result<Vec<_>, String>>().map_err(anyhow::Error::msg)?;
    let is_known = |param: &String| named.params.iter().any(|(name, _default)| name == param);
    let mut whom = session.whom.clone();
    // Parameters set for other questions do not concern this one.
    whom.params.retain(|(name, _value)| is_known(name) && given.iter().all(|(other, _value)| other != name));
    whom.params.extend(given);
    let question = query::question(&named, &whom)?;
    session.ask(question, out, stop).await
}
