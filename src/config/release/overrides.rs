//! The overrides that a caller of the admin API may make to a plan: numbers, steps, durations and tolerances.
//!
//! What a release *runs or asks* (programs, URLs, requests of our own, questions to a metrics server) is the file's
//! alone. A caller who may operate the traffic must not be able to start programs as the proxy's user, or to have it
//! look around in the network behind it; without tokens, which is the default on loopback, that would be every program
//! of the machine. So this is a list of what may be changed and not of what may not: a key that the plan learns one day
//! is refused until it is added here.
//!
//! Only the names of keys are checked here. Their values are read by the reader of the file, once they are merged with
//! what it says: a key has one meaning, one range and one message.

use serde_json::{Map, Value};

use super::section::{OF_THE_FILE, RolloutSection};
use crate::config::reader::read_fault::ReadFault;
use crate::config::reader::tree::Notation;
use crate::problem::{Problem, ProblemKind};

/// A table of the plan, and those of its keys that a caller may change. Each stands below the one that it is in.
struct Changeable {
    /// The keys on the way to it; `[]` is each element of a list.
    way: &'static [&'static str],
    keys: &'static [&'static str],
}

const TABLES: [Changeable; 7] = [
    Changeable {
        way: &[],
        keys: &[
            "strategy",
            "steps",
            "bake",
            "rollback",
            "on_hold",
            "hold_max",
            "budget_left_min",
            "watch",
            "keep",
            "batch",
            "drain_timeout",
            "verify_timeout",
            "guardrails",
            "judge",
        ],
    },
    // A gate "webhook" asks the webhook of the file.
    Changeable { way: &["steps", EACH], keys: &["weight", "mirror", "differ_max", "bake", "gate"] },
    Changeable { way: &["rollback"], keys: &["gradual"] },
    // Metrics that the file defines.
    Changeable { way: &["guardrails", EACH], keys: &["metric", "tolerate", "users_min"] },
    Changeable {
        way: &["judge"],
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
            "tolerate_burst",
            "grpc_failures",
            "responses",
            "routes",
        ],
    },
    Changeable { way: &["judge", "slow_max"], keys: &["longer_than", "at_most"] },
    Changeable { way: &["judge", "responses"], keys: &["status", "length", "type", "except"] },
];

/// Each element of a list.
const EACH: &str = "[]";

/// Keys of a plan that are other than in the config; only such as a caller may change.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReleaseOverrides(RolloutSection);

/// Where the keys stand that are no caller's.
pub(crate) const IN_THE_FILE: &str =
    "write it into the section rollout of the service, flag or group in the config file, and reload";

