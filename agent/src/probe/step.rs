//! Steps of a probe as they are taken: numbered, told, and kept as rows.

use deskside_proto::rows::Row;
use deskside_proto::v1::{CaptiveTest, DnsTest, GatewayPath, HttpTest, NtpTest, TlsTest};

use super::{Steps, Unrun};
use crate::collect::Rows;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Failed,
    /// It could not be seen.
    Unknown,
    NotDone,
}

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::NotDone => "not done",
        }
    }
}

/// A row that is a step.
pub(super) trait Step: Row {
    /// Gives it its place.
    fn place(&mut self, number: u32);
    /// What is told of it: step, target, outcome, what was found, time.
    fn told(&self) -> (&str, &str, &str, &str, Option<u32>);
}

macro_rules! steps {
    ($($row:ty),*) => {$(
        impl Step for $row {
            fn place(&mut self, number: u32) {
                self.number = number;
            }
            fn told(&self) -> (&str, &str, &str, &str, Option<u32>) {
                (&self.step, &self.target, &self.outcome, &self.found, self.took_ms)
            }
        }
    )*};
}

steps!(DnsTest, TlsTest, HttpTest, CaptiveTest, NtpTest, GatewayPath);

/// The steps that were taken.
pub(super) struct Taken<'a, 'b, R> {
    pub(super) steps: &'a mut Steps<'b>,
    pub(super) rows: Vec<R>,
}

impl<'a, 'b, R: Step> Taken<'a, 'b, R> {
    pub(super) fn new(steps: &'a mut Steps<'b>) -> Self {
        Self { steps, rows: Vec::new() }
    }

    /// Keeps a step and tells of it.
    pub(super) fn note(&mut self, mut row: R) -> Result<(), Unrun> {
        row.place(u32::try_from(self.rows.len() + 1).unwrap_or(u32::MAX));
        let (step, target, outcome, found, took_ms) = row.told();
        if step != VERDICT {
            let took = took_ms.map(|ms| format!(" ({ms} ms)")).unwrap_or_default();
            let target = if target.is_empty() { String::new() } else { format!(" {target}") };
            self.steps.tell(format!("{step}{target}: {outcome}: {found}{took}"))?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// All of them.
    pub(super) fn rows(self) -> Rows {
        self.rows.into_iter().collect()
    }
}

/// The step that says the whole.
pub(super) const VERDICT: &str = "verdict";

/// Milliseconds as a column holds them.
pub(super) fn ms(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Since a moment, likewise.
pub(super) fn since_ms(host: &dyn crate::host::Host, begun_ms: i64) -> u32 {
    u32::try_from(host.now_ms().saturating_sub(begun_ms)).unwrap_or_default()
}
