//! Flags in flagd's format, beside flagd's official evaluators for Python: `openfeature-flagd-core` 2.0.0, whose
//! `fractional` is the third version, and 1.0.0, whose is the second. Both get the same random files and contexts as we
//! do, and value, variant, reason, metadata and the word of an error are the same.
//!
//! The evaluators' JSONLogic is that of a Python library, which differs from JSONLogic's own and from flagd's in Go in
//! corners. A case may differ only if the evaluator with [these](DIFFERENCES) mended, and nothing else, says what we
//! say; each such case is counted by what explains it.
//!
//! `make test` plays a share of the cases with 2.0.0, always the same; `make flagd-oracle` 10,000 of them with either,
//! with a new seed, which is printed. `FLAGD_SEED` and `FLAGD_CASES` repeat it; the number of a case is part of its
//! seed, so that `FLAGD_SEED` of a failure with `FLAGD_CASES=1` is that case alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pointsman::testing::flagd::FractionalVersion;
use serde_json::{Value, json};

use super::flagd_case::{NOW, flag_of, said, type_of};
use super::flagd_inputs::{FLAG, InputMaker};
use crate::support::external_tools::{python, run};

/// Where the evaluators differ from us, by the name in `tests/clients/flagd_oracle.py`, and why we do not follow.
const DIFFERENCES: [(&str, &str); 16] = [
    ("null is not zero", "JSONLogic and flagd in Go: null equals nothing but itself"),
    ("types are strict", "JSONLogic and flagd in Go: true is not 1 where types count"),
    ("text of null and truths", "flagd in Go: null is an empty text; JSONLogic: true is \"true\""),
    ("only values are in texts", "a missing value must not be found in every text"),
    (
        "numbers of other types",
        "JSONLogic and flagd in Go: an empty text is zero, \"nan\" and \"1_0\" are no numbers, and `max` gives numbers",
    ),
    ("order of null and lists", "JSONLogic and flagd in Go: null is compared as a number, not as the text \"null\""),
    ("division by zero", "an exception in Python; JSONLogic: infinite, or no number"),
    ("sign of a remainder", "JSONLogic and flagd in Go: that of the dividend"),
    ("NaN wins", "JSONLogic: no number in `min` and `max` gives none, wherever it stands"),
    ("null is an argument", "JSONLogic and flagd in Go: null as the last argument of an operator is one"),
    ("text of a result", "flagd in Go: 2.0 is the variant \"2\""),
    ("digits of a number", "flagd in Go: as many digits as tell the number from others"),
    ("large integers", "beyond 64 bits only Python has integers"),
    ("members by number", "JSONLogic: members of objects have texts as names"),
    ("whole weights", "flagd in Go: JSON does not tell 25 from 25.0"),
    ("key instead of null", "flagd in Go, second version: without a value to draw by it draws by the key"),
];

/// Some cases of `fractional`'s third version, for every run of the tests.
#[test]
fn flags_of_files_are_what_flagd_makes_of_them() {
    let Some(python) = python("flagd's evaluator") else { return };
    let cases = number("FLAGD_CASES").unwrap_or(1_000);
    compare(&python, FractionalVersion::V3, "2.0.0", number("FLAGD_SEED").unwrap_or(1), cases);
}

/// All of them, for either version. `FLAGD_V2` is the Python with the evaluator of the second one.
#[test]
fn flagd_oracle_for_both_versions() {
    let Some(old) = std::env::var_os("FLAGD_V2").map(PathBuf::from) else {
        println!("skipped: `make flagd-oracle` runs it");
        return;
    };
    let new = python("flagd's evaluator").expect("`make tools` has run");
    let seed = number("FLAGD_SEED").unwrap_or_else(rand::random);
    let cases = number("FLAGD_CASES").unwrap_or(10_000);
    compare(&new, FractionalVersion::V3, "2.0.0", seed, cases);
    compare(&old, FractionalVersion::V2, "1.0.0", seed, cases);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Plays the cases from `seed` on beside the evaluator of this release.
fn compare(python: &Path, version: FractionalVersion, release: &str, seed: u64, cases: u64) {
    println!("{version}: FLAGD_SEED={seed} FLAGD_CASES={cases}");
    let folder = tempfile::tempdir().expect("a folder");
    let (asked, answered) = (folder.path().join("asked"), folder.path().join("answered"));
    let mut lines = String::new();
    let mut ours = Vec::new();
    for case in 0..cases {
        let mut inputs = InputMaker::new(seed.wrapping_add(case));
        let (file, context) = (inputs.file(), inputs.context());
        let flag = flag_of(&file.to_string(), FLAG, version).expect("the flag is in the file");
        ours.push(said(&flag, context.as_object().expect("an object")));
        let line = json!({"file": file, "context": context, "flag": FLAG, "type": type_of(&flag)});
        lines.push_str(&format!("{line}\n"));
    }
    fs::write(&asked, &lines).expect("written");
    let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let mut arguments = vec!["evaluate".to_owned(), path(&asked), path(&answered), NOW.to_string()];
    if version == FractionalVersion::V3 {
        arguments.push("key instead of null".to_owned());
    }
    let told = run(python, "flagd_oracle.py", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((told[0]["evaluator"].as_str(), told[0]["cases"].as_u64()), (Some(release), Some(cases)));
    let answered = fs::read_to_string(&answered).expect("answers");
    let mut counts = BTreeMap::new();
    for (case, ((ours, theirs), line)) in ours.iter().zip(answered.lines()).zip(lines.lines()).enumerate() {
        let theirs: Value = serde_json::from_str(theirs).expect("JSON");
        if same(ours, &theirs["plain"]) {
            count_reason(ours, &mut counts);
            continue;
        }
        let again = format!(
            "FLAGD_SEED={} FLAGD_CASES=1\n{line}\nours {ours}\ntheirs {theirs}",
            seed.wrapping_add(case as u64)
        );
        assert!(same(ours, &theirs["mended"]), "nothing explains it, again with {again}");
        let why: Vec<&str> = theirs["why"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(why.iter().all(|why| DIFFERENCES.iter().any(|(name, _)| name == why)), "{again}");
        let why = if why.is_empty() { "one of several".to_owned() } else { why.join(", ") };
        *counts.entry(format!("differs: {why}")).or_insert(0) += 1;
    }
    println!("{version}: {counts:#?}");
    let equal: u64 = counts.iter().filter(|(what, _)| !what.starts_with("differs")).map(|(_, count)| count).sum();
    assert!(equal * 10 > cases * 9, "{equal} of {cases} are the same without an explanation");
    if cases > 500 {
        for kind in ["TARGETING_MATCH", "DEFAULT", "STATIC", "DISABLED", "GENERAL"] {
            assert!(counts.get(kind).is_some_and(|count| *count > cases / 200), "{kind} was hardly seen: {counts:#?}");
        }
    }
}

fn count_reason(ours: &Value, counts: &mut BTreeMap<String, u64>) {
    let word = ours.get("reason").or(ours.get("error")).and_then(Value::as_str).expect("a reason or an error");
    *counts.entry(word.to_owned()).or_insert(0) += 1;
}

/// Whether both say the same; 1 and 1.0 are one number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        (one, other) => one == other,
    }
}
