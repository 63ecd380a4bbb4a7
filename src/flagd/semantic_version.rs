//! `sem_ver`: the relation of two semantic versions.

use super::datum::Datum;
use crate::shared::sem_ver::SemVer;

/// The relations that a rule may ask for.
pub(crate) const RELATIONS: [&str; 8] = ["=", "!=", "<", "<=", ">", ">=", "^", "~"];

/// Whether `one` is to `other` as the relation says. `^` is the same major version, `~` also the same minor version.
/// Null if one of them is no version or the relation is none. A number stands for the version that it is written as.
pub(crate) fn compare(one: &Datum<'_>, relation: &Datum<'_>, other: &Datum<'_>) -> Option<bool> {
    let (one, other) = (written(one)?, written(other)?);
    let (one, other) = (SemVer::parse(&one)?, SemVer::parse(&other)?);
    let order = one.cmp(&other);
    let Datum::Text(relation) = relation else { return None };
    Some(match &**relation {
        "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "^" => one.numbers[..1] == other.numbers[..1],
        "~" => one.numbers[..2] == other.numbers[..2],
        _ => return None,
    })
}

/// Whether a value can be a version.
pub(crate) fn is_version(value: &Datum<'_>) -> bool {
    written(value).is_some_and(|text| SemVer::parse(&text).is_some())
}

fn written<'a>(value: &Datum<'a>) -> Option<std::borrow::Cow<'a, str>> {
    matches!(value, Datum::Text(_) | Datum::Int(_) | Datum::Float(_)).then(|| value.text())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn holds(one: &Value, relation: &str, other: &Value) -> Option<bool> {
        compare(&Datum::from(one), &Datum::Text(relation.into()), &Datum::from(other))
    }

    #[test]
    fn relations() {
        for (one, relation, other, wanted) in [
            (json!("2.0.0"), "=", json!("2.0.0"), Some(true)),
            (json!("2.0.0-alpha"), "<", json!("2.0.0"), Some(true)),
            (json!("3.1.0"), "~", json!("3.0.0"), Some(false)),
            (json!("3.1.0"), "^", json!("3.0.0"), Some(true)),
            (json!("2.9.9"), "^", json!("3.0.0"), Some(false)),
            (json!("V1.0.0"), "=", json!("v1.0.0"), Some(true)),
            (json!("1"), "^", json!("1.5.0"), Some(true)),
            (json!(1), "=", json!("1.0.0"), Some(true)),
            (json!(1.2), ">", json!("1.1"), Some(true)),
            (json!("1.0.0+other"), "=", json!("1.0.0+build"), Some(true)),
            (json!("2.0.0.0"), "=", json!("2.0.0"), None),
            (json!("not-a-version"), "=", json!("1.0.0"), None),
            (json!("1.0.0"), "===", json!("1.0.0"), None),
            (json!(null), "=", json!("1.0.0"), None),
            (json!(true), "=", json!("1.0.0"), None),
        ] {
            assert_eq!(holds(&one, relation, &other), wanted, "{one} {relation} {other}");
        }
    }
}
