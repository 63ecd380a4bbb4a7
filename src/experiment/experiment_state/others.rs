//! What other replicas of a fleet know of the same users.
//!
//! Each replica has a row of its own for each user that it has met, which only it changes; the rows of others are
//! copies that are replaced when newer ones come. A user is what all rows of it say together ([`MergedUser`]), so the
//! order in which copies arrive, and that one arrives twice, make no difference (a state-based CRDT; Shapiro and
//! others, 2011):
//!
//! - It came when it was first seen anywhere, in the arm and under the share of then; seen in the other arm anywhere,
//!   it is crossed.
//! - What it did adds up, and a conversion is one, wherever it happened.
//! - What was known of it before is what was said last: a replica that hears it writes into its own row what the rows
//!   of others lack of it.
//!
//! The obvious other way is one owner for each user, to which all others send what they see. It needs one row a user
//! and not one for each replica that meets it. But owners change when replicas come and go, and what was acknowledged
//! has to move then, while the one that has it may be the one that is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::super::merged_user::{MergedUser, UserRow};
use super::super::name_hash::NameHash;
use super::super::recent_ids::RecentIds;
use super::super::user_sums::{UserSums, UserValues};
use super::saving::SavedUser;
use super::told::{HeardUpTo, ToldTrial, ToldUser};
use super::{EventTally, ExperimentState, Exposed, ExposedUser};
use crate::shared::per_arm::ExperimentArm;

/// Another replica, as its store is called.
pub(crate) type ReplicaName = Arc<str>;

/// This many ids of events of each other replica are remembered: who sends an event again, to another replica, does so
/// soon.
const OTHER_IDS_MAX: usize = 200_000;

/// What is kept of other replicas beside their rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OtherTotals {
    pub(crate) turned_away: u64,
    pub(crate) tally: EventTally,
}

/// The rows of other replicas.
#[derive(Clone, Debug, Default)]
pub(super) struct OtherReplicas {
    /// By their numbers here.
    known: Vec<OtherReplica>,
    /// The rows of each user, by the number of the replica. One map of all: a user has few rows, most of them one.
    users: BTreeMap<RowKey, OtherUser>,
    /// How many users there are of whom this replica has no row.
    only_there: usize,
    /// Rows that are new or have changed since they were kept last.
    unsaved: BTreeSet<RowKey>,
}

/// A user, and the number of a replica.
type RowKey = (NameHash, u16);

/// The rows of a user.
fn rows_of(user: NameHash) -> RangeInclusive<RowKey> {
    (user, 0)..=(user, u16::MAX)
}

/// What is known of one of them.
#[derive(Clone, Debug)]
struct OtherReplica {
    name: ReplicaName,
    heard: HeardUpTo,
    totals: OtherTotals,
    ids: RecentIds,
}

impl OtherReplicas {
    /// The number of a replica; a new one if it is not known. None: there are too many.
    fn number(&mut self, replica: &ReplicaName) -> Option<u16> {
        let known = self.known.iter().position(|other| other.name == *replica);
        let number = known.unwrap_or_else(|| {
            let (heard, totals) = (HeardUpTo::default(), OtherTotals::default());
            let ids = RecentIds::new(OTHER_IDS_MAX);
            self.known.push(OtherReplica { name: Arc::clone(replica), heard, totals, ids });
            self.known.len() - 1
        });
        u16::try_from(number).ok()
    }

    fn rows(&self, user: NameHash) -> impl Iterator<Item = &OtherUser> {
        self.users.range(rows_of(user)).map(|(_, row)| row)
    }

