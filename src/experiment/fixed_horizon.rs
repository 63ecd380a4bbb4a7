//! The interval for one look, at a number of users that was planned before: the two-sided t-test of Welch.
//!
//! It is narrower than the one of [`super::always_valid`], and it is right only for that one look. Who looks daily and
//! stops at the first significant day finds a difference between equal arms in a fifth of all experiments.

use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};

use super::effect::{Effect, EffectInterval};
use crate::shared::probability::Probability;

/// With more degrees of freedom the library loses digits (seven are left with a million), and a series is exact.
const MANY: f64 = 1000.0;

/// The interval of an effect, if it is looked at once.
#[must_use]
pub(crate) fn fixed_horizon(effect: &Effect, alpha: Probability) -> EffectInterval {
    if effect.variance <= 0.0 {
        let p = if effect.value == 0.0 { 1.0 } else { 0.0 };
        return EffectInterval::around(effect, 0.0, p);
    }
    let error = effect.variance.sqrt();
    let p = StudentsT::new(0.0, 1.0, effect.freedom).map_or(1.0, |t| 2.0 * t.sf(effect.value.abs() / error));
    EffectInterval::around(effect, t_quantile(1.0 - alpha.value() / 2.0, effect.freedom) * error, p)
}

/// Where Student's distribution has this much below it.
fn t_quantile(probability: f64, freedom: f64) -> f64 {
    if freedom > MANY {
        return t_quantile_of_many(probability, freedom);
    }
    let Ok(t) = StudentsT::new(0.0, 1.0, freedom) else { return f64::INFINITY };
    let found = t.inverse_cdf(probability);
    // The library's search ends a little early; a step of Newton's gives the digits that are missing.
    let step = (t.cdf(found) - probability) / t.pdf(found);
    if step.is_finite() { found - step } else { found }
}

/// The same for many degrees of freedom, from the normal distribution (Abramowitz and Stegun, 26.7.5); what is left out
/// is the fifth power of 1/freedom.
fn t_quantile_of_many(probability: f64, freedom: f64) -> f64 {
    let z = normal_quantile(probability);
    let square = z * z;
    let first = z * (square + 1.0) / 4.0;
    let second = z * ((5.0 * square + 16.0) * square + 3.0) / 96.0;
    let third = z * (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0;
    let fourth = z * ((((79.0 * square + 776.0) * square + 1482.0) * square - 1920.0) * square - 945.0) / 92_160.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3) + fourth / freedom.powi(4)
}

/// Where the normal distribution has this much below it.
#[must_use]
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From tables of Student's distribution, and scipy 1.17 for many degrees of freedom.
    #[test]
    fn quantiles_have_their_digits_with_few_and_with_many_degrees_of_freedom() {
        for (probability, freedom, wanted) in [
            (0.975, 3.0, 3.1824463052837078),
            (0.975, 50.0, 2.008559112100761),
            (0.975, 999.0, 1.9623414611334493),
            (0.975, 1001.0, 1.9623367052808798),
            (0.975, 20000.0, 1.9600826051581348),
            (0.975, 1400000.0, 1.9599656790209443),
            (0.995, 3.0, 5.840909309733355),
            (0.995, 50.0, 2.677793270940844),
            (0.995, 999.0, 2.5807596372676365),
            (0.995, 1001.0, 2.5807497687505245),
            (0.995, 20000.0, 2.576075153017255),
            (0.995, 1400000.0, 2.5758328153731216),
            (0.9995, 3.0, 12.923978636687961),
            (0.9995, 50.0, 3.496012881811176),
            (0.9995, 999.0, 3.3002924403987666),
            (0.9995, 1001.0, 3.3002728760660403),
            (0.9995, 20000.0, 3.2910132833642876),
            (0.9995, 1400000.0, 3.290533681312876),
        ] {
            let found = t_quantile(probability, freedom);
            assert!((found - wanted).abs() < 2e-12 * wanted, "{probability} {freedom}: {found}, want {wanted}");
        }
        // The series and the library meet.
        let [below, above] = [MANY, MANY + 1e-6].map(|freedom| t_quantile(0.975, freedom));
        assert!((below - above).abs() < 1e-11, "{below} {above}");
    }
}
