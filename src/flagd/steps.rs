//! The work that an evaluation may take.
//!
//! A rule is its author's, but the lists and texts that it walks through are sent by clients: a rule that is quick for
//! ten items is slow for ten thousand, and one that joins a text to itself for each item takes all memory at forty. So
//! each operator pays for what it looks at before it does, and an evaluation that cannot pay ends with an error.

use std::cell::Cell;

use super::datum::{Datum, TEXT_BYTES_PER_STEP};

/// Steps of one evaluation: some hundred microseconds.
pub(crate) const STEPS_MAX: usize = 10_000;

/// Lists in lists that operators make.
pub(crate) const MADE_DEPTH_MAX: usize = 64;

/// An evaluation that was ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TooMuchWork {
    /// It has used up its steps.
    #[error("the rule takes more than {STEPS_MAX} steps for this context")]
    Steps,
    /// It has made a list that is too deep.
    #[error("the rule makes more than {MADE_DEPTH_MAX} lists in each other for this context")]
    Depth,
}

/// The steps that are left.
#[derive(Debug)]
pub(crate) struct StepAllowance(Cell<usize>);

impl StepAllowance {
    /// All of them.
    pub(crate) fn full() -> Self {
        Self(Cell::new(STEPS_MAX))
    }

    /// Pays.
    pub(crate) fn spend(&self, steps: usize) -> Result<(), TooMuchWork> {
        self.0.set(self.0.get().checked_sub(steps).ok_or(TooMuchWork::Steps)?);
        Ok(())
    }

    /// Pays for a look at all of a value.
    pub(crate) fn look(&self, datum: &Datum<'_>) -> Result<(), TooMuchWork> {
        self.spend(datum.weight())
    }

    /// The bytes of text that can still be paid for.
    pub(crate) fn text_bytes(&self) -> usize {
        self.0.get().saturating_mul(TEXT_BYTES_PER_STEP)
    }
}
