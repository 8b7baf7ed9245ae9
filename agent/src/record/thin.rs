//! Old samples are thinned: of those past a bound of age, one in each stretch of time stays, exactly as it was read.
//!
//! Why readings and not means: a row says what was read at one moment, and its counters, states and texts have no mean. A reading whose
//! outcome is another than that of the one before stays too, so that no failure is thinned away. What the server has yet to keep stays whole.

use deskside_proto::v1::{Kind, Numbered};
use rusqlite::{OptionalExtension, Transaction, params};

use super::append::write_meta;
use super::{Record, RecordError, content};

/// Runs looked at in one transaction.
const STEP_RUNS: i64 = 256;

/// Transactions of one tidying; a longer past is thinned by the next ones.
const STEPS_MAX: usize = 8;

/// How samples were thinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinned {
    /// Samples read until then may be thinned, by the device's clock.
    pub to_ms: i64,
    /// The stretch of time of which one was left.
    pub every_ms: i64,
}

/// A run that is old enough.
struct Old {
    seq: u64,
    last_seq: u64,
    table_id: i64,
    last_ms: i64,
    stream: bool,
    form: i64,
    content: Vec<u8>,
}

impl Record {
    pub(super) fn thin(&mut self) -> Result<(), RecordError> {
        let born_ms = self.file.lived_ms.saturating_sub(self.bounds.samples_full_ms);
        let floor = "SELECT max(seq) FROM ages WHERE lived_ms <= ?1";
        let floor: Option<i64> = self.file.db.query_row(floor, params![born_ms], |row| row.get(0))?;
        let Some(floor) = floor.filter(|_floor| self.bounds.samples_every_ms > 0) else { return Ok(()) };
        let samples = self.file.tables.iter().filter(|(name, _latest)| self.kind(name) == Kind::Sample);
        let samples: Vec<i64> = samples.map(|(_name, latest)| latest.id).collect();
        for _step in 0..STEPS_MAX {
            if !self.thin_step(floor.cast_unsigned(), &samples)? {
                break;
            }
        }
        Ok(())
    }

    /// Thins some runs; answers whether there are more.
    fn thin_step(&mut self, floor: u64, samples: &[i64]) -> Result<bool, RecordError> {
        let (mut upto, mut to_ms, mut out, mut looked) = (self.file.thinned_seq, None, 0, 0);
        let begun = self.file.db.unchecked_transaction()?;
        let mut old = begun.prepare_cached(
            "SELECT seq, last_seq, table_id, last_ms, stream, form, content FROM runs WHERE seq > ?1 AND seq <= ?2
             ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = old.query(params![upto.cast_signed(), floor.cast_signed(), STEP_RUNS])?;
        while let Some(row) = rows.next()? {
            let run = Old {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                last_seq: row.get::<_, i64>(1)?.cast_unsigned(),
                table_id: row.get(2)?,
                last_ms: row.get(3)?,
                stream: row.get(4)?,
                form: row.get(5)?,
                content: if row.get::<_, i64>(5)? == content::BLOCK { row.get(6)? } else { Vec::new() },
            };
            if run.form == content::BLOCK && samples.contains(&run.table_id) {
                if run.last_seq > floor || (run.stream && run.last_seq > self.file.kept_seq) {
                    looked = 0;
                    break;
                }
                out += thin_block(&begun, &run, self.bounds.samples_every_ms)?;
                to_ms = to_ms.max(Some(run.last_ms));
            }
            upto = run.seq;
            looked += 1;
        }
        drop(rows);
        drop(old);
        if upto > self.file.thinned_seq {
            write_meta(&begun, "thinned", upto)?;
            write_meta(&begun, "thinned_out", self.file.thinned_out + out)?;
            if let Some(to_ms) = to_ms {
                write_meta(&begun, "thinned_to", to_ms.cast_unsigned())?;
                write_meta(&begun, "thinned_every", self.bounds.samples_every_ms.cast_unsigned())?;
            }
        }
        begun.commit()?;
        self.file.thinned_seq = upto;
        self.file.thinned_out += out;
        self.file.readings = self.file.readings.saturating_sub(out);
        Ok(looked == STEP_RUNS)
    }
}

impl super::Reader {
    /// How samples were thinned; absent where none were yet.
    pub fn thinned(&self) -> Result<Option<Thinned>, RecordError> {
        let meta = |name: &str| {
            self.db.query_row("SELECT value FROM meta WHERE name = ?1", params![name], |row| row.get(0)).optional()
        };
        let (to_ms, every_ms) = (meta("thinned_to")?, meta("thinned_every")?);
        Ok(to_ms.zip(every_ms).map(|(to_ms, every_ms)| Thinned { to_ms, every_ms }))
    }
}

/// Leaves one reading in each stretch of time, the first of the block always, and each whose outcome turned. Answers how many went.
fn thin_block(begun: &Transaction<'_>, run: &Old, every_ms: i64) -> Result<u64, RecordError> {
    let mut opened = content::open(run.seq, run.form, &run.content, &mut content::unfolder()?)?;
    let (before, mut left_ms, mut outcome) = (opened.len(), None, None);
    opened.retain(|Numbered { reading, .. }| {
        let (at_ms, said) = reading.as_ref().map_or((run.last_ms, 0), |reading| (reading.at_ms, reading.outcome));
        let due = left_ms.is_none_or(|left_ms| at_ms - left_ms >= every_ms);
        let stays = due || outcome != Some(said);
        outcome = Some(said);
        left_ms = if due { Some(at_ms) } else { left_ms };
        stays
    });
    let gone = (before - opened.len()) as u64;
    let last = opened.last().filter(|_last| gone > 0);
    if let Some(Numbered { seq, reading }) = last {
        let last_ms = reading.as_ref().map_or(run.last_ms, |reading| reading.at_ms);
        let (last_seq, readings) = (seq.cast_signed(), opened.len() as i64);
        let content = content::seal_block(opened)?;
        let mut update = begun.prepare_cached(
            "UPDATE runs SET last_seq = ?2, last_ms = ?3, readings = ?4, content = ?5 WHERE seq = ?1",
        )?;
        update.execute(params![run.seq.cast_signed(), last_seq, last_ms, readings, content])?;
    }
    Ok(gone)
}
