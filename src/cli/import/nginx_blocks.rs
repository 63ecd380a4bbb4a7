//! The text of an nginx config as a tree: directives with their arguments, their blocks and their lines.

use std::iter::Peekable;
use std::str::CharIndices;

use super::misfit;
use crate::problem::Problem;

/// Deeper than any config that a person wrote.
const DEPTH_MAX: usize = 32;

/// A directive: `listen 80 default_server;`, `server { ... }`.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Self>>,
    pub(super) line: usize,
}

impl Directive {
    /// The first argument, or nothing.
    pub(super) fn first(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    /// What is in its block.
    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The whole of it, but for its block.
    pub(super) fn shown(&self) -> String {
        std::iter::once(&self.name).chain(&self.arguments).map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// A piece of the text.
#[derive(PartialEq, Debug)]
enum NginxToken {
    Word(String),
    Open,
    Close,
    End,
}

/// Reads a text.
pub(super) fn parse(text: &str) -> Result<Vec<Directive>, Problem> {
    let mut reader = NginxReader { rest: text.char_indices().peekable(), line: 1 };
    block(&mut reader, 0, 1)
}

/// Reads directives up to the end of the block that begins on this line, or of the text.
fn block(reader: &mut NginxReader<'_>, depth: usize, begin: usize) -> Result<Vec<Directive>, Problem> {
    if depth > DEPTH_MAX {
        return Err(misfit(begin, format!("blocks more than {DEPTH_MAX} deep"), "fewer", "is it a config of nginx?"));
    }
    let mut directives = Vec::new();
    let (mut words, mut line) = (Vec::new(), 0);
    while let Some(token) = reader.next()? {
        let block = match token {
            NginxToken::Word(word) => {
                if words.is_empty() {
                    line = reader.line;
                }
                words.push(word);
                continue;
            }
            NginxToken::Close if depth == 0 => {
                return Err(misfit(reader.line, "a } that closes nothing", "as many { as }", "remove it"));
            }
            NginxToken::Close => {
                return match words.is_empty() {
                    true => Ok(directives),
                    false => {
                        Err(misfit(line, format!("{:?} without a ;", words.join(" ")), "a ; at its end", "add it"))
                    }
                };
            }
            NginxToken::Open => Some(self::block(reader, depth + 1, reader.line)?),
            NginxToken::End => None,
        };
        if words.is_empty() {
            let found = if block.is_some() { "a { after nothing" } else { "a ; after nothing" };
            return Err(misfit(reader.line, found, "the name of a directive before it", "remove it"));
        }
        let mut all = std::mem::take(&mut words).into_iter();
        let name = all.next().unwrap_or_default();
        directives.push(Directive { name, arguments: all.collect(), block, line });
    }
    match (depth, words.is_empty()) {
        (0, true) => Ok(directives),
        (_, false) => Err(misfit(line, format!("{:?} without a ;", words.join(" ")), "a ; at its end", "add it")),
        (_, true) => Err(misfit(begin, "a { that is not closed", "a } to it", "add it")),
    }
}

struct NginxReader<'t> {
    rest: Peekable<CharIndices<'t>>,
    line: usize,
}

impl NginxReader<'_> {
    fn bump(&mut self) -> Option<char> {
        let (_, c) = self.rest.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, c)| *c)
    }

    fn next(&mut self) -> Result<Option<NginxToken>, Problem> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some('#') => while self.peek().is_some_and(|c| c != '\n') && self.bump().is_some() {},
                Some(c) if c.is_whitespace() => drop(self.bump()),
                Some('{') => return Ok(self.bump().map(|_| NginxToken::Open)),
                Some('}') => return Ok(self.bump().map(|_| NginxToken::Close)),
                Some(';') => return Ok(self.bump().map(|_| NginxToken::End)),
                Some(quote @ ('"' | '\'')) => return self.quoted(quote).map(Some),
                Some(_) => return Ok(Some(self.word())),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<NginxToken, Problem> {
        let begin = self.line;
        self.bump();
        let mut word = String::new();
        loop {
            match self.bump() {
                None => {
                    return Err(misfit(begin, "a quotation mark that is not closed", "another one", "close the text"));
                }
                Some('\\') => word.extend(self.escaped()),
                Some(c) if c == quote => return Ok(NginxToken::Word(word)),
                Some(c) => word.push(c),
            }
        }
    }

    /// What follows a backslash, which is a part of the word unless it stands before a quotation mark, a space or
    /// another one.
    fn escaped(&mut self) -> Vec<char> {
        match self.bump() {
            Some(c @ ('"' | '\'' | '\\' | ' ')) => vec![c],
            Some(c) => vec!['\\', c],
            None => vec!['\\'],
        }
    }

    /// A word ends at a space, `;`, `{` or `}`; the braces of `${name}` are a part of it.
    fn word(&mut self) -> NginxToken {
        let mut word = String::new();
        let mut is_variable = false;
        while let Some(c) = self.peek() {
            match c {
                '{' if word.ends_with('$') => is_variable = true,
                '}' if is_variable => is_variable = false,
                '{' | '}' | ';' => break,
                c if c.is_whitespace() => break,
                _ => {}
            }
            match self.bump() {
                Some('\\') => word.extend(self.escaped()),
                next => word.extend(next),
            }
        }
        NginxToken::Word(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directives_have_arguments_blocks_and_lines() {
        let text = "user www; # it\nhttp {\n  map $a $b { \"x y\" ${c}d; default 'z;'; }\n}\n";
        let found = parse(text).expect("a good text");
        let map = &found[1].inner()[0];
        assert_eq!((map.shown().as_str(), map.line), ("map $a $b", 3));
        let [first, second] = map.inner() else { panic!("{map:?}") };
        assert_eq!((first.name.as_str(), first.first(), second.first()), ("x y", "${c}d", "z;"));
    }

    #[test]
    fn what_is_not_closed_is_named_by_its_line() {
        for (text, wanted) in [
            ("a;\nhttp {\n", "line 2: found a { that is not closed"),
            ("a;\n}\n", "line 2: found a } that closes nothing"),
            ("a {\nb c\n}\n", "line 2: found \"b c\" without a ;"),
            ("a\n\"x\n", "line 2: found a quotation mark"),
            (";", "line 1: found a ; after nothing"),
            ("x", "line 1: found \"x\" without a ;"),
        ] {
            let problem = parse(text).expect_err(text).to_string();
            assert!(problem.starts_with(wanted), "{problem}");
        }
        assert!(parse(&"a{".repeat(100)).expect_err("too deep").to_string().contains("32 deep"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a{};#\"'$\\\\ \n]{0,40}") {
            let _read = parse(&text);
        }
    }
}
