//! Values as bytes, so that a user is drawn alike in every language: CBOR in its deterministic encoding (RFC 8949,
//! 4.2.1).
//!
//! A number without a fraction is an integer however it was written, and a fraction takes the shortest of three widths
//! that holds it. No library: what is wanted is one way of writing for six types, without reading, and the crates for
//! CBOR leave the two rules on numbers to their caller anyway.

use serde_json::{Map, Value};

use super::datum::Datum;

/// The kinds of what follows, in the upper three bits of the first byte.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

/// The largest integer that is written as one.
const INT_MAX: i128 = u64::MAX as i128;

/// The smallest.
const INT_MIN: i128 = i64::MIN as i128;

/// Adds the encoding of `datum` to `to`.
pub(crate) fn encode(datum: &Datum<'_>, to: &mut Vec<u8>) {
    match datum {
        Datum::Null => to.push(0xf6),
        Datum::Bool(value) => to.push(if *value { 0xf5 } else { 0xf4 }),
        Datum::Int(number) => int(*number, to),
        Datum::Float(number) => float(*number, to),
        Datum::Text(value) => text(value, to),
        Datum::List(list) => {
            array(list.len(), to);
            list.iter().for_each(|item| encode(&item, to));
        }
        Datum::Object(members) => map(members, to),
    }
}

/// The head of a list of `len` items.
pub(crate) fn array(len: usize, to: &mut Vec<u8>) {
    head(ARRAY, len as u64, to);
}

/// A text.
pub(crate) fn text(value: &str, to: &mut Vec<u8>) {
    head(TEXT, value.len() as u64, to);
    to.extend_from_slice(value.as_bytes());
}

/// The members in the order of their encoded keys.
fn map(members: &Map<String, Value>, to: &mut Vec<u8>) {
    head(MAP, members.len() as u64, to);
    let mut encoded = Vec::with_capacity(members.len());
    for (key, value) in members {
        let mut bytes = Vec::new();
        text(key, &mut bytes);
        encoded.push((bytes, value));
    }
    encoded.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    for (key, value) in encoded {
        to.extend_from_slice(&key);
        encode(&Datum::from(value), to);
    }
}

fn int(number: i128, to: &mut Vec<u8>) {
    match (u64::try_from(number), u64::try_from(-1 - number)) {
        (Ok(number), _) => head(UNSIGNED, number, to),
        (_, Ok(number)) if -1 - i128::from(number) >= INT_MIN => head(NEGATIVE, number, to),
        #[expect(clippy::cast_precision_loss, reason = "what is no integer of 64 bits is written as a float")]
        _ => widest(number as f64, to),
    }
}

fn float(number: f64, to: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction, and is compared after that")]
    let whole = number.is_finite().then_some(number as i128).filter(|_| number.fract() == 0.0);
    match whole {
        Some(whole) if (INT_MIN..=INT_MAX).contains(&whole) => int(whole, to),
        Some(_) | None => widest(number, to),
    }
}

/// A float in the narrowest width that holds it.
fn widest(number: f64, to: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, reason = "whether it loses anything is asked next")]
    let single = number as f32;
    if number.is_nan() {
        to.extend_from_slice(&[0xf9, 0x7e, 0x00]);
    } else if f64::from(single).to_bits() != number.to_bits() {
        to.push(SIMPLE << 5 | 27);
        to.extend_from_slice(&number.to_be_bytes());
    } else if let Some(half) = half(single) {
        to.push(SIMPLE << 5 | 25);
        to.extend_from_slice(&half.to_be_bytes());
    } else {
        to.push(SIMPLE << 5 | 26);
        to.extend_from_slice(&single.to_be_bytes());
    }
}

