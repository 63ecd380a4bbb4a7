//! A rollout that would go on by itself to a version that no endpoint answers for: it holds, and goes on when one does.
//!
//! An operator who shifts there is refused, and decides. A rollout asks again at each tick, for as long as its judge
//! may hold it (`hold_max`); then it does what the plan says of holds that last too long (`on_hold`), by the commands
//! that an operator has, so that the record says who did it and why.

use super::active::Barred;
use super::controller::RolloutController;
use super::rollout_handle::OrderedBy;
use crate::control::handle::OntoDead;
use crate::control::unusable::{self, Unusable};
use crate::problem::chain;
use crate::rollout::command::RolloutCommand;
use crate::rollout::plan::Expired;
use crate::table::Table;

impl RolloutController {
    /// It was not let go on because of these.
    pub(crate) async fn bar(&mut self, id: u64, dead: &[Unusable]) {
        let now = self.now();
        let Some(run) = self.running.get_mut(&id) else { return };
        let why = unusable::insisted(dead).unwrap_or_default();
        let since = run.barred.as_ref().map_or(now, |barred| barred.since);
        if run.barred.is_none() {
            let service = run.saved.title();
            tracing::warn!(rollout = id, service, why, "a rollout holds, and goes on when its version is usable");
        }
        run.barred = Some(Barred { why: why.clone(), since });
        if now < since + run.rollout.plan().judge().hold_max {
            self.show();
            return;
        }
        let command = match run.rollout.plan().on_expired() {
            Expired::Pause => RolloutCommand::Pause,
            Expired::RollBack => RolloutCommand::Abort,
        };
        let reason = Some(format!("held too long: {why}"));
        let by = OrderedBy { author: "the rollout".to_owned(), reason, onto_dead: OntoDead::Ignore };
        let moved = self.advance(id, |rollout| rollout.command(now, command).ok(), Some(&by)).await;
        if let Err(error) = moved {
            tracing::error!(
                rollout = id,
                error = chain(&error),
                "a rollout that is held cannot end it, it is tried again"
            );
            return;
        }
        if let Some(run) = self.running.get_mut(&id) {
            run.barred = None;
        }
    }

    /// It was let go on, or there is an endpoint to answer again.
    pub(crate) fn unbar(&mut self, id: u64, table: &Table) {
        let Some(run) = self.running.get_mut(&id) else { return };
        if run.barred.is_some() && run.unusable(table).is_empty() {
            run.barred = None;
            tracing::info!(rollout = id, service = run.saved.title(), "the version of a rollout is usable again");
        }
    }
}
