//! The places in which two JSON documents differ, as JSON pointers (RFC 6901).
//!
//! Objects are compared by their members and lists item by item, to the first places below which nothing more can be
//! told: a value that is another one, a member or an item that only one of them has. No list is searched for the
//! smallest change: one item more at the front makes all of them differ, and that is told by the first few of them.

use std::borrow::Cow;

use serde_json::{Number, Value};

use crate::table::spec::mirror::MirrorPointer;

/// Places that are told of one pair; more of them say no more.
const PLACES_MAX: usize = 8;

/// A place, with what each of the documents has there.
#[derive(Debug)]
pub(crate) struct DifferentPlace<'v> {
    /// Its pointer.
    pub pointer: String,
    /// What the first one has.
    pub one: Option<&'v Value>,
    /// What the other one has.
    pub other: Option<&'v Value>,
}

/// The first places in which two documents differ, without those that are ignored.
#[must_use]
pub(crate) fn differences<'v>(one: &'v Value, other: &'v Value, ignore: &[MirrorPointer]) -> Vec<DifferentPlace<'v>> {
    let mut search = Search { ignore, found: Vec::new() };
    search.at(&mut Vec::new(), Some(one), Some(other));
    search.found
}

struct Search<'v, 'i> {
    ignore: &'i [MirrorPointer],
    found: Vec<DifferentPlace<'v>>,
}

impl<'v> Search<'v, '_> {
    fn at(&mut self, place: &mut Vec<Cow<'v, str>>, one: Option<&'v Value>, other: Option<&'v Value>) {
        if self.found.len() == PLACES_MAX || self.ignore.iter().any(|pointer| pointer.covers(place)) {
            return;
        }
        match (one, other) {
            (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
                for (name, value) in ours {
                    below(place, Cow::Borrowed(name), |place| self.at(place, Some(value), theirs.get(name)));
                }
                for (name, value) in theirs.iter().filter(|(name, _)| !ours.contains_key(*name)) {
                    below(place, Cow::Borrowed(name), |place| self.at(place, None, Some(value)));
                }
            }
            (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
                for index in 0..ours.len().max(theirs.len()) {
                    let name = Cow::Owned(index.to_string());
                    below(place, name, |place| self.at(place, ours.get(index), theirs.get(index)));
                }
            }
            (Some(Value::Number(ours)), Some(Value::Number(theirs))) if same_number(ours, theirs) => {}
            (one, other) if one == other => {}
            (one, other) => self.found.push(DifferentPlace { pointer: written(place), one, other }),
        }
    }
}

/// Goes on one part below.
fn below<'p>(place: &mut Vec<Cow<'p, str>>, part: Cow<'p, str>, then: impl FnOnce(&mut Vec<Cow<'p, str>>)) {
    place.push(part);
    then(place);
    place.pop();
}

/// 1 and 1.0 are one number, whatever the libraries that wrote them make of it.
fn same_number(one: &Number, other: &Number) -> bool {
    one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
}

fn written(place: &[Cow<'_, str>]) -> String {
    place.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(one: &Value, other: &Value, ignore: &[&str]) -> Vec<String> {
        let ignore: Vec<_> = ignore.iter().map(|text| MirrorPointer::new(text).unwrap()).collect();
        differences(one, other, &ignore).into_iter().map(|place| place.pointer).collect()
    }

    #[test]
    fn places_are_told_by_their_pointers() {
        let one =
            json!({"id": 1, "total": 1, "items": [{"at": 1, "n": "a"}, {"at": 2, "n": "b"}], "a/b~": {"x": null}});
        let other = json!({"total": 1.0, "items": [{"at": 3, "n": "a"}, {"at": 4, "n": "c"}, 7], "a/b~": {"x": 0}});
        let all = ["/a~1b~0/x", "/id", "/items/0/at", "/items/1/at", "/items/1/n", "/items/2"];
        assert_eq!(pointers(&one, &other, &[]), all);
        assert_eq!(pointers(&one, &other, &["/items/*/at", "/id"]), ["/a~1b~0/x", "/items/1/n", "/items/2"]);
        assert_eq!(pointers(&one, &other, &["/items", "/a~1b~0", "/id"]), [""; 0]);
        assert_eq!(pointers(&one, &one, &[]), [""; 0]);
        assert_eq!(pointers(&json!({"a": 1}), &json!([1]), &[]), [""]);
    }

    #[test]
    fn only_the_first_places_are_told() {
        let (one, other) = (json!((0..100).collect::<Vec<_>>()), json!((1..101).collect::<Vec<_>>()));
        assert_eq!(pointers(&one, &other, &[]).len(), PLACES_MAX);
    }

    #[test]
    fn large_numbers_are_compared_as_they_are() {
        assert_eq!(pointers(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64), &[]), [""]);
        assert_eq!(pointers(&json!(-0.0), &json!(0), &[]), [""; 0]);
    }
}
