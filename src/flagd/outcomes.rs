//! Which variants a rule can end with, as far as the file says it.
//!
//! flagd finds a variant that is misspelt when a user gets it; here it is found when the file is read. Only what the
//! rule as a whole gives is looked at: the branches of `if`, the shares of `fractional`, the last of `and` and `or`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compile_rule::REF;
use super::json_pointer::JsonPointer;

/// Finds what rules end with.
pub(crate) struct OutcomeFinder<'a> {
    evaluators: &'a Map<String, Value>,
    /// Of rules that others refer to, each looked at once.
    known: BTreeMap<&'a str, Vec<String>>,
}

/// Where a rule ends with what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// The place.
    pub(crate) at: String,
    /// The name of the variant.
    pub(crate) variant: String,
}

impl<'a> OutcomeFinder<'a> {
    /// For rules that may refer to `evaluators`, which have no circle.
    pub(crate) fn new(evaluators: &'a Map<String, Value>) -> Self {
        Self { evaluators, known: BTreeMap::new() }
    }

    /// What the rule at `at` can end with.
    pub(crate) fn of(&mut self, rule: &'a Value, at: &JsonPointer<'_>) -> Vec<Outcome> {
        let mut found = Vec::new();
        self.add(rule, at, &mut found);
        found
    }

    fn add(&mut self, rule: &'a Value, at: &JsonPointer<'_>, found: &mut Vec<Outcome>) {
        let variant = match rule {
            Value::Null | Value::Array(_) => return,
            Value::Bool(_) | Value::Number(_) => super::datum::Datum::from(rule).text().into_owned(),
            Value::String(text) => text.clone(),
            Value::Object(members) => {
                if let Some((name, arguments)) = members.iter().next() {
                    self.add_operation(name, arguments, &at.key(name), found);
                }
                return;
            }
        };
        found.push(Outcome { at: at.to_string(), variant });
    }

    fn add_operation(&mut self, name: &str, arguments: &'a Value, at: &JsonPointer<'_>, found: &mut Vec<Outcome>) {
        let Value::Array(list) = arguments else {
            match (name, arguments) {
                (REF, Value::String(name)) => {
                    let variants = self.of_evaluator(name);
                    found.extend(variants.into_iter().map(|variant| Outcome { at: at.to_string(), variant }));
                }
                ("if" | "and" | "or", alone) => self.add(alone, at, found),
                _ => {}
            }
            return;
        };
        let last = list.len().saturating_sub(1);
        for (index, argument) in list.iter().enumerate() {
            let at = at.item(index);
            match name {
                "if" if index % 2 == 1 || index == last => self.add(argument, &at, found),
                "and" | "or" if index == last => self.add(argument, &at, found),
                "fractional" => {
                    if let Some(value) = argument.as_array().and_then(|share| share.first()) {
                        self.add(value, &at.item(0), found);
                    }
                }
                _ => {}
            }
        }
    }

    fn of_evaluator(&mut self, name: &'a str) -> Vec<String> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let mut found = Vec::new();
        if let Some(rule) = self.evaluators.get(name) {
            self.add(rule, &JsonPointer::Root, &mut found);
        }
        let mut variants: Vec<String> = found.into_iter().map(|outcome| outcome.variant).collect();
        variants.sort_unstable();
        variants.dedup();
        self.known.insert(name, variants.clone());
        variants
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_rule_ends_with_counts() {
        let evaluators = json!({"end": {"if": [{"var": "x"}, "from-ref", {"or": ["not", "last"]}]}});
        let evaluators = evaluators.as_object().unwrap();
        let rule = json!({"if": [
            {"==": [{"var": "a"}, "compared"]}, "a",
            {"var": "b"}, {"fractional": [{"cat": ["salt", {"var": "c"}]}, ["b", 1], [{"if": ["cond", true]}, 2]]},
            {"$ref": "end"}
        ]});
        let found = OutcomeFinder::new(evaluators).of(&rule, &JsonPointer::Root);
        let found: Vec<_> = found.iter().map(|outcome| (outcome.at.as_str(), outcome.variant.as_str())).collect();
        let wanted = [
            ("/if/1", "a"),
            ("/if/3/fractional/1/0", "b"),
            ("/if/3/fractional/2/0/if/1", "true"),
            ("/if/4/$ref", "from-ref"),
            ("/if/4/$ref", "last"),
        ];
        assert_eq!(found, wanted);
    }
}
