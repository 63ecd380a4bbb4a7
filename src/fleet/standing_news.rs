//! What is told of a replica that comes to its fleet, or is apart from it: once for each change.

use super::fleet_facts::FleetState;
use super::fleet_keeper::{FleetKeeper, now_ms};

impl FleetKeeper {
    pub(super) fn tell_together(&self) {
        let was_apart = self.facts.borrow().standing != FleetState::Together;
        if was_apart {
            let (revision, members) = (self.own.revision, self.facts.borrow().members.len());
            tracing::info!(revision, members, "this replica follows the fleet");
        }
        self.facts.send_modify(|facts| {
            if was_apart {
                (facts.standing, facts.since_ms) = (FleetState::Together, now_ms());
            }
            facts.heard_ms = Some(now_ms());
        });
    }

    /// In the log only when that begins, or is another trouble: a silence has many words.
    pub(super) fn tell_apart(&mut self, why: String, is_refusal: bool) {
        let was_together = self.facts.borrow().standing == FleetState::Together;
        if was_together || self.told_refusal != Some(is_refusal) {
            tracing::warn!(problem = why, "the fleet is not followed, what is in force stays in force");
            self.told_refusal = Some(is_refusal);
        }
        self.facts.send_modify(|facts| {
            if was_together {
                facts.since_ms = now_ms();
            }
            facts.standing = FleetState::Apart(why);
        });
    }
}
