//! The text of an HAProxy config as sections of lines of words.

use super::misfit;
use crate::problem::Problem;

/// What begins a section.
const SECTIONS: [&str; 16] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "resolvers",
    "peers",
    "program",
    "cache",
    "mailers",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-store",
];

/// A section and its lines.
#[derive(Debug)]
pub(super) struct HaproxySection {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: Vec<HaproxyLine>,
}

/// A line in a section, which has a word at least.
#[derive(Clone, Debug)]
pub(super) struct HaproxyLine {
    pub(super) words: Vec<String>,
    pub(super) line: usize,
}

impl HaproxyLine {
    /// A word, or nothing.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The word after this one.
    pub(super) fn after(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|known| known == word)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// Whether it has a word.
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    /// The whole of it.
    pub(super) fn shown(&self) -> String {
        self.words.join(" ")
    }
}

impl HaproxySection {
    /// Its lines that begin with this word.
    pub(super) fn all<'s>(&'s self, word: &'s str) -> impl DoubleEndedIterator<Item = &'s HaproxyLine> {
        self.lines.iter().filter(move |line| line.word(0) == word)
    }
}

/// Reads a text.
pub(super) fn parse(text: &str) -> Result<Vec<HaproxySection>, Problem> {
    let mut sections: Vec<HaproxySection> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let words = words(text, line)?;
        let Some(first) = words.first() else { continue };
        if SECTIONS.contains(&first.as_str()) {
            let name = words.get(1).cloned().unwrap_or_default();
            sections.push(HaproxySection { kind: first.clone(), name, line, lines: Vec::new() });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push(HaproxyLine { words, line });
        } else {
            let wanted = "the head of a section first, such as frontend, backend or listen";
            return Err(misfit(line, format!("{first:?}"), wanted, "give a config of HAProxy"));
        }
    }
    Ok(sections)
}

/// What follows a backslash, which is a part of the word unless it stands before one of these.
fn escaped(rest: &mut std::str::Chars<'_>, special: &[char]) -> Vec<char> {
    match rest.next() {
        Some(c) if special.contains(&c) => vec![c],
        Some(c) => vec!['\\', c],
        None => vec!['\\'],
    }
}

/// The words of a line, without quotation marks and comments.
fn words(text: &str, line: usize) -> Result<Vec<String>, Problem> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '#' => break,
            '\\' => word.get_or_insert_default().extend(escaped(&mut rest, &[' ', '#', '\\', '"', '\''])),
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        None => {
                            let found = "a quotation mark that is not closed";
                            return Err(misfit(line, found, "another one on the same line", "close the text"));
                        }
                        Some(inner) if inner == c => break,
                        Some('\\') if c == '"' => word.extend(escaped(&mut rest, &['"', '\\', '$'])),
                        Some(inner) => word.push(inner),
                    }
                }
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_apart_and_have_lines() {
        let found = parse("# x\nfrontend web # y\n  acl a hdr(x) 'b c' \"d\\\"e\" f\\ g\n\n").expect("a good text");
        let [web] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((web.name.as_str(), web.line, web.lines[0].line), ("web", 2, 3));
        assert_eq!(web.lines[0].words, ["acl", "a", "hdr(x)", "b c", "d\"e", "f g"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        for (text, wanted) in [
            ("\nbind :80\n", "line 2: found \"bind\", want the head of a section first"),
            ("listen a\nserver 'x\n", "line 2: found a quotation mark that is not closed"),
        ] {
            let problem = parse(text).expect_err(text).to_string();
            assert!(problem.starts_with(wanted), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c{}#\"'\\\\ \n]{0,40}") {
            let _read = parse(&text);
        }
    }
}
