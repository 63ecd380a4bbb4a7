//! What became of what users did, as scripts and people read it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::experiment_state::EventTally;

/// What became of events, and of requests that a metric is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = EventTally)]
pub(crate) struct TallyView {
    /// They count for a metric at least.
    pub(crate) counted: u64,
    /// They were counted before: their ids are known.
    pub(crate) sent_again: u64,
    /// No metric is about them.
    pub(crate) for_no_metric: u64,
    /// Their users were not seen in any arm.
    pub(crate) of_users_who_were_not_exposed: u64,
    /// Their users were seen in both arms.
    pub(crate) of_users_in_both_arms: u64,
    /// They were before their users were first exposed.
    pub(crate) before_the_exposure: u64,
    /// They were after the windows of their metrics.
    pub(crate) after_the_window: u64,
}

impl TallyView {
    /// Of a tally.
    pub(crate) fn of(tally: &EventTally) -> Self {
        let EventTally { counted, repeated, no_metric, not_exposed, crossed, before, after } = *tally;
        Self {
            counted,
            sent_again: repeated,
            for_no_metric: no_metric,
            of_users_who_were_not_exposed: not_exposed,
            of_users_in_both_arms: crossed,
            before_the_exposure: before,
            after_the_window: after,
        }
    }

    /// Each in words.
    pub(crate) fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("counted", self.counted),
            ("sent again", self.sent_again),
            ("for no metric", self.for_no_metric),
            ("of users who were not exposed", self.of_users_who_were_not_exposed),
            ("of users in both arms", self.of_users_in_both_arms),
            ("before the exposure", self.before_the_exposure),
            ("after the window", self.after_the_window),
        ]
    }
}
