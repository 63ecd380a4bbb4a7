//! A number strictly between 0 and 1: the level of a test, or the part of an experiment's users that get the treatment.
//! With all of them in one arm there is nothing to compare.

/// A number strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Probability(f64);

impl Probability {
    /// A half.
    pub const HALF: Self = Self(0.5);

    /// 0.02.
    pub const TWO_PER_CENT: Self = Self(0.02);

    /// 0.001.
    pub const ONE_PER_MILLE: Self = Self(0.001);

    /// What is usual where a result is wrong once in twenty times.
    pub const FIVE_PER_CENT: Self = Self(0.05);

    /// `None` unless strictly between 0 and 1.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value > 0.0 && value < 1.0).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}
