//! Which lines are mined: those that their program calls a warning or worse, and those whose words name an error.

use std::sync::LazyLock;

/// Least urgent priority that is mined whatever its words: warning.
const PRIORITY_MAX: u32 = 4;

/// What nobody mines: debugging.
const DEBUG: u32 = 7;

/// How much of a line is looked through.
const BYTES_MAX: usize = 1024;

/// Words that name an error, in lower case. Each may stand within a longer word (`NullPointerException`, `ioerror`).
const WORDS: &[&str] = &[
    "error",
    "fail",
    "cannot",
    "can't",
    "could not",
    "couldn't",
    "unable",
    "denied",
    "timeout",
    "timed out",
    "refused",
    "panic",
    "segfault",
    "segmentation fault",
    "oops",
    "fatal",
    "critical",
    "exception",
    "traceback",
    "abort",
    "corrupt",
    "unreachable",
    "not responding",
    "no space left",
    "out of memory",
    "oom-kill",
    "dumped core",
    "crash",
    "rejected",
    "invalid",
    "expired",
    "too many",
    "lockup",
    "call trace",
    "blocked for more than",
    "killed process",
    "reset adapter",
    "broken pipe",
    "deadlock",
    "mismatch",
    "not permitted",
    "i/o err",
    "read-only",
    "unexpected",
    "assertion",
    "degraded",
    "clock skew",
    "lost connection",
    "disconnected from",
];

/// What takes the meaning from the word after it ("no errors") or before it ("errors: 0").
const BEFORE: &[&str] = &["no ", "0 ", "without ", "zero ", "not "];
const AFTER: &[&str] = &[": 0", "=0", " count: 0", " rate: 0", "_count=0"];

/// Letters by which a word's beginning is known.
const BEGINNING: usize = 3;

/// For every three letters (five bits each) whether any word begins with them. Why: one look into a table for each byte of a line that tells
/// of no error.
static BEGINNINGS: LazyLock<[u64; 512]> = LazyLock::new(|| {
    let mut table = [0; 512];
    for word in WORDS {
        let begins = word.bytes().take(BEGINNING).fold(0, place);
        if let Some(bits) = table.get_mut(begins / 64) {
            *bits |= 1 << (begins % 64);
        }
    }
    table
});

/// The place of the last three letters, by the place of those before the last. Letters of either case have one place.
fn place(before: usize, letter: u8) -> usize {
    (before << 5 | usize::from(letter & 0x1f)) & 0x7fff
}

/// Whether a line is to be mined.
pub(super) fn is_worth(priority: Option<u32>, message: &str) -> bool {
    match priority {
        Some(0..=PRIORITY_MAX) => true,
        Some(DEBUG) => false,
        _ => names_an_error(message.as_bytes()),
    }
}

fn names_an_error(text: &[u8]) -> bool {
    let text = text.get(..BYTES_MAX).unwrap_or(text);
    let beginnings = &*BEGINNINGS;
    let mut three = 0;
    for (last, letter) in text.iter().enumerate() {
        three = place(three, *letter);
        let begins = beginnings.get(three / 64).is_some_and(|bits| bits >> (three % 64) & 1 == 1);
        if begins
            && let Some(at) = (last + 1).checked_sub(BEGINNING)
            && WORDS.iter().any(|word| stands(text, at, word))
        {
            return true;
        }
    }
    false
}

fn stands(text: &[u8], at: usize, word: &str) -> bool {
    let end = at + word.len();
    if !text.get(at..end).is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes())) {
        return false;
    }
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(end..).unwrap_or_default());
    let denied = BEFORE.iter().any(|no| {
        let Some((rest, there)) = before.len().checked_sub(no.len()).and_then(|from| before.split_at_checked(from))
        else {
            return false;
        };
        there.eq_ignore_ascii_case(no.as_bytes()) && !rest.last().is_some_and(u8::is_ascii_alphanumeric)
    });
    // "failed=0", and not "failed: 0x80070005".
    let letters = after.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let after = after.get(letters..).unwrap_or_default();
    let mut rest = AFTER.iter().filter_map(|none| after.strip_prefix(none.as_bytes()));
    let none = rest.any(|rest| !rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.'));
    !denied && !none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_names_an_error_is_mined_whatever_its_priority() {
        for message in [
            "Could not resolve host",
            "java.io.IOException: closed",
            "ERROR: relation missing",
            "connect() failed (111: Connection refused)",
            "upstream timed out",
            "firefox[7]: segfault at 0",
            "10 errors in 3 files",
            "update failed: 0x80070005",
        ] {
            assert!(is_worth(None, message) && is_worth(Some(6), message), "{message}");
        }
        assert!(is_worth(Some(4), "anything at all"));
    }

    #[test]
    fn a_line_that_tells_of_none_is_left_alone() {
        for message in [
            "Started CUPS Scheduler.",
            "scan finished: 0 errors",
            "fsck: no errors found",
            "errors: 0",
            "tests failed=0",
            "finished without error",
            "28 pages printed",
            "",
        ] {
            assert!(!is_worth(Some(6), message) && !is_worth(None, message), "{message}");
        }
        assert!(!is_worth(Some(7), "an error in debugging"));
    }
}
