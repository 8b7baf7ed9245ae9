//! Where a statement ends: at a ";" that is neither in quotes nor in a comment.

/// The first whole statement of a text and what follows it; none where it goes on.
pub(super) fn first(text: &str) -> Option<(&str, &str)> {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map(|(_at, letter)| *letter);
        match (letter, next) {
            (';', _) => return text.get(..at).zip(text.get(at + 1..)),
            ('\'' | '"' | '`', _) => {
                letters.find(|(_at, other)| *other == letter)?;
            }
            ('[', _) => {
                letters.find(|(_at, other)| *other == ']')?;
            }
            ('-', Some('-')) => {
                letters.find(|(_at, other)| *other == '\n')?;
            }
            ('/', Some('*')) => {
                letters.next();
                let mut before = ' ';
                letters.find(|(_at, other)| std::mem::replace(&mut before, *other) == '*' && *other == '/')?;
            }
            _ => {}
        }
    }
    None
}

/// Whether there is nothing to ask: blanks and comments alone.
pub(super) fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_comment, rest)| rest).trim_start();
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_comment, rest)| rest).trim_start();
        } else {
            return rest.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_at_a_semicolon_that_is_not_quoted() {
        assert_eq!(first("SELECT 1; SELECT 2"), Some(("SELECT 1", " SELECT 2")));
        assert_eq!(
            first("SELECT ';', \"a;b\", [c;d] -- e;\n/* f; */;"),
            Some(("SELECT ';', \"a;b\", [c;d] -- e;\n/* f; */", ""))
        );
        for open in ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT /* ; ", "SELECT /*/;", "SELECT 'it''s; "] {
            assert_eq!(first(open), None, "{open}");
        }
        assert_eq!(first("SELECT 'it''s';"), Some(("SELECT 'it''s'", "")));
    }

    #[test]
    fn comments_ask_nothing() {
        assert!(is_blank(" -- a\n /* b */ ") && is_blank("") && !is_blank("-- a\nSELECT 1"));
    }
}
