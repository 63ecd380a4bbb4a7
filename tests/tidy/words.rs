//! Words that a reader has to think about, and lines that do not fit beside another file on a screen.

use super::source::{at_most, texts, words};

/// Whether a line is read by users of the admin API: the OpenAPI document is made of it.
fn is_of_the_api(path: &str, text: &str, line: &str) -> bool {
    path.ends_with(".rs") && text.contains("utoipa") && line.trim_start().starts_with("///")
}

/// Pronouns that name no subject: say who or what it is.
const VAGUE: [&str; 4] = ["whoever", "nobody", "somebody", "so many"];

const COLUMNS_MAX: usize = 120;

/// The vague words of a text, at their lines. Of source files the comments are read, of all others everything.
pub(crate) fn vague_words(path: &str, text: &str) -> Vec<String> {
    let rust = path.ends_with(".rs");
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, line)| !is_of_the_api(path, text, line)) {
        let text = if rust { text.find("//").map_or("", |at| &text[at..]) } else { text };
        let text = text.to_lowercase();
        for word in VAGUE {
            if words(&text, word).next().is_some() {
                found.push(format!("{path}:{line}: found {word:?}, want the one who or the thing that is meant"));
            }
        }
    }
    found
}

/// Lines of sources that are too long. A line that is one long link or literal has no place to be broken.
pub(crate) fn long_lines(path: &str, text: &str) -> Vec<String> {
    let long = |line: &str| {
        line.chars().count() > COLUMNS_MAX && line.trim().split(' ').all(|word| word.chars().count() < COLUMNS_MAX - 20)
    };
    let comment = |line: &str| line.trim_start().starts_with("//");
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| comment(line) && long(line) && !is_of_the_api(path, text, line))
        .map(|(line, text)| {
            format!("{path}:{line}: found {} columns, want at most {COLUMNS_MAX}", text.chars().count())
        })
        .collect()
}

#[test]
fn comments_are_plain() {
    let word = ["no", "body"].concat();
    let vague = format!("let {word} = 1; // for {word} who comes\n/// {word}.");
    assert_eq!(vague_words("a.rs", &vague).len(), 2);
    assert_eq!(vague_words("a.md", &format!("{word}'s\nany{word}")).len(), 1);
    assert_eq!(long_lines("a.rs", &format!("// {}\nlet x;", "word ".repeat(24))).len(), 1);
    let texts = texts();
    let vague = texts.iter().flat_map(|(path, text)| vague_words(path, text));
    let sources = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
    at_most(0, &vague.chain(sources.flat_map(|(path, text)| long_lines(path, text))).collect::<Vec<_>>());
}
