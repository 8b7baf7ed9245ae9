//! One log line as the miner needs it, borrowed from its sealed row.

use deskside_proto::rows;

/// Numbers of the columns of `log_events` that are read.
mod column {
    pub(super) const AT_MS: u32 = 1;
    pub(super) const SOURCE: u32 = 2;
    pub(super) const PRIORITY: u32 = 4;
    pub(super) const UNIT: u32 = 5;
    pub(super) const PROGRAM: u32 = 6;
    pub(super) const MESSAGE: u32 = 8;
    pub(super) const MESSAGE_ID: u32 = 9;
    pub(super) const PROVIDER: u32 = 13;
    pub(super) const EVENT_ID: u32 = 14;
}

/// A log line. Why borrowed: most lines tell of no error, and must cost next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written.
    pub at_ms: i64,
    /// Which log.
    pub source: &'a str,
    /// syslog priority.
    pub priority: Option<u32>,
    /// Unit, where there is one.
    pub unit: &'a str,
    /// Program, as it calls itself.
    pub program: &'a str,
    /// The text.
    pub message: &'a str,
    /// journald `MESSAGE_ID`.
    pub message_id: &'a str,
    /// Provider of a Windows event.
    pub provider: &'a str,
    /// Event id of a Windows event.
    pub event_id: Option<u64>,
}

impl<'a> Line<'a> {
    /// The line of a row of `log_events`; nothing where the row is not well-formed.
    pub fn of_row(row: &'a [u8]) -> Option<Self> {
        let mut line = Self::default();
        for field in rows::fields(row) {
            let field = field.ok()?;
            match field.number {
                column::AT_MS => line.at_ms = field.scalar.cast_signed(),
                column::PRIORITY => line.priority = u32::try_from(field.scalar).ok(),
                column::EVENT_ID => line.event_id = Some(field.scalar),
                column::SOURCE => line.source = field.text()?,
                column::UNIT => line.unit = field.text()?,
                column::PROGRAM => line.program = field.text()?,
                column::MESSAGE => line.message = field.text()?,
                column::MESSAGE_ID => line.message_id = field.text()?,
                column::PROVIDER => line.provider = field.text()?,
                _ => {}
            }
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::LogEvent;
    use prost::Message;

    use super::*;

    #[test]
    fn a_sealed_row_is_read_without_being_opened() {
        let event = LogEvent {
            at_ms: 7,
            source: "journal".into(),
            priority: Some(3),
            unit: "cups.service".into(),
            program: "cupsd".into(),
            message: "no".into(),
            message_id: "ab".into(),
            ..LogEvent::default()
        };
        let sealed = event.encode_to_vec();
        let line = Line::of_row(&sealed).unwrap();
        assert_eq!((line.at_ms, line.source, line.priority, line.unit), (7, "journal", Some(3), "cups.service"));
        assert_eq!((line.program, line.message, line.message_id), ("cupsd", "no", "ab"));
        assert_eq!(Line::of_row(&sealed[..sealed.len() - 1]), None);
    }

    #[test]
    fn the_columns_are_those_of_the_contract() {
        let schema = deskside_proto::catalog::table("log_events").unwrap();
        let number = |name: &str| schema.columns.iter().find(|column| column.name == name).map(|column| column.number);
        assert_eq!(number("at_ms"), Some(column::AT_MS));
        assert_eq!(number("source"), Some(column::SOURCE));
        assert_eq!(number("priority"), Some(column::PRIORITY));
        assert_eq!(number("unit"), Some(column::UNIT));
        assert_eq!(number("program"), Some(column::PROGRAM));
        assert_eq!(number("message"), Some(column::MESSAGE));
        assert_eq!(number("message_id"), Some(column::MESSAGE_ID));
    }
}
