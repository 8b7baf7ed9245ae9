//! How much a question may take of this machine, and what it may show.

use std::time::Duration;

use deskside_proto::sql::Bounds;
use deskside_proto::v1::Sight;
use serde::{Deserialize, Serialize};

/// What the owner of this machine allows. The server's own bounds and roles hold beside these; the narrower one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Rows of an answer.
    pub rows_max: u64,
    /// Bytes of an answer.
    pub bytes_max: u64,
    /// Seconds that one question may take.
    pub time_max_s: u16,
    /// Bytes of memory for sorting and grouping.
    pub memory_max: u64,
    /// What tells persons apart may be shown to those whose role allows it.
    pub personal: bool,
    /// The same for what a person wrote or looked at.
    pub content: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let most = Bounds::default();
        Self {
            rows_max: most.rows_max,
            bytes_max: most.bytes_max,
            time_max_s: u16::try_from(most.time_max.as_secs()).unwrap_or(u16::MAX),
            memory_max: most.memory_max,
            personal: true,
            content: true,
        }
    }
}

impl Limits {
    /// The bounds of an answer: they can be set lower than the agent's own, never higher.
    pub fn bounds(&self) -> Bounds {
        let most = Bounds::default();
        Bounds {
            rows_max: self.rows_max.min(most.rows_max),
            bytes_max: self.bytes_max.min(most.bytes_max),
            time_max: Duration::from_secs(self.time_max_s.into()).min(most.time_max),
            memory_max: self.memory_max.min(most.memory_max),
        }
    }

    /// What is left of what the asker's role may see.
    pub fn sight(&self, role: Sight) -> Sight {
        Sight { personal: role.personal && self.personal, content: role.content && self.content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_narrow_what_a_question_may_and_never_widen_it() {
        let wide = Limits { rows_max: u64::MAX, time_max_s: u16::MAX, ..Limits::default() };
        assert_eq!(wide.bounds(), Bounds::default());
        let narrow = Limits { rows_max: 10, content: false, ..Limits::default() };
        assert_eq!(narrow.bounds().rows_max, 10);
        let sight = narrow.sight(Sight { personal: true, content: true });
        assert_eq!(sight, Sight { personal: true, content: false });
        assert_eq!(Limits::default().sight(Sight::default()), Sight::default());
    }
}
