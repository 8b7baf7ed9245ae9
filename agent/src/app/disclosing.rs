//! What technicians asked of this machine: written into the record before it is answered, and read back for the one who works here.

use deskside_proto::catalog;
use deskside_proto::rows::Row;
use deskside_proto::v1::command::Kind;
use deskside_proto::v1::{Command, Disclosure, Outcome, Pack, Reading};
use prost::Message;

use super::commands::Means;
use crate::local::{Privacy, Taken};
use crate::record::Entry;

/// How far back is told.
const DAYS_MS: i64 = 90 * 24 * 3_600 * 1_000;

/// Lines that are told, the newest ones.
const TAKEN_MAX: usize = 1_000;

/// Longest words of one line, characters.
const WORDS_CHARS_MAX: usize = 400;

impl Means {
    /// Writes down what is asked. Why before the answer: what could not be written down is not answered.
    pub(super) async fn disclose(&self, command: &Command) -> anyhow::Result<()> {
        let Some(kind) = &command.kind else { return Ok(()) };
        let now_ms = self.eye.host.now_ms();
        let row = disclosure(command, kind, now_ms);
        let reading = Reading {
            table: Disclosure::TABLE.into(),
            at_ms: now_ms,
            outcome: Outcome::Ok.into(),
            rows: vec![row.encode_to_vec().into()],
            ..Reading::default()
        };
        let entry = Entry { reading: self.eye.clean(reading), stream: true, position: None };
        self.keeper.append(now_ms, vec![entry]).await
    }

    /// What was taken, newest first, and what waits for the person.
    pub(super) async fn privacy(&self) -> anyhow::Result<Privacy> {
        let now_ms = self.eye.host.now_ms();
        let reader = self.keeper.with(|shelf| shelf.record.reader()).await??;
        let taken = tokio::task::spawn_blocking(move || -> anyhow::Result<Vec<Taken>> {
            let mut taken = Vec::new();
            reader.history(Disclosure::TABLE, now_ms - DAYS_MS, i64::MAX, &mut |reading| {
                let rows = reading.rows.iter().filter_map(|row| Disclosure::decode(row.as_ref()).ok());
                taken.extend(rows.map(|row| Taken {
                    at_ms: row.at_ms,
                    kind: row.kind,
                    asked_by: row.asked_by,
                    ticket: row.ticket,
                    what: row.what,
                }));
            })?;
            Ok(taken)
        });
        let mut taken = taken.await??;
        taken.sort_by_key(|line| std::cmp::Reverse(line.at_ms));
        let left_out = taken.len().saturating_sub(TAKEN_MAX);
        taken.truncate(TAKEN_MAX);
        Ok(Privacy { taken, left_out, pending: self.consents.pending(now_ms) })
    }
}

fn disclosure(command: &Command, kind: &Kind, at_ms: i64) -> Disclosure {
    let (mut asked_by, mut ticket) = (command.asked_by.clone(), command.ticket);
    let (kind, what) = match kind {
        Kind::Look(look) => ("look", tables(&look.tables)),
        Kind::History(history) => ("history", tables(&history.tables)),
        Kind::Follow(follow) if follow.unit.is_empty() => ("live log", "all of it".into()),
        Kind::Follow(follow) => ("live log", follow.unit.clone()),
        Kind::Probe(probe) => ("probe", [std::slice::from_ref(&probe.name), &probe.arguments].concat().join(" ")),
        Kind::Query(query) => {
            (asked_by, ticket) = (query.asked_by.clone(), query.ticket);
            ("question", query.sql.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        Kind::Pack(pack) => {
            (asked_by, ticket) = (pack.requested_by.clone(), pack.ticket);
            (if takes_packets(pack) { "capture" } else { "collection" }, packed(pack))
        }
    };
    let what = what.chars().take(WORDS_CHARS_MAX).collect();
    Disclosure { at_ms, kind: kind.into(), asked_by, ticket, what }
}

fn takes_packets(pack: &Pack) -> bool {
    let takes =
        |name: &str| catalog::table(name).and_then(|table| table.probe.as_ref()).is_some_and(|probe| probe.evidence);
    pack.probes.iter().any(|probe| takes(&probe.name))
}

fn packed(pack: &Pack) -> String {
    let probes =
        pack.probes.iter().map(|probe| [std::slice::from_ref(&probe.name), &probe.arguments].concat().join(" "));
    let probes: Vec<String> = probes.collect();
    let tables = tables(&pack.tables);
    if probes.is_empty() { tables } else { format!("{tables}; {}", probes.join(", ")) }
}

fn tables(named: &[String]) -> String {
    if named.is_empty() { "all tables".into() } else { named.join(", ") }
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::{Follow, Look, Probe, Query};

    use super::*;

    #[test]
    fn each_kind_of_command_says_who_asked_for_what_and_for_which_ticket() {
        let line = |kind: Kind| {
            let command =
                Command { asked_by: "anna".into(), ticket: 7, kind: Some(kind.clone()), ..Command::default() };
            let row = disclosure(&command, &kind, 1);
            (row.kind, row.asked_by, row.ticket, row.what)
        };
        let said = |kind: &str, by: &str, ticket, what: &str| (kind.to_owned(), by.to_owned(), ticket, what.to_owned());
        let look = Look { tables: vec!["printers".into(), "users".into()] };
        assert_eq!(line(Kind::Look(look)), said("look", "anna", 7, "printers, users"));
        assert_eq!(line(Kind::Look(Look::default())), said("look", "anna", 7, "all tables"));
        assert_eq!(line(Kind::Follow(Follow::default())), said("live log", "anna", 7, "all of it"));
        let query = Query { sql: "SELECT *\n  FROM os".into(), asked_by: "ben".into(), ticket: 2, ..Query::default() };
        assert_eq!(line(Kind::Query(Box::new(query))), said("question", "ben", 2, "SELECT * FROM os"));
        let probe = |name: &str, word: &str| Probe { name: name.into(), arguments: vec![word.into()] };
        assert_eq!(line(Kind::Probe(probe("ping", "192.0.2.1"))), said("probe", "anna", 7, "ping 192.0.2.1"));
        let pack = |probes| Pack {
            ticket: 3,
            requested_by: "ben".into(),
            tables: vec!["routes".into()],
            probes,
            ..Pack::default()
        };
        assert_eq!(line(Kind::Pack(pack(Vec::new()))), said("collection", "ben", 3, "routes"));
        let capture = pack(vec![probe("capture", "seconds=5")]);
        assert_eq!(line(Kind::Pack(capture)), said("capture", "ben", 3, "routes; capture seconds=5"));
    }
}
