//! `fractional`: one of several values, drawn by what makes a user the same user.

use super::cbor;
use super::datum::Datum;
use super::fractional_version::FractionalVersion;
use crate::shared::murmur3::Murmur3;

/// The largest sum of weights.
pub(crate) const WEIGHTS_MAX: i128 = i32::MAX as i128;

/// The hash of a value that a rule draws by; none if users cannot be drawn by it.
pub(crate) fn hash_of(version: FractionalVersion, by: &Datum<'_>) -> Option<u32> {
    match (version, by) {
        (FractionalVersion::V2, Datum::Text(text)) => (!text.is_empty()).then(|| hash(text.as_bytes())),
        (FractionalVersion::V2, _) | (FractionalVersion::V3, Datum::Null | Datum::List(_)) => None,
        (FractionalVersion::V3, by) => {
            let mut bytes = Vec::new();
            cbor::encode(by, &mut bytes);
            Some(hash(&bytes))
        }
    }
}

/// The hash of a user for a flag.
pub(crate) fn hash_of_user(version: FractionalVersion, flag: &str, key: &str) -> u32 {
    match version {
        FractionalVersion::V2 => Murmur3::new(0).with(flag.as_bytes()).with(key.as_bytes()).finish(),
        FractionalVersion::V3 => {
            let mut bytes = Vec::new();
            cbor::array(2, &mut bytes);
            cbor::text(flag, &mut bytes);
            cbor::text(key, &mut bytes);
            hash(&bytes)
        }
    }
}

fn hash(bytes: &[u8]) -> u32 {
    Murmur3::new(0).with(bytes).finish()
}

/// A weight as it counts: a whole number, at least zero. A negative one can be the result of a ramp by time.
pub(crate) fn weight_of(weight: &Datum<'_>) -> Option<i128> {
    let whole = match weight {
        Datum::Int(weight) => *weight,
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction")]
        Datum::Float(weight) if weight.fract() == 0.0 => *weight as i128,
        Datum::Null | Datum::Bool(_) | Datum::Float(_) | Datum::Text(_) | Datum::List(_) | Datum::Object(_) => {
            return None;
        }
    };
    (whole <= WEIGHTS_MAX).then_some(whole.max(0))
}

/// The index of the share that a hash falls into; none if the weights are all zero or too large together.
pub(crate) fn drawn(hash: u32, weights: &[i128]) -> Option<usize> {
    let sum: i128 = weights.iter().sum();
    if sum > WEIGHTS_MAX {
        return None;
    }
    let bucket = (i128::from(hash) * sum) >> 32;
    let mut end = 0;
    weights.iter().position(|weight| {
        end += weight;
        bucket < end
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn v3(by: &Value) -> Option<u32> {
        hash_of(FractionalVersion::V3, &Datum::from(by))
    }

    #[test]
    fn v3_hashes_the_encoding_of_any_value_but_null_and_lists() {
        for (by, hash, of_100) in [
            (json!("fractional-flagjack"), 1_435_348_822, 33),
            (json!(42), 1_424_811_390, 33),
            (json!(42.0), 1_424_811_390, 33),
            (json!(true), 836_216_331, 19),
            (json!(1.5), 346_941_878, 8),
            (json!({"b": 1, "aa": 2}), 279_017_145, 6),
        ] {
            assert_eq!(v3(&by), Some(hash), "{by}");
            assert_eq!(drawn(hash, &[1; 100]), Some(of_100), "{by}");
        }
        assert_eq!((v3(&json!(null)), v3(&json!([1]))), (None, None));
        for (flag, key, hash, of_100, of_100_000) in
            [("sh", "jon@company.com", 3_675_641_075, 85, 85_580), ("checkout", "user-1", 3_114_211_850, 72, 72_508)]
        {
            let found = hash_of_user(FractionalVersion::V3, flag, key);
            assert_eq!(found, hash, "{flag} {key}");
            assert_eq!(drawn(found, &[1; 100]), Some(of_100), "{flag} {key}");
            assert_eq!(drawn(found, &[of_100_000 as i128, 1, 99_999 - of_100_000 as i128]), Some(1), "{flag} {key}");
        }
    }

    #[test]
    fn v2_hashes_texts_as_they_are() {
        let v2 = |by: Value| hash_of(FractionalVersion::V2, &Datum::from(&by));
        for (by, hash) in [
            ("fractional-flagjack", 2_682_799_072),
            ("fractional-flagqueen", 4_278_517_551),
            ("fractional-flagten", 801_845_258),
            ("fractional-flagnine", 1_406_129_861),
            ("fractional-flag3", 604_371_928),
            ("ejOoVL", 0),
            ("bY9fO-", 1),
            ("SI7p-", 0x7fff_ffff),
            ("6LvT0", 0x8000_0000),
            ("ceQdGm", 0xffff_ffff),
        ] {
            assert_eq!(v2(json!(by)), Some(hash), "{by}");
        }
        assert_eq!(hash_of_user(FractionalVersion::V2, "fractional-flag", "jack"), 2_682_799_072);
        for none in [json!(""), json!(1), json!(null), json!(true), json!({}), json!([])] {
            assert_eq!(v2(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn weights_are_whole_numbers_and_not_too_large() {
        for (weight, wanted) in [
            (json!(7), Some(7)),
            (json!(7.0), Some(7)),
            (json!(-50), Some(0)),
            (json!(2_147_483_647), Some(2_147_483_647)),
            (json!(2_147_483_648_u32), None),
            (json!(0.5), None),
            (json!("7"), None),
            (json!(null), None),
            (json!(true), None),
            (json!(1e300), None),
        ] {
            assert_eq!(weight_of(&Datum::from(&weight)), wanted, "{weight}");
        }
        assert_eq!(drawn(7, &[0, 0]), None);
        assert_eq!(drawn(7, &[WEIGHTS_MAX, 1]), None);
        assert_eq!(drawn(u32::MAX, &[WEIGHTS_MAX - 1, 1]), Some(1));
        assert_eq!(
            (drawn(0, &[50, 50]), drawn(0x7fff_ffff, &[50, 50]), drawn(0x8000_0000, &[50, 50])),
            (Some(0), Some(0), Some(1))
        );
    }
}
