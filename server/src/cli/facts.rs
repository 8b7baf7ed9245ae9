//! The tables of a device that are read out in a line or a few, asked for at once.

use anyhow::Context;
use deskside_proto::v1::{Device, Kind, ShowRequest, TableState};
use deskside_proto::{catalog, digest};
use futures_util::future::join_all;

use super::connect::Desk;
use super::sheet::is_seen;

/// Table and lines, for every table that is read out and was seen.
pub(super) async fn of(
    desk: &mut Desk,
    device: &Device,
    states: &[TableState],
    now_ms: i64,
) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let told = |state: &&TableState| digest::is_told(&state.table) && is_seen(state.outcome()) && state.rows > 0;
    let mut wanted: Vec<&str> = states.iter().filter(told).map(|state| state.table.as_str()).collect();
    wanted.sort_by_key(|table| digest::place(table));
    let asked = wanted.into_iter().map(|table| {
        let mut desk = desk.clone();
        let request = ShowRequest { device: device.id.clone(), table: table.into(), at_ms: 0 };
        async move { desk.show(request).await }
    });
    let mut told = Vec::new();
    for reply in join_all(asked).await {
        let reply = reply?.into_inner();
        let schema = reply.schema.context("the server showed a table without its description")?;
        let lines = reply.reading.map(|reading| digest::of(&schema, &reading, now_ms)).unwrap_or_default();
        if !lines.is_empty() {
            told.push((schema.name, lines));
        }
    }
    Ok(told)
}

/// Events do not go stale: nothing new is good news.
pub(super) fn is_event(table: &str) -> bool {
    catalog::table(table).is_some_and(|schema| schema.kind() == Kind::Event)
}
