//! The sources as text: comments and literals are taken out, lines keep their numbers. And the ways in which a rule is
//! run: over the crate, and over a small text that breaks it.
//!
//! Text and not a syntax tree: it needs no dependency, compiles in a second, and is enough for what is asked here.

use std::fmt::Display;
use std::fs;
use std::path::Path;

/// One source file.
pub(crate) struct Source {
    /// Its path from the root of the crate, e.g. `src/table/slots.rs`.
    pub path: String,
    /// Its text without comments and without the inline test module; lines keep their numbers.
    pub code: String,
    /// The same without what is inside string literals.
    pub bare: String,
    /// Whether the whole file is test code.
    pub test: bool,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let (code, bare) = (without_comments(&text[..end], true), without_comments(&text[..end], false));
        let test = !path.starts_with("src/") || path.ends_with("/tests.rs") || path.ends_with("/fixture.rs");
        Self { path: path.to_owned(), code, bare, test }
    }

    /// The module below the crate: `table` for `src/table/slots.rs`, `app` for `src/app.rs`.
    pub(crate) fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// Where `part`, a slice of one of the texts, stands and what is wrong with it.
    pub(crate) fn finding(&self, text: &str, offset: usize, found: impl Display, want: &str) -> String {
        let line = text[..offset].matches('\n').count() + 1;
        format!("{}:{line}: found {found}, want {want}", self.path)
    }
}

/// Blanks comments and, unless `strings`, the insides of string literals; newlines stay.
pub(crate) fn without_comments(text: &str, strings: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let blank = |out: &mut String, part: &str, keep: bool| {
        out.extend(part.chars().map(|c| if keep || c == '\n' { c } else { ' ' }));
    };
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|r| r.len() - r.trim_start_matches('#').len());
        let raw = raw.filter(|hashes| rest[1 + hashes..].starts_with('"') && !out.ends_with(is_word));
        let (len, keep) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), false)
        } else if let Some(hashes) = raw {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            (rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len()), strings)
        } else if first == '"' {
            (1 + literal_end(&rest[1..]), strings)
        } else if let Some(len) = char_literal(rest) {
            (len, strings)
        } else {
            (first.len_utf8(), true)
        };
        blank(&mut out, &rest[..len], keep);
        rest = &rest[len..];
    }
    out
}

/// The length of a string literal's rest, its closing quote included.
fn literal_end(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    end.map_or(rest.len(), |(index, _)| index + 1)
}

/// The length of a character literal; lifetimes are none.
fn char_literal(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let len = match inner.strip_prefix('\\') {
        Some(escape) => 1 + escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0,
        None => inner.chars().next()?.len_utf8(),
    };
    inner[len..].starts_with('\'').then_some(len + 2)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `text`, not as a part of a longer word.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let whole = move |at: &usize| {
        let (before, after) = (&text[..*at], &text[at + word.len()..]);
        !(word.starts_with(is_word) && before.ends_with(is_word)
            || word.ends_with(is_word) && after.starts_with(is_word))
    };
    text.match_indices(word).map(|(at, _)| at).filter(whole)
}

/// The names at the head of what follows a path: one, or those of a group in braces.
pub(crate) fn heads(rest: &str) -> Vec<&str> {
    let name = |text: &str| text.find(|c| !is_word(c)).unwrap_or(text.len());
    let Some(group) = rest.strip_prefix('{') else {
        return vec![&rest[..name(rest)]];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[start..index].trim();
                names.push(&item[..name(item)]);
                start = index + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// The files of the console.
pub(crate) fn console_files() -> Vec<(String, String)> {
    texts().into_iter().filter(|(path, _)| path.starts_with("console/")).collect()
}

/// All that people read: the sources in `src`, `tests` and `benches`, the documents, the configs that explain
/// themselves, and the console.
pub(crate) fn texts() -> Vec<(String, String)> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.strip_prefix(root).expect("below the root").to_str().expect("a name in UTF-8");
            let name = name.replace('\\', "/");
            if path.is_dir() && !name.starts_with("tests/clients") && name != "tests/golden" {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|extension| {
                ["rs", "md", "toml", "js", "css", "html", "svg"].iter().any(|read| *read == extension)
            }) {
                found.push((name, fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    for folder in ["src", "console", "tests", "benches", "docs", "config", "examples"] {
        walk(root, &root.join(folder), &mut found);
    }
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        found.push((name.to_owned(), fs::read_to_string(root.join(name)).expect("a readable file")));
    }
    found
}

/// All sources of the crate: `src`, `tests` and `benches`.
pub(crate) fn sources() -> Vec<Source> {
    let read = texts().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let found: Vec<_> = read.map(|(path, text)| Source::new(&path, &text)).collect();
    assert!(found.iter().any(|source| source.path == "src/lib.rs"), "the crate was found");
    found
}

/// Runs `check` over the crate, and over a text in which it must find something at the line that says `BAD`.
#[track_caller]
pub(crate) fn holds(check: impl Fn(&Source) -> Vec<String>, bad: &[(&str, &str)]) {
    for (path, text) in bad {
        let line = 1 + text.lines().position(|line| line.contains("BAD")).expect("a marked line");
        let found = check(&Source::new(path, &text.replace("BAD", "")));
        assert!(found.iter().any(|f| f.starts_with(&format!("{path}:{line}: "))), "blind to {text:?}: {found:?}");
    }
    let found: Vec<_> = sources().iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// All findings of a rule that looks at the crate as a whole.
#[track_caller]
pub(crate) fn at_most(max: usize, found: &[String]) {
    assert!(found.len() <= max, "\n{}\nfound {}, want at most {max}\n", found.join("\n"), found.len());
}

pub(crate) fn made(sources: &[(&str, &str)]) -> Vec<Source> {
    sources.iter().map(|(path, text)| Source::new(path, text)).collect()
}

#[test]
fn the_reader_of_sources_knows_comments_and_literals() {
    let text = "a \"x // \\\" y\" b // c\n/* d\n*/ '\"' e r#\"f \" g\"# 'h' '\\'' <'i>";
    let bare = without_comments(text, false);
    assert_eq!(bare.split_whitespace().collect::<Vec<_>>(), ["a", "b", "e", "<'i>"]);
    assert_eq!(bare.matches('\n').count(), 2);
    assert!(without_comments(text, true).contains("f \" g") && !without_comments(text, true).contains('c'));
    assert_eq!(heads("{a::b, c::{d, e}, f as g};"), ["a", "c", "f"]);
}
