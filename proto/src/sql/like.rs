//! `LIKE` and `GLOB` in time that grows with the text alone. Why our own: SQLite's try every way a pattern of many wildcards could fit, and
//! nothing can stop them while they do.

/// Whether text is like a pattern: `%` for anything, `_` for one character; letters of ASCII in either case.
pub(super) fn like(pattern: &str, text: &str, escape: Option<char>) -> bool {
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            letter if Some(letter) == escape => match letters.next() {
                Some(escaped) => Part::Letter(escaped.to_ascii_lowercase()),
                None => return false,
            },
            '%' => Part::Any,
            '_' => Part::One,
            letter => Part::Letter(letter.to_ascii_lowercase()),
        });
    }
    fits(&parts, text, |letter| letter.to_ascii_lowercase())
}

/// Whether text fits a pattern of the shell: `*`, `?`, `[abc]`, `[^a-z]`.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '*' => Part::Any,
            '?' => Part::One,
            '[' => {
                let not = letters.next_if_eq(&'^').is_some();
                let (mut ranges, mut first) = (Vec::new(), true);
                loop {
                    match letters.next() {
                        None => return false,
                        Some(']') if !first => break,
                        Some(from) => {
                            let mut ahead = letters.clone();
                            let to =
                                (ahead.next() == Some('-')).then(|| ahead.next()).flatten().filter(|to| *to != ']');
                            if to.is_some() {
                                letters = ahead;
                            }
                            ranges.push((from, to.unwrap_or(from)));
                        }
                    }
                    first = false;
                }
                Part::Set(ranges, not)
            }
            letter => Part::Letter(letter),
        });
    }
    fits(&parts, text, |letter| letter)
}

enum Part {
    Any,
    One,
    Letter(char),
    Set(Vec<(char, char)>, bool),
}

impl Part {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Letter(own) => *own == letter,
            Self::Set(ranges, not) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter)) != *not,
        }
    }
}

/// Why only the last wildcard is gone back to: what an earlier one could take more of, the last one can take as well.
fn fits(parts: &[Part], text: &str, fold: impl Fn(char) -> char) -> bool {
    let (mut part, mut rest) = (0, text.chars());
    let mut back = None;
    loop {
        let here = rest.clone();
        match (parts.get(part), rest.next()) {
            (Some(Part::Any), _) => {
                part += 1;
                rest = here.clone();
                back = Some((part, here));
            }
            (None, None) => return true,
            (Some(wanted), Some(letter)) if wanted.takes(fold(letter)) => part += 1,
            _ => {
                let Some((after, from)) = &mut back else { return false };
                if from.next().is_none() {
                    return false;
                }
                (part, rest) = (*after, from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_takes_what_sqlite_takes() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for pattern in ["", "%", "a%", "%a", "a_c", "%b%", "A%C", "a%b%c", "_", "%_%", "ä%", "a\\%", "%%a%%"] {
            for text in ["", "a", "abc", "ABC", "aXbYc", "xa", "ä", "Äb", "a%", "ab%", "%"] {
                let theirs: bool =
                    connection.query_row("SELECT ?1 LIKE ?2", [text, pattern], |row| row.get(0)).unwrap();
                assert_eq!(like(pattern, text, None), theirs, "{text:?} LIKE {pattern:?}");
                let sql = "SELECT ?1 LIKE ?2 ESCAPE '\\'";
                let theirs: bool = connection.query_row(sql, [text, pattern], |row| row.get(0)).unwrap();
                assert_eq!(like(pattern, text, Some('\\')), theirs, "{text:?} LIKE {pattern:?} ESCAPE");
            }
        }
    }

    #[test]
    fn glob_takes_what_sqlite_takes() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for pattern in
            ["", "*", "a*", "*a", "a?c", "[abc]", "[^abc]", "[a-c]x", "[]]", "[^]]", "a[", "[a-]", "*[0-9]*", "**b"]
        {
            for text in ["", "a", "abc", "b", "d", "bx", "dx", "]", "a[", "-", "no 7 here", "ab"] {
                let theirs: bool =
                    connection.query_row("SELECT ?1 GLOB ?2", [text, pattern], |row| row.get(0)).unwrap();
                assert_eq!(glob(pattern, text), theirs, "{text:?} GLOB {pattern:?}");
            }
        }
    }

    #[test]
    fn a_pattern_of_many_wildcards_ends() {
        let text = "a".repeat(200_000);
        assert!(!like(&format!("{}b", "%a".repeat(100)), &text, None));
    }
}
