//! The scenarios of OpenFeature's testbed for flagd, played with our evaluator.
//!
//! They are data of another project and not kept here: `FLAGD_TESTBED` names the folder `evaluator` of a checkout of
//! `flagd-testbed`, with its `gherkin/*.feature` and `flags/testkit-flags.json`. The reader knows as much of Gherkin as
//! they use. All of them hold but those on flags that we refuse when the file is read ([`REFUSED`]), where flagd
//! answers with an error, or with the default, each time that it is asked. Examples of `fractional`'s first version are
//! left out: there is none here.

use std::fs;
use std::path::Path;

use pointsman::testing::flagd::{FractionalVersion, ImportedFlag, parse};
use serde_json::{Map, Value, json};

use super::flagd_case::said;

/// Flags with rules that can never be evaluated as they are meant.
const REFUSED: [&str; 5] = [
    "ref-to-nonexistent-evaluator-flag",
    "semver-invalid-operator-flag",
    "semver-wrong-args-flag",
    "starts-with-wrong-args-flag",
    "ends-with-wrong-args-flag",
];

/// One example of a scenario: its steps with their tables.
#[derive(Clone, Debug, Default)]
struct Play {
    name: String,
    tags: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    text: String,
    table: Vec<Vec<String>>,
}

#[test]
fn the_scenarios_of_the_testbed_hold() {
    let Some(folder) = std::env::var_os("FLAGD_TESTBED") else {
        println!("skipped: FLAGD_TESTBED does not name the folder `evaluator` of a checkout of flagd-testbed");
        return;
    };
    let folder = Path::new(&folder);
    let text = fs::read_to_string(folder.join("flags/testkit-flags.json")).expect("the flags of the testbed");
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    let problems = parse(&text, FractionalVersion::V3).expect_err("some flags are refused");
    for problem in problems.as_slice() {
        assert!(REFUSED.iter().any(|flag| problem.path.starts_with(&format!("/flags/{flag}/"))), "{problem}");
    }
    for flag in REFUSED {
        file["flags"].as_object_mut().expect("flags").remove(flag).expect("it is in the file");
    }
    let versions = [FractionalVersion::V2, FractionalVersion::V3];
    let [v2, v3] = versions.map(|version| parse(&file.to_string(), version).expect("a good file").flags);
    let (mut held, mut left_out) = (0, Vec::new());
    for entry in fs::read_dir(folder.join("gherkin")).expect("features") {
        let path = entry.expect("an entry").path();
        let feature = fs::read_to_string(&path).expect("a feature");
        let newest = if feature.contains("@fractional-v3") { &v3 } else { &v2 };
        for play in plays(&feature) {
            let has = |tag: &str| play.tags.iter().any(|known| known == tag);
            let flags = if has("@fractional-v2") { &v2 } else { newest };
            if has("@fractional-v1")
                || REFUSED.iter().any(|flag| play.steps.iter().any(|step| step.text.contains(flag)))
            {
                left_out.push(play.name);
                continue;
            }
            perform(&play, flags);
            held += 1;
        }
    }
    println!("{held} examples hold, {} are left out: {left_out:#?}", left_out.len());
    assert!(held > 100, "{held} examples");
}

