//! The state of the proxy as a document that changes by [merge patches](super::merge_patch).
//!
//! It is what `GET /v1/status` answers, with two differences. What has a name there, in a list, is here a member of an
//! object by that name: a patch then says what changed of one endpoint, and not the whole list. And what is `null`
//! there is not there at all, because a patch says with `null` that something is gone.

use serde_json::{Map, Value};

use crate::shared::name::natural_cmp;

/// A list of things that have names.
struct NamedList {
    /// The member that it is.
    member: &'static str,
    /// The member of each thing that names it.
    key: &'static str,
    /// Such lists in each of them.
    inside: &'static [Self],
}

const ENDPOINTS: NamedList = NamedList { member: "endpoints", key: "address", inside: &[] };
const VERSIONS: NamedList = NamedList { member: "versions", key: "name", inside: &[ENDPOINTS] };

const LISTS: [NamedList; 8] = [
    NamedList { member: "services", key: "name", inside: &[VERSIONS] },
    NamedList { member: "flags", key: "name", inside: &[] },
    NamedList { member: "experiments", key: "name", inside: &[] },
    NamedList { member: "rollouts", key: "id", inside: &[] },
    NamedList { member: "chaos", key: "id", inside: &[] },
    NamedList { member: "holds", key: "id", inside: &[] },
    NamedList { member: "parts", key: "name", inside: &[] },
    NamedList { member: "tls", key: "place", inside: &[] },
];

/// The document of a status.
#[must_use]
pub(crate) fn of_status(mut status: Value) -> Value {
    drop_nulls(&mut status);
    for list in &LISTS {
        list.to_object(&mut status);
    }
    status
}

/// The status of a document, with all lists in natural order.
#[must_use]
pub(crate) fn to_status(mut document: Value) -> Value {
    for list in &LISTS {
        list.to_list(&mut document);
    }
    document
}

impl NamedList {
    fn to_object(&self, value: &mut Value) {
        let Some(member) = value.get_mut(self.member) else { return };
        let Value::Array(things) = member.take() else { return };
        let mut named = Map::new();
        for mut thing in things {
            self.inside.iter().for_each(|list| list.to_object(&mut thing));
            let mut name = text(&thing[self.key]);
            while named.contains_key(&name) {
                name.push('\'');
            }
            named.insert(name, thing);
        }
        *member = Value::Object(named);
    }

    fn to_list(&self, value: &mut Value) {
        let Some(member) = value.get_mut(self.member) else { return };
        let Value::Object(named) = member.take() else { return };
        let mut things: Vec<_> = named.into_iter().collect();
        things.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
        let listed = things.into_iter().map(|(_, mut thing)| {
            self.inside.iter().for_each(|list| list.to_list(&mut thing));
            thing
        });
        *member = listed.collect();
    }
}

fn text(name: &Value) -> String {
    name.as_str().map_or_else(|| name.to_string(), str::to_owned)
}

/// Members that are `null`; what is so in a list stays, for a list is always said as a whole.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(things) => things.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_a_document_by_names_and_back() {
        let endpoint = |address: &str| json!({ "address": address, "state": "ready" });
        let version = |name: &str| json!({ "name": name, "endpoints": [endpoint("a:2"), endpoint("a:10")] });
        let status = json!({
            "revision": 7,
            "unready": null,
            "services": [{ "name": "shop", "hosts": ["a"], "versions": [version("v2"), version("v10")], "rollout": null }],
            "flags": [],
            "experiments": [{ "name": "button", "state": "running" }],
            "holds": [{ "id": 3, "services": ["shop"] }],
            "config": { "problems": [], "path": null },
        });
        let document = of_status(status);
        assert_eq!(document["services"]["shop"]["versions"]["v10"]["endpoints"]["a:10"]["state"], "ready");
        assert_eq!((&document["holds"]["3"]["id"], &document["flags"]), (&json!(3), &json!({})));
        assert!(document.get("unready").is_none() && document["services"]["shop"].get("rollout").is_none());
        assert_eq!(document["config"], json!({ "problems": [] }));
        assert_eq!(document["experiments"]["button"]["state"], "running");
        let back = to_status(document);
        assert_eq!(back["services"][0]["versions"], json!([version("v2"), version("v10")]), "in natural order");
        assert_eq!((&back["flags"], back["services"][0]["hosts"][0].as_str()), (&json!([]), Some("a")));
    }

    #[test]
    fn things_of_one_name_are_both_there() {
        let document = of_status(json!({ "tls": [{ "place": "x", "a": 1 }, { "place": "x", "a": 2 }] }));
        assert_eq!(to_status(document)["tls"], json!([{ "place": "x", "a": 1 }, { "place": "x", "a": 2 }]));
    }
}
