//! Enough of Rust's grammar to measure it: code with comments and texts blanked, its functions, and the rooms it names.

/// Source with comments, texts and characters blanked; line breaks stay, so that lines keep their numbers.
pub(crate) fn code(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| text(rest, &code)).or_else(|| character(rest));
        let length = skipped.unwrap_or(0);
        let (taken, after) = rest.split_at(if length == 0 { first.len_utf8() } else { length });
        if length == 0 {
            code.push(first);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// Bytes of the comment that begins here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

/// Bytes of the text that begins here, plain or raw.
fn text(rest: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if let Some(raw) = rest.strip_prefix('r').filter(|_raw| !in_word || before.ends_with('b')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw.get(hashes..)?.strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(1 + hashes + 1 + length);
    }
    let body = rest.strip_prefix('"')?;
    let mut escaped = false;
    for (place, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(place + 2),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Bytes of the character that begins here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    if let Some(escaped) = body.strip_prefix('\\') {
        return escaped.get(1..)?.find('\'').map(|end| end + 4);
    }
    let first = body.chars().next()?;
    body.get(first.len_utf8()..)?.starts_with('\'').then(|| first.len_utf8() + 2)
}

/// A function and its lines of code between the braces, blank ones and comments not counted.
#[derive(Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) lines: usize,
}

/// All functions with a body, in blanked code.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _word) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        let after = &code[at + 3..];
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() || before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        if let Some(body) = body(after) {
            let lines = body.lines().filter(|line| !line.trim().is_empty()).count();
            found.push(Function { name, lines });
        }
    }
    found
}

/// What stands between the braces; nothing for a declaration without them.
fn body(after: &str) -> Option<&str> {
    let (mut depth, mut brackets, mut start) = (0_usize, 0_usize, 0);
    for (place, c) in after.char_indices() {
        match c {
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets = brackets.saturating_sub(1),
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => {
                depth += 1;
                start = if depth == 1 { place + 1 } else { start };
            }
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return after.get(start..place);
                }
            }
            _ => {}
        }
    }
    None
}

/// The rooms of its own crate that blanked code names: `crate::record::…`, `crate::{record, redact::…}`.
pub(crate) fn rooms(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in code.match_indices("crate::") {
        let after = &code[at + word.len()..];
        match after.strip_prefix('{') {
            Some(list) => found.extend(heads(list)),
            None => found.push(head(after)),
        }
    }
    found.retain(|room| !room.is_empty());
    found
}

fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first word of each item of a use list, up to its closing brace.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (place, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(head(&list[start..place]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(head(&list[start..place]));
                start = place + 1;
            }
            _ => {}
        }
    }
    found
}

/// A name in its words: `fooBar`, `FooBar` and `foo_bar` are foo and bar.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(last) = words.last_mut().filter(|_last| c.is_alphanumeric()) {
            last.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn comments_and_texts_are_no_code() {
    let source = "let a = \"unsafe // {\"; // unsafe\nlet b = r#\"un\"safe\"#; /* x */ let c = '{'; fn d<'a>() {}";
    let code = code(source);
    assert!(!code.contains("unsafe") && !code.contains("safe"), "{code}");
    assert!(code.contains("let c =") && code.contains("fn d<'a>() {}"), "{code}");
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn functions_are_measured_by_their_code() {
    let code = code("trait T { fn none(&self) -> [u8; 4]; }\nfn two() {\n\n    // why\n    go();\n}\n");
    assert_eq!(functions(&code), [Function { name: "two".into(), lines: 1 }]);
}

#[test]
fn rooms_are_found_in_lists_too() {
    let code = "use crate::record::Record; use crate::{host::{Host, Live}, redact, pack::Pack};";
    assert_eq!(rooms(code), ["record", "host", "redact", "pack"]);
}

#[test]
fn names_fall_into_words() {
    assert_eq!(words("RecordManager"), ["record", "manager"]);
    assert_eq!(words("metadata_of"), ["metadata", "of"]);
}