impl ReleaseOverrides {
    /// What of `plan` a caller may change, and everything else that is in there.
    #[must_use]
    pub(crate) fn read(plan: &Value) -> (Self, Vec<Problem>) {
        let mut refused = Vec::new();
        let mut plan = match plan {
            Value::Null => Map::new(),
            Value::Object(plan) => plan.clone(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                let wanted = "an object with keys of [services.NAME.rollout]";
                let problem = Problem::invalid("plan", "something else", wanted, "write {\"bake\": \"1m\"}");
                return (Self::default(), vec![problem]);
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

/// Takes what may not be changed out of the table that `way` leads to and that problems call `path`, and out of those
/// in it.
fn keep_allowed(table: &mut Map<String, Value>, way: &mut Vec<&'static str>, path: &str, refused: &mut Vec<Problem>) {
    let Some(allowed) = TABLES.iter().find(|table| table.way == way.as_slice()) else { return };
    table.retain(|key, value| {
        let path = format!("{path}.{key}");
        let Some(known) = allowed.keys.iter().find(|known| *known == key) else {
            refused.push(refusal(key, path, allowed));
            return false;
        };
        way.push(known);
        match value {
            Value::Object(inner) => keep_allowed(inner, way, &path, refused),
            Value::Array(list) => {
                way.push(EACH);
                for (inner, number) in list.iter_mut().zip(1..) {
                    if let Some(inner) = inner.as_object_mut() {
                        keep_allowed(inner, way, &format!("{path}[{number}]"), refused);
                    }
                }
                way.pop();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        way.pop();
        true
    });
}

fn refusal(key: &str, path: String, allowed: &Changeable) -> Problem {
    // In each table: the reason is of more use than a list of keys.
    if OF_THE_FILE.contains(&key) || matches!(key, "command" | "url" | "query" | "token_file") {
        let found = "what the proxy is to run or to ask, named by a call";
        let wanted = "programs, URLs, smoke requests and metrics from the config file only";
        return Problem::invalid(path, found, wanted, format!("leave it out; {IN_THE_FILE}"));
    }
    // In the words of the reader, which refuses keys of the other parts of a body.
    let unknown = ReadFault::UnknownKey { key: key.to_owned(), known: allowed.keys };
    unknown.mismatch(Notation::Json).at(path, ProblemKind::Invalid)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeSet, HashSet};

    use serde_json::json;

    use super::*;
    use crate::config::reader::config_path::ConfigPath;
    use crate::config::reader::input::Input;
    use crate::config::reader::read;
    use crate::config::reader::read_fault::ReadFault;
    use crate::config::release::rollout::RawRollout;

    fn refused(plan: &Value) -> Vec<Problem> {
        ReleaseOverrides::read(plan).1
    }

    fn paths(plan: &Value) -> Vec<String> {
        refused(plan).into_iter().map(|problem| problem.path).collect()
    }

    /// The keys that the reader of the file knows in the table that this text puts a strange key into.
    fn known_to_the_file(text: &str) -> BTreeSet<&'static str> {
        let text = format!("x = {{ {text} }}");
        let input = Input::toml(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let known = RefCell::new(None);
        let note = |fault: &ReadFault, _: &ConfigPath<'_>, _| {
            known.borrow_mut().get_or_insert(fault.known().unwrap_or_default());
        };
        let at = ConfigPath::Root;
        let value = input.value(&at.key("x")).expect("a table");
        let _: Result<RawRollout, _> = read::once(value, at.key("x"), &HashSet::new(), &note);
        known.into_inner().unwrap_or_default().iter().copied().collect()
    }

    /// A key of the file that stands in neither list would be refused as unknown; one that asks or runs something must
    /// not come into the first list without thought. The author of a key decides here.
    #[test]
    fn each_key_of_a_plan_is_the_callers_or_the_files() {
        let texts = [
            "no = 1",
            "steps = [{ no = 1 }]",
            "rollback = { no = 1 }",
            "guardrails = [{ no = 1 }]",
            "judge = { no = 1 }",
            "judge = { slow_max = { no = 1 } }",
        ];
        for (table, text) in TABLES.iter().zip(texts) {
            let of_the_file = if table.way.is_empty() { &OF_THE_FILE[..] } else { &[] };
            let listed: BTreeSet<_> = table.keys.iter().chain(of_the_file).copied().collect();
            assert_eq!(known_to_the_file(text), listed, "{:?}", table.way);
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
            "metrics": [{ "name": "a", "url": "http://10.0.0.1/", "query": "up", "at_most": 1 }],
            "guardrails": ["purchase", { "metric": "revenue", "tolerate": 0.1, "query": "up" }],
            "judge": { "alpha": 0.01, "query": "up", "slow_max": { "at_most": 0.1, "url": "x" } },
        });
        let (kept, refused) = ReleaseOverrides::read(&plan);
        for key in OF_THE_FILE {
            let named = |problem: &&Problem| problem.path == format!("plan.{key}");
            let problem = refused.iter().find(named).expect("a problem");
            assert!(problem.remedy.ends_with(IN_THE_FILE), "{problem}");
        }
        let mut others = paths(&plan);
        others.sort();
        let wanted = [
            "plan.guardrails[2].query",
            "plan.judge.query",
            "plan.judge.slow_max.url",
            "plan.metrics",
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
            "guardrails": ["purchase", { "metric": "revenue", "tolerate": 0.1 }],
            "judge": { "alpha": 0.01, "slow_max": { "at_most": 0.1 } },
        });
        assert_eq!(kept, ReleaseOverrides(serde_json::from_value(left).unwrap()));
    }

    #[test]
    fn taking_a_hook_away_is_naming_it() {
        assert_eq!(paths(&json!({ "smoke": null, "webhook": null })), ["plan.smoke", "plan.webhook"]);
        assert_eq!(paths(&json!(7)), ["plan"]);
        assert!(paths(&Value::Null).is_empty() && paths(&json!({ "judge": null, "steps": null })).is_empty());
    }

    #[test]
    fn a_slip_is_told() {
        let [problem] = &refused(&json!({ "bakes": "1s" }))[..] else { panic!() };
        let text = "plan.bakes: found the unknown key \"bakes\", want a known one (did you mean \"bake\"?)";
        assert_eq!(problem.to_string(), text);
        let [problem] = &refused(&json!({ "judge": { "nonsense": 1 } }))[..] else { panic!() };
        let found = "plan.judge.nonsense: found the unknown key \"nonsense\", want one of alpha, tolerate_ratio";
        assert!(problem.to_string().starts_with(found), "{problem}");
        assert_eq!(problem.remedy, "rename or remove it");
    }
}
