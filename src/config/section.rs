//! Rollout sections by themselves, as data: what the file says of a release, with what a start says differently.
//!
//! A rollout that runs goes on as it was begun, whatever the file says after a reload; so its section is stored with
//! it, and read again after a restart. And whoever starts one may change some of it (`{"bake": "1m"}`). Both go through
//! the reader of the file: the JSON is written as TOML, so that a key has one meaning, one range and one message.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::build::Build;
use super::document::Document;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::read;
use super::report::Report;
use super::rollout::{RawRollout, RawStrategy};
use crate::rollout::release::Release;

/// The section inside a section whose keys are merged one by one too.
const JUDGE: &str = "judge";

/// A rollout section as it is written, in JSON an object with the keys of the file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutSection(Map<String, Value>);

impl RolloutSection {
    /// The section that stands in a config without problems.
    pub(super) fn of(document: &Document<'_>, place: Place<'_>) -> Self {
        let value = document.value(&place);
        let read = value.and_then(|value| read::once(value, place, &HashSet::new(), &|_, _, _| {}).ok());
        read.unwrap_or_default()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This section with other values of some keys; `judge` is merged key by key, and `null` takes a key away.
    ///
    /// When that changes the strategy, the keys that only the former one knows are left out: they were never meant for
    /// this release.
    #[must_use]
    pub fn merged(&self, overrides: &Self) -> Self {
        let mut merged = self.0.clone();
        let strategy = |section: &Map<String, Value>| {
            section.get("strategy").and_then(Value::as_str).unwrap_or(RawStrategy::default().word()).to_owned()
        };
        let before = strategy(&merged);
        for (key, value) in &overrides.0 {
            match (key.as_str(), value, merged.get_mut(key)) {
                (JUDGE, Value::Object(new), Some(Value::Object(judge))) => put_all(judge, new),
                _ => put(&mut merged, key, value),
            }
        }
        let after = strategy(&merged);
        if after != before {
            merged.retain(|key, _| overrides.0.contains_key(key) || is_known_to(key, &after));
        }
        Self(merged)
    }

    /// The release that it means.
    ///
    /// # Errors
    /// All problems, by keys such as `plan.steps[2]`; they have no lines.
    pub fn release(&self) -> Result<Release, Problems> {
        let alone = |text: String| Err(Problems::new(vec![Problem { line: None, path: PLAN.to_owned(), text }]));
        let value = match toml::Value::try_from(&self.0) {
            Ok(value) => value,
            Err(why) => return alone(format!("found what the config cannot say, want its keys and values ({why})")),
        };
        let text = format!("{PLAN} = {value}");
        let Ok(document) = Document::parse(&text) else {
            return alone(
                "found too many tables inside each other, want the keys of the config (correct it)".to_owned(),
            );
        };
        let at = Place::Root.key(PLAN);
        let mut report = Report::new(&document);
        let raw: RawRollout = read::at(at, &document, &mut report).unwrap_or_default();
        let mut build = Build::new(report, Path::new(""));
        let release = raw.build(&at, &mut build);
        build.report.finish(release).map_err(Problems::without_lines)
    }
}

/// How the section is called in problems.
const PLAN: &str = "plan";

fn put(into: &mut Map<String, Value>, key: &str, value: &Value) {
    match value {
        Value::Null => drop(into.remove(key)),
        Value::Object(new) if key == JUDGE => {
            let mut judge = Map::new();
            put_all(&mut judge, new);
            into.insert(key.to_owned(), Value::Object(judge));
        }
        value => drop(into.insert(key.to_owned(), value.clone())),
    }
}

fn put_all(into: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (key, value) in new {
        put(into, key, value);
    }
}

/// Whether the strategy with this word knows `key`, or every one does.
fn is_known_to(key: &str, word: &str) -> bool {
    let knows = |strategy: &RawStrategy| strategy.keys().contains(&key);
    let knows_by_word = RawStrategy::ALL.iter().any(|strategy| strategy.word() == word && knows(strategy));
    knows_by_word || !RawStrategy::ALL.iter().any(knows)
}
