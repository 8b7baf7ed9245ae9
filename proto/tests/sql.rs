//! Questions over virtual tables against the same rows in ordinary tables of SQLite, and against whatever else may come in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use deskside_proto::rows::{self, Value};
use deskside_proto::sql::{Bounds, Brake, Shelf, Source, SqlError, answer};
use deskside_proto::v1::cell::Value as Cell;
use deskside_proto::v1::{ColumnSchema, ColumnType, Kind, Outcome, Query, Reading, Sight, TableSchema};
use deskside_proto::{catalog, show};
use proptest::prelude::*;
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use rusqlite::Connection;

const NOW: i64 = 1_800_000_000_000;

/// Questions that are made.
const QUESTIONS: u64 = 200;

/// Tables with texts, numbers of every type, and what is not known.
const TABLES: [&str; 3] = ["filesystems", "interface_io", "log_events"];

const TEXTS: [&str; 9] = ["", "a", "A", "ab", "äb", "100", "%x_", "b c", "it's"];
const NUMBERS: [i64; 8] = [0, 1, 2, 3, 100, -1, 1 << 40, i64::MAX];
const REALS: [f64; 6] = [0.0, 0.5, 1.0, 1.5, -2.25, 1e3];

/// Small numbers drawn by a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// One row of any table, as a collector would seal it.
fn row(dice: &mut Dice, schema: &TableSchema) -> Bytes {
    let mut row = Vec::new();
    for column in &schema.columns {
        let absent = dice.below(4) == 0;
        if absent {
            continue;
        }
        let times = if column.repeated { dice.below(3) } else { 1 };
        for _time in 0..times {
            field(dice, column, &mut row);
        }
    }
    row.into()
}

fn field(dice: &mut Dice, column: &ColumnSchema, row: &mut Vec<u8>) {
    let mut varint = |value: u64| {
        encode_key(column.number, WireType::Varint, row);
        encode_varint(value, row);
    };
    match column.r#type() {
        ColumnType::Bool => varint(dice.below(2) as u64),
        ColumnType::Int | ColumnType::Uint => varint(dice.one(&NUMBERS).unsigned_abs()),
        ColumnType::Sint => {
            let number = dice.one(&NUMBERS);
            varint(((number << 1) ^ (number >> 63)).cast_unsigned());
        }
        ColumnType::Double => {
            encode_key(column.number, WireType::SixtyFourBit, row);
            row.extend(dice.one(&REALS).to_le_bytes());
        }
        ColumnType::Text | ColumnType::Blob => {
            let text = dice.one(&TEXTS);
            encode_key(column.number, WireType::LengthDelimited, row);
            encode_varint(text.len() as u64, row);
            row.extend(text.as_bytes());
        }
        ColumnType::Unspecified => {}
    }
}

fn readings(dice: &mut Dice) -> Vec<Reading> {
    let mut all = Vec::new();
    for name in TABLES {
        let schema = catalog::table(name).unwrap();
        let count = if schema.kind() == Kind::Event { 5 } else { 1 };
        for place in 0..count {
            let rows = (0..20).map(|_row| row(dice, schema)).collect();
            let at_ms = NOW - 3_600_000 + place;
            all.push(Reading { table: name.into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() });
        }
    }
    all
}

/// The same rows in ordinary tables.
fn ordinary(readings: &[Reading]) -> Connection {
    let db = Connection::open_in_memory().unwrap();
    for name in TABLES {
        let schema = catalog::table(name).unwrap();
        let columns = schema.columns.iter().map(|column| format!("\"{}\" {}", column.name, affinity(column)));
        db.execute_batch(&format!("CREATE TABLE {name} ({})", columns.collect::<Vec<_>>().join(", "))).unwrap();
        let places = vec!["?"; schema.columns.len()].join(", ");
        let mut insert = db.prepare(&format!("INSERT INTO {name} VALUES ({places})")).unwrap();
        for reading in readings.iter().filter(|reading| reading.table == name) {
            for row in &reading.rows {
                let values = rows::open(schema, row).unwrap();
                insert.execute(rusqlite::params_from_iter(values.iter().map(stored))).unwrap();
            }
        }
    }
    db
}

