//! Errors that programs wrote down, grouped, as the stage that reads the followed lines holds them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::ErrorSignature;

use crate::collect::system::{boot, software_changes};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const ERROR_SIGNATURES: Collector = Collector {
    table: ErrorSignature::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

/// Signatures that are new for this long at most; after that they are known, however long the machine runs.
const NEW_MS: i64 = 14 * 24 * 3_600_000;

/// What is held at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// The signatures, the one seen last first. The flags of what is new are not set.
    pub rows: Vec<ErrorSignature>,
    /// Since when signatures are kept.
    pub began_ms: i64,
    /// Signatures that were let go of for want of room, ever.
    pub let_go: u64,
}

type Ask = Box<dyn Fn(i64) -> Held + Send>;

/// Where the signatures of this process are asked for. Why process-wide: they are made of the lines that the agent follows, and the collector
/// that reports them is a plain function like all others.
static HOLDER: Mutex<Option<Ask>> = Mutex::new(None);

/// Says who holds the signatures.
pub fn held_by(ask: impl Fn(i64) -> Held + Send + 'static) {
    *HOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(ask));
}

#[expect(clippy::unnecessary_wraps, reason = "every look can fail")]
fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let held = HOLDER.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|ask| ask(host.now_ms()));
    let Some(held) = held else {
        return Ok(Rows::unsupported(
            "signatures are made from the log as it is followed; ask the agent that runs as a service",
        ));
    };
    let newest = |row: &ErrorSignature| row.first_ms >= host.now_ms().saturating_sub(NEW_MS);
    let changed_ms = held.rows.iter().any(newest).then(|| software_changes::latest_ms(host)).flatten();
    Ok(flagged(held, host.now_ms(), boot::booted_ms(host), changed_ms))
}

fn flagged(held: Held, now_ms: i64, booted_ms: Option<i64>, changed_ms: Option<i64>) -> Rows {
    let Held { rows, began_ms, let_go } = held;
    // What is seen for the first time tells nothing where nobody looked before.
    let known = |since_ms: Option<i64>| since_ms.filter(|since_ms| began_ms < *since_ms);
    let (booted_ms, changed_ms) = (known(booted_ms), known(changed_ms));
    let is_new =
        |row: &ErrorSignature, since_ms: i64| row.first_ms >= since_ms && row.first_ms >= now_ms.saturating_sub(NEW_MS);
    let flagged = rows.into_iter().map(|row| ErrorSignature {
        new_since_boot: booted_ms.map(|since_ms| is_new(&row, since_ms)),
        new_since_update: changed_ms.map(|since_ms| is_new(&row, since_ms)),
        ..row
    });
    let mut all: Rows = flagged.collect();
    if let_go > 0 {
        // Why in steps: a number that grows would be a new state of the table each time.
        let step = 10_u64.pow(let_go.ilog10());
        all.missing(format!("{step} or more signatures that were not seen for longest, let go of for want of room"));
    }
    all
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::Outcome;
    use prost::Message;

    use super::*;

    fn rows(found: &Rows) -> Vec<ErrorSignature> {
        found.sealed.iter().map(|row| ErrorSignature::decode(row.clone()).unwrap()).collect()
    }

    fn held(first_ms: i64) -> Held {
        Held { rows: vec![ErrorSignature { first_ms, ..ErrorSignature::default() }], began_ms: 1_000, let_go: 0 }
    }

    #[test]
    fn what_was_first_seen_after_the_start_or_the_update_is_new() {
        let flags = |first_ms, booted, changed| {
            let row = rows(&flagged(held(first_ms), 10_000, booted, changed)).remove(0);
            (row.new_since_boot, row.new_since_update)
        };
        assert_eq!(flags(5_000, Some(4_000), Some(6_000)), (Some(true), Some(false)));
        assert_eq!(flags(7_000, Some(4_000), Some(6_000)), (Some(true), Some(true)));
        assert_eq!(flags(7_000, None, Some(900)), (None, None), "nobody looked before");
        assert_eq!(flags(5_000, Some(4_000), None), (Some(true), None));
    }

    #[test]
    fn what_was_let_go_of_is_said_and_does_not_move_with_each_one() {
        let said = |let_go| {
            let found = flagged(Held { let_go, ..held(1) }, 10_000, None, None);
            let (outcome, reason, _rows) = crate::collect::settle("error_signatures", found);
            (outcome, reason)
        };
        assert_eq!(said(11), said(99));
        assert_eq!(said(11).0, Outcome::Partial);
        assert_ne!(said(99), said(100));
    }
}
