//! The interval that may be looked at whenever one likes: an asymptotic confidence sequence.
//!
//! It holds the true effect *at all looks at once* with probability 1 - alpha, so that nothing is lost by looking daily
//! and stopping when it pleases. Mixing the likelihood ratio over normally distributed effects gives its boundary
//! (Robbins 1970; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, arXiv 2103.06476):
//!
//! ```text
//! half-width = sqrt(s2) sqrt(2 (N rho2 + 1) ln(sqrt(N rho2 + 1)/alpha)) / (N rho)      s2 = N Var(effect)
//! E = exp(N rho2 z2 / (2 (N rho2 + 1))) / sqrt(N rho2 + 1)                              z2 = effect^2 / Var(effect)
//! ```
//!
//! It is asymptotic: below about a hundred users an arm the variance is not known well enough, so results are held back
//! until then.

use super::effect::{Effect, EffectInterval};
use crate::shared::probability::Probability;

/// The number of users at which the interval is narrowest in comparison with one for that number alone. It has to be
/// chosen before the data are seen, so it is the same for all experiments; at a tenth and at ten times as many the
/// interval is wider by less than a third than one that was made for them.
const TUNED_FOR_USERS: f64 = 5000.0;

/// How the mixture is spread.
fn rho_squared(alpha: f64) -> f64 {
    let twice = -2.0 * alpha.ln();
    (twice + (twice + 1.0).ln()) / TUNED_FOR_USERS
}

/// How far the interval reaches to both sides, as a multiple of the standard error of the effect of `users` users.
#[must_use]
pub(crate) fn half_widths(users: f64, alpha: Probability) -> f64 {
    let spread = users * rho_squared(alpha.value());
    // sqrt(s2)/(N rho) is the standard error by sqrt(N rho2).
    (2.0 * (spread + 1.0) * ((spread + 1.0).sqrt() / alpha.value()).ln() / spread).sqrt()
}

/// The interval of an effect.
#[must_use]
pub(crate) fn always_valid(effect: &Effect, alpha: Probability) -> EffectInterval {
    let users = effect.users as f64;
    if effect.variance <= 0.0 {
        let p = if effect.value == 0.0 { 1.0 } else { 0.0 };
        return EffectInterval::around(effect, 0.0, p);
    }
    let p = (-ln_evidence(effect, alpha)).exp().min(1.0);
    EffectInterval::around(effect, half_widths(users, alpha) * effect.variance.sqrt(), p)
}

/// ln E against there being no effect, of one with a variance; it is made for a proof at `alpha`.
#[must_use]
pub(crate) fn ln_evidence(effect: &Effect, alpha: Probability) -> f64 {
    let spread = effect.users as f64 * rho_squared(alpha.value());
    spread * effect.value * effect.value / effect.variance / (2.0 * (spread + 1.0)) - (spread + 1.0).ln() / 2.0
}