    fn knows(&self, user: NameHash) -> bool {
        !self.users.is_empty() && self.rows(user).next().is_some()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct OtherUser {
    arm: ExperimentArm,
    crossed: bool,
    share: u16,
    first_ms: u64,
    values: Box<[UserValues]>,
}

impl OtherUser {
    fn row(&self) -> UserRow<'_> {
        let Self { arm, crossed, share, first_ms, values } = self;
        UserRow { arm: *arm, crossed: *crossed, share: *share, first_ms: *first_ms, values }
    }
}

impl ExposedUser {
    fn row(&self) -> UserRow<'_> {
        let Self { arm, crossed, share, first_ms, values, saved: _ } = self;
        UserRow { arm: *arm, crossed: *crossed, share: *share, first_ms: *first_ms, values }
    }
}

impl ExperimentState {
    /// Up to where another replica was heard.
    pub(crate) fn heard(&self, replica: &str) -> HeardUpTo {
        let known = self.others.known.iter().find(|other| *other.name == *replica);
        known.map_or_else(HeardUpTo::default, |other| other.heard)
    }

    /// Takes what another replica tells; whether that are users.
    pub(crate) fn hear(&mut self, replica: &ReplicaName, told: ToldTrial) -> bool {
        let ToldTrial { users, ids, turned_away, tally, next, more: _ } = told;
        let any = !users.is_empty();
        let Some(number) = self.others.number(replica) else { return false };
        users.into_iter().for_each(|user| self.put_other(number, user));
        let totals = OtherTotals { turned_away, tally };
        let Some(other) = self.others.known.get_mut(usize::from(number)) else { return false };
        self.unsaved.any |= any || other.totals != totals;
        (other.heard, other.totals) = (next, totals);
        ids.into_iter().for_each(|id| other.ids.add(id));
        any
    }

    fn put_other(&mut self, replica: u16, told: ToldUser) {
        let ToldUser { user, arm, crossed, share, first_ms, mut values } = told;
        let Some(share) = self.share(share) else { return };
        values.truncate(self.spec.metrics.len());
        let row = OtherUser { arm, crossed, share, first_ms, values: values.into() };
        if self.put_row((user, replica), row) {
            self.others.unsaved.insert((user, replica));
        }
    }

    /// Whether that is new.
    fn put_row(&mut self, key: RowKey, row: OtherUser) -> bool {
        let is_new_user = !self.knows(key.0);
        let is_new = self.others.users.get(&key) != Some(&row);
        if is_new {
            self.others.users.insert(key, row);
        }
        self.others.only_there += usize::from(is_new_user);
        is_new
    }

    /// A row of another replica that was kept.
    pub(crate) fn put_other_back(&mut self, replica: &ReplicaName, saved: SavedUser) {
        let SavedUser { user, arm, crossed, share, first_ms, values } = saved;
        let number = self.others.number(replica).filter(|_| usize::from(share) < self.shares.len());
        if let Some(number) = number {
            self.put_row((user, number), OtherUser { arm, crossed, share, first_ms, values: values.into() });
        }
    }

    /// What was kept of another replica beside its rows.
    pub(crate) fn put_totals_back(&mut self, replica: &ReplicaName, totals: OtherTotals) {
        let number = self.others.number(replica).map(usize::from);
        if let Some(other) = number.and_then(|number| self.others.known.get_mut(number)) {
            other.totals = totals;
        }
    }