fn affinity(column: &ColumnSchema) -> &'static str {
    match column.r#type() {
        _ if column.repeated => "TEXT",
        ColumnType::Double => "REAL",
        ColumnType::Text => "TEXT",
        ColumnType::Blob => "BLOB",
        _ => "INTEGER",
    }
}

fn stored(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Stored;
    match value {
        Value::Null => Stored::Null,
        Value::Bool(value) => Stored::Integer((*value).into()),
        Value::Int(value) => Stored::Integer(*value),
        Value::Uint(value) => Stored::Integer(i64::try_from(*value).unwrap_or(i64::MAX)),
        Value::Double(value) => Stored::Real(*value),
        Value::Text(value) => Stored::Text(value.clone()),
        Value::Blob(value) => Stored::Blob(value.to_vec()),
        list @ Value::List(_) => Stored::Text(show::json_value(list).to_string()),
    }
}

fn ask(source: &Arc<dyn Source>, sql: &str) -> Result<Vec<String>, SqlError> {
    let bounds = Bounds { time_max: Duration::from_secs(20), ..Bounds::default() };
    let brake = Arc::new(Brake::new(Instant::now() + bounds.time_max));
    let query = Query { sql: sql.into(), sight: Some(Sight { personal: true, content: true }), ..Query::default() };
    let mut lines = Vec::new();
    let cell = |value: &Option<Cell>| match value {
        None => "null".to_owned(),
        Some(Cell::Integer(number)) => format!("i{number}"),
        Some(Cell::Real(number)) => format!("r{number:?}"),
        Some(Cell::Text(text)) => format!("t{text}"),
        Some(Cell::Blob(bytes)) => format!("b{bytes:?}"),
    };
    answer(source, &query, bounds, &brake, &mut |part| {
        let rows = part.rows.iter();
        lines.extend(rows.map(|row| row.cells.iter().map(|one| cell(&one.value)).collect::<Vec<_>>().join("|")));
        true
    })?;
    lines.sort();
    Ok(lines)
}

fn ask_ordinary(db: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    use rusqlite::types::ValueRef;
    let mut statement = db.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..columns).map(|place| match row.get_ref(place).unwrap() {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(number) => format!("i{number}"),
            ValueRef::Real(number) => format!("r{number:?}"),
            ValueRef::Text(text) => format!("t{}", String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => format!("b{bytes:?}"),
        });
        lines.push(cells.collect::<Vec<_>>().join("|"));
    }
    lines.sort();
    Ok(lines)
}

/// Makes questions.
struct Asker(Dice);

impl Asker {
    fn column(&mut self, table: &str, alias: &str) -> String {
        let schema = catalog::table(table).unwrap();
        format!("{alias}.\"{}\"", schema.columns[self.0.below(schema.columns.len())].name)
    }

    fn value(&mut self) -> String {
        match self.0.below(4) {
            0 => self.0.one(&NUMBERS).to_string(),
            1 => format!("{:?}", self.0.one(&REALS)),
            2 => "NULL".into(),
            _ => format!("'{}'", self.0.one(&TEXTS).replace('\'', "''")),
        }
    }

    fn condition(&mut self, table: &str, alias: &str, depth: usize) -> String {
        let column = self.column(table, alias);
        let (one, other) = (self.value(), self.value());
        match self.0.below(if depth == 0 { 9 } else { 12 }) {
            0..=2 => format!("{column} {} {one}", self.0.of(&["=", "<", "<=", ">", ">=", "<>"])),
            3 => format!("{column} LIKE '{}'", self.0.of(&["%a%", "a%", "_", "%", "1%", "A_"])),
            4 => format!("{column} IN ({one}, {other}, {})", self.value()),
            5 => format!("{column} BETWEEN {one} AND {other}"),
            6 => format!("{column} IS {}NULL", self.0.of(&["", "NOT "])),
            7 => format!("{column} = {one} COLLATE NOCASE"),
            8 => format!("{column} GLOB '{}'", self.0.of(&["*a*", "[ab]*", "?"])),
            9 => {
                let inner = self.0.of(&TABLES);
                let (found, inside) = (self.column(inner, "i"), self.condition(inner, "i", 0));
                format!("{column} IN (SELECT {found} FROM {inner} i WHERE {inside})")
            }
            10 => {
                let inner = self.0.of(&TABLES);
                let (found, inside) = (self.column(inner, "i"), self.condition(inner, "i", 0));
                format!("EXISTS (SELECT 1 FROM {inner} i WHERE {found} = {column} AND {inside})")
            }
            _ => {
                let (left, right) = (self.condition(table, alias, depth - 1), self.condition(table, alias, depth - 1));
                format!("({}({left}) {} ({right}))", self.0.of(&["", "NOT "]), self.0.of(&["AND", "OR"]))
            }
        }
    }

