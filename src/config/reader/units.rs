//! Durations, sizes and numbers as they are written in a config.
//!
//! Whole numbers with a unit, and nothing else: `1.5h`, `1h30m` and a bare `90` are three more ways to be wrong by a
//! factor of a thousand.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use crate::table::Weight;

/// The units of a duration, in milliseconds, largest first.
pub(super) const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The units of a size, in bytes, largest first.
pub(super) const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A duration as a config has it, such as `250ms`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    parse(text, &TIME_UNITS).map(Duration::from_millis)
}

/// A size as a config has it, such as `64KiB`, in bytes.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS)
}

/// A number of `units`, in the smallest of them.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// `count` of the smallest unit in the largest one that divides it.
fn print(f: &mut fmt::Formatter<'_>, count: u64, units: &[(&str, u64)]) -> fmt::Result {
    f.write_str(&written(count, units))
}

/// The same as a text.
pub(super) fn written(count: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| count.is_multiple_of(factor) && (count > 0 || factor == 1);
    let (unit, factor) = units.iter().find(|(_, factor)| fits(*factor)).unwrap_or(&("", 1));
    format!("{}{unit}", count / factor)
}

/// A duration, such as `250ms`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub(crate) struct TimeSpan(pub(crate) Duration);

impl TimeSpan {
    /// From a number of milliseconds.
    pub(crate) const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// From a number of seconds.
    pub(crate) const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIME_UNITS)
    }
}

/// A number of bytes, such as `64KiB`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub(crate) struct ByteSize(pub(crate) usize);

impl ByteSize {
    /// From a number of KiB.
    pub(crate) const fn kib(count: usize) -> Self {
        Self(count << 10)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, u64::try_from(self.0).unwrap_or(u64::MAX), &SIZE_UNITS)
    }
}

/// A scalar of the file.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Whole(i64),
    Fraction(f64),
}

/// A type that one scalar makes.
pub(crate) trait FromScalar: Sized {
    /// What is wanted, for the message.
    const WANTED: &'static str;
    /// The value, if `scalar` is one.
    fn from_scalar(scalar: Scalar<'_>) -> Option<Self>;
}

impl FromScalar for TimeSpan {
    const WANTED: &'static str = r#"a duration such as "250ms", "2s", "10m" or "1h""#;

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let Scalar::Text(text) = scalar else { return None };
        parse(text, &TIME_UNITS).map(Self::millis)
    }
}

impl FromScalar for ByteSize {
    const WANTED: &'static str = r#"a size such as "512B", "64KiB", "1MiB" or "1GiB""#;

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let Scalar::Text(text) = scalar else { return None };
        usize::try_from(parse(text, &SIZE_UNITS)?).ok().map(Self)
    }
}

impl FromScalar for Weight {
    const WANTED: &'static str = "a number from 0 to 100 with at most three decimals";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        Self::from_percent(number(scalar)?)
    }
}

/// A ratio from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio(pub(crate) f64);

impl FromScalar for Ratio {
    const WANTED: &'static str = "a number from 0 to 1, such as 0.1";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        number(scalar).filter(|number| (0.0..=1.0).contains(number)).map(Self)
    }
}

/// A whole number that counts things.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub(crate) struct Quantity(pub(crate) usize);

impl FromScalar for Quantity {
    const WANTED: &'static str = "a whole number, 0 or more";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let Scalar::Whole(number) = scalar else { return None };
        usize::try_from(number).ok().map(Self)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Either kind of number.
pub(crate) fn number(scalar: Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Text(_) => None,
        // Beyond 32 bits no number here is in range.
        Scalar::Whole(number) => i32::try_from(number).ok().map(f64::from),
        Scalar::Fraction(number) => Some(number),
    }
}

/// Reads a raw scalar in a derived struct: `Option<Setting<TimeSpan>>`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<T>(pub(crate) T);

impl<'de, T: FromScalar> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData)).map(Self)
    }
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: FromScalar> ScalarVisitor<T> {
    fn read<E: Error>(&self, scalar: Scalar<'_>) -> Result<T, E> {
        let unexpected = match scalar {
            Scalar::Text(text) => Unexpected::Str(text),
            Scalar::Whole(number) => Unexpected::Signed(number),
            Scalar::Fraction(number) => Unexpected::Float(number),
        };
        T::from_scalar(scalar).ok_or_else(|| E::invalid_value(unexpected, &T::WANTED))
    }
}

impl<T: FromScalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.read(Scalar::Text(text))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.read(Scalar::Whole(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.read(Scalar::Fraction(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: FromScalar>(text: &str) -> Option<T> {
        T::from_scalar(Scalar::Text(text))
    }

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        for (text, millis) in [("250ms", 250), ("2s", 2000), ("10m", 600_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(read::<TimeSpan>(text), Some(TimeSpan::millis(millis)), "{text}");
        }
        let overflow = format!("{}h", u64::MAX);
        for bad in ["", "5", "s", "1.5s", "-1s", "1 s", "1S", "1d", "1m30s", "١s", overflow.as_str()] {
            assert_eq!(read::<TimeSpan>(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_with_a_binary_unit() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(read::<ByteSize>(text), Some(ByteSize(bytes)), "{text}");
        }
        for bad in ["64", "64KB", "64kib", "64K", "KiB", "1.5MiB", "18446744073709551615GiB"] {
            assert_eq!(read::<ByteSize>(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["0ms", "1500ms", "90s", "2h", "61m"] {
            assert_eq!(read::<TimeSpan>(text).expect("a duration").to_string(), text);
        }
        for text in ["0B", "1000B", "9KiB", "3GiB"] {
            assert_eq!(read::<ByteSize>(text).expect("a size").to_string(), text);
        }
    }

    #[test]
    fn numbers_have_their_range() {
        assert_eq!(Quantity::from_scalar(Scalar::Whole(-1)), None);
        assert_eq!(Quantity::from_scalar(Scalar::Fraction(1.0)), None);
        assert_eq!(Weight::from_scalar(Scalar::Whole(100)), Some(Weight::FULL));
        assert_eq!(Weight::from_scalar(Scalar::Whole(i64::MAX)), None);
        assert!(Ratio::from_scalar(Scalar::Fraction(1.01)).is_none());
        assert!(Ratio::from_scalar(Scalar::Fraction(f64::NAN)).is_none());
    }
}
