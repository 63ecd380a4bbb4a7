//! How long files and functions may be.
//!
//! Tests are not counted: a table of cases is long, and is read one case at a time.

use super::source::{Source, heads, holds, words};

const FILE_LINES_MAX: usize = 400;

pub(crate) const FUNCTION_LINES_MAX: usize = 70;

fn file_length(source: &Source) -> Vec<String> {
    let lines = source.code.lines().count();
    let want = format!("at most {FILE_LINES_MAX} before the tests; split it by what it knows");
    let long = !source.test && lines > FILE_LINES_MAX;
    long.then(|| format!("{}:{lines}: found {lines} lines, want {want}", source.path)).into_iter().collect()
}

/// The functions with a body: where each begins, and how many lines it has.
pub(crate) fn functions(source: &Source) -> Vec<(usize, usize)> {
    let lines = |at: usize| {
        let body = &source.bare[at..];
        let open = body_start(body)?;
        let mut depth = 0;
        let close = body[open..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        let end = close.map_or(body.len(), |(index, _)| open + index);
        Some((at, body[..end].matches('\n').count() + 1))
    };
    words(&source.bare, "fn ").filter_map(lines).collect()
}

fn function_length(source: &Source) -> Vec<String> {
    let long = functions(source).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
    let finding = |(at, lines)| {
        let name = heads(&source.bare[at + "fn ".len()..])[0];
        let want = format!("at most {FUNCTION_LINES_MAX}");
        source.finding(&source.bare, at, format_args!("{lines} lines in {name}"), &want)
    };
    long.map(finding).collect()
}

/// Where a function's body opens; `None` for a signature alone. The semicolon of `[u8; 2]` ends no signature.
fn body_start(function: &str) -> Option<usize> {
    let mut brackets = 0;
    let first = function.char_indices().find(|(_, c)| {
        brackets += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
        brackets == 0 && matches!(c, '{' | ';')
    });
    first.filter(|(_, c)| *c == '{').map(|(index, _)| index)
}

#[test]
fn files_and_functions_are_short() {
    let long_file = format!("{}fn f() {{}} // BAD\n", "\n".repeat(FILE_LINES_MAX));
    holds(file_length, &[("src/table/x.rs", &long_file)]);
    let tests_after = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(FILE_LINES_MAX));
    assert_eq!(file_length(&Source::new("src/table/x.rs", &tests_after)), [""; 0]);
    let long_function =
        format!("// fn\nfn f() -> [u8; 2] {{ // BAD\n{}}}\n", "    g(\"}\", '}');\n".repeat(FUNCTION_LINES_MAX));
    holds(function_length, &[("src/table/x.rs", &long_function)]);
}
