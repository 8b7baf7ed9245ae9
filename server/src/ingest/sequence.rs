//! Which numbers of a session are taken and which acknowledged: the server's half of "each reading exactly once", without sockets or disks.
//!
//! Why: a number is acknowledged only after the store has said that it is durable, and a session begins at what the store held when
//! it began. Writes of an older session that are still under way may land later than that; so the store, too, passes over
//! numbers that it already holds of the epoch. Both halves are needed: this one bounds what is waiting, that one is the last word.

/// Why a batch is refused. The session ends with it; what was accepted before stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The batch is from another record than the session's greeting said.
    #[error("the batch is of epoch {got}, but this session began with epoch {expected}")]
    Epoch {
        /// The session's.
        expected: u64,
        /// The batch's.
        got: u64,
    },
    /// Numbers within a batch do not ascend, or begin below 1.
    #[error("number {got} follows {before} in a batch; numbers must ascend from 1")]
    Order {
        /// The number before it; 0 if it is the first.
        before: u64,
        /// The number.
        got: u64,
    },
}

/// The numbers of one session: `kept ≤ taken`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    epoch: u64,
    /// Highest number that is durable.
    kept: u64,
    /// Highest number that was handed to the store.
    taken: u64,
}

impl Sequence {
    /// A session begins: its epoch, and the highest number of it that the store holds durably (0 for none). Welcome says `kept`.
    pub fn hello(epoch: u64, kept: u64) -> Self {
        Self { epoch, kept, taken: kept }
    }

    /// The session's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The highest number that is durable.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Something was handed to the store and is not yet durable.
    pub fn is_waiting(&self) -> bool {
        self.taken > self.kept
    }

    /// A batch arrived with these numbers. Answers how many at its beginning are repeats to be passed over; the rest is to be
    /// handed to the store, and counts as taken. A refused batch changes nothing.
    pub fn batch(&mut self, epoch: u64, numbers: impl IntoIterator<Item = u64>) -> Result<usize, Refusal> {
        if epoch != self.epoch {
            return Err(Refusal::Epoch { expected: self.epoch, got: epoch });
        }
        let (mut before, mut repeats) = (0, 0);
        for number in numbers {
            if number <= before {
                return Err(Refusal::Order { before, got: number });
            }
            before = number;
            repeats += usize::from(number <= self.taken);
        }
        self.taken = self.taken.max(before);
        Ok(repeats)
    }

    /// The store says that everything up to a number is durable. Answers what to acknowledge, if that is news.
    pub fn durable(&mut self, upto: u64) -> Option<u64> {
        if upto <= self.kept {
            return None;
        }
        self.kept = upto;
        self.taken = self.taken.max(upto);
        Some(upto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_at_the_beginning_are_passed_over_and_the_rest_is_taken() {
        let mut sequence = Sequence::hello(7, 3);
        assert_eq!(sequence.batch(7, [2, 3, 5, 9]), Ok(2));
        assert_eq!(sequence.batch(7, [5, 9]), Ok(2), "what is waiting for the store is not taken twice");
        assert_eq!(sequence.batch(7, [10]), Ok(0));
    }

    #[test]
    fn nothing_is_acknowledged_before_it_is_durable_and_nothing_twice() {
        let mut sequence = Sequence::hello(7, 0);
        sequence.batch(7, [1, 2, 3]).unwrap();
        assert!(sequence.is_waiting());
        assert_eq!(sequence.kept(), 0);
        assert_eq!(sequence.durable(2), Some(2));
        assert_eq!(sequence.durable(2), None);
        assert_eq!(sequence.durable(1), None);
        assert_eq!(sequence.durable(3), Some(3));
        assert!(!sequence.is_waiting());
    }

    #[test]
    fn another_epoch_is_refused_and_changes_nothing() {
        let mut sequence = Sequence::hello(7, 3);
        let before = sequence.clone();
        assert_eq!(sequence.batch(8, [4]), Err(Refusal::Epoch { expected: 7, got: 8 }));
        assert_eq!(sequence, before);
    }

    #[test]
    fn numbers_that_do_not_ascend_are_refused_and_change_nothing() {
        for numbers in [vec![0], vec![4, 4], vec![5, 4], vec![4, 6, 5]] {
            let mut sequence = Sequence::hello(7, 3);
            let before = sequence.clone();
            assert!(sequence.batch(7, numbers).is_err());
            assert_eq!(sequence, before);
        }
    }
}
