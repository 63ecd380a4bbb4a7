//! What a caller of the admin API may change of a plan: numbers, steps, durations and tolerances.
//!
//! What a release *runs or asks* (programs, URLs, requests of our own) is the file's alone. Whoever may operate the traffic
//! must not be able to start programs as the proxy's user, or to have it look around in the network behind it; without
//! tokens, which is the default on loopback, that would be every program of the machine. So this is a list of what may be
//! changed and not of what may not: a key that the plan learns one day is refused until somebody adds it here.
//!
//! Only the names of keys are checked here. Their values are read by the reader of the file, once they are merged with what
//! it says: a key has one meaning, one range and one message.

use serde_json::{Map, Value};

use super::section::{OF_THE_FILE, RolloutSection};
use crate::config::reader::suggest::{listed, nearest};

/// A table of the plan, and those of its keys that a caller may change. Each stands below the one that it is in.
struct Table {
    /// The keys on the way to it; `[]` is each element of a list.
    path: &'static [&'static str],
    keys: &'static [&'static str],
}

const TABLES: [Table; 5] = [
    Table {
        path: &[],
        keys: &[
            "strategy",
            "steps",
            "bake",
            "rollback",
            "on_hold",
            "hold_max",
            "watch",
            "keep",
            "batch",
            "drain_timeout",
            "verify_timeout",
            "judge",
        ],
    },
    // A gate "webhook" asks the webhook of the file.
    Table { path: &["steps", EACH], keys: &["weight", "bake", "gate"] },
    Table { path: &["rollback"], keys: &["gradual"] },
    Table {
        path: &["judge"],
        keys: &[
            "alpha",
            "tolerate_ratio",
            "tolerate_increase",
            "slower",
            "errors_max",
            "slow_max",
            "catches",
            "requests_min",
            "baseline_ill",
            "warm_up",
            "grpc_failures",
        ],
    },
    Table { path: &["judge", "slow_max"], keys: &["longer_than", "at_most"] },
];

/// Each element of a list.
const EACH: &str = "[]";

/// Keys of a plan that are other than in the config; only such as a caller may change.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Overrides(RolloutSection);

/// Why something is not taken from a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RefusedOverride {
    /// The plan is no object.
    NoObject,
    /// The key at this place says what is run or asked.
    OfTheFile(String),
    /// The plan has no key like the one at this place.
    Unknown {
        /// The place.
        place: String,
        /// The key that was meant.
        meant: Option<&'static str>,
        /// Those that there are.
        known: String,
    },
}

impl Overrides {
    /// What of `plan` a caller may change, and everything else that is in there.
    #[must_use]
    pub fn read(plan: &Value) -> (Self, Vec<RefusedOverride>) {
        let mut refused = Vec::new();
        let mut plan = match plan {
            Value::Null => Map::new(),
            Value::Object(plan) => plan.clone(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return (Self::default(), vec![RefusedOverride::NoObject]);
            }
        };
        keep_allowed(&mut plan, &mut Vec::new(), "plan", &mut refused);
        (Self(RolloutSection::new(plan)), refused)
    }

    /// `section` with what the caller wants otherwise. What is run or asked stays as it is there.
    #[must_use]
    pub fn over(&self, section: &RolloutSection) -> RolloutSection {
        section.merged(&self.0)
    }
}

