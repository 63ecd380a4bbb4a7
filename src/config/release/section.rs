//! Rollout sections by themselves, as data: what the file says of a release, with what a start says differently.
//!
//! A rollout that runs goes on as it was begun, whatever the file says after a reload; so its section is stored with
//! it, and read again after a restart. And who starts one may change some of it (`{"bake": "1m"}`;
//! [`overrides`](super::overrides) says what). Both are JSON and go through the reader of the file, so that a key has
//! one meaning, one range and one message.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rollout::{RawRollout, RawStrategy};
use crate::config::build::Build;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::input::Input;
use crate::config::reader::read;
use crate::config::reader::report::Report;
use crate::config::reader::tree::Tree;
use crate::problem::Problems;
use crate::rollout::release::Release;

/// The keys of a section that say what is run or asked.
pub(crate) const OF_THE_FILE: [&str; 5] = ["webhook", "smoke", "metrics", "upgrade", "undo"];

/// The section inside a section whose keys are merged one by one too.
const JUDGE: &str = "judge";

/// A rollout section as it is written, in JSON an object with the keys of the file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutSection(Map<String, Value>);

impl RolloutSection {
    /// A section with these keys.
    pub(crate) fn new(keys: Map<String, Value>) -> Self {
        Self(keys)
    }

    /// The section that stands in a config without problems, whose relative paths begin at `base`.
    pub(crate) fn of(input: &Input<'_>, path: ConfigPath<'_>, base: &Path) -> Self {
        let value = input.value(&path);
        let read = value.and_then(|value| read::once(value, path, &HashSet::new(), &|_, _, _| {}).ok());
        let mut section: Self = read.unwrap_or_default();
        section.anchor(base);
        section
    }

