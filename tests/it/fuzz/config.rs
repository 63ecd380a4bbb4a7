//! Configs that their authors damaged: there is a config or a report, every problem says where it is, and what means
//! nothing changes nothing.

use std::path::Path;

use pointsman::config::{Config, Problem, ProblemKind, Problems, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::mutate::mutated;
use super::{Bytes, Verdict, run};

const EXAMPLE: &str = include_str!("../../../config/example.toml");
const MINIMAL: &str = include_str!("../../../config/minimal.toml");

const TOKENS: &[&str] = &[
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    "\n",
    "\r",
    "'",
    "\"\"\"",
    "-1",
    "1e400",
    "99999999999999999999",
    "nan",
    "true",
    "[[x]]\n",
    "\u{0}",
    "é",
    "1979-05-27",
    "\\u00e9",
    "x = 1\n",
    "\"a\"",
    "[services.s]\n",
];

fn read(text: &str) -> Result<Config, Problems> {
    parse(text, Path::new("/etc/pointsman"))
}

/// What holds for the text of any config.
fn check(text: &str) -> Verdict {
    let result = read(text);
    let lines = text.matches('\n').count() + 1;
    if let Err(problems) = &result {
        prop_assert!(!problems.as_slice().is_empty());
        for problem in problems.as_slice() {
            let parts = [&problem.found, &problem.wanted, &problem.remedy];
            prop_assert!(parts.iter().all(|part| !part.is_empty() && !part.contains('\n')), "{problem:?}");
            prop_assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?} of {lines} lines");
            let last = problem.remedy == "mend these first";
            let placed = problem.line.is_some()
                || !problem.path.is_empty()
                || last
                || matches!(problem.kind, ProblemKind::Syntax(_));
            prop_assert!(placed, "a problem without a place: {problem:?}");
        }
    }
    // A comment above everything moves every line by one and changes nothing else.
    let moved = read(&format!("# A comment.\n{text}"));
    match (result, moved) {
        (Ok(before), Ok(after)) => prop_assert_eq!(format!("{before:?}"), format!("{after:?}")),
        (Err(before), Err(after)) => {
            let lines = |problems: &Problems, by| {
                let one = |p: &Problem| {
                    // A list that is not closed is told with the line of the key after it.
                    let found = p.found.trim_end_matches(|letter: char| letter.is_ascii_digit());
                    (p.line.map(|line| line + by), p.path.clone(), found.to_owned(), p.remedy.clone())
                };
                problems.as_slice().iter().map(one).collect::<Vec<_>>()
            };
            prop_assert_eq!(lines(&before, 1), lines(&after, 0));
        }
        (before, after) => prop_assert!(false, "{before:?} and with a comment {after:?}"),
    }
    Ok(())
}

#[test]
fn damaged_bytes_give_a_config_or_a_report() {
    run("config, mutated", 150, &mutated([EXAMPLE, MINIMAL], TOKENS, 6), |Bytes(bytes)| {
        // A byte order mark is not moved by a comment above it.
        check(&String::from_utf8_lossy(&bytes).replace('\u{feff}', ""))
    });
}

/// What an author does to a line.
#[derive(Clone, Debug)]
enum Edit {
    Delete(Index),
    Repeat(Index),
    Swap(Index, Index),
    Value(Index, &'static str),
    Key(Index, &'static str),
}

fn edit() -> impl Strategy<Value = Edit> {
    let line = any::<Index>;
    let values = vec![
        "0",
        "-1",
        "1.5",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "true",
        "\"10s\"",
        "\"0s\"",
        "\"1h\"",
        "[1, \"a\"]",
        "{ a = 1 }",
        "\"127.0.0.1:0\"",
        "1970-01-01",
        "\"unix:x\"",
        "inf",
        "\"*\"",
        "\"a.example\"",
        "[\"a\", \"a\"]",
        "{ v1 = 50, v2 = 50 }",
        "9223372036854775807",
    ];
    let keys = vec![
        "x",
        "split",
        "hosts",
        "address",
        "endpoints",
        "\"a.b\"",
        "\"\"",
        "versions.v1.endpoints",
        "use",
        "when.path",
    ];
    prop_oneof![
        line().prop_map(Edit::Delete),
        line().prop_map(Edit::Repeat),
        (line(), line()).prop_map(|(one, other)| Edit::Swap(one, other)),
        (line(), select(values)).prop_map(|(line, value)| Edit::Value(line, value)),
        (line(), select(keys)).prop_map(|(line, key)| Edit::Key(line, key)),
    ]
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let meaning = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let mut lines: Vec<String> = text.lines().filter(meaning).map(str::to_owned).collect();
    for edit in edits {
        let place = |at: &Index| at.index(lines.len().max(1));
        let (Edit::Delete(at) | Edit::Repeat(at) | Edit::Swap(at, _) | Edit::Value(at, _) | Edit::Key(at, _)) = edit;
        let at = place(at);
        let Some(line) = lines.get(at).cloned() else { continue };
        match edit {
            Edit::Delete(_) => drop(lines.remove(at)),
            Edit::Repeat(_) => lines.insert(at, line),
            Edit::Swap(_, other) => {
                let other = place(other);
                lines.swap(at, other);
            }
            Edit::Value(_, value) => {
                if let Some((key, _)) = line.split_once('=') {
                    lines[at] = format!("{key}= {value}");
                }
            }
            Edit::Key(_, key) => {
                if let Some((_, value)) = line.split_once('=') {
                    lines[at] = format!("{key} ={value}");
                }
            }
        }
    }
    lines.join("\n")
}

#[test]
fn restructured_configs_give_a_config_or_a_report_that_says_where() {
    let inputs = (select(vec![EXAMPLE, MINIMAL]), vec(edit(), 0..6)).prop_map(|(text, edits)| edited(text, &edits));
    run("config, restructured", 150, &inputs, |text| {
        check(&text)?;
        // Line ends mean nothing.
        let windows = read(&text.replace('\n', "\r\n"));
        prop_assert_eq!(read(&text).is_ok(), windows.is_ok());
        if read(&text).is_ok() {
            let problems = read(&format!("{text}\n[strange]\nkey = 1\n")).expect_err("an unknown section");
            let named = |problem: &Problem| problem.path == "strange" && problem.line.is_some();
            prop_assert!(problems.as_slice().iter().any(named), "{problems}");
        }
        Ok(())
    });
}
