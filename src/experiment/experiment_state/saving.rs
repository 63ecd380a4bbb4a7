//! An experiment's state as it is kept: what has changed since it was last kept, and how it is put together again.
//!
//! What is kept is the state and no log of what happened, so that it does not outgrow the users that are admitted. A
//! value is kept by its bits, and sums are made of the users in the order of their hashes, wherever they came from: so
//! a state that was put together again has the same sums to the last bit.

use std::sync::Arc;

use super::super::definition::ExperimentSpec;
use super::super::name_hash::NameHash;
use super::super::recent_ids::RecentIds;
use super::super::user_sums::UserValues;
use super::{EVENT_IDS_MAX, EventTally, ExperimentState, ExposedUser};
use crate::shared::per_arm::ExperimentArm;
use crate::shared::probability::Probability;

/// A user as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SavedUser {
    pub(crate) user: NameHash,
    pub(crate) arm: ExperimentArm,
    pub(crate) crossed: bool,
    /// Index of the share that was in force.
    pub(crate) share: u16,
    pub(crate) first_ms: u64,
    /// Of each metric, or none at all.
    pub(crate) values: Vec<UserValues>,
}

/// What is kept beside the users.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SavedTotals {
    pub(crate) shares: Vec<Probability>,
    pub(crate) turned_away: u64,
    pub(crate) tally: EventTally,
    /// The number of the oldest id of an event that is remembered.
    pub(crate) first_id: u64,
}

impl ExperimentState {
    /// One that was kept. Its users come by [`Self::put_back`], the ids of events by [`Self::remember`].
    pub(crate) fn restore(spec: Arc<ExperimentSpec>, totals: SavedTotals) -> Self {
        Self::restore_with_ids(spec, totals, EVENT_IDS_MAX)
    }

    pub(super) fn restore_with_ids(spec: Arc<ExperimentSpec>, totals: SavedTotals, ids_max: usize) -> Self {
        let SavedTotals { shares, turned_away, tally, first_id } = totals;
        let mut ids = RecentIds::new(ids_max);
        ids.number_from(first_id);
        Self { shares, turned_away, tally, ids, ..Self::new(spec) }
    }

    /// A user that was kept.
    pub(crate) fn put_back(&mut self, saved: SavedUser) {
        let SavedUser { user, arm, crossed, share, first_ms, values } = saved;
        // What a file says is not trusted: sums are by share.
        if usize::from(share) < self.shares.len() {
            self.users.insert(user, ExposedUser { arm, crossed, share, first_ms, values, saved: true });
        }
    }

    /// The id of an event that was kept; in the order in which they came.
    pub(crate) fn remember(&mut self, id: NameHash) {
        self.ids.add(id);
    }

    /// What it measures from now on: the same metrics, of perhaps more users.
    pub(crate) fn set_spec(&mut self, spec: Arc<ExperimentSpec>) {
        self.spec = spec;
    }

    /// How many users it has.
    pub(crate) fn users(&self) -> usize {
        self.users.len() + self.users_elsewhere()
    }

    /// Whether a new user would find no room.
    pub(crate) fn is_full(&self) -> bool {
        self.users() >= self.spec.users_max
    }

    /// Whether anything has changed since it was last kept.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved.any
    }

    /// What is kept beside the users, as it is now.
    pub(crate) fn totals(&self) -> SavedTotals {
        let Self { shares, turned_away, tally, ids, .. } = self;
        SavedTotals { shares: shares.clone(), turned_away: *turned_away, tally: *tally, first_id: ids.oldest() }
    }

    /// Users that are new or have changed since it was last kept.
    pub(crate) fn unsaved_users(&self) -> impl Iterator<Item = SavedUser> + '_ {
        self.unsaved.users.iter().filter_map(|user| {
            let ExposedUser { arm, crossed, share, first_ms, values, saved: _ } = self.users.get(user)?;
            let (user, values) = (*user, values.clone());
            Some(SavedUser { user, arm: *arm, crossed: *crossed, share: *share, first_ms: *first_ms, values })
        })
    }

    /// The ids of events that have come since it was last kept, with their numbers.
    pub(crate) fn unsaved_ids(&self) -> impl Iterator<Item = (u64, NameHash)> + '_ {
        self.ids.from(self.unsaved.first_id)
    }

    /// It is kept as it is.
    pub(crate) fn set_saved(&mut self) {
        let changed = std::mem::take(&mut self.unsaved.users);
        for name in &changed {
            if let Some(user) = self.users.get_mut(name) {
                user.saved = true;
            }
        }
        if let Some(told) = &mut self.told {
            told.add(&changed, &self.users);
        }
        self.set_others_saved();
        (self.unsaved.any, self.unsaved.first_id) = (false, self.ids.next());
    }

    /// Nothing of it is kept: where it was is gone.
    pub(crate) fn set_unsaved(&mut self) {
        for (name, user) in &mut self.users {
            self.unsaved.note(*name, user);
        }
        self.set_others_unsaved();
        (self.unsaved.any, self.unsaved.first_id) = (true, 0);
    }
}