    /// Rows of others that are new or have changed since they were kept last.
    pub(crate) fn unsaved_others(&self) -> impl Iterator<Item = (&ReplicaName, SavedUser)> + '_ {
        self.others.unsaved.iter().filter_map(|key| {
            let OtherUser { arm, crossed, share, first_ms, values } = self.others.users.get(key)?;
            let (user, values) = (key.0, values.to_vec());
            let row = SavedUser { user, arm: *arm, crossed: *crossed, share: *share, first_ms: *first_ms, values };
            Some((&self.others.known.get(usize::from(key.1))?.name, row))
        })
    }

    /// What is kept of others beside their rows.
    pub(crate) fn other_totals(&self) -> impl Iterator<Item = (&ReplicaName, OtherTotals)> + '_ {
        self.others.known.iter().map(|other| (&other.name, other.totals))
    }

    /// The rows of others are kept as they are.
    pub(super) fn set_others_saved(&mut self) {
        self.others.unsaved.clear();
    }

    /// Nothing of them is kept.
    pub(super) fn set_others_unsaved(&mut self) {
        self.others.unsaved = self.others.users.keys().copied().collect();
    }

    /// Whether the user was seen in any arm, here or elsewhere.
    pub(crate) fn knows(&self, user: NameHash) -> bool {
        self.users.contains_key(&user) || self.others.knows(user)
    }

    /// Whether another replica has taken an event of this id.
    pub(super) fn was_taken_elsewhere(&self, id: NameHash) -> bool {
        self.others.known.iter().any(|other| other.ids.contains(id))
    }

    /// How many users there are that this replica has not met itself.
    pub(super) fn users_elsewhere(&self) -> usize {
        self.others.only_there
    }

    /// What all rows of a user say, without its values.
    pub(super) fn known(&self, user: NameHash) -> Option<MergedUser> {
        let without_values = |row: UserRow<'_>| MergedUser::of(UserRow { values: &[], ..row });
        let mut merged = self.users.get(&user).map(|own| without_values(own.row()));
        for row in self.others.rows(user) {
            match &mut merged {
                Some(merged) => merged.add(UserRow { values: &[], ..row.row() }, |_| None),
                None => merged = Some(without_values(row.row())),
            }
        }
        merged
    }

    /// A user that others knew has come to this replica.
    pub(super) fn met(&mut self, user: NameHash) -> Exposed {
        self.others.only_there -= 1;
        if self.known(user).is_some_and(|known| known.crossed) { Exposed::Crossed } else { Exposed::Again }
    }

    /// The row of this replica; one that begins as the others have the user, if there is none.
    pub(super) fn own_row(&mut self, user: NameHash, known: &MergedUser) -> &mut ExposedUser {
        if !self.users.contains_key(&user) && self.others.knows(user) {
            self.others.only_there -= 1;
        }
        self.users.entry(user).or_insert_with(|| {
            let MergedUser { arm, crossed, share, first_ms, values: _ } = *known;
            self.unsaved.users.push(user);
            ExposedUser { arm, crossed, share, first_ms, values: Vec::new(), saved: false }
        })
    }

    /// What the rows of others say was known of a user before.
    pub(super) fn known_before_elsewhere(&self, user: NameHash, metric: usize) -> f64 {
        let rows = self.others.rows(user);
        rows.filter_map(|row| row.values.get(metric)).map(|values| values.y).sum()
    }

    /// The tally of all replicas.
    pub(crate) fn tally(&self) -> EventTally {
        self.others.known.iter().fold(self.tally, |sum, other| sum.plus(other.totals.tally))
    }

    /// The exposures of users for whom there was no room, on all replicas.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away + self.others.known.iter().map(|other| other.totals.turned_away).sum::<u64>()
    }

    /// Adds all users to the sums, in the order of their hashes.
    pub(super) fn add_up(&self, sums: &mut UserSums) {
        let measure = |number: usize| self.spec.metrics.get(number).map(|metric| metric.plan.measure);
        let mut own = self.users.iter().peekable();
        let mut elsewhere = self.others.users.iter().peekable();
        loop {
            let next_own = own.peek().map(|(name, _)| **name);
            let next_there = elsewhere.peek().map(|((name, _), _)| *name);
            let Some(user) = [next_own, next_there].into_iter().flatten().min() else { return };
            let mut merged = own.next_if(|(name, _)| **name == user).map(|(_, own)| MergedUser::of(own.row()));
            while let Some((_, row)) = elsewhere.next_if(|((name, _), _)| *name == user) {
                match &mut merged {
                    Some(merged) => merged.add(row.row(), measure),
                    None => merged = Some(MergedUser::of(row.row())),
                }
            }
            if let Some(user) = merged {
                sums.add(user.arm, user.crossed, user.share, &user.values);
            }
        }
    }
}
