//! Text for a terminal: aligned columns, and colour only on a terminal.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use super::layout::{self, width_of};

/// Prints text; a reader that has gone (`| head`) is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints text for people: on a terminal with lines that fit.
pub(crate) fn show(text: &str) {
    print(&layout::fit(text, layout::width()));
}

/// Says on standard error what is wrong; a reader that has gone is no error here either.
pub fn complain(text: &str) {
    let text = layout::fit(text, layout::error_width());
    let mut out = std::io::stderr().lock();
    let _printed = out.write_all(format!("{text}\n").as_bytes());
}

/// How a word stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTone {
    /// As everything else.
    Plain,
    /// A heading.
    Strong,
    /// Of less interest.
    Faint,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
}

/// Colours text if standard output is a terminal and `NO_COLOR` is not set.
#[must_use]
pub fn toned(text: &str, tone: TextTone) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let code = match tone {
        _ if !colours => return text.to_owned(),
        TextTone::Plain => return text.to_owned(),
        TextTone::Strong => "1",
        TextTone::Faint => "2",
        TextTone::Good => "32",
        TextTone::Warn => "33",
        TextTone::Bad => "31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Rows of cells, aligned; numbers to the right.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    rows: Vec<Vec<(String, TextTone)>>,
}

impl Columns {
    /// Columns under a heading.
    #[must_use]
    pub fn with_heading(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| ((*cell).to_owned(), TextTone::Faint)).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<(String, TextTone)>) {
        self.rows.push(cells);
    }

    /// How wide each column is.
    fn widths(&self) -> Vec<usize> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| width_of(text)).max().unwrap_or(0)
        };
        (0..count).map(width).collect()
    }

    /// How many cells the widest row may take.
    #[must_use]
    pub fn width(&self) -> usize {
        self.widths().iter().map(|width| width + 2).sum()
    }

    /// The rows as text, indented by two spaces.
    #[must_use]
    pub fn render(&self) -> String {
        let widths = self.widths();
        let is_number = |column: usize| {
            let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
            cells.all(|(text, _)| text == "-" || text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(':'))
        };
        let numbers: Vec<bool> = (0..widths.len()).map(is_number).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, tone)) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - width_of(cell));
                let cell = toned(cell, *tone);
                let cell = if numbers[column] { format!("{pad}{cell}") } else { format!("{cell}{pad}") };
                line.push_str("  ");
                line.push_str(&cell);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text that may be long, such as a value: its beginning, and how much it is.
pub(crate) fn in_short(text: &str) -> String {
    /// Two lines of a terminal.
    const WIDTH: usize = 160;
    let begin = layout::cut(text, WIDTH);
    if begin == text {
        begin
    } else {
        format!("{begin} ({} bytes in all; --json has them)", thousands(text.len() as u64))
    }
}

/// Whether a character in what others wrote (reasons, authors, what hooks said) does more than stand there: it moves
/// the cursor, ends a line, or turns the order of those around it, so that another text is read than was written
/// (<https://trojansource.codes>).
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// What others wrote, with the characters that act escaped.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if acts(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// An answer for people: all of its texts are harmless, whatever shows them.
#[must_use]
pub fn harmless_texts(answer: Value) -> Value {
    match answer {
        Value::String(text) => Value::String(harmless(&text)),
        Value::Array(list) => list.into_iter().map(harmless_texts).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (harmless(&key), harmless_texts(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// JSON for scripts, which is shown on terminals too: the same characters as escapes of JSON, so that the values are
/// what they were.
#[must_use]
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    for c in format!("{value:#}").chars() {
        match acts(c) && c != '\n' {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
            false => text.push(c),
        }
    }
    text + "\n"
}

/// A member of a JSON object as text; `-` if it is not there.
#[must_use]
pub fn member(value: &Value, name: &str) -> String {
    match (&value[name], value[name].as_str()) {
        (_, Some(text)) => harmless(text),
        (Value::Null, None) => "-".to_owned(),
        (other, None) => other.to_string(),
    }
}

/// A number with this many decimals, without needless zeros; `-` if it is none.
#[must_use]
pub fn number(value: &Value, decimals: usize) -> String {
    value.as_f64().map_or("-".to_owned(), |number| {
        let text = format!("{number:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    })
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The elements of a JSON array.
pub fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let mut columns = Columns::with_heading(&["version", "weight"]);
        for (name, weight) in [("v1", "5"), ("a-long-one", "95")] {
            columns.row(vec![(name.to_owned(), TextTone::Plain), (weight.to_owned(), TextTone::Plain)]);
        }
        assert_eq!(columns.render(), "  version     weight\n  v1               5\n  a-long-one      95\n");
        let mut wide = Columns::default();
        for (name, why) in [("部署", "x"), ("abcd", "x")] {
            wide.row(vec![(name.to_owned(), TextTone::Plain), (why.to_owned(), TextTone::Plain)]);
        }
        assert_eq!(wide.render(), "  部署  x\n  abcd  x\n", "by cells, not by characters");
    }

    #[test]
    fn what_acts_is_escaped_and_stays_what_it_was() {
        let written = "a\u{202e}b\u{2066}c\u{9b}d\u{7f}e\nf\u{200f}\u{2028}é\u{200d}漢\u{1f600}";
        assert_eq!(
            harmless(written),
            "a\\u{202e}b\\u{2066}c\\u{9b}d\\u{7f}e\\nf\\u{200f}\\u{2028}é\u{200d}漢\u{1f600}"
        );
        let answer = serde_json::json!({ "reason": written, "list": [{ "k\u{202e}": written }], "n": 1, "no": null });
        let text = json(&answer);
        assert!(!text.chars().any(|c| acts(c) && c != '\n') && text.contains("é\u{200d}漢"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), answer);
        let shown = harmless_texts(answer).to_string();
        assert!(!shown.chars().any(acts), "{shown}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = |value: Value, decimals| number(&value, decimals);
        assert_eq!(shown(Value::from(33.333), 3), "33.333");
        assert_eq!(shown(Value::from(10), 3), "10");
        assert_eq!(shown(Value::from(0.5), 1), "0.5");
        assert_eq!(shown(Value::Null, 1), "-");
    }
}
