//! How many users it takes to find a difference of a given size.

use super::always_valid::half_widths;
use super::fixed_horizon::normal_quantile;
use crate::shared::probability::Probability;

/// More users than there are people.
const USERS_MAX: f64 = 1e12;

/// What is to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SizeQuestion {
    /// The difference between the arms.
    pub difference: f64,
    /// The variance of a user's value in the control.
    pub control_variance: f64,
    /// The same in the treatment.
    pub treatment_variance: f64,
    /// 1 less the confidence of the interval.
    pub alpha: Probability,
    /// The probability with which it is to be found.
    pub power: Probability,
}

/// Users of both arms together, half in each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SampleSize {
    /// If one looks once, at this number of users.
    pub fixed: f64,
    /// If one looks whenever one likes, and stops at the first interval without zero: this many in the worst of the
    /// cases that `power` promises, and mostly fewer.
    pub always: f64,
}

impl SizeQuestion {
    /// The users; none if there is no difference to find, or one so small that all people would not do.
    #[must_use]
    pub(crate) fn answer(&self) -> Option<SampleSize> {
        let beyond = normal_quantile(self.power.value());
        let once = normal_quantile(1.0 - self.alpha.value() / 2.0);
        // The standard error of the difference of N users in equal arms is `deviation` by the root of N.
        let deviation = (2.0 * (self.control_variance + self.treatment_variance)).sqrt();
        let found = |users: f64, widths: f64| self.difference.abs() * users.sqrt() / deviation >= widths + beyond;
        let (mut low, mut high) = (2.0_f64, USERS_MAX);
        if !found(high, half_widths(high, self.alpha)) {
            return None;
        }
        while high - low > 0.5 {
            let middle = f64::midpoint(low, high);
            if found(middle, half_widths(middle, self.alpha)) { high = middle } else { low = middle }
        }
        let root = (once + beyond) * deviation / self.difference.abs();
        Some(SampleSize { fixed: (root * root).ceil().max(2.0), always: high.ceil() })
    }

    /// Of two rates.
    #[must_use]
    pub(crate) fn of_rates(control: f64, treatment: f64, alpha: Probability, power: Probability) -> Self {
        Self {
            difference: treatment - control,
            control_variance: control * (1.0 - control),
            treatment_variance: treatment * (1.0 - treatment),
            alpha,
            power,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probability(value: f64) -> Probability {
        Probability::new(value).unwrap()
    }

    /// Statistical tables have 3,841 users an arm for 10 % against 12 % at 80 %.
    #[test]
    fn a_known_size_comes_out_and_looking_always_costs_more() {
        let size = SizeQuestion::of_rates(0.1, 0.12, probability(0.05), probability(0.8)).answer().unwrap();
        assert!((size.fixed / 2.0 - 3839.0).abs() < 3.0, "{size:?}");
        assert!(size.always > size.fixed * 1.3 && size.always < size.fixed * 2.5, "{size:?}");
    }

    #[test]
    fn a_smaller_difference_takes_more_users_and_none_takes_all() {
        let size =
            |treatment: f64| SizeQuestion::of_rates(0.1, treatment, probability(0.05), probability(0.8)).answer();
        let sizes: Vec<f64> = [0.2, 0.15, 0.12, 0.11, 0.101].map(|rate| size(rate).unwrap().always).to_vec();
        assert!(sizes.is_sorted(), "{sizes:?}");
        assert_eq!(size(0.1), None);
        assert_eq!(size(0.08).map(|size| size.always > 1000.0), Some(true));
    }
}
