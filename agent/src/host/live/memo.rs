//! What far machines and slow programs answered a moment ago, so that several tables are one conversation.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer, or a silence, answers the next one who asks the same.
const KEPT: Duration = Duration::from_mins(1);

/// Most questions that are remembered; beyond it they are asked again.
const QUESTIONS_MAX: usize = 512;

/// An error that can be told twice.
#[derive(Clone, Debug)]
struct Failure(io::ErrorKind, String);

type Kept<T> = Arc<Mutex<Option<(Instant, Result<T, Failure>)>>>;

/// Answers by question. Those who ask the same at once wait for one answer.
#[derive(Debug)]
pub(super) struct Memo<T> {
    answers: Mutex<BTreeMap<String, Kept<T>>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { answers: Mutex::default() }
    }
}

impl<T: Clone> Memo<T> {
    /// The answer of less than a minute ago, else a new one.
    pub(super) fn ask(&self, question: String, ask: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(place) = self.place(question) else { return ask() };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, answer)) = place.as_ref()
            && at.elapsed() < KEPT
        {
            return answer.clone().map_err(|Failure(kind, text)| io::Error::new(kind, text));
        }
        let answer = ask();
        let kept = match &answer {
            Ok(answer) => Ok(answer.clone()),
            Err(error) => Err(Failure(error.kind(), error.to_string())),
        };
        *place = Some((Instant::now(), kept));
        answer
    }

    /// Lets go of what is old, so that nothing large is held until somebody asks again.
    pub(super) fn tidy(&self) {
        Self::let_go(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Forgets all answers.
    pub(super) fn forget(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Where an answer is kept; absent where there is no room. What is old goes first.
    fn place(&self, question: String) -> Option<Kept<T>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Self::let_go(&mut answers);
        if answers.len() >= QUESTIONS_MAX && !answers.contains_key(&question) {
            return None;
        }
        Some(Arc::clone(answers.entry(question).or_default()))
    }

    fn let_go(answers: &mut BTreeMap<String, Kept<T>>) {
        answers.retain(|_question, kept| {
            // One that is being asked at this moment is locked.
            kept.try_lock().map_or(true, |kept| kept.as_ref().is_some_and(|(at, _answer)| at.elapsed() < KEPT))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_same_question_is_asked_once_and_a_silence_is_remembered_too() {
        let (memo, asked) = (Memo::default(), AtomicUsize::new(0));
        let ask = |question: &str, answer: io::Result<u8>| {
            memo.ask(question.into(), || {
                asked.fetch_add(1, Ordering::Relaxed);
                answer
            })
        };
        assert_eq!(ask("a", Ok(1)).unwrap(), 1);
        assert_eq!(ask("a", Ok(2)).unwrap(), 1);
        assert_eq!(ask("b", Err(io::ErrorKind::TimedOut.into())).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(ask("b", Ok(3)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        memo.forget();
        assert_eq!(ask("b", Ok(3)).unwrap(), 3);
    }

    #[test]
    fn those_who_ask_at_once_share_one_answer() {
        let (memo, asked) = (Memo::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _one in 0..8 {
                scope.spawn(|| {
                    let slow = || {
                        std::thread::sleep(Duration::from_millis(50));
                        Ok(asked.fetch_add(1, Ordering::Relaxed))
                    };
                    assert_eq!(memo.ask("a".into(), slow).unwrap(), 0);
                });
            }
        });
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let memo = Memo::default();
        for question in 0..2 * QUESTIONS_MAX {
            assert_eq!(memo.ask(question.to_string(), || Ok(question)).unwrap(), question);
        }
        assert_eq!(memo.answers.lock().unwrap().len(), QUESTIONS_MAX);
    }
}
