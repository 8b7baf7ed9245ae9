//! What a check came to, in words for a person.

use serde::Serialize;

use super::Broken;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// It is as it should be.
    pub good: bool,
    /// What it is, in a sentence.
    pub words: String,
}

/// All that was checked, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// Nothing is wrong, and something was checked.
    pub fn is_good(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.good)
    }

    /// The first thing that is wrong.
    pub fn wrong(&self) -> Option<&str> {
        self.checks.iter().find(|check| !check.good).map(|check| check.words.as_str())
    }

    pub(super) fn good(&mut self, words: impl Into<String>) {
        self.checks.push(Check { good: true, words: words.into() });
    }

    pub(super) fn bad(&mut self, words: impl Into<String>) {
        self.checks.push(Check { good: false, words: words.into() });
    }

    /// Notes how a step went; what it found, where it went well.
    pub(super) fn step<T>(&mut self, done: Result<T, Broken>, words: impl FnOnce(&T) -> String) -> Option<T> {
        match done {
            Ok(found) => {
                self.good(words(&found));
                Some(found)
            }
            Err(Broken(why)) => {
                self.bad(why);
                None
            }
        }
    }
}