    fn question(&mut self) -> String {
        let table = self.0.of(&TABLES);
        let (one, two, three) = (self.column(table, "t"), self.column(table, "t"), self.column(table, "t"));
        let condition = self.condition(table, "t", 2);
        match self.0.below(9) {
            0 => format!("SELECT {one}, {two} FROM {table} t WHERE {condition}"),
            1 => format!("SELECT * FROM {table} t WHERE {condition}"),
            2 => {
                format!("SELECT {one} a, {two} b FROM {table} t WHERE {condition} ORDER BY 1 DESC, 2 LIMIT 7 OFFSET 2")
            }
            3 => format!(
                "SELECT {one}, count(*), count({two}), min({two}), max({three}), sum({three}) FROM {table} t \
                 WHERE {condition} GROUP BY {one} HAVING count(*) > {}",
                self.0.below(3)
            ),
            4 | 5 => {
                let other = self.0.of(&TABLES);
                let (far, seen) = (self.column(other, "o"), self.column(other, "o"));
                let join = self.0.of(&["JOIN", "LEFT JOIN"]);
                let inside = self.condition(other, "o", 0);
                format!(
                    "SELECT {one}, {seen}, count(*) FROM {table} t {join} {other} o ON {two} = {far} AND {inside} \
                     WHERE {condition} GROUP BY 1, 2"
                )
            }
            6 => format!(
                "SELECT {one}, {two}, count(*) OVER (PARTITION BY {one}), max({three}) OVER (PARTITION BY {two}) \
                 FROM {table} t WHERE {condition}"
            ),
            7 => {
                let again = self.condition(table, "t", 1);
                let word = self.0.of(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
                format!(
                    "SELECT {one}, {two} FROM {table} t WHERE {condition} {word} SELECT {one}, {two} FROM {table} t WHERE {again}"
                )
            }
            _ => format!(
                "WITH w AS (SELECT DISTINCT {one} a, {two} b FROM {table} t WHERE {condition}) \
                 SELECT a, (SELECT count(*) FROM w v WHERE v.b = w.b), typeof(b) FROM w"
            ),
        }
    }
}

fn shelf(readings: Vec<Reading>) -> Arc<dyn Source> {
    let tables = TABLES.iter().map(|name| Arc::new(catalog::table(name).unwrap().clone())).collect();
    Arc::new(Shelf::of(NOW, tables, readings))
}

#[test]
fn virtual_tables_answer_as_ordinary_tables_do() {
    let (mut rows, mut answered) = (0, 0);
    for seed in 0..QUESTIONS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let readings = readings(&mut dice);
        let (db, source) = (ordinary(&readings), shelf(readings));
        let sql = Asker(dice).question();
        match (ask(&source, &sql), ask_ordinary(&db, &sql)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "seed {seed}: {sql}");
                rows += ours.len();
                answered += 1;
            }
            (ours, theirs) => assert!(ours.is_err() && theirs.is_err(), "seed {seed}: {sql}\n{ours:?}\n{theirs:?}"),
        }
    }
    assert!(answered > QUESTIONS * 9 / 10 && rows > 1_000, "{answered} answered with {rows} rows");
}

