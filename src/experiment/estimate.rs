//! What a metric is in each arm, and how sure that is: a mean over users and the variance of that mean.
//!
//! The share of users that get the treatment may change while an experiment runs. Users of the hours with one share are
//! then compared with users of the same hours: each share is a *stratum*, strata are estimated by themselves, and their
//! means are joined by the users of both arms. Pooled sums would compare the treatment's late users with the control's
//! early ones, and find a difference where there is none (Simpson's paradox).

use super::metric_sums::MetricSums;
use crate::shared::per_arm::PerArm;

/// What of the sums is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The part of users that did it.
    Conversion,
    /// A value of each user.
    Mean,
    /// A value of each user, less what was to be expected by what was known of the user before (CUPED).
    AdjustedMean,
    /// The sum of one value by the sum of another, of the same users.
    Ratio,
}

/// The sums of both arms under one share of the treatment.
pub(crate) type StratumSums = PerArm<MetricSums>;

/// A metric in one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmEstimate {
    /// Users that it is of.
    pub users: u64,
    /// The metric.
    pub mean: f64,
    /// The metric without the adjustment by what was known before; the same where there is none.
    pub plain_mean: f64,
    /// The variance of `mean`.
    pub variance: f64,
    /// The sum over strata of the square of their part of `variance` by their degrees of freedom, for the approximation
    /// of Welch and Satterthwaite.
    pub(crate) satterthwaite: f64,
}

/// One stratum's part of an estimate.
struct StratumEstimate {
    mean: f64,
    plain_mean: f64,
    /// Of one user.
    variance: f64,
}

/// The metric in both arms; none while there are too few users for a variance, or nothing to divide by.
#[must_use]
pub(crate) fn estimate(measure: Measure, strata: &[StratumSums]) -> Option<PerArm<ArmEstimate>> {
    let comparable = || strata.iter().filter(|sums| sums.control.users > 1 && sums.treatment.users > 1);
    let total: u64 = comparable().map(|sums| sums.map(|arm| arm.users).total()).sum();
    let theta = if measure == Measure::AdjustedMean { theta(comparable()) } else { 0.0 };
    let empty = ArmEstimate { users: 0, mean: 0.0, plain_mean: 0.0, variance: 0.0, satterthwaite: 0.0 };
    let mut both = PerArm { control: empty, treatment: empty };
    for sums in comparable() {
        let weight = sums.map(|arm| arm.users).total() as f64 / total as f64;
        both.control.add(weight, &sums.control, measure, theta)?;
        both.treatment.add(weight, &sums.treatment, measure, theta)?;
    }
    let usable = |arm: &ArmEstimate| arm.mean.is_finite() && arm.variance.is_finite();
    (total > 0 && usable(&both.control) && usable(&both.treatment)).then_some(both)
}

impl ArmEstimate {
    fn add(&mut self, weight: f64, sums: &MetricSums, measure: Measure, theta: f64) -> Option<()> {
        let part = of_stratum(measure, sums, theta)?;
        let variance = weight * weight * part.variance / sums.count();
        self.users += sums.users;
        self.mean += weight * part.mean;
        self.plain_mean += weight * part.plain_mean;
        self.variance += variance;
        self.satterthwaite += variance * variance / (sums.count() - 1.0);
        Some(())
    }
}

fn of_stratum(measure: Measure, sums: &MetricSums, theta: f64) -> Option<StratumEstimate> {
    let (x, y) = (sums.mean_x(), sums.mean_y());
    let (mean, plain_mean, variance) = match measure {
        Measure::Conversion => (x, x, x * (1.0 - x)),
        Measure::Mean => (x, x, sums.variance_x()),
        Measure::AdjustedMean => {
            let variance = sums.variance_x() + theta * theta * sums.variance_y() - 2.0 * theta * sums.covariance();
            (x - theta * y, x, variance)
        }
        Measure::Ratio if y == 0.0 => return None,
        // The delta method.
        Measure::Ratio => {
            let variance = sums.variance_x() / (y * y) + sums.variance_y() * x * x / y.powi(4)
                - 2.0 * sums.covariance() * x / y.powi(3);
            (x / y, x / y, variance)
        }
    };
    Some(StratumEstimate { mean, plain_mean, variance: variance.max(0.0) })
}

/// How much of `x` is told by `y`: their covariance by the variance of `y`, of all users of both arms.
fn theta<'a>(strata: impl Iterator<Item = &'a StratumSums>) -> f64 {
    let pooled = strata.fold(MetricSums::default(), |sum, arms| sum.plus(&arms.control).plus(&arms.treatment));
    let variance = pooled.variance_y();
    if pooled.users > 1 && variance > 0.0 { pooled.covariance() / variance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms(control: MetricSums, treatment: MetricSums) -> StratumSums {
        PerArm { control, treatment }
    }

    #[test]
    fn theta_is_that_of_both_arms_together() {
        let sums =
            |x, x_squares, y, y_squares, products| MetricSums { users: 1000, x, x_squares, y, y_squares, products };
        let control = sums(5000.0, 29_000.0, 4800.0, 27_000.0, 27_000.0);
        let treatment = sums(5200.0, 31_000.0, 4790.0, 26_900.0, 27_800.0);
        let found = theta([arms(control, treatment)].iter());
        assert!((found - 0.744_193_684_902).abs() < 5e-13, "{found}");
    }

    /// The rate falls from 20 % to 10 % on the day on which the treatment's share grows from 10 % to 50 %. The arms are
    /// equal on both days, and pooled sums say that the treatment is worse by a sixth.
    #[test]
    fn users_are_compared_with_users_of_the_same_share() {
        let day = |control: (u64, u64), treatment: (u64, u64)| {
            arms(MetricSums::of_conversions(control.0, control.1), MetricSums::of_conversions(treatment.0, treatment.1))
        };
        let days = [day((9000, 1800), (1000, 200)), day((5000, 500), (5000, 500))];
        let both = estimate(Measure::Conversion, &days).unwrap();
        assert!((both.control.mean - both.treatment.mean).abs() < 1e-12, "{both:?}");
        let pooled = day((14_000, 2300), (6000, 700));
        let pooled = estimate(Measure::Conversion, &[pooled]).unwrap();
        assert!(pooled.treatment.mean < pooled.control.mean * 0.8, "{pooled:?}");
        // Half of the users have the variance of a twentieth of them.
        assert!(both.treatment.variance > 0.25 * 0.2 * 0.8 / 1000.0);
    }

    #[test]
    fn one_stratum_in_two_halves_is_one_stratum() {
        let half = arms(MetricSums::of_conversions(500, 50), MetricSums::of_conversions(500, 65));
        let whole = arms(MetricSums::of_conversions(1000, 100), MetricSums::of_conversions(1000, 130));
        let (halves, whole) =
            (estimate(Measure::Conversion, &[half, half]).unwrap(), estimate(Measure::Conversion, &[whole]).unwrap());
        assert!((halves.treatment.mean - whole.treatment.mean).abs() < 1e-15);
        assert!((halves.treatment.variance - whole.treatment.variance).abs() < 1e-15);
    }

    #[test]
    fn too_few_users_and_nothing_to_divide_by_are_no_estimate() {
        let one = MetricSums::of_conversions(1, 1);
        assert_eq!(estimate(Measure::Conversion, &[]), None);
        assert_eq!(estimate(Measure::Conversion, &[arms(one, MetricSums::of_conversions(100, 1))]), None);
        let none = MetricSums { users: 100, x: 5.0, x_squares: 5.0, ..MetricSums::default() };
        assert_eq!(estimate(Measure::Ratio, &[arms(none, none)]), None);
    }
}
