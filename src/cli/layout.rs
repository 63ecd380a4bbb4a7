//! Text within the width of a terminal: a line that is too long goes on in the next one, begun at a word.
//!
//! A terminal breaks lines by itself, but in words, and its reader cannot tell where the next line begins. In a pipe or
//! a file nothing is broken: what reads it there counts lines.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How far a line that goes on is indented beyond the one that it belongs to.
const HANG: usize = 4;

/// How wide the terminal on standard output is; none where there is no terminal.
#[must_use]
pub(crate) fn width() -> Option<usize> {
    std::io::stdout().is_terminal().then(columns)
}

/// The same of standard error.
#[must_use]
pub(crate) fn error_width() -> Option<usize> {
    std::io::stderr().is_terminal().then(columns)
}

fn columns() -> usize {
    /// What a terminal is taken to be that does not say.
    const USUAL: usize = 80;
    crossterm::terminal::size()
        .ok()
        .map(|(columns, _)| usize::from(columns))
        .filter(|columns| *columns > 0)
        .unwrap_or(USUAL)
}

/// `text` with its lines broken at words where they are wider than this; as it is without a width.
#[must_use]
pub(crate) fn fit(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let line = |line: &str| match line.strip_suffix('\n') {
        Some(line) => fit_line(line, width) + "\n",
        None => fit_line(line, width),
    };
    text.split_inclusive('\n').map(line).collect()
}

fn fit_line(line: &str, width: usize) -> String {
    if visible_width(line) <= width {
        return line.to_owned();
    }
    let words = line.trim_start_matches(' ');
    let indent = line.len() - words.len();
    fold(&" ".repeat(indent), words.split(' '), &Fold { between: " ", hang: indent + HANG, width })
}

/// How parts are put on lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fold<'a> {
    /// What stands between two parts; at the end of a line without the space.
    pub(crate) between: &'a str,
    /// How far the lines after the first are indented.
    pub(crate) hang: usize,
    /// How wide a line may be.
    pub(crate) width: usize,
}

/// `head` and the parts behind it, on as many lines as it takes; no part is broken.
#[must_use]
pub(crate) fn fold<'p>(head: &str, parts: impl Iterator<Item = &'p str>, fold: &Fold<'_>) -> String {
    let Fold { between, hang, width } = *fold;
    // In a very narrow terminal an indent would leave no room for words.
    let hang = hang.min(width / 3);
    let (mut text, mut used, mut first) = (head.to_owned(), visible_width(head), true);
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        // What ends the line if the next part does not fit any more.
        let end = if parts.peek().is_some() { visible_width(between.trim_end()) } else { 0 };
        let wide = visible_width(part);
        if !first {
            if used + visible_width(between) + wide + end > width {
                text.push_str(between.trim_end());
                text.push('\n');
                text.push_str(&" ".repeat(hang));
                used = hang;
            } else {
                text.push_str(between);
                used += visible_width(between);
            }
        }
        first = false;
        text.push_str(part);
        used += wide;
    }
    text
}

/// A line without colours, cut where it is wider than this.
#[must_use]
pub(crate) fn cut(line: &str, width: usize) -> String {
    if width_of(line) <= width {
        return line.to_owned();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used < width
    };
    let begin: String = line.chars().take_while(fits).collect();
    format!("{}…", begin.trim_end())
}

/// How many cells of a terminal a text takes: two for a wide character, none for one that is put on another.
#[must_use]
pub(crate) fn width_of(text: &str) -> usize {
    text.width()
}

/// How many cells a text takes; the codes of colours take none.
#[must_use]
pub(crate) fn visible_width(text: &str) -> usize {
    width_of(&without_codes(text))
}

/// The text without the codes of colours.
#[must_use]
pub(crate) fn without_codes(text: &str) -> String {
    let mut in_code = false;
    let seen = text.chars().filter(|c| {
        let hidden = in_code || *c == '\x1b';
        in_code = hidden && !c.is_ascii_alphabetic();
        !hidden
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_at_a_word_and_short_ones_stay() {
        let text = "  shop: one two three four five\n  short\n";
        assert_eq!(fit(text, Some(20)), "  shop: one two\n      three four\n      five\n  short\n");
        assert_eq!(fit(text, Some(40)), text);
        assert_eq!(fit(text, None), text, "no terminal");
        assert_eq!(fit("no end of line", Some(8)), "no end\n  of\n  line");
        assert_eq!(fit("a  b\n\n", Some(80)), "a  b\n\n");
    }

    #[test]
    fn a_word_is_never_broken_and_nothing_loops_where_nothing_fits() {
        let long = format!("see {} now", "x".repeat(30));
        assert_eq!(fit(&long, Some(12)), format!("see\n    {}\n    now", "x".repeat(30)));
        assert_eq!(fit("ab cd", Some(1)), "ab\ncd");
        assert_eq!(fit("部署 部署", Some(5)), "部署\n 部署", "by cells");
    }

    #[test]
    fn colours_take_no_room() {
        let red = "\x1b[31mred\x1b[0m";
        assert_eq!(visible_width(red), 3);
        assert_eq!(fit(&format!("{red} {red}"), Some(7)), format!("{red} {red}"));
        assert_eq!(fit(&format!("{red} {red}"), Some(6)), format!("{red}\n  {red}"));
    }

    #[test]
    fn lines_of_any_text_fit_if_its_words_do() {
        let text = "rollout 3 of shop: v1 -> v2, going at 10 %, stage 1 of 3, 46 s left (paused by local: a look)";
        for width in 20..120 {
            let fitted = fit(text, Some(width));
            assert!(fitted.lines().all(|line| visible_width(line) <= width), "{width}:\n{fitted}");
            assert_eq!(fitted.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        }
    }
}