/// The float of 16 bits that is exactly `number`, if there is one.
fn half(number: f32) -> Option<u16> {
    let bits = number.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let (exponent, mantissa) = ((bits >> 23) & 0xff, bits & 0x007f_ffff);
    let half = match exponent {
        0 if mantissa == 0 => sign,
        0xff if mantissa == 0 => sign | 0x7c00,
        // 2^-14 to 2^15: ten bits of mantissa are left.
        113..=142 if mantissa.trailing_zeros() >= 13 => sign | ((exponent - 112) << 10) | (mantissa >> 13),
        // 2^-24 to 2^-15: the leading one becomes a part of the mantissa.
        103..=112 => {
            let (full, shift) = (mantissa | 0x0080_0000, 126 - exponent);
            if full.trailing_zeros() < shift {
                return None;
            }
            sign | (full >> shift)
        }
        _ => return None,
    };
    u16::try_from(half).ok()
}

/// The kind and its number: the number itself below 24, or how many bytes of it follow.
fn head(kind: u8, number: u64, to: &mut Vec<u8>) {
    let kind = kind << 5;
    let bytes = number.to_be_bytes();
    match number {
        0..24 => to.push(kind | bytes[7]),
        24..=0xff => to.extend_from_slice(&[kind | 24, bytes[7]]),
        0x100..=0xffff => {
            to.push(kind | 25);
            to.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            to.push(kind | 26);
            to.extend_from_slice(&bytes[4..]);
        }
        _ => {
            to.push(kind | 27);
            to.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hex(value: &Value) -> String {
        let mut bytes = Vec::new();
        encode(&Datum::from(value), &mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Appendix A of RFC 8949, where JSON has the value, and numbers as flagd wants them.
    #[test]
    fn the_encodings_are_those_of_the_standard() {
        let cases = [
            (json!(0), "00"),
            (json!(23), "17"),
            (json!(24), "1818"),
            (json!(100), "1864"),
            (json!(1000), "1903e8"),
            (json!(1_000_000), "1a000f4240"),
            (json!(1_000_000_000_000_u64), "1b000000e8d4a51000"),
            (json!(u64::MAX), "1bffffffffffffffff"),
            (json!(-1), "20"),
            (json!(-100), "3863"),
            (json!(-1000), "3903e7"),
            (json!(i64::MIN), "3b7fffffffffffffff"),
            (json!(1.1), "fb3ff199999999999a"),
            (json!(1.5), "f93e00"),
            (json!(-4.1), "fbc010666666666666"),
            (json!(5.960_464_477_539_063e-8), "f90001"),
            (json!(0.000_061_035_156_25), "f90400"),
            (json!(0.000_030_517_578_125), "f90200"),
            (json!(3.402_823_466_385_288_6e38), "fa7f7fffff"),
            (json!(1.0e300), "fb7e37e43c8800759c"),
            (json!(65504.5), "fa477fe080"),
            (json!(0.1_f32), "fa3dcccccd"),
            (json!(1.0), "01"),
            (json!(-0.0), "00"),
            (json!(18_446_744_073_709_551_616.0), "fa5f800000"),
            (json!(-9_223_372_036_854_775_808.0), "3b7fffffffffffffff"),
            (json!(false), "f4"),
            (json!(true), "f5"),
            (json!(null), "f6"),
            (json!(""), "60"),
            (json!("IETF"), "6449455446"),
            (json!("\u{fc}"), "62c3bc"),
            (json!([]), "80"),
            (json!([1, [2, 3], [4, 5]]), "8301820203820405"),
            (json!({}), "a0"),
            (json!({"b": 1, "aa": 2}), "a261620162616102"),
            (json!({"a": 1, "b": [2, 3]}), "a26161016162820203"),
        ];
        for (value, wanted) in cases {
            assert_eq!(hex(&value), wanted, "{value}");
        }
    }

    #[test]
    fn a_long_text_has_a_long_head() {
        assert_eq!(&hex(&json!("x".repeat(24)))[..6], "781878");
        assert_eq!(&hex(&json!("x".repeat(300)))[..8], "79012c78");
    }
}
