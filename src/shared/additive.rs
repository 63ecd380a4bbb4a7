//! Counts that are added up and subtracted, field by field.
//!
//! Counters only grow, so what a tick brought is the difference of two sums, for every kind of count alike. A struct of
//! counts says once which fields it has ([`additive!`]), and the compiler refuses a list that lacks one.

use std::time::Duration;

use super::count::Count;

/// Counts by a moment, or of a while.
pub(crate) trait Additive {
    /// Adds `more`.
    fn add(&mut self, more: &Self);

    /// What was counted since `earlier`.
    #[must_use]
    fn since(&self, earlier: &Self) -> Self;
}

/// The counters of one worker, of whose counts sums are made.
pub(crate) trait Counters {
    /// Such a sum.
    type Totals: Additive;

    /// Adds what is counted so far.
    fn add_to(&self, totals: &mut Self::Totals);
}

impl Additive for u64 {
    fn add(&mut self, more: &Self) {
        *self += more;
    }

    fn since(&self, earlier: &Self) -> Self {
        self.saturating_sub(*earlier)
    }
}

/// A moment is what has passed since a fixed one.
impl Additive for Duration {
    fn add(&mut self, more: &Self) {
        *self += *more;
    }

    fn since(&self, earlier: &Self) -> Self {
        self.saturating_sub(*earlier)
    }
}

impl<T: Additive, const N: usize> Additive for [T; N] {
    fn add(&mut self, more: &Self) {
        self.iter_mut().zip(more).for_each(|(sum, more)| sum.add(more));
    }

    fn since(&self, earlier: &Self) -> Self {
        std::array::from_fn(|i| self[i].since(&earlier[i]))
    }
}

impl Counters for Count {
    type Totals = u64;

    fn add_to(&self, totals: &mut u64) {
        *totals += self.value();
    }
}

impl<T: Counters, const N: usize> Counters for [T; N] {
    type Totals = [T::Totals; N];

    fn add_to(&self, totals: &mut Self::Totals) {
        self.iter().zip(totals).for_each(|(counter, total)| counter.add_to(total));
    }
}

/// Makes a struct [`Additive`] by the list of its fields, and the counters with the same fields the [`Counters`] of it.
macro_rules! additive {
    ($totals:ty, of $counters:ident { $($field:ident),+ $(,)? }) => {
        $crate::shared::additive::additive!($totals { $($field),+ });

        impl $crate::shared::additive::Counters for $counters {
            type Totals = $totals;

            fn add_to(&self, totals: &mut Self::Totals) {
                let Self { $($field),+ } = self;
                $($crate::shared::additive::Counters::add_to($field, &mut totals.$field);)+
            }
        }
    };
    ($totals:ty { $($field:ident),+ $(,)? }) => {
        impl $crate::shared::additive::Additive for $totals {
            fn add(&mut self, more: &Self) {
                let Self { $($field),+ } = more;
                $($crate::shared::additive::Additive::add(&mut self.$field, $field);)+
            }

            fn since(&self, earlier: &Self) -> Self {
                Self { $($field: $crate::shared::additive::Additive::since(&self.$field, &earlier.$field)),+ }
            }
        }
    };
}

pub(crate) use additive;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    struct Totals {
        one: u64,
        some: [u64; 2],
    }

    #[derive(Default)]
    struct TotalCounters {
        one: Count,
        some: [Count; 2],
    }

    additive!(Totals, of TotalCounters { one, some });

    #[test]
    fn each_field_is_added_and_subtracted() {
        let counters = TotalCounters::default();
        counters.one.add(3);
        counters.some[1].add(5);
        let mut totals = Totals { one: 1, some: [1, 1] };
        let before = totals;
        counters.add_to(&mut totals);
        assert_eq!(totals, Totals { one: 4, some: [1, 6] });
        assert_eq!(totals.since(&before), Totals { one: 3, some: [0, 5] });
        totals.add(&before);
        assert_eq!(totals, Totals { one: 5, some: [2, 7] });
        assert_eq!(before.since(&totals), Totals::default(), "a counter that began again has counted nothing");
    }
}
