//! The stages in which the candidate has no users, and gets copies of requests.

use super::super::event::Pause;
use super::super::stage::Stage;
use super::{Phase, Rollout};
use crate::table::Weight;

impl Rollout {
    /// The part of the requests that is copied to the candidate; none: that is not of this stage, or an operator has
    /// taken it over.
    #[must_use]
    pub fn mirror(&self) -> Option<Weight> {
        let stage = match self.phase {
            Phase::Going { stage, .. } => stage,
            Phase::Paused { stage, why, .. } if why != Pause::Shifted => stage,
            Phase::Paused { .. } | Phase::Back(_) | Phase::Finished { .. } => return None,
        };
        match self.stages.get(stage)? {
            Stage::Mirror { share, .. } => Some(*share),
            Stage::Bake { .. } | Stage::Do(_) | Stage::Keep(_) => None,
        }
    }

    /// A stage begins in which at most this part of the pairs may differ; the weight stays.
    pub(super) fn copy(&mut self, differ_max: Weight, weight: Option<Weight>) -> Option<Weight> {
        self.judges.iter_mut().for_each(|judge| judge.begin_mirror(differ_max.ratio()));
        weight
    }
}