    /// Has files be where the config means them to be, for a reader of the section that does not know the config.
    fn anchor(&mut self, base: &Path) {
        for metric in self.0.get_mut("metrics").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::String(file)) = metric.get_mut("token_file") {
                *file = base.join(&*file).to_string_lossy().into_owned();
            }
        }
    }

    /// Whether the strategy is the one that upgrades endpoints.
    pub(crate) fn is_rolling(&self) -> bool {
        self.0.get("strategy").and_then(Value::as_str) == Some(RawStrategy::Rolling.word())
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that say what is run or asked, and do not say the same in `file`.
    #[must_use]
    pub fn not_from(&self, file: &Self) -> Vec<&'static str> {
        let differs = |key: &&str| self.0.contains_key(*key) && self.0.get(*key) != file.0.get(*key);
        OF_THE_FILE.into_iter().filter(differs).collect()
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
        let value = Value::Object(self.0.clone());
        let input = Input::json(&value);
        let (path, mut report) = (ConfigPath::Root.key(PLAN), Report::new(&input));
        let raw: RawRollout = read::all(Tree::Json(&value), path, &mut report).unwrap_or_default();
        let mut build = Build::new(report, Path::new(""));
        let release = raw.build(&path, &mut build);
        build.report.finish(release)
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
        value @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            drop(into.insert(key.to_owned(), value.clone()));
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::config::{Config, parse};
    use crate::rollout::judge::Assignment;
    use crate::rollout::release::Shape;

    const EXAMPLE: &str = include_str!("../../../config/example.toml");

    fn section(value: Value) -> RolloutSection {
        serde_json::from_value(value).unwrap()
    }

    fn problems(value: Value) -> Vec<String> {
        let problems = section(value).release().expect_err("want problems");
        problems.as_slice().iter().map(ToString::to_string).collect()
    }

    fn bakes(section: &RolloutSection) -> Vec<u64> {
        match section.release().unwrap().shape {
            Shape::Canary(canary) => canary.steps.iter().map(|step| step.bake.as_secs()).collect(),
            shape @ (Shape::BlueGreen { .. } | Shape::Rolling(_)) => panic!("want a canary, found {shape:?}"),
        }
    }

    #[test]
    fn a_section_is_the_release_of_its_config_also_after_it_was_stored() {
        let config: Config = parse(EXAMPLE, Path::new("/etc/pointsman")).unwrap();
        let (releases, sections) = (&config.releases, &config.rollout_sections);
        let services = releases.services.iter().map(|(name, release)| (release, &sections.services[name]));
        let flags = releases.flags.iter().map(|(name, release)| (release, &sections.flags[name]));
        let groups = releases.groups.iter().map(|(name, group)| (&group.release, &sections.groups[name]));
        let mut strategies = Vec::new();
        for (release, section) in services.chain(flags).chain(groups) {
            let stored: RolloutSection = serde_json::from_str(&serde_json::to_string(section).unwrap()).unwrap();
            assert_eq!(&stored, section);
            // Regular expressions cannot be compared, their text can.
            assert_eq!(format!("{:?}", stored.release().unwrap()), format!("{release:?}"));
            strategies.push(release.strategy_word());
        }
        assert_eq!(strategies, ["canary", "rolling", "rolling", "canary", "blue_green"]);
    }

    #[test]
    fn a_service_without_a_section_is_released_by_the_default_canary() {
        let text = include_str!("../../../config/minimal.toml");
        let config = parse(text, Path::new("")).unwrap();
        let (name, release) = config.releases.services.first_key_value().unwrap();
        assert!(config.rollout_sections.services[name].is_empty());
        let plan = release.plan(1, Assignment::PerRequest).unwrap();
        assert_eq!((plan.stages().len(), plan.judge().horizon), (4, Duration::from_secs(2_400)));
    }

    #[test]
    fn overrides_replace_keys_and_those_of_the_judge_one_by_one() {
        let base = section(json!({
            "steps": [5, { "weight": 50, "bake": "3s" }], "bake": "10m", "judge": { "alpha": 0.01, "slower": 1.5 },
        }));
        let merged = base.merged(&section(json!({ "bake": "1s", "judge": { "slower": false, "alpha": null } })));
        assert_eq!(bakes(&base), [600, 3]);
        assert_eq!(bakes(&merged), [1, 3]);
        let judge = merged.release().unwrap().judge;
        assert_eq!((judge.slower, judge.alpha.value()), (None, 0.001));
        assert_eq!(bakes(&base.merged(&section(json!({ "steps": null, "judge": null })))), [600; 4]);
        assert_eq!(base.merged(&RolloutSection::default()), base);
        assert_eq!(RolloutSection::default().merged(&base), base);
    }

    #[test]
    fn another_strategy_leaves_the_keys_of_the_former_one_out() {
        let base = section(json!({ "steps": [5], "bake": "1m", "on_hold": "roll_back", "judge": { "alpha": 0.01 } }));
        let blue_green = base.merged(&section(json!({ "strategy": "blue_green", "watch": "1s" })));
        let wanted = json!({
            "strategy": "blue_green", "watch": "1s", "on_hold": "roll_back", "judge": { "alpha": 0.01 },
        });
        assert_eq!(blue_green, section(wanted));
        assert!(matches!(blue_green.release().unwrap().shape, Shape::BlueGreen { .. }));
        // What was asked for at the same time is a contradiction, and is told.
        let both = base.merged(&section(json!({ "strategy": "blue_green", "bake": "1s" })));
        assert!(both.release().unwrap_err().to_string().starts_with("plan.bake: "));
        assert_eq!(bakes(&base.merged(&section(json!({ "strategy": "canary" })))), [60]);
    }

    #[test]
    fn problems_name_their_key_without_a_line() {
        let mut found = problems(json!({ "steps": [10, 5, "x"], "bakes": "1m", "judge": { "alpha": 2 } }));
        found.sort();
        let starts = ["plan.bakes: ", "plan.judge.alpha: ", "plan.steps[2]: ", "plan.steps[3]: "];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        assert!(found.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{found:#?}");
    }

    #[test]
    fn problems_of_json_are_told_in_json() {
        let object = "want an object (write {\"KEY\": VALUE})";
        assert_eq!(problems(json!({ "judge": [0.01] })), [format!("plan.judge: found a list, {object}")]);
        assert_eq!(problems(json!({ "judge": "x" })), [format!("plan.judge: found \"x\", {object}")]);
        let step = problems(json!({ "steps": [1, null] }));
        assert!(step[0].starts_with("plan.steps[2]: found null, want "), "{step:?}");
        let huge = problems(json!({ "judge": { "requests_min": u64::MAX } }));
        assert!(huge[0].starts_with("plan.judge.requests_min: found 18446744073709551615, want "), "{huge:?}");
    }

    #[test]
    fn what_json_alone_can_say_is_a_problem() {
        let mut deep = json!(1);
        for _ in 0..120 {
            deep = json!({ "x": deep });
        }
        for value in [
            json!({ "steps": [null] }),
            json!({ "judge": { "requests_min": u64::MAX } }),
            json!({ "steps": [1e300] }),
            json!({ "webhook": { "url": "http://\u{0}\n'''\"\"\"\\" } }),
            json!({ "": 1, "a.b": { "c\nd": [] } }),
            json!({ "judge": deep }),
        ] {
            let found = problems(value);
            assert!(found.iter().all(|line| line.starts_with("plan")), "{found:#?}");
        }
    }
}