/// Takes what may not be changed out of the table at a path, which problems call `place`, and out of those in it.
fn keep_allowed(
    table: &mut Map<String, Value>,
    path: &mut Vec<&'static str>,
    place: &str,
    refused: &mut Vec<RefusedOverride>,
) {
    let Some(allowed) = TABLES.iter().find(|table| table.path == path.as_slice()) else { return };
    table.retain(|key, value| {
        let place = format!("{place}.{key}");
        let Some(known) = allowed.keys.iter().find(|known| *known == key) else {
            refused.push(refusal(key, place, allowed));
            return false;
        };
        path.push(known);
        match value {
            Value::Object(inner) => keep_allowed(inner, path, &place, refused),
            Value::Array(list) => {
                path.push(EACH);
                for (inner, number) in list.iter_mut().zip(1..) {
                    if let Some(inner) = inner.as_object_mut() {
                        keep_allowed(inner, path, &format!("{place}[{number}]"), refused);
                    }
                }
                path.pop();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        path.pop();
        true
    });
}

fn refusal(key: &str, place: String, allowed: &Table) -> RefusedOverride {
    // Wherever they stand: the reason is of more use than a list of keys.
    if OF_THE_FILE.contains(&key) || matches!(key, "command" | "url") {
        return RefusedOverride::OfTheFile(place);
    }
    let meant = nearest(key, allowed.keys.iter().copied());
    RefusedOverride::Unknown { place, meant, known: listed(allowed.keys.iter().copied()) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeSet, HashSet};

    use serde_json::json;
    use toml::de::DeValue;

    use super::*;
    use crate::config::reader::config_path::Place;
    use crate::config::reader::document::Document;
    use crate::config::reader::{fault, read};
    use crate::config::release::rollout::RawRollout;

    fn refused(plan: &Value) -> Vec<RefusedOverride> {
        Overrides::read(plan).1
    }

    fn places(plan: &Value) -> Vec<String> {
        let place = |refused| match refused {
            RefusedOverride::NoObject => "plan".to_owned(),
            RefusedOverride::OfTheFile(place) | RefusedOverride::Unknown { place, .. } => place,
        };
        refused(plan).into_iter().map(place).collect()
    }

    /// The keys that the reader of the file knows in the table that this text puts a strange key into.
    fn known_to_the_file(text: &str) -> BTreeSet<&'static str> {
        let text = format!("x = {{ {text} }}");
        let document = Document::parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let known = RefCell::new(None);
        let note = |fault: &fault::Fault, _: &Place<'_>, _| {
            known.borrow_mut().get_or_insert(fault.known.unwrap_or_default());
        };
        let at = Place::Root;
        let value: &DeValue<'_> = document.value(&at.key("x")).expect("a table");
        let _: Result<RawRollout, _> = read::once(value, at.key("x"), &HashSet::new(), &note);
        known.into_inner().unwrap_or_default().iter().copied().collect()
    }

    /// A key of the file that stands in neither list would be refused as unknown; one that asks or runs something must not
    /// come into the first list without thought. Whoever adds a key decides here.
    #[test]
    fn each_key_of_a_plan_is_the_callers_or_the_files() {
        let texts = [
            "no = 1",
            "steps = [{ no = 1 }]",
            "rollback = { no = 1 }",
            "judge = { no = 1 }",
            "judge = { slow_max = { no = 1 } }",
        ];
        for (table, text) in TABLES.iter().zip(texts) {
            let of_the_file = if table.path.is_empty() { &OF_THE_FILE[..] } else { &[] };
            let listed: BTreeSet<_> = table.keys.iter().chain(of_the_file).copied().collect();
            assert_eq!(known_to_the_file(text), listed, "{:?}", table.path);
        }
    }

    #[test]
    fn what_is_run_or_asked_is_refused_in_every_form_and_all_of_it_at_once() {
        let plan = json!({
            "bake": "1s",
            "webhook": { "url": "http://10.0.0.1/" },
            "smoke": [{ "path": "/" }],
            "upgrade": { "command": ["sh"] },
            "undo": "acknowledge",
            "notify": { "url": "http://10.0.0.1/" },
            "rollback": { "gradual": "1s", "command": ["sh"] },
            "steps": [1, { "weight": 5, "gate": "manual", "webhook": { "url": "http://10.0.0.1/" } }],
            "judge": { "alpha": 0.01, "query": "up", "slow_max": { "at_most": 0.1, "url": "x" } },
        });
        let (kept, refused) = Overrides::read(&plan);
        let of_file: Vec<_> = OF_THE_FILE.iter().map(|key| RefusedOverride::OfTheFile(format!("plan.{key}"))).collect();
        assert!(of_file.iter().all(|key| refused.contains(key)), "{refused:?}");
        let mut others = places(&plan);
        others.sort();
        let wanted = [
            "plan.judge.query",
            "plan.judge.slow_max.url",
            "plan.notify",
            "plan.rollback.command",
            "plan.smoke",
            "plan.steps[2].webhook",
            "plan.undo",
            "plan.upgrade",
            "plan.webhook",
        ];
        assert_eq!(others, wanted);
        let left = json!({
            "bake": "1s", "rollback": { "gradual": "1s" }, "steps": [1, { "weight": 5, "gate": "manual" }],
            "judge": { "alpha": 0.01, "slow_max": { "at_most": 0.1 } },
        });
        assert_eq!(kept, Overrides(serde_json::from_value(left).unwrap()));
    }

    #[test]
    fn taking_a_hook_away_is_naming_it() {
        assert_eq!(places(&json!({ "smoke": null, "webhook": null })), ["plan.smoke", "plan.webhook"]);
        assert_eq!(places(&json!(7)), ["plan"]);
        assert!(places(&Value::Null).is_empty() && places(&json!({ "judge": null, "steps": null })).is_empty());
    }

    #[test]
    fn a_slip_is_told() {
        let [RefusedOverride::Unknown { meant, known, .. }] = &refused(&json!({ "bakes": "1s" }))[..] else { panic!() };
        assert_eq!((*meant, known.starts_with("strategy, steps")), (Some("bake"), true));
    }
}
