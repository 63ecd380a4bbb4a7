//! Whether the arms have the users that they should have. If not, something loses or moves users of one arm, and no
//! other number of the experiment means anything.
//!
//! The test is sequential, as everything that people watch: the counts are compared with a multinomial distribution
//! whose probabilities are drawn from a Dirichlet distribution around the planned shares `rho` (Lindon and Malek,
//! arXiv 2011.03567),
//!
//! ```text
//! E = B(k rho + S)/B(k rho) * prod rho_i^-S_i
//! ```
//!
//! with B the multivariate beta function and S the users by arm. k says how near to the plan the alternatives are:
//! half of the stake is on 10,000, which finds 49/51 instead of 50/50 soonest, half on 2, which finds an arm that gets
//! hardly any. The alarm is at E >= 1000: of a thousand experiments with the right ratio at most one ever raises it,
//! however often it is looked at. Users that came under different plans have a factor each. The chi-square test stands
//! beside it for those who look once.

use statrs::function::gamma::{checked_gamma_ur, ln_gamma};

use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

/// The alternatives.
const CONCENTRATIONS: [f64; 2] = [10_000.0, 2.0];

/// When it is said that the ratio is wrong.
const ALARM: f64 = 1000.0;

/// Planned shares and users that came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleRatio {
    epochs: Vec<RatioEpoch>,
}

/// Users that came under one plan.
#[derive(Clone, Debug, PartialEq)]
struct RatioEpoch {
    planned: Vec<f64>,
    users: Vec<u64>,
}

/// The chi-square test of one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquare {
    /// The statistic.
    pub value: f64,
    /// How surprising it would be with the right ratio.
    pub p: f64,
}

impl SampleRatio {
    /// Adds users of both arms that came while the treatment had this share.
    pub fn add(&mut self, share: Probability, users: PerArm<u64>) {
        self.add_arms(vec![1.0 - share.value(), share.value()], vec![users.control, users.treatment]);
    }

    /// The same of any number of arms; the shares are above 0 and 1 together.
    fn add_arms(&mut self, planned: Vec<f64>, users: Vec<u64>) {
        match self.epochs.iter_mut().find(|epoch| epoch.planned == planned) {
            Some(known) => known.users.iter_mut().zip(users).for_each(|(sum, more)| *sum += more),
            None => self.epochs.push(RatioEpoch { planned, users }),
        }
    }

    /// The logarithm of E.
    #[must_use]
    pub fn ln_evidence(&self) -> f64 {
        self.epochs.iter().map(RatioEpoch::ln_evidence).sum()
    }

    /// Whether the ratio is wrong.
    #[must_use]
    pub fn alarms(&self) -> bool {
        self.ln_evidence() >= ALARM.ln()
    }

    /// The test for those who look once; none without users.
    #[must_use]
    pub fn chi_square(&self) -> Option<ChiSquare> {
        let counted = || self.epochs.iter().filter(|epoch| epoch.users.iter().any(|users| *users > 0));
        let freedom: usize = counted().map(|epoch| epoch.users.len() - 1).sum();
        let value: f64 = counted().map(RatioEpoch::chi_square).sum();
        // The library has no value for a statistic of zero, which surprises least of all.
        let p = || checked_gamma_ur(freedom as f64 / 2.0, value / 2.0).unwrap_or(1.0);
        (freedom > 0).then(|| ChiSquare { value, p: p() })
    }
}

impl RatioEpoch {
    fn ln_evidence(&self) -> f64 {
        let [near, far] = CONCENTRATIONS.map(|concentration| self.ln_bayes_factor(concentration));
        let (high, low) = (near.max(far), near.min(far));
        high + ((low - high).exp().ln_1p() - 2.0_f64.ln())
    }

    fn ln_bayes_factor(&self, concentration: f64) -> f64 {
        let total: f64 = self.users.iter().map(|users| *users as f64).sum();
        let of_arm = |(planned, users): (&f64, &u64)| {
            let (prior, users) = (concentration * planned, *users as f64);
            ln_gamma(prior + users) - ln_gamma(prior) - users * planned.ln()
        };
        let arms: f64 = self.planned.iter().zip(&self.users).map(of_arm).sum();
        arms + ln_gamma(concentration) - ln_gamma(concentration + total)
    }

