//! JSON Merge Patch (RFC 7396): what has to be said so that one document becomes another.
//!
//! JSON Patch (RFC 6902) could say the same of lists, member by member, by their places. Here what has a name is a
//! member of an object and not of a list, so that a merge patch is as small, is understood when it is read, and is
//! applied by a dozen lines in any language.
//!
//! A patch says with `null` that a member is gone. So the documents themselves must have no member that is `null`.

use serde_json::{Map, Value};

/// What makes `before` into `after`; `None`: they are the same.
#[must_use]
pub(crate) fn diff(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (name, value) in after {
        let changed = before.get(name).map_or_else(|| Some(value.clone()), |before| diff(before, value));
        patch.extend(changed.map(|changed| (name.clone(), changed)));
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    patch.extend(gone.map(|name| (name.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Applies a patch.
pub(crate) fn apply(document: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *document = patch;
        return;
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(members) = document else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            apply(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn patches_are_applied_as_the_standard_says() {
        for (document, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut patched = document.clone();
            apply(&mut patched, patch.clone());
            assert_eq!(patched, result, "{document} with {patch}");
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..5_u8).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
            Just(json!([])),
            Just(json!([1, {"a": null}])),
            Just(json!({})),
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            proptest::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn a_difference_makes_one_document_into_the_other(before in documents(), after in documents()) {
            let mut patched = before.clone();
            match diff(&before, &after) {
                None => prop_assert_eq!(&before, &after),
                Some(patch) => apply(&mut patched, patch),
            }
            prop_assert_eq!(patched, after);
        }
    }

    #[test]
    fn what_is_the_same_is_not_said() {
        let before = json!({"shop": {"v1": {"weight": 90, "rate": 5}, "v2": {"weight": 10}}, "cart": {}});
        let after = json!({"shop": {"v1": {"weight": 80, "rate": 5}, "v2": {"weight": 20}}});
        let patch = json!({"shop": {"v1": {"weight": 80}, "v2": {"weight": 20}}, "cart": null});
        assert_eq!(diff(&before, &after), Some(patch));
        assert_eq!(diff(&after, &after), None);
    }
}
