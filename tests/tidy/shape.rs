//! The shape of signatures: values that travel together have a name, and an error is a type.

use super::source::{Source, at_most, sources, words};

/// One function's signature.
pub(crate) struct Signature<'a> {
    /// Where it stands in the source's bare text.
    pub at: usize,
    pub name: &'a str,
    pub parameters: Vec<&'a str>,
    /// The type after `->`; empty if there is none.
    pub result: &'a str,
}

/// Where the bracket that opens at the start of `text` closes. An arrow is no bracket.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if before == '-' || before == '=' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
        before = c;
    }
    None
}

/// The parts of `text` between the commas that stand in no bracket.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found, mut before) = (0, 0, Vec::new(), ' ');
    for (index, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if before == '-' || before == '=' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
        before = c;
    }
    found.push(text[start..].trim());
    found.retain(|part| !part.is_empty());
    found
}

/// The signatures of all functions with a name.
pub(crate) fn signatures(source: &Source) -> Vec<Signature<'_>> {
    let read = |at: usize| {
        let rest = &source.bare[at + "fn ".len()..];
        let name = &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?];
        let mut rest = &rest[name.len()..];
        if rest.starts_with('<') {
            rest = &rest[closing(rest)? + 1..];
        }
        if name.is_empty() || !rest.starts_with('(') {
            return None;
        }
        let end = closing(rest)?;
        let (parameters, rest) = (parts(&rest[1..end]), &rest[end + 1..]);
        let mut depth = 0;
        let end = rest.char_indices().find(|(_, c)| {
            depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
            depth == 0 && matches!(c, '{' | ';')
        });
        let result = rest[..end.map_or(rest.len(), |(index, _)| index)].trim();
        let result = result.split(" where ").next().unwrap_or(result).split("\nwhere").next().unwrap_or(result);
        Some(Signature { at, name, parameters, result: result.strip_prefix("->").unwrap_or("").trim() })
    };
    words(&source.bare, "fn ").filter_map(read).collect()
}

/// The sizes of the tuples that are part of a type.
fn tuples(of: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for (at, _) in of.match_indices('(') {
        // `Fn(A, B)` has arguments and is no tuple.
        let called = of[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if let (false, Some(end)) = (called, closing(&of[at..])) {
            found.push(parts(&of[at + 1..at + end]).len());
        }
    }
    found
}

/// Parameters that are tuples, and results with a tuple of three or more.
pub(crate) fn tuple_dodges(source: &Source) -> Vec<String> {
    if source.test {
        return Vec::new();
    }
    let mut found = Vec::new();
    for signature in signatures(source) {
        for parameter in &signature.parameters {
            let of = parameter.split_once(": ").map_or("", |(_, of)| of).trim_start_matches('&');
            let size = if of.starts_with('(') { tuples(of)[0] } else { 0 };
            if size >= 2 {
                let what = format!("a tuple of {size} as a parameter of {}", signature.name);
                found.push(source.finding(&source.bare, signature.at, what, "a struct whose fields have names"));
            }
        }
        if let Some(size) = tuples(signature.result).into_iter().find(|size| *size >= 3) {
            let what = format!("a tuple of {size} in the result of {}", signature.name);
            found.push(source.finding(&source.bare, signature.at, what, "a struct whose fields have names"));
        }
    }
    found
}

/// Results whose error is a text.
pub(crate) fn text_errors(source: &Source) -> Vec<String> {
    if source.test {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, _) in source.bare.match_indices("Result<") {
        let rest = &source.bare[at + "Result".len()..];
        let Some(end) = closing(rest) else { continue };
        if let [_, error @ ("String" | "&str" | "&'static str")] = parts(&rest[1..end])[..] {
            let what = format!("{error} as an error");
            found.push(source.finding(&source.bare, at, what, "a type that keeps what it knows"));
        }
    }
    found
}

#[test]
fn values_that_travel_together_have_a_name() {
    let bad = [
        ("src/x.rs", "fn f<A: Fn(u8) -> u8>(\n    a: A,\n    (b, c): (u8, u8),\n) {} BAD"),
        ("src/x.rs", "fn f(a: &(u8, String)) {} // BAD"),
        ("src/x.rs", "fn f() -> Result<(u8, u8, Vec<u8>), Error> { // BAD\n}"),
    ];
    for (path, text) in bad {
        assert_eq!(tuple_dodges(&Source::new(path, text)).len(), 1, "{text}");
    }
    let good = "fn f(a: impl Fn(u8, u8) -> u8, b: [(u8, u8); 2], (): ()) -> (u8, u8) {}";
    assert_eq!(tuple_dodges(&Source::new("src/x.rs", good)), [""; 0]);
    at_most(0, &sources().iter().flat_map(tuple_dodges).collect::<Vec<_>>());
}

#[test]
fn errors_are_types() {
    let bad = Source::new("src/x.rs", "fn f() -> Result<Vec<(u8, u8)>, String> { g() }");
    assert_eq!(text_errors(&bad).len(), 1);
    assert_eq!(text_errors(&Source::new("src/x.rs", "fn f() -> Result<String, E> { g() }")), [""; 0]);
    at_most(0, &sources().iter().flat_map(text_errors).collect::<Vec<_>>());
}