#[test]
fn two_tables_of_thousands_of_rows_are_joined_without_reading_one_for_each_row_of_the_other() {
    let schema = catalog::table("filesystems").unwrap();
    let texts: Vec<_> =
        schema.columns.iter().filter(|column| column.r#type() == ColumnType::Text && !column.repeated).collect();
    let rows = |step: usize| {
        (0..20_000_usize).map(move |number| {
            let (mut row, text) = (Vec::new(), format!("/mnt/{}", number * step));
            encode_key(texts[0].number, WireType::LengthDelimited, &mut row);
            encode_varint(text.len() as u64, &mut row);
            row.extend(text.as_bytes());
            Bytes::from(row)
        })
    };
    let reading = |at_ms, rows| Reading {
        table: "filesystems".into(),
        at_ms,
        outcome: Outcome::Ok.into(),
        rows,
        ..Reading::default()
    };
    let name = catalog::table("filesystems")
        .unwrap()
        .columns
        .iter()
        .find(|column| column.r#type() == ColumnType::Text)
        .unwrap()
        .name
        .clone();
    let source = shelf(vec![reading(NOW - 10, rows.clone()(1).collect()), reading(NOW - 5, rows(2).collect())]);
    let joined = |join: &str| {
        ask(
            &source,
            &format!(
                "SELECT count(*) FROM filesystems now {join} filesystems({}) old ON now.{name} = old.{name}",
                NOW - 8
            ),
        )
    };
    // Four hundred million rows would be opened where one is read for each of the other, and the question's time is over long before.
    assert_eq!(joined("JOIN").unwrap(), ["i10000"]);
    assert_eq!(joined("LEFT JOIN").unwrap(), ["i20000"]);
}

/// Words of questions, in any order.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SELECT",
        "*",
        "FROM",
        "filesystems",
        "log_events",
        "('-1h')",
        "WHERE",
        "=",
        "<",
        "(",
        ")",
        ",",
        "'a'",
        "1",
        "NULL",
        "AND",
        "JOIN",
        "ON",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "count(*)",
        "UNION",
        "WITH",
        "x",
        "AS",
        "LIKE",
        "IN",
        "as_of",
        "_at",
        ";",
        "--",
        "/*",
        "\"",
        "'",
        "?1",
        ":p",
        "json_each(",
        "zeroblob(9)",
        "OVER ()",
        "\u{0}",
        "ä",
        "ATTACH",
        "PRAGMA",
        "CASE",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_words_of_a_question_do_harm(sql in words()) {
        let readings = readings(&mut Dice(7));
        ask(&shelf(readings), &sql).ok();
    }

    #[test]
    fn no_text_does_harm_as_a_question(sql in any::<String>()) {
        ask(&shelf(Vec::new()), &sql).ok();
    }

    #[test]
    fn a_question_that_is_cut_or_altered_does_no_harm(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut dice = Dice(seed);
        let readings = readings(&mut dice);
        let mut sql = Asker(dice).question().into_bytes();
        let at = at.index(sql.len());
        if cut { sql.truncate(at); } else { sql[at] = byte; }
        ask(&shelf(readings), &String::from_utf8_lossy(&sql)).ok();
    }

    #[test]
    fn rows_that_are_cut_or_altered_or_no_rows_at_all_read_as_something(
        seed in any::<u64>(),
        wild in prop::collection::vec(any::<u8>(), 0..64),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut dice = Dice(seed);
        let mut all = readings(&mut dice);
        for reading in &mut all {
            let mut altered = reading.rows[0].to_vec();
            if !altered.is_empty() {
                let at = at.index(altered.len());
                altered[at] = byte;
                reading.rows.push(Bytes::from(altered.clone()));
                altered.truncate(at);
                reading.rows.push(Bytes::from(altered));
            }
            reading.rows.push(Bytes::from(wild.clone()));
        }
        let rows: usize = all.iter().filter(|reading| reading.table == "log_events").map(|reading| reading.rows.len()).sum();
        let source = shelf(all);
        prop_assert_eq!(ask(&source, "SELECT count(*) FROM log_events").unwrap(), [format!("i{rows}")]);
        for table in TABLES {
            ask(&source, &format!("SELECT * FROM {table}")).unwrap();
        }
        ask(&source, "SELECT * FROM changes").ok();
    }
}