    fn chi_square(&self) -> f64 {
        let total: f64 = self.users.iter().map(|users| *users as f64).sum();
        let of_arm = |(planned, users): (&f64, &u64)| (*users as f64 - total * planned).powi(2) / (total * planned);
        self.planned.iter().zip(&self.users).map(of_arm).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(planned: &[f64], users: &[u64]) -> RatioEpoch {
        RatioEpoch { planned: planned.to_vec(), users: users.to_vec() }
    }

    #[test]
    fn the_vectors_of_chi_square_come_out() {
        let test = |planned: &[f64], users: &[u64]| {
            let mut ratio = SampleRatio::default();
            ratio.add_arms(planned.to_vec(), users.to_vec());
            ratio.chi_square().unwrap()
        };
        let found = test(&[0.5, 0.5], &[500, 600]);
        assert!(
            (found.value - 9.090_909_090_9).abs() < 5e-11 && (found.p - 0.002_568_831_5).abs() < 5e-11,
            "{found:?}"
        );
        let found = test(&[0.3, 0.7], &[1000, 2000]);
        assert!((found.p - 6.773_766_861e-5).abs() < 5e-15, "{found:?}");
        let found = test(&[1.0 / 3.0; 3], &[480, 520, 500]);
        // With two degrees of freedom the distribution is exponential.
        assert!((found.p - (-0.8_f64).exp()).abs() < 1e-14, "{found:?}");
    }

    #[test]
    fn the_vectors_of_the_sequential_test_come_out() {
        let factor = epoch(&[0.1, 0.5, 0.4], &[2, 1, 7]).ln_bayes_factor(10_000.0).exp();
        assert!((factor - 1.001_749_612_0).abs() < 5e-11, "{factor}");
        for (users, ln_e) in [
            ([36, 14], 0.072_842_61),
            ([142, 58], 2.512_234_234),
            ([209, 91], 6.095_945_282),
            ([710, 290], 19.760_041_224),
        ] {
            let found = epoch(&[0.8, 0.2], &users).ln_bayes_factor(100.0);
            assert!((found - ln_e).abs() < 5e-9, "{users:?}: {found}, want {ln_e}");
        }
    }

    /// The bet is fair: over all orders in which ten users can come, the expectation of E is 1.
    #[test]
    fn the_bet_is_fair() {
        let share = 0.3_f64;
        let expectation: f64 = (0..1_u32 << 10)
            .map(|order| {
                let treatment = u64::from(order.count_ones());
                let users = [10 - treatment, treatment];
                let probability = (1.0 - share).powi(10 - order.count_ones().cast_signed())
                    * share.powi(order.count_ones().cast_signed());
                probability * epoch(&[1.0 - share, share], &users).ln_evidence().exp()
            })
            .sum();
        assert!((expectation - 1.0).abs() < 1e-9, "{expectation}");
    }

    /// 60/40 from the middle on is no fault if that was the plan from there on.
    #[test]
    fn users_are_compared_with_the_plan_of_their_time() {
        let (half, less) = (Probability::HALF, Probability::new(0.4).unwrap());
        let mut by_epoch = SampleRatio::default();
        by_epoch.add(half, PerArm { control: 50_000, treatment: 50_000 });
        by_epoch.add(less, PerArm { control: 60_000, treatment: 40_000 });
        assert!(!by_epoch.alarms() && by_epoch.chi_square().unwrap().p > 0.99, "{by_epoch:?}");
        let mut as_one = SampleRatio::default();
        as_one.add(half, PerArm { control: 50_000, treatment: 50_000 });
        as_one.add(half, PerArm { control: 60_000, treatment: 40_000 });
        assert!(as_one.alarms() && as_one.chi_square().unwrap().p < 1e-9);
        assert_eq!(SampleRatio::default().chi_square(), None);
        assert!(!SampleRatio::default().alarms());
    }

    #[test]
    fn an_arm_without_users_is_found_at_once() {
        let alarms = |users: u64| {
            let mut ratio = SampleRatio::default();
            ratio.add(Probability::HALF, PerArm { control: users, treatment: 0 });
            ratio.alarms()
        };
        assert!(!alarms(10) && alarms(20));
    }
}
