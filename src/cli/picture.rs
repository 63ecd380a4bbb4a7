//! A picture on a terminal that is drawn again in place.
//!
//! A line that is longer than the terminal is wide takes several rows, so what has to be erased is counted in rows.
//! Rows that have left the screen at the top cannot be erased any more; a picture is therefore never as high as the
//! screen. What a terminal makes of old rows when its size changes is its own affair (some wrap them anew, some cut
//! them, some move them out of sight), so then the screen is begun anew.

use crossterm::terminal;
use unicode_width::UnicodeWidthChar;

/// What a terminal is taken to be that does not say.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Cells of a row.
    pub(crate) columns: usize,
    /// Rows.
    pub(crate) rows: usize,
}

impl Size {
    /// That of the terminal at this moment.
    pub(crate) fn now() -> Self {
        match terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => {
                Self { columns: usize::from(columns), rows: usize::from(rows) }
            }
            Ok(_) | Err(_) => USUAL,
        }
    }
}

/// What was drawn last, and on what.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    drawn: String,
    on: Option<Size>,
}

/// What is to be done before anything else is printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Erase {
    /// This erases the picture; the cursor is where it began then.
    Picture(String),
    /// This empties the screen: what stood above the picture has to be printed again.
    Screen(&'static str),
}

impl Picture {
    /// What erases it on a terminal that is of this size now.
    pub(crate) fn erase(&mut self, size: Size) -> Erase {
        let drawn = std::mem::take(&mut self.drawn);
        if self.on.replace(size).is_some_and(|before| before != size) {
            return Erase::Screen("\x1b[2J\x1b[H");
        }
        Erase::Picture(match rows(&drawn, size.columns) {
            0 => String::new(),
            rows => format!("\x1b[{rows}A\r\x1b[J"),
        })
    }

    /// What draws `text`, whole lines of it, as far as they fit.
    pub(crate) fn draw(&mut self, text: &str, size: Size) -> String {
        let mut left = size.rows.saturating_sub(1);
        for line in text.split_inclusive('\n') {
            let Some(rest) = left.checked_sub(rows(line, size.columns)) else { break };
            left = rest;
            self.drawn.push_str(line);
        }
        self.drawn.clone()
    }
}

/// How many rows the lines of `text` take.
fn rows(text: &str, columns: usize) -> usize {
    text.lines().map(|line| rows_of(line, columns.max(1))).sum()
}

fn rows_of(line: &str, columns: usize) -> usize {
    let (mut rows, mut column, mut in_code) = (1, 0, false);
    for c in line.chars() {
        if in_code || c == '\x1b' {
            // A colour: it takes no room, and ends with a letter.
            in_code = !c.is_ascii_alphabetic();
            continue;
        }
        let width = c.width().unwrap_or(0).min(columns);
        // A wide character that does not fit at the end of a row begins the next one.
        if column + width > columns {
            rows += 1;
            column = 0;
        }
        column += width;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_and_not_lines() {
        let long = "x".repeat(100);
        assert_eq!(rows("", 80), 0);
        assert_eq!(rows("a\n\nb\n", 80), 3);
        assert_eq!([101, 100, 50, 49, 1].map(|columns| rows(&long, columns)), [1, 1, 2, 3, 100]);
        assert_eq!(rows("\x1b[31mred\x1b[0m\n", 3), 1, "colours take no room");
        assert_eq!(rows("部署部署\n", 8), 1);
        assert_eq!(rows("部署部署\n", 7), 2);
        assert_eq!(rows("部署部署\n", 5), 2, "two in a row of five");
        assert_eq!(rows("e\u{301}e\u{301}\n", 2), 1, "an accent is put on its letter");
        assert_eq!(rows("部\n", 1), 1, "and nothing loops where nothing fits");
    }

    fn erased(code: &str) -> Erase {
        Erase::Picture(code.to_owned())
    }

    #[test]
    fn what_was_drawn_is_erased_and_a_screen_of_another_size_is_begun_anew() {
        let (wide, narrow) = (Size { columns: 80, rows: 24 }, Size { columns: 20, rows: 24 });
        let mut picture = Picture::default();
        assert_eq!(picture.erase(wide), erased(""));
        let text = format!("{}\nshort\n", "x".repeat(100));
        assert_eq!(picture.draw(&text, wide), text);
        assert_eq!(picture.erase(wide), erased("\x1b[3A\r\x1b[J"));
        assert_eq!(picture.erase(wide), erased(""), "once");
        picture.draw(&text, wide);
        assert_eq!(picture.erase(narrow), Erase::Screen("\x1b[2J\x1b[H"));
        picture.draw(&text, narrow);
        assert_eq!(picture.erase(narrow), erased("\x1b[6A\r\x1b[J"));
    }

    #[test]
    fn a_picture_is_never_as_high_as_the_screen() {
        let mut picture = Picture::default();
        let size = Size { columns: 10, rows: 4 };
        picture.erase(size);
        assert_eq!(picture.draw("one\nthis takes two\nno more\n", size), "one\nthis takes two\n");
        assert_eq!(picture.erase(size), erased("\x1b[3A\r\x1b[J"));
        assert_eq!(picture.draw("one\n", Size { columns: 10, rows: 1 }), "", "there is no room at all");
    }
}
