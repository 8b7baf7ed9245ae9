//! The forms that one table of the catalogue takes in SQL: as it is now or was at a time, and its history.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::catalog;
use crate::v1::{ColumnType, Kind, Sensitivity, Sight, TableSchema};

/// What is added to a table's name for its history.
pub const HISTORY: &str = "_history";

/// How a table of the catalogue is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One reading: the latest, or the one in force at a time. `printers`, `printers('-1 day')`.
    State,
    /// The latest reading, or those within a time. `cpu`, `cpu('-1 hour')`, `cpu('-2 hours', '-1 hour')`.
    Sample,
    /// All readings, or those within a time. `log_events`, `log_events('-1 hour')`.
    Event,
    /// All readings of a state or sample table, and how long each was in force. `printers_history`.
    History,
}

/// What a column of a form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Whose row it is.
    Device,
    /// The same by identity.
    DeviceId,
    /// The item of evidence that it is from.
    Evidence,
    /// One of the table's own, by its place.
    Own(usize),
    /// When the look that found it began.
    At,
    /// How old that is: seconds since it was last known to be so.
    Age,
    /// How the look went.
    Outcome,
    /// When the row came to be so.
    ValidFrom,
    /// When it ceased to be so; NULL while it is.
    ValidTo,
    /// An argument: the time as of which to read.
    AsOf,
    /// An argument: where the window begins.
    From,
    /// An argument: where it ends.
    To,
}

/// A table in one form, ready to be declared to SQLite.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) schema: Arc<TableSchema>,
    pub(super) form: Form,
    pub(super) columns: Vec<Column>,
    /// Own columns that the asker may not see, by place.
    pub(super) withheld: Vec<bool>,
    /// `CREATE TABLE`, as SQLite wants to hear it.
    pub(super) declaration: String,
}

impl Shape {
    /// All forms of a table.
    pub(super) fn all(schema: &Arc<TableSchema>, many: bool, sight: Sight) -> Vec<Self> {
        let first = match schema.kind() {
            Kind::Sample => Form::Sample,
            Kind::Event => Form::Event,
            Kind::State | Kind::Unspecified => Form::State,
        };
        let mut shapes = vec![Self::new(schema, first, many, sight)];
        if first != Form::Event {
            shapes.push(Self::new(schema, Form::History, many, sight));
        }
        shapes
    }

    fn new(schema: &Arc<TableSchema>, form: Form, many: bool, sight: Sight) -> Self {
        let own = (0..schema.columns.len()).map(Column::Own);
        let (shown, arguments): (&[Column], &[Column]) = match form {
            Form::State => (&[], &[Column::AsOf]),
            Form::Sample | Form::Event => (&[], &[Column::From, Column::To]),
            Form::History => (&[Column::ValidFrom, Column::ValidTo], &[Column::From, Column::To]),
        };
        let device = many.then_some(Column::Device);
        let identity: &[Column] = if many { &[Column::DeviceId, Column::Evidence] } else { &[] };
        let hidden = [Column::At, Column::Age, Column::Outcome].into_iter().chain(identity.iter().copied());
        let columns: Vec<Column> = device
            .into_iter()
            .chain(own)
            .chain(shown.iter().copied())
            .chain(arguments.iter().copied())
            .chain(hidden)
            .collect();
        let name = if form == Form::History { format!("{}{HISTORY}", schema.name) } else { schema.name.clone() };
        let withheld =
            schema.columns.iter().map(|column| withheld(catalog::options(column).sensitivity(), sight)).collect();
        let mut shape = Self { name, schema: Arc::clone(schema), form, columns, withheld, declaration: String::new() };
        shape.declaration = shape.declared(many);
        shape
    }

    fn declared(&self, many: bool) -> String {
        let mut text = "CREATE TABLE x(".to_owned();
        for (place, column) in self.columns.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let name = quoted(&self.column_name(*column, many));
            // Writing to a string does not fail.
            write!(text, "{comma}{name} {}{}", self.affinity(*column), if column.is_hidden() { " HIDDEN" } else { "" })
                .ok();
        }
        text.push(')');
        text
    }

    /// The column's name. Where many devices are read, `device` is the machine; a table's own column of that name is told by its table.
    pub(super) fn column_name(&self, column: Column, many: bool) -> String {
        match column {
            Column::Own(place) => {
                let name = self.schema.columns.get(place).map_or("", |column| column.name.as_str());
                if many && name == "device" { format!("{}_device", self.schema.name) } else { name.to_owned() }
            }
            Column::Device => "device".into(),
            Column::DeviceId => "_device_id".into(),
            Column::Evidence => "_evidence".into(),
            Column::At => "_at".into(),
            Column::Age => "_age_s".into(),
            Column::Outcome => "_outcome".into(),
            Column::ValidFrom => "valid_from".into(),
            Column::ValidTo => "valid_to".into(),
            Column::AsOf => "as_of".into(),
            Column::From => "_from".into(),
            Column::To => "_to".into(),
        }
    }

    fn affinity(&self, column: Column) -> &'static str {
        match column {
            Column::Own(place) => match self.schema.columns.get(place) {
                Some(column) if column.repeated => "TEXT",
                Some(column) => match column.r#type() {
                    ColumnType::Bool | ColumnType::Int | ColumnType::Uint | ColumnType::Sint => "INTEGER",
                    ColumnType::Double => "REAL",
                    ColumnType::Text => "TEXT",
                    ColumnType::Blob | ColumnType::Unspecified => "BLOB",
                },
                None => "BLOB",
            },
            Column::Device | Column::DeviceId | Column::Evidence | Column::Outcome => "TEXT",
            Column::At | Column::Age | Column::ValidFrom | Column::ValidTo => "INTEGER",
            // Times as words and as numbers alike.
            Column::AsOf | Column::From | Column::To => "",
        }
    }
}

impl Column {
    fn is_hidden(self) -> bool {
        !matches!(self, Self::Device | Self::Own(_) | Self::ValidFrom | Self::ValidTo)
    }
}

/// Whether values of a sensitivity stay unread.
pub(super) fn withheld(sensitivity: Sensitivity, sight: Sight) -> bool {
    match sensitivity {
        Sensitivity::Public | Sensitivity::Device => false,
        Sensitivity::Personal => !sight.personal,
        Sensitivity::Content => !sight.content,
        Sensitivity::Secret => true,
    }
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
