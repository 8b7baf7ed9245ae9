//! The terminal: the only place that writes to it. Colours are for terminals alone, and what a machine said can do nothing but be read.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Row, Table};
use deskside_proto::show;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;

/// Width that text is wrapped at where the output is no terminal.
const PLAIN_WIDTH: usize = 120;

/// Narrowest width that text is wrapped at.
const WIDTH_MIN: usize = 40;

/// Longest cell that counts when it is asked whether a table fits.
const CELL_CHARS: usize = 40;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WARN: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();

/// One line, built piece by piece; each piece is made printable on its way in.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    text: String,
}

impl Line {
    /// As it is.
    #[must_use]
    pub(super) fn plain(self, text: impl AsRef<str>) -> Self {
        self.styled(Style::new(), text.as_ref())
    }

    /// A heading or a name.
    #[must_use]
    pub(super) fn bold(self, text: impl AsRef<str>) -> Self {
        self.styled(BOLD, text.as_ref())
    }

    /// What is read second.
    #[must_use]
    pub(super) fn dim(self, text: impl AsRef<str>) -> Self {
        self.styled(DIM, text.as_ref())
    }

    /// What is broken.
    #[must_use]
    pub(super) fn bad(self, text: impl AsRef<str>) -> Self {
        self.styled(BAD, text.as_ref())
    }

    /// What may break, or is not known.
    #[must_use]
    pub(super) fn warn(self, text: impl AsRef<str>) -> Self {
        self.styled(WARN, text.as_ref())
    }

    /// What is well.
    #[must_use]
    pub(super) fn good(self, text: impl AsRef<str>) -> Self {
        self.styled(GOOD, text.as_ref())
    }

    fn styled(mut self, style: Style, text: &str) -> Self {
        // Writing to a string cannot fail.
        write!(self.text, "{style}{}{style:#}", show::printable(text)).unwrap_or_default();
        self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Standard output, and the moment that ages are counted from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    /// JSON instead of text.
    pub(super) json: bool,
    /// Now, in milliseconds since 1970-01-01 UTC.
    pub(super) now_ms: i64,
    width: Option<u16>,
    colours: ColorChoice,
}

impl Screen {
    /// The terminal as it is now.
    pub(super) fn new(json: bool) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Self { json, now_ms, width: Table::new().width(), colours: AutoStream::choice(&io::stdout()) }
    }

    /// Where text goes that comes bit by bit; colours are taken out where the output is no terminal.
    pub(super) fn out(self) -> AutoStream<io::Stdout> {
        AutoStream::new(io::stdout(), self.colours)
    }

    /// Columns of the terminal; none where the output is no terminal.
    pub(super) fn width(self) -> Option<usize> {
        // A terminal that does not know its size says 0.
        self.width.map(|width| if width == 0 { PLAIN_WIDTH } else { usize::from(width).max(WIDTH_MIN) })
    }

    fn write(self, text: fmt::Arguments<'_>) -> io::Result<()> {
        writeln!(AutoStream::new(io::stdout(), self.colours), "{text}")
    }

    /// A value, in several lines, for a program.
    pub(super) fn value(self, value: &Json) -> io::Result<()> {
        self.write(format_args!("{value:#}"))
    }

    /// A value in one line, where more may follow.
    pub(super) fn event(self, value: &Json) -> io::Result<()> {
        self.write(format_args!("{value}"))
    }

    /// A line.
    pub(super) fn line(self, line: Line) -> io::Result<()> {
        let Line { text } = line;
        self.write(format_args!("{text}"))
    }

    /// An empty line.
    pub(super) fn gap(self) -> io::Result<()> {
        self.write(format_args!(""))
    }

    /// Text as it is, line by line.
    pub(super) fn text(self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| self.line(Line::default().plain(line)))
    }

    /// A label and text beside it, wrapped so that the label's column stays free.
    pub(super) fn beside(self, label: &str, column: usize, text: &str) -> io::Result<()> {
        let width = self.width.map_or(PLAIN_WIDTH, usize::from).saturating_sub(column).max(WIDTH_MIN);
        for (place, part) in wrap(&show::printable(text), width).iter().enumerate() {
            let label = if place == 0 { label } else { "" };
            self.line(Line::default().dim(format!("{label:column$}")).plain(part))?;
        }
        Ok(())
    }

    /// A label and a line of a timeline beside it, coloured by how bad it was, wrapped as above.
    pub(super) fn moment(self, label: &str, column: usize, severity: &str, text: &str) -> io::Result<()> {
        let width = self.width.map_or(PLAIN_WIDTH, usize::from).saturating_sub(column).max(WIDTH_MIN);
        for (place, part) in wrap(&show::printable(text), width).iter().enumerate() {
            let label = if place == 0 { label } else { "" };
            let line = Line::default().dim(format!("{label:column$}"));
            self.line(match severity {
                "critical" => line.bad(part),
                "warning" => line.warn(part),
                _ => line.plain(part),
            })?;
        }
        Ok(())
    }

    /// A table; on a terminal each row is cut to one line.
    pub(super) fn table(self, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_truncation_indicator("…").force_no_tty();
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(headings.to_vec());
        for row in rows {
            let mut row = Row::from(row.iter().map(|cell| show::printable(cell)).collect::<Vec<_>>());
            row.max_height(1);
            table.add_row(row);
        }
        for (place, line) in table.lines().enumerate() {
            let line = line.trim_end();
            let line = if place == 0 { Line::default().bold(line) } else { Line::default().plain(line) };
            self.line(line)?;
        }
        Ok(())
    }

    /// Whether a table with these cells fits, if its longest cells are cut.
    pub(super) fn fits(self, headings: &[&str], rows: &[Vec<String>]) -> bool {
        let Some(width) = self.width else { return true };
        let columns = headings.iter().enumerate().map(|(place, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count().min(CELL_CHARS));
            cells.chain([heading.chars().count()]).max().unwrap_or_default() + 2
        });
        columns.sum::<usize>() <= usize::from(width)
    }
}

/// Something is going on that takes a while. On standard error, and on a terminal alone.
pub(super) fn spinner(message: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(show::printable(message));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Bytes are on their way.
pub(super) fn transfer(bytes: u64, name: &str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?;
    Ok(ProgressBar::new(bytes).with_style(style).with_message(show::printable(name)))
}

/// A note to the person, beside the output.
pub(super) fn note(line: Line) -> io::Result<()> {
    let Line { text } = line;
    writeln!(anstream::stderr(), "{text}")
}

/// What went wrong, and what to do.
pub(super) fn complaint(what: &str, advice: &str) -> io::Result<()> {
    note(Line::default().bad("error: ").plain(what))?;
    if advice.is_empty() { Ok(()) } else { note(Line::default().plain("       ").plain(advice)) }
}

/// Breaks text at its blanks; a longer word stands alone.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(last) = lines.last_mut() else { continue };
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_says_cannot_steer_the_terminal() {
        let line = Line::default().plain("a\u{1b}[2Jb\u{7}\r\n").bold("c\u{9b}31m");
        let shown = anstream::adapter::strip_str(&line.text).to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert!(!line.text.contains("\u{1b}[2J"));
    }

    #[test]
    fn text_is_broken_at_its_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("overlong-word x", 4), ["overlong-word", "x"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
