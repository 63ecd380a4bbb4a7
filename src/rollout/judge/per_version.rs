//! The two versions that are compared, and something of each.
//!
//! Named fields, not an array or a tuple: a reader must see which version is which, because a swap of the two would
//! judge the baseline.

use crate::shared::additive::Additive;

/// One of the two versions that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The version under rollout.
    Candidate,
    /// The version that it would replace.
    Baseline,
}

/// Something of both versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerVersion<T> {
    /// The version under rollout.
    pub candidate: T,
    /// The version that it would replace.
    pub baseline: T,
}

impl<T> PerVersion<T> {
    /// The same thing made of both.
    pub fn map<U>(self, make: impl Fn(T) -> U) -> PerVersion<U> {
        PerVersion { candidate: make(self.candidate), baseline: make(self.baseline) }
    }

    /// That of one side.
    pub fn of(&self, side: Side) -> &T {
        match side {
            Side::Candidate => &self.candidate,
            Side::Baseline => &self.baseline,
        }
    }

    /// That of one side, to change it.
    pub fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Candidate => &mut self.candidate,
            Side::Baseline => &mut self.baseline,
        }
    }
}

impl<T: Additive> Additive for PerVersion<T> {
    fn add(&mut self, more: &Self) {
        self.candidate.add(&more.candidate);
        self.baseline.add(&more.baseline);
    }

    fn since(&self, earlier: &Self) -> Self {
        Self { candidate: self.candidate.since(&earlier.candidate), baseline: self.baseline.since(&earlier.baseline) }
    }
}
