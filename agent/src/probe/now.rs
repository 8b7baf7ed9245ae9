//! What a table says at this moment, for probes that begin from how the machine is set up.

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::{Outcome, Reading};

use crate::collect::{self, Collector};
use crate::host::Host;

/// A look at a table.
pub(super) fn look(host: &dyn Host, table: &str) -> anyhow::Result<Reading> {
    let collector = collect::ALL.iter().find(|collector: &&Collector| collector.table == table);
    Ok(collect::look(collector.with_context(|| format!("no collector reads {table}"))?, host))
}

/// Its rows; where it could not be read, why.
pub(super) fn rows<R: Row>(host: &dyn Host) -> Result<Vec<R>, String> {
    let reading = look(host, R::TABLE).map_err(|error| format!("{error:#}"))?;
    if matches!(reading.outcome(), Outcome::Ok | Outcome::Empty | Outcome::Partial) {
        return Ok(reading.rows.iter().filter_map(|row| R::decode(row.clone()).ok()).collect());
    }
    Err(reading.reason)
}
