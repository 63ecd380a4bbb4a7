//! What replicas of a fleet tell each other of the users that they count: the forms that are sent.
//!
//! Users are rows of numbers, since there may be a million of them, and values are their bits: what is told and read
//! again is the same number.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ledger_columns::measure_word;
use super::seen::TrialKey;
use crate::experiment::definition::ExperimentSpec;
use crate::experiment::experiment_state::EventTally;
use crate::experiment::experiment_state::told::{HeardUpTo, ToldTrial, ToldUser};
use crate::experiment::name_hash::NameHash;
use crate::experiment::user_sums::UserValues;
use crate::shared::name::Name;
use crate::shared::per_arm::ExperimentArm;
use crate::shared::probability::Probability;

/// What a replica asks another one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TrialsQuestion {
    /// The trials that it counts, with what it knows already.
    pub(crate) trials: Vec<AskedTrial>,
}

/// A trial that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AskedTrial {
    /// Which one.
    pub(crate) trial: TrialNumbers,
    /// Stands for the numbers of changes of the replica that is asked; 0: nothing is known.
    pub(crate) numbering: u64,
    /// The number of the next change of a user.
    pub(crate) users: u64,
    /// The number of the next id of an event.
    pub(crate) ids: u64,
}

/// How a trial is named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TrialNumbers {
    /// A run of an experiment.
    Experiment {
        /// The experiment.
        experiment: String,
        /// The revision of its start.
        since: u64,
    },
    /// A step of a rollout.
    Rollout {
        /// The rollout.
        rollout: u64,
        /// The slots of the version that is rolled out.
        slots: u32,
    },
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = CountedUsers)]
pub(crate) struct TrialsAnswer {
    /// Who answers, as its store is called; empty without a fleet.
    pub(crate) replica: String,
    /// Those of the trials that it counts.
    pub(crate) trials: Vec<AnsweredTrial>,
}

/// What is told of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AnsweredTrial {
    /// Which one.
    pub(crate) trial: TrialNumbers,
    /// What it measures: only the same is added up.
    pub(crate) metrics: Vec<String>,
    /// Users that are new or have changed.
    #[schema(value_type = Vec<Vec<Object>>)]
    users: Vec<UserNumbers>,
    /// Events that were taken.
    ids: Vec<u64>,
    turned_away: u64,
    #[schema(value_type = Vec<u64>)]
    tally: [u64; 7],
    /// Stands for the numbers of changes.
    numbering: u64,
    /// The number of the next change of a user.
    next_user: u64,
    /// The number of the next id.
    next_id: u64,
    /// Whether there is more already.
    pub(crate) more: bool,
}

/// A user: its hash, whether it is of the treatment, whether it was in both arms, the share by its bits, when it was seen
/// first, and its values by their bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UserNumbers(u64, bool, bool, u64, u64, Vec<u64>);

/// What is measured, in words: replicas whose configs differ do not add up what is not the same.
pub(super) fn measured(spec: &ExperimentSpec) -> Vec<String> {
    let plans = spec.metrics.iter().map(|metric| &metric.plan);
    plans.map(|plan| format!("{}: {}", plan.name, measure_word(plan.measure))).collect()
}

impl From<&TrialKey> for TrialNumbers {
    fn from(key: &TrialKey) -> Self {
        match key {
            TrialKey::Experiment { name, since } => Self::Experiment { experiment: name.to_string(), since: *since },
            TrialKey::Rollout { id, slots } => Self::Rollout { rollout: *id, slots: *slots },
        }
    }
}

impl TrialNumbers {
    /// The trial, if that is a name of one.
    pub(super) fn key(&self) -> Option<TrialKey> {
        Some(match self {
            Self::Experiment { experiment, since } => {
                TrialKey::Experiment { name: Name::new(experiment).ok()?, since: *since }
            }
            Self::Rollout { rollout, slots } => TrialKey::Rollout { id: *rollout, slots: *slots },
        })
    }
}

impl AskedTrial {
    /// The question for what is behind `heard`.
    pub(super) fn new(trial: &TrialKey, heard: HeardUpTo) -> Self {
        let HeardUpTo { numbering, users, ids } = heard;
        Self { trial: trial.into(), numbering, users, ids }
    }

    /// What is known already.
    pub(super) fn heard(&self) -> HeardUpTo {
        HeardUpTo { numbering: self.numbering, users: self.users, ids: self.ids }
    }
}

impl AnsweredTrial {
    /// What is told of a trial that measures this.
    pub(super) fn new(trial: &TrialKey, spec: &ExperimentSpec, told: ToldTrial) -> Self {
        let ToldTrial { users, ids, turned_away, tally, next, more } = told;
        let EventTally { counted, repeated, no_metric, not_exposed, crossed, before, after } = tally;
        Self {
            trial: trial.into(),
            metrics: measured(spec),
            users: users.iter().map(UserNumbers::of).collect(),
            ids: ids.into_iter().map(NameHash::number).collect(),
            turned_away,
            tally: [counted, repeated, no_metric, not_exposed, crossed, before, after],
            numbering: next.numbering,
            next_user: next.users,
            next_id: next.ids,
            more,
        }
    }

    /// What was told. What is no user is left out.
    pub(super) fn told(&self) -> ToldTrial {
        let [counted, repeated, no_metric, not_exposed, crossed, before, after] = self.tally;
        ToldTrial {
            users: self.users.iter().filter_map(UserNumbers::told).collect(),
            ids: self.ids.iter().copied().map(NameHash::from_number).collect(),
            turned_away: self.turned_away,
            tally: EventTally { counted, repeated, no_metric, not_exposed, crossed, before, after },
            next: HeardUpTo { numbering: self.numbering, users: self.next_user, ids: self.next_id },
            more: self.more,
        }
    }
}

impl UserNumbers {
    fn of(told: &ToldUser) -> Self {
        let ToldUser { user, arm, crossed, share, first_ms, values } = told;
        let values = values.iter().flat_map(|values| [values.x, values.y]).map(f64::to_bits).collect();
        let is_treatment = *arm == ExperimentArm::Treatment;
        Self(user.number(), is_treatment, *crossed, share.value().to_bits(), *first_ms, values)
    }

    fn told(&self) -> Option<ToldUser> {
        let Self(user, is_treatment, crossed, share, first_ms, values) = self;
        let numbers: Vec<f64> = values.iter().copied().map(f64::from_bits).collect();
        let (pairs, rest) = numbers.as_chunks::<2>();
        let sound = rest.is_empty() && numbers.iter().all(|number| number.is_finite());
        Some(ToldUser {
            user: NameHash::from_number(*user),
            arm: if *is_treatment { ExperimentArm::Treatment } else { ExperimentArm::Control },
            crossed: *crossed,
            share: Probability::new(f64::from_bits(*share))?,
            first_ms: *first_ms,
            values: pairs.iter().map(|[x, y]| UserValues { x: *x, y: *y }).collect(),
        })
        .filter(|_| sound)
    }
}
