//! Text between people and systems that read HTML or Markdown: what we write is escaped, what they send is stripped to words.

/// Longest HTML that is read as text.
const HTML_BYTES_MAX: usize = 1024 * 1024;

/// Plain text as HTML that shows exactly it, in a fixed width.
pub(super) fn preformatted(text: &str) -> String {
    format!("<pre>{}</pre>", escaped(text))
}

/// Text in which no letter means anything to HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 64);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// The words of HTML: tags are taken out, blocks end lines, the common entities are letters again. Once: what is escaped twice stays so.
pub(super) fn plain(html: &str) -> String {
    let end = html.floor_char_boundary(html.len().min(HTML_BYTES_MAX));
    let mut rest = html.get(..end).unwrap_or_default();
    let mut plain = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('<') {
        plain.push_str(before);
        let opens = after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        if !opens {
            plain.push('<');
            rest = after;
            continue;
        }
        let (tag, later) = after.split_once('>').unwrap_or((after, ""));
        let name: String = tag.chars().filter(|c| *c != '/').take_while(char::is_ascii_alphanumeric).collect();
        if ["br", "p", "div", "li", "tr", "pre", "h1", "h2", "h3"].contains(&name.to_ascii_lowercase().as_str()) {
            plain.push('\n');
        }
        rest = later;
    }
    plain.push_str(rest);
    let letters = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")];
    let plain = letters.iter().fold(plain, |text, (entity, letter)| text.replace(entity, letter));
    let lines = plain.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_shows_and_does_nothing() {
        let html = preformatted("<script>alert('x')</script> & [a](javascript:b)");
        assert_eq!(html, "<pre>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; [a](javascript:b)</pre>");
    }

    #[test]
    fn what_they_send_is_words() {
        assert_eq!(
            plain("<p>My <b>printer</b></p><div>a &lt; b &amp;amp; c<br/>d</div>"),
            "My printer\na < b &amp; c\nd"
        );
        assert_eq!(plain("1 < 2 and <unended"), "1 < 2 and");
        assert_eq!(plain(""), "");
    }

    #[test]
    fn what_was_escaped_comes_back_as_it_was() {
        let text = "a <b> & \"c\" 'd' &lt;";
        assert_eq!(plain(&escaped(text)), text);
    }
}
