//! A device's log of a window of time: from its own record, or from what was streamed where it cannot be reached.

use deskside_proto::rows::Row;
use deskside_proto::show;
use deskside_proto::v1::{Answer, Command, History, LogEvent, LogsRequest, command};
use futures_util::stream;
use tonic::Status;

use super::Desk;
use super::asking::AnswerStream;
use super::caller::{Caller, Deed};
use super::refusal::internal;
use crate::case::now_ms;
use crate::store::Device;

/// Longest window.
const WINDOW_MS_MAX: i64 = 31 * 86_400_000;

/// What was written is recorded a moment later, and what was written while the agent was away, when it is there again.
const LATER_MS: i64 = 3_600_000;

/// How long the device may take.
const DEADLINE_MS: u32 = 60_000;

/// Readings of what was streamed that are looked through.
const READINGS_MAX: u32 = 2_000;

impl Desk {
    /// The log of a window.
    pub(super) async fn log_of(&self, caller: &Caller, request: LogsRequest) -> Result<AnswerStream, Status> {
        let device = self.device(&request.device).await?;
        let (from_ms, to_ms) = (request.from_ms, request.to_ms);
        let length_ms = to_ms.checked_sub(from_ms).filter(|length_ms| (0..=WINDOW_MS_MAX).contains(length_ms));
        if length_ms.is_none() {
            return Err(Status::invalid_argument("a window ends after its begin, and within 31 days of it"));
        }
        let words = format!("{} to {}", show::time(from_ms, now_ms()), show::time(to_ms, now_ms()));
        self.audit(caller, Deed { what: "logs", device: Some(device.id), text: words, ..Deed::default() }).await?;
        let to_ms = to_ms.saturating_add(LATER_MS);
        if !self.switchboard.connected(device.id) {
            return self.streamed_log(&device, from_ms, to_ms).await;
        }
        let kind = command::Kind::History(History { tables: vec![LogEvent::TABLE.into()], from_ms, to_ms });
        self.command(
            &device,
            Command { deadline_ms: DEADLINE_MS, kind: Some(kind), asked_by: caller.name.clone(), ..Command::default() },
        )
        .await
    }

    /// What the server has.
    async fn streamed_log(&self, device: &Device, from_ms: i64, to_ms: i64) -> Result<AnswerStream, Status> {
        let held = self.store.history(device.id, LogEvent::TABLE, from_ms, to_ms, READINGS_MAX).await;
        let readings = held.map_err(internal)?;
        let more = if readings.len() >= READINGS_MAX as usize { "; there is more, earlier in the window" } else { "" };
        let progress = format!(
            "{} cannot be reached since {}: only what was streamed is shown, warnings and worse{more}",
            device.name,
            show::time(device.seen_ms, now_ms())
        );
        let first = Answer { progress, ..Answer::default() };
        let rest = readings.into_iter().map(|reading| Answer { readings: vec![reading], ..Answer::default() });
        let last = Answer { last: true, ..Answer::default() };
        Ok(Box::pin(stream::iter([first].into_iter().chain(rest).chain([last]).map(Ok))))
    }
}
