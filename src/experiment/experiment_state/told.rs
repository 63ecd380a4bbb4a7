//! What a replica tells others of its users: rows that have changed, and ids of events that it has taken, from where
//! the other one knows it on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::name_hash::NameHash;
use super::super::user_sums::UserValues;
use super::{EventTally, ExperimentState, ExposedUser};
use crate::shared::per_arm::ExperimentArm;
use crate::shared::probability::Probability;

/// A user as a replica tells it to others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToldUser {
    pub(crate) user: NameHash,
    pub(crate) arm: ExperimentArm,
    pub(crate) crossed: bool,
    /// The share that was in force.
    pub(crate) share: Probability,
    pub(crate) first_ms: u64,
    /// Of each metric, or none at all.
    pub(crate) values: Vec<UserValues>,
}

/// Up to where another replica's rows and ids are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeardUpTo {
    /// Stands for the numbering: one that begins anew has another. None: nothing is known.
    pub(crate) numbering: u64,
    /// The number of the next change of a user.
    pub(crate) users: u64,
    /// The number of the next id of an event.
    pub(crate) ids: u64,
}

/// What a replica tells of a trial: some rows that have changed, and ids of events that it has taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ToldTrial {
    pub(crate) users: Vec<ToldUser>,
    pub(crate) ids: Vec<NameHash>,
    pub(crate) turned_away: u64,
    pub(crate) tally: EventTally,
    /// Where the next answer goes on.
    pub(crate) next: HeardUpTo,
    /// Whether there is more already.
    pub(crate) more: bool,
}

/// The changes of this replica's rows, for others to follow.
#[derive(Clone, Debug)]
pub(super) struct ToldChanges {
    numbering: u64,
    /// The number of the first change that is remembered.
    first: u64,
    /// Whose rows have changed, in that order.
    users: VecDeque<NameHash>,
}

/// With fewer changes they are not shortened.
const CHANGES_KEPT: usize = 1024;

impl ToldChanges {
    fn end(&self) -> u64 {
        self.first + self.users.len() as u64
    }

    #[cfg(test)]
    pub(super) fn changes(&self) -> usize {
        self.users.len()
    }

    /// Adds changes of rows. When there are many times as many as rows, each row is named once, by a new number.
    pub(super) fn add(&mut self, changed: &[NameHash], rows: &BTreeMap<NameHash, ExposedUser>) {
        self.users.extend(changed);
        if self.users.len() > rows.len().saturating_mul(2).saturating_add(CHANGES_KEPT) {
            self.first = self.end();
            self.users = rows.iter().filter(|(_, user)| user.saved).map(|(name, _)| *name).collect();
        }
    }
}

impl ExperimentState {
    /// Remembers from now on what changes, for other replicas to follow; `numbering` stands for the numbers of changes,
    /// and is never the same twice.
    pub(crate) fn tell_changes(&mut self, numbering: u64) {
        if self.told.is_none() {
            let users = self.users.iter().filter(|(_, user)| user.saved).map(|(name, _)| *name).collect();
            self.told = Some(ToldChanges { numbering, first: 0, users });
        }
    }

    /// What another replica lacks that knows all before `from`, of what is kept; of users and of ids `most` each.
    pub(crate) fn tell(&self, from: HeardUpTo, most: usize) -> ToldTrial {
        let Some(told) = &self.told else { return ToldTrial::default() };
        let from = if from.numbering == told.numbering { from } else { HeardUpTo::default() };
        let begin = from.users.clamp(told.first, told.end());
        let passed = usize::try_from(begin - told.first).unwrap_or(usize::MAX);
        let changed: Vec<_> = told.users.iter().skip(passed).take(most).copied().collect();
        let users_next = begin + changed.len() as u64;
        let kept = |number: u64| number < self.unsaved.first_id;
        let (numbers, ids): (Vec<_>, Vec<_>) =
            self.ids.from(from.ids).take_while(|(number, _)| kept(*number)).take(most).unzip();
        let ids_next = numbers.last().map_or(from.ids.min(self.ids.next()), |last| last + 1);
        // A user that has changed again since is told as it is now, and once.
        let changed: BTreeSet<_> = changed.into_iter().collect();
        ToldTrial {
            users: changed.into_iter().filter_map(|user| self.told_user(user)).collect(),
            ids,
            turned_away: self.turned_away,
            tally: self.tally,
            next: HeardUpTo { numbering: told.numbering, users: users_next, ids: ids_next },
            more: users_next < told.end() || self.ids.from(ids_next).next().is_some_and(|(number, _)| kept(number)),
        }
    }

    fn told_user(&self, user: NameHash) -> Option<ToldUser> {
        let ExposedUser { arm, crossed, share, first_ms, values, saved: _ } = self.users.get(&user)?;
        let share = *self.shares.get(usize::from(*share))?;
        Some(ToldUser { user, arm: *arm, crossed: *crossed, share, first_ms: *first_ms, values: values.clone() })
    }
}
