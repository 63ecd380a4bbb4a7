//! A command in as many rows as it takes, so that it can be copied from a screen: a row that goes on ends with a
//! backslash, which a shell puts together with the next one.

use crate::cli::layout::width_of;

/// How far the first row is indented, and the others that begin at a word.
const INDENT: [&str; 2] = ["   ", "     "];

/// The rows of a command, each in at most this many cells.
pub(crate) fn rows(command: &str, width: usize) -> Vec<String> {
    let [first, further] = INDENT;
    let whole = format!("{first}{command}");
    // Less has no room for a letter and its backslash.
    if width_of(&whole) <= width || width < further.len() + 3 {
        return vec![whole];
    }
    let (mut rows, mut row) = (Vec::new(), first.to_owned());
    for word in words(command) {
        if row.trim().is_empty() {
            row.push_str(word);
        } else if width_of(&row) + 1 + width_of(word) + 2 <= width {
            row = format!("{row} {word}");
        } else {
            rows.push(format!("{row} \\"));
            row = format!("{further}{word}");
        }
        // Within a word the next row begins at its very start: a space would end the word.
        while width_of(&row) + 2 > width {
            let end = fitting(&row, width - 2);
            rows.push(format!("{}\\", &row[..end]));
            row = row[end..].to_owned();
        }
    }
    rows.push(row);
    rows
}

/// The words of a command; a text in quotes is one of them, for a backslash would not end its row.
fn words(command: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    command.split(move |c: char| {
        quoted ^= c == '\'';
        c == ' ' && !quoted
    })
}

/// How many bytes of a text fit into this many cells.
fn fitting(text: &str, cells: usize) -> usize {
    let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
    ends.take_while(|end| width_of(&text[..*end]) <= cells).last().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fits_is_one_row() {
        assert_eq!(rows("pointsman status", 80), ["   pointsman status"]);
        assert_eq!(rows("pointsman status", 19), ["   pointsman status"]);
    }

    #[test]
    fn rows_end_with_a_backslash_at_a_word_and_only_a_long_word_is_cut() {
        let command = "pointsman shift shop v1=50 v2=50";
        assert_eq!(rows(command, 24), ["   pointsman shift \\", "     shop v1=50 v2=50"]);
        let command = "/a/very/long/path/to/pointsman status";
        assert_eq!(rows(command, 20), ["   /a/very/long/pa\\", "th/to/pointsman \\", "     status"]);
    }

    #[test]
    fn a_shell_puts_the_rows_together() {
        for command in [
            "/home/me/target/debug/pointsman shift shop v1=50 v2=50",
            "curl -H 'x-user-id: user-7' http://127.0.0.1:40011/items/7",
        ] {
            for width in 32..90 {
                let rows = rows(command, width);
                assert!(rows.iter().all(|row| width_of(row) <= width), "{width}: {rows:?}");
                let text = rows.join("\n").replace("\\\n", "");
                let words: Vec<_> = text.split_whitespace().collect();
                assert_eq!(words, command.split_whitespace().collect::<Vec<_>>(), "{width}: {rows:?}");
            }
        }
    }
}
