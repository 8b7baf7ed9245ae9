//! Brings the file to this release's form: numbered steps, each done once, in one transaction.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, TransactionBehavior};

use super::{arriving, audit};

/// The steps. A step that was released is never edited; a new one takes the next free number.
const STEPS: &[(u32, &str)] = &[
    (1, include_str!("migrations/0001_devices.sql")),
    (2, include_str!("migrations/0002_readings.sql")),
    (3, include_str!("migrations/0003_people.sql")),
    (4, include_str!("migrations/0004_evidence.sql")),
    (5, include_str!("migrations/0005_cases.sql")),
    (6, include_str!("migrations/0006_probes.sql")),
    (7, include_str!("migrations/0007_fleet.sql")),
    (8, include_str!("migrations/0008_attached.sql")),
    (9, include_str!("migrations/0009_blocks.sql")),
    (10, include_str!("migrations/0010_questions.sql")),
    (11, include_str!("migrations/0011_personal.sql")),
    (12, include_str!("migrations/0012_planned.sql")),
    (13, include_str!("migrations/0013_help_desks.sql")),
    (14, include_str!("migrations/0014_custody_log.sql")),
    (15, include_str!("migrations/0015_keeping.sql")),
];

/// The step after whose text the readings of before are moved over. Why in the same transaction: a store is of one form or of the other.
const BLOCKS: u32 = 9;

/// The step after whose text the audit log of before is moved over.
const CUSTODY_LOG: u32 = 14;

pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    migrate_to(connection, u32::MAX)
}

/// As far as a step, which a test may choose.
pub(super) fn migrate_to(connection: &mut Connection, last: u32) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY) STRICT")?;
    let done: BTreeSet<u32> = transaction
        .prepare("SELECT number FROM migration")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let newest = STEPS.iter().map(|(number, _sql)| *number).max().unwrap_or_default();
    ensure!(
        done.iter().all(|number| *number <= newest),
        "this store was written by a newer deskside-server; run that one, or restore a backup"
    );
    for (number, sql) in STEPS.iter().filter(|(number, _sql)| *number <= last && !done.contains(number)) {
        transaction.execute_batch(sql).with_context(|| format!("migration {number}"))?;
        if *number == BLOCKS {
            arriving::move_batches(&transaction).context("moving readings over to blocks")?;
        }
        if *number == CUSTODY_LOG {
            audit::move_log(&transaction).context("moving the audit log over to the custody log")?;
        }
        transaction.execute("INSERT INTO migration VALUES (?1)", [number])?;
    }
    transaction.commit()?;
    Ok(())
}
