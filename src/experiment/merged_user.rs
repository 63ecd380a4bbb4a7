//! A user of whom several replicas have rows.

use super::estimate::Measure;
use super::experiment_state::saving::SavedUser;
use super::name_hash::NameHash;
use super::user_sums::UserValues;
use crate::shared::per_arm::ExperimentArm;

/// A user as all rows of it say together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MergedUser {
    pub(crate) arm: ExperimentArm,
    pub(crate) crossed: bool,
    pub(crate) share: u16,
    pub(crate) first_ms: u64,
    pub(crate) values: Vec<UserValues>,
}

/// A row of a user, wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserRow<'r> {
    pub(crate) arm: ExperimentArm,
    pub(crate) crossed: bool,
    pub(crate) share: u16,
    pub(crate) first_ms: u64,
    pub(crate) values: &'r [UserValues],
}

impl<'r> From<&'r SavedUser> for UserRow<'r> {
    fn from(SavedUser { user: _, arm, crossed, share, first_ms, values }: &'r SavedUser) -> Self {
        Self { arm: *arm, crossed: *crossed, share: *share, first_ms: *first_ms, values }
    }
}

impl MergedUser {
    /// What a row says.
    pub(crate) fn of(row: UserRow<'_>) -> Self {
        let UserRow { arm, crossed, share, first_ms, values } = row;
        Self { arm, crossed, share, first_ms, values: values.to_vec() }
    }

    /// As it is kept.
    pub(crate) fn saved(self, user: NameHash) -> SavedUser {
        let Self { arm, crossed, share, first_ms, values } = self;
        SavedUser { user, arm, crossed, share, first_ms, values }
    }

    /// What another one of the same user says too. Of two that began at the same moment the arm of control counts, so
    /// that it is the same in whatever order they come.
    pub(crate) fn add(&mut self, row: UserRow<'_>, measure: impl Fn(usize) -> Option<Measure>) {
        self.crossed |= row.crossed || row.arm != self.arm;
        let of_treatment = |arm: ExperimentArm| arm == ExperimentArm::Treatment;
        if (row.first_ms, of_treatment(row.arm), row.share) < (self.first_ms, of_treatment(self.arm), self.share) {
            (self.first_ms, self.arm, self.share) = (row.first_ms, row.arm, row.share);
        }
        if self.values.len() < row.values.len() {
            self.values.resize(row.values.len(), UserValues::default());
        }
        for (number, (sum, more)) in self.values.iter_mut().zip(row.values).enumerate() {
            sum.x = if measure(number) == Some(Measure::Conversion) { sum.x.max(more.x) } else { sum.x + more.x };
            sum.y += more.y;
        }
    }
}
