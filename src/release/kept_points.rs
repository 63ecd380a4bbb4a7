//! Notes what the judges find of a rollout now and then, and has it stored.

use std::sync::Arc;
use std::time::Duration;

use super::active::ActiveRollout;
use super::controller::RolloutController;
use super::evidence_series::EvidencePoint;
use super::points_stored;
use super::points_stored::PointsStored;
use super::view::RolloutView;
use crate::control::change::Change;
use crate::control::handle::{ChangeRequest, OntoDead};
use crate::control::rollout_change::RolloutChange;
use crate::problem::chain;
use crate::rollout::judge::InCharge;

impl ActiveRollout {
    /// Notes what is shown of it, if it is time and if a judge is asked.
    pub(crate) fn note_point(&mut self, view: &RolloutView, at_ms: i64) {
        if self.rollout.in_charge() == InCharge::Judge && self.saved.series.is_due(at_ms) {
            self.saved.series.push(EvidencePoint::new(at_ms, view.stage, view.weight, &view.evidence));
            self.points_stored.is_behind = true;
        }
    }
}

impl RolloutController {
    /// Stores the points of one rollout, if it is time.
    pub(crate) async fn keep_points(&mut self, now: Duration) {
        let stored = self.running.iter().map(|(id, run)| (*id, run.points_stored));
        if let Some(id) = points_stored::next(now, self.points_kept_at, stored) {
            self.points_kept_at = now;
            self.keep_points_of(id, now).await;
        }
    }

    /// Stores what is not stored yet: the process ends, or another one takes the store over.
    pub(crate) async fn keep_all_points(&mut self) {
        let behind = self.running.iter().filter(|(_, run)| run.points_stored.is_behind);
        for id in behind.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.keep_points_of(id, self.now()).await;
        }
    }

    async fn keep_points_of(&mut self, id: u64, now: Duration) {
        let Some(run) = self.running.get_mut(&id) else { return };
        // Also if it fails: it is tried again after a minute, or with the next move.
        run.points_stored = PointsStored::all(now);
        let state: Arc<str> = serde_json::to_string(&run.saved).unwrap_or_default().into();
        // Of no service: no table is made for it.
        let change = Change::Rollout(RolloutChange { id, state, ..RolloutChange::default() });
        let (author, onto_dead) = (format!("rollout {id}"), OntoDead::Ignore);
        let request =
            ChangeRequest { change, dry_run: false, if_match: None, onto_dead, author, reason: None, until_ms: None };
        if let Err(error) = self.deps.handle.apply(request).await {
            tracing::debug!(rollout = id, error = chain(&error), "what the judge found meanwhile is not stored yet");
            if let Some(run) = self.running.get_mut(&id) {
                run.points_stored.is_behind = true;
            }
        }
    }
}
