//! What a rule looks at, as far as the file says it: for those who have to know before it is evaluated.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::shared::name::Name;

/// What a rule looks at.
#[derive(Clone, Debug, Default)]
pub struct AskedOf {
    /// The services that it asks for a version of, each with its first place in the file.
    pub services: BTreeMap<Name, String>,
    /// The attributes that it names.
    attributes: BTreeSet<String>,
    /// It also makes names by itself: any attribute may be meant.
    any: bool,
}

impl AskedOf {
    /// Whether it may look at the attribute of this name.
    #[must_use]
    pub fn may_ask(&self, attribute: &str) -> bool {
        self.any || self.attributes.contains(attribute)
    }

    /// The attributes that it names, in order.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(String::as_str).filter(|name| !["", "targetingKey", "$flagd"].contains(name))
    }

    /// Adds a name that `var` or `missing` has, or a list of names.
    pub(super) fn name(&mut self, name: &Value) {
        match name {
            Value::String(name) => {
                let first = name.split('.').next().unwrap_or_default();
                self.attributes.insert(first.to_owned());
            }
            Value::Array(names) => names.iter().for_each(|name| self.name(name)),
            Value::Object(_) => self.any = true,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Adds what a rule looks at that is referred to.
    pub(super) fn extend(&mut self, other: &Self) {
        for (service, at) in &other.services {
            self.services.entry(service.clone()).or_insert_with(|| at.clone());
        }
        self.attributes.extend(other.attributes.iter().cloned());
        self.any |= other.any;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_known_unless_they_are_made() {
        let mut asked = AskedOf::default();
        asked.name(&json!("user.name"));
        asked.name(&json!(["plan", ["age"]]));
        assert_eq!(["user", "plan", "age", "name"].map(|name| asked.may_ask(name)), [true, true, true, false]);
        let mut other = AskedOf::default();
        other.name(&json!({"cat": ["a", "b"]}));
        asked.extend(&other);
        assert!(asked.may_ask("name"));
    }
}