/// Plays one example.
fn perform(play: &Play, flags: &[ImportedFlag]) {
    let (mut asked, mut context) = (None, Map::new());
    let mut answer = Value::Null;
    for step in &play.steps {
        let text = step.text.as_str();
        let quoted = quoted(text);
        let word = |index: usize| quoted.get(index).map_or("", String::as_str);
        if text.contains("-flag with key ") {
            asked = Some((
                text.split(['-', ' ']).nth(1).expect("a type").to_owned(),
                word(0).to_owned(),
                word(1).to_owned(),
            ));
        } else if text.contains("nested property") {
            context.insert(word(0).to_owned(), json!({word(1): word(2)}));
        } else if text.contains("targeting key with value") {
            context.insert("targetingKey".to_owned(), word(0).into());
        } else if text.contains("context containing a key") {
            context.insert(word(0).to_owned(), value(word(1), word(2)));
        } else if text == "the flag was evaluated with details" {
            let (kind, key, fallback) = asked.as_ref().expect("a flag");
            answer = evaluated(flags, key, kind, fallback, &context);
        } else if text.contains("details value should be") {
            let (kind, ..) = asked.as_ref().expect("a flag");
            let wanted = value(kind, word(0));
            let equal = match (&answer["value"], &wanted) {
                (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
                (one, other) => one == other,
            };
            assert!(equal, "{}: {wanted} {answer}", play.name);
        } else if text.contains("reason should be") {
            assert_eq!(answer["reason"], word(0), "{}: {answer}", play.name);
        } else if text.contains("error-code should be") {
            assert_eq!(answer["error"], word(0), "{}: {answer}", play.name);
        } else if text.contains("metadata is empty") {
            assert_eq!(answer["metadata"], json!({}), "{}: {answer}", play.name);
        } else if text.contains("metadata should contain") {
            for row in &step.table[1..] {
                assert_eq!(answer["metadata"][&row[0]], value(&row[1], &row[2]), "{}: {answer}", play.name);
            }
        } else {
            assert_eq!(text, "an evaluator", "a step that is not known: {}", play.name);
        }
    }
    assert!(!answer.is_null(), "{} asks for nothing", play.name);
}

/// What a client gets that asks for a flag by this type, with its own default.
fn evaluated(flags: &[ImportedFlag], key: &str, kind: &str, fallback: &str, context: &Map<String, Value>) -> Value {
    let fallback = value(kind, fallback);
    let Some(flag) = flags.iter().find(|flag| flag.key.as_str() == key) else {
        return json!({"error": "FLAG_NOT_FOUND", "value": fallback});
    };
    let mut said = said(flag, context);
    let fits = said.get("value").is_none_or(|value| match kind {
        "Boolean" => value.is_boolean(),
        "String" => value.is_string(),
        "Integer" => value.is_i64(),
        "Float" => value.is_number(),
        _ => value.is_object(),
    });
    if !fits {
        return json!({"error": "TYPE_MISMATCH", "value": fallback});
    }
    if said.get("value").is_none() {
        said["value"] = fallback;
    }
    said
}

/// A value as the steps write it.
fn value(kind: &str, text: &str) -> Value {
    match kind {
        "String" => text.into(),
        _ => serde_json::from_str(text).unwrap_or_else(|error| panic!("{kind} {text:?}: {error}")),
    }
}

/// What stands in quotes.
fn quoted(text: &str) -> Vec<String> {
    let mut parts =
        text.replace("\\\"", "\u{0}").split('"').map(|part| part.replace('\u{0}', "\"")).collect::<Vec<_>>();
    parts = parts.into_iter().skip(1).step_by(2).collect();
    parts
}

/// The examples of a feature.
fn plays(feature: &str) -> Vec<Play> {
    let (mut all, mut background) = (Vec::new(), Vec::new());
    let (mut scenario, mut tags) = (Play::default(), Vec::new());
    let (mut examples, mut example_tags): (Option<Vec<Vec<String>>>, Vec<String>) = (None, Vec::new());
    let mut in_background = false;
    let close_examples =
        |scenario: &Play, table: &mut Option<Vec<Vec<String>>>, tags: &[String], all: &mut Vec<Play>| {
            if let Some(table) = table.take() {
                all.extend(expanded(scenario, &table, tags));
            }
        };
    let finish = |scenario: &mut Play, had_examples: &mut bool, all: &mut Vec<Play>| {
        let done = std::mem::take(scenario);
        if !done.steps.is_empty() && !std::mem::take(had_examples) {
            all.push(done);
        }
    };
    let mut had_examples = false;
    for line in feature.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('@') {
            tags.extend(line.split_whitespace().map(str::to_owned));
        } else if let Some(rest) = line.strip_prefix("Background:") {
            in_background = true;
            assert!(rest.is_empty());
        } else if line.starts_with("Scenario") {
            close_examples(&scenario, &mut examples, &example_tags, &mut all);
            finish(&mut scenario, &mut had_examples, &mut all);
            in_background = false;
            let name = line.split_once(':').expect("a name").1.trim().to_owned();
            scenario = Play { name, tags: std::mem::take(&mut tags), steps: background.clone() };
        } else if line.starts_with("Examples:") {
            close_examples(&scenario, &mut examples, &example_tags, &mut all);
            (examples, example_tags, had_examples) = (Some(Vec::new()), std::mem::take(&mut tags), true);
        } else if line.starts_with('|') {
            let row = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            match &mut examples {
                Some(table) => table.push(row),
                None => scenario.steps.last_mut().expect("a step").table.push(row),
            }
        } else if let Some((word, text)) = line.split_once(' ').filter(|(word, _)| KEYWORDS.contains(word)) {
            let _ = word;
            let step = Step { text: text.to_owned(), table: Vec::new() };
            if in_background { background.push(step) } else { scenario.steps.push(step) }
        } else if line.starts_with("Feature:") {
            tags.clear();
        }
    }
    close_examples(&scenario, &mut examples, &example_tags, &mut all);
    finish(&mut scenario, &mut had_examples, &mut all);
    all
}

const KEYWORDS: [&str; 5] = ["Given", "When", "Then", "And", "But"];

/// An outline with each row of its examples.
fn expanded(outline: &Play, table: &[Vec<String>], tags: &[String]) -> Vec<Play> {
    let [names, rows @ ..] = table else { return Vec::new() };
    let fill = |row: &Vec<String>| {
        let put = |text: &str| {
            names.iter().zip(row).fold(text.to_owned(), |text, (name, cell)| text.replace(&format!("<{name}>"), cell))
        };
        let steps =
            outline.steps.iter().map(|step| Step { text: put(&step.text), table: step.table.clone() }).collect();
        let tags = outline.tags.iter().chain(tags).cloned().collect();
        Play { name: format!("{} {row:?}", outline.name), tags, steps }
    };
    rows.iter().map(fill).collect()
}
