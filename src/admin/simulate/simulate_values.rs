//! The numbers of a simulation as a call has them, and the ranges that they have to be in.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::Report;
use crate::config::reader::units::{FromScalar, Quantity, Scalar, Setting, TimeSpan, number};

/// Any time of a world: as long as a step may be watched.
const TIME_MAX: TimeSpan = TimeSpan::secs(7 * 86_400);

/// A part of a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartOfAll(pub(crate) f64);

impl FromScalar for PartOfAll {
    const WANTED: &'static str = "a part such as 0.02 or \"2%\"";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let part = match scalar {
            Scalar::Text(text) => text.strip_suffix('%')?.trim().parse::<f64>().ok()? / 100.0,
            Scalar::Whole(_) | Scalar::Fraction(_) => number(scalar)?,
        };
        (0.0..=1.0).contains(&part).then_some(Self(part))
    }
}

/// A number above 0.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub(crate) struct PositiveNumber(f64);

impl FromScalar for PositiveNumber {
    const WANTED: &'static str = "a number above 0";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        number(scalar).filter(|number| *number > 0.0 && number.is_finite()).map(Self)
    }
}

impl fmt::Display for PositiveNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a key of the body.
pub(crate) fn key(name: &str) -> ConfigPath<'_> {
    static ROOT: ConfigPath<'static> = ConfigPath::Root;
    ROOT.key(name)
}

/// Checks numbers and reports those that are out of bounds.
pub(crate) struct RangeCheck<'a, 't>(pub(crate) &'a mut Report<'t>);

impl RangeCheck<'_, '_> {
    /// A number within a range, if it is written.
    pub(crate) fn number(
        &mut self,
        raw: Option<Setting<PositiveNumber>>,
        range: RangeInclusive<f64>,
        name: &str,
    ) -> Option<f64> {
        let (low, high) = range.into_inner();
        let value = raw?;
        let range = PositiveNumber(low)..=PositiveNumber(high);
        setting(Some(value), value.0, range, &key(name), self.0).ok().map(|number| number.0)
    }

    /// A time, if it is written.
    pub(crate) fn time(&mut self, raw: Option<Setting<TimeSpan>>, least_ms: u64, name: &str) -> Option<Duration> {
        let value = raw?;
        let range = TimeSpan::millis(least_ms)..=TIME_MAX;
        setting(Some(value), value.0, range, &key(name), self.0).ok().map(|time| time.0)
    }

    /// A count from 1 on, if it is written.
    pub(crate) fn count(&mut self, raw: Option<Setting<Quantity>>, most: usize, name: &str) -> Option<u64> {
        let value = raw?;
        let range = Quantity(1)..=Quantity(most);
        setting(Some(value), value.0, range, &key(name), self.0).ok().map(|count| count.0 as u64)
    }

    /// The same of one that fits 32 bits.
    pub(crate) fn small(&mut self, raw: Option<Setting<Quantity>>, most: u32, name: &str) -> Option<u32> {
        self.count(raw, most as usize, name).and_then(|count| u32::try_from(count).ok())
    }
}
