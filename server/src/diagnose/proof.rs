//! A row that a rule returned, told as a finding: the proof as a person reads it, and the words around it.

use deskside_proto::rows::Value;
use deskside_proto::show;
use deskside_proto::v1::{ColumnSchema, Fact, Family, Finding};

use super::rules::Rule;

/// Longest text of one fact, in characters; a log line may be far longer.
const FACT_CHARS_MAX: usize = 400;

/// One row, and the rule that it proves.
pub(super) struct Proof<'a> {
    pub(super) rule: &'a Rule,
    pub(super) columns: &'a [ColumnSchema],
    pub(super) values: &'a [Value],
    pub(super) now_ms: i64,
}

impl Proof<'_> {
    /// The finding. Columns whose name begins with `_` are not facts; `_at_ms` is when the proof was read.
    pub(super) fn finding(&self) -> Finding {
        let shown = |(column, value): (&ColumnSchema, &Value)| Fact {
            name: column.name.clone(),
            value: self.text(column, value),
        };
        let facts = self.pairs().filter(|(column, _value)| !column.name.starts_with('_')).map(shown).collect();
        let at_ms = self.pairs().find(|(column, _value)| column.name == "_at_ms").map(|(_column, value)| value);
        Finding {
            rule: self.rule.id.clone(),
            severity: self.rule.severity.name().into(),
            title: self.fill(&self.rule.title),
            table: self.rule.tables.first().cloned().unwrap_or_default(),
            proof: facts,
            cause: self.fill(&self.rule.cause),
            next_step: self.fill(&self.rule.next_step),
            at_ms: if let Some(Value::Int(at_ms)) = at_ms { *at_ms } else { self.now_ms },
            family: Family::from(self.rule.family).into(),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&ColumnSchema, &Value)> {
        self.columns.iter().zip(self.values)
    }

    fn text(&self, column: &ColumnSchema, value: &Value) -> String {
        let text = show::human(column, value, self.now_ms);
        match text.char_indices().nth(FACT_CHARS_MAX) {
            Some((end, _char)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }

    /// The template with each `{column}` replaced in one pass, so that a value that looks like a template stays a value.
    fn fill(&self, template: &str) -> String {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                text.push('{');
                rest = after;
                continue;
            };
            match self.pairs().find(|(column, _value)| column.name == name) {
                Some((column, value)) => text.push_str(&self.text(column, value)),
                None => text.extend(["{", name, "}"]),
            }
            rest = after;
        }
        text.push_str(rest);
        text.trim().to_owned()
    }
}
