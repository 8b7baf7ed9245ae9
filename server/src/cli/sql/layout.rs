//! How the columns of a table share the width of a terminal.

use unicode_width::UnicodeWidthStr;

use crate::cli::screen::Line;

/// What lies between two columns.
const GAP: usize = 2;

/// A column is not cut below this to make room for others.
const CUT_MIN: usize = 16;

/// The columns that are shown and their widths.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Layout {
    /// Place and width of each column that is shown.
    pub(super) shown: Vec<(usize, usize)>,
    /// Places of those that found no room.
    pub(super) left_out: Vec<usize>,
}

impl Layout {
    /// For headings and rows as far as they are known. `blank` says that no row has a value in a column; such columns make room first, then
    /// long cells are cut, then columns from the right.
    pub(in crate::cli) fn of(headings: &[String], rows: &[Vec<String>], blank: &[bool], width: Option<usize>) -> Self {
        let natural = |place: usize| {
            let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.width());
            cells.chain(headings.get(place).map(|heading| heading.width())).max().unwrap_or_default()
        };
        let mut shown: Vec<(usize, usize)> = (0..headings.len()).map(|place| (place, natural(place))).collect();
        let mut left_out = Vec::new();
        let Some(width) = width else { return Self { shown, left_out } };
        while total(&shown) > width {
            let empty = |(place, _width): &(usize, usize)| blank.get(*place).copied().unwrap_or_default();
            let Some(place) = shown.iter().rposition(empty) else { break };
            left_out.push(shown.remove(place).0);
        }
        while total(&shown) > width {
            let over = total(&shown) - width;
            let widest = shown.iter_mut().max_by_key(|(_place, width)| *width).filter(|(_, width)| *width > CUT_MIN);
            if let Some((_place, widest)) = widest {
                *widest -= over.min(*widest - CUT_MIN).min((*widest - CUT_MIN).div_ceil(4).max(1));
            } else if shown.len() > 1 {
                left_out.extend(shown.pop().map(|(place, _width)| place));
            } else {
                break;
            }
        }
        left_out.sort_unstable();
        Self { shown, left_out }
    }

    /// A line of cells.
    pub(in crate::cli) fn line(&self, cells: &[String], right: &[bool]) -> String {
        let mut line = String::new();
        for (number, (place, width)) in self.shown.iter().enumerate() {
            let cell = cut(cells.get(*place).map_or("", String::as_str), *width);
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            if number > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            if right.get(*place).copied().unwrap_or_default() {
                line.push_str(&pad);
                line.push_str(&cell);
            } else {
                line.push_str(&cell);
                line.push_str(&pad);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// A line of cells, those that are marked in bright letters.
    pub(in crate::cli) fn marked(&self, cells: &[String], marks: &[bool]) -> Line {
        let mut line = Line::default();
        for (number, (place, width)) in self.shown.iter().enumerate() {
            let cell = cut(cells.get(*place).map_or("", String::as_str), *width);
            let is_last = number + 1 == self.shown.len();
            let pad = if is_last { 0 } else { width.saturating_sub(cell.width()) + GAP };
            let is_marked = marks.get(*place).copied().unwrap_or_default();
            line = if is_marked { line.warn(cell) } else { line.plain(cell) };
            line = line.plain(" ".repeat(pad));
        }
        line
    }
}

fn total(shown: &[(usize, usize)]) -> usize {
    shown.iter().map(|(_place, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// Text that is no wider than that.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        if cut.width() + unicode_width::UnicodeWidthChar::width(letter).unwrap_or_default() + 1 > width {
            break;
        }
        cut.push(letter);
    }
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_fits_is_shown_whole_and_numbers_stand_at_the_right() {
        let rows = vec![words(&["hall", "3"]), words(&["attic", "12"])];
        let layout = Layout::of(&words(&["name", "jobs"]), &rows, &[false, false], Some(80));
        assert_eq!(layout.line(&rows[0], &[false, true]), "hall      3");
        assert!(layout.left_out.is_empty());
    }

    #[test]
    fn blank_columns_make_room_before_cells_are_cut_and_columns_go() {
        let headings = words(&["name", "nothing", "message", "last"]);
        let rows = vec![words(&["hall", "-", &"long ".repeat(20), "x"])];
        let layout = Layout::of(&headings, &rows, &[false, true, false, false], Some(40));
        assert_eq!(layout.left_out, [1]);
        let line = layout.line(&rows[0], &[]);
        assert!(line.width() <= 40 && line.contains('…') && line.ends_with('x'), "{line}");
        let narrow = Layout::of(&headings, &rows, &[false; 4], Some(20));
        assert!(narrow.left_out.contains(&3) && narrow.shown.first().is_some_and(|(place, _)| *place == 0));
    }

    #[test]
    fn wide_letters_count_for_two() {
        assert_eq!(cut("印刷機です", 5), "印刷…");
        assert_eq!(cut("short", 5), "short");
    }
}
