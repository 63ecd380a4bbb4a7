//! How the judge's mind changed: an entry each time that it thinks something else of a service, or for another reason.
//!
//! Events are moves, and hours may lie between two of them; what people ask then is since when it is held, and for
//! what. It is stored with the next move, not by itself: a mind that changes four times a second must not write as
//! often.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Changes that are kept of a rollout; of more the oldest are dropped.
pub(crate) const VERDICTS_MAX: usize = 100;

/// What the judge thought of a service from a moment on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SavedVerdict {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The service.
    pub service: String,
    /// The candidate's weight at that moment, in per cent.
    pub weight: f64,
    /// `roll_back`, `advance` or `hold`.
    pub ruling: String,
    /// Why, in one word.
    pub why: String,
    /// The same with numbers, in one sentence.
    pub text: String,
}
