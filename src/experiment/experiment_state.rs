//! What an experiment knows of its users: the arm of each, when it was first seen, and what it did since.
//!
//! - The first exposure decides a user's arm. A user that is seen in the other arm too is *crossed*: it stays known, is
//!   counted, and is in no sum from then on.
//! - What a user does counts after its first exposure and within the metric's window, and once by its id.
//! - Users are bounded. An experiment that is full admits no more, and counts the exposures that it turns away; the
//!   users that it has go on to be measured, so that it stays a fair comparison.
//! - Sums are made anew whenever they are asked for, in the order of the users' hashes. To keep them would be to
//!   subtract a crossed user's values again, and the rounding of a million additions and subtractions is no sum.
//!
//! A user without values takes some fifty bytes, and with values 16 more a metric.
//!
//! What has changed since it was last kept is known, so that [`saving`] writes that alone. In a fleet [`others`] has
//! what other replicas know of the same users.

pub(crate) mod others;
pub(crate) mod saving;
pub(crate) mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;

use self::others::OtherReplicas;
use self::told::ToldChanges;
use super::definition::{ExperimentSpec, MetricSource, MetricSpec};
use super::estimate::Measure;
use super::experiment_result::ExperimentCounts;
use super::name_hash::NameHash;
use super::recent_ids::RecentIds;
use super::user_sums::{UserSums, UserValues};
use crate::shared::per_arm::ExperimentArm;
use crate::shared::probability::Probability;

/// This many ids of events are remembered: an event that is sent again after as many others counts twice.
pub(crate) const EVENT_IDS_MAX: usize = 1_000_000;

/// Different shares of the treatment that an experiment can have; a change more often than that is none that a person
/// makes.
const SHARES_MAX: usize = 1000;

/// An experiment under way.
#[derive(Clone, Debug)]
pub(crate) struct ExperimentState {
    spec: Arc<ExperimentSpec>,
    users: BTreeMap<NameHash, ExposedUser>,
    shares: Vec<Probability>,
    ids: RecentIds,
    turned_away: u64,
    tally: EventTally,
    unsaved: UnsavedParts,
    others: OtherReplicas,
    /// None: no other replica follows.
    told: Option<ToldChanges>,
}

/// What has changed since the state was last kept.
#[derive(Clone, Debug, Default)]
struct UnsavedParts {
    /// Users that are new or have changed; each once.
    users: Vec<NameHash>,
    /// The number of the first id of an event that is new.
    first_id: u64,
    /// Anything at all.
    any: bool,
}

/// A user that was seen in an arm.
#[derive(Clone, Debug)]
struct ExposedUser {
    arm: ExperimentArm,
    crossed: bool,
    /// Index of the share that was in force.
    share: u16,
    first_ms: u64,
    /// Of each metric; empty until the first.
    values: Vec<UserValues>,
    /// Whether it is as it was last kept.
    saved: bool,
}

/// What became of an exposure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposed {
    /// The user is new.
    First,
    /// The user was seen in this arm before, or is crossed already.
    Again,
    /// The user was seen in the other arm before, and is left out from now on.
    Crossed,
    /// There is no room for a new user.
    Full,
}

/// Something that a user did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserAct<'a> {
    /// What makes it the same if it comes again; none: it is always another.
    pub(crate) id: Option<NameHash>,
    pub(crate) user: NameHash,
    pub(crate) at_ms: u64,
    pub(crate) what: ActKind<'a>,
}

/// What it was.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ActKind<'a> {
    /// An event with a value, which is finite; 1 if none was sent.
    Event { name: &'a str, value: f64 },
    /// A request and the status of its response.
    Request { method: &'a Method, path: &'a str, status: u16 },
    /// A request that was matched already: a bit for each metric that it counts for, the lowest for the first.
    Requested { metrics: u32 },
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It counts for a metric at least.
    Counted,
    /// It was counted before.
    Repeated,
    /// No metric is about it.
    NoMetric,
    /// The user was not seen in any arm.
    NotExposed,
    /// The user was seen in both.
    Crossed,
    /// It was before the user's first exposure.
    Before,
    /// It was after the windows of its metrics.
    After,
}

/// How much of each there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventTally {
    pub(crate) counted: u64,
    pub(crate) repeated: u64,
    pub(crate) no_metric: u64,
    pub(crate) not_exposed: u64,
    pub(crate) crossed: u64,
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl EventTally {
    /// One more.
    pub(crate) fn count(&mut self, recorded: Recorded) {
        *match recorded {
            Recorded::Counted => &mut self.counted,
            Recorded::Repeated => &mut self.repeated,
            Recorded::NoMetric => &mut self.no_metric,
            Recorded::NotExposed => &mut self.not_exposed,
            Recorded::Crossed => &mut self.crossed,
            Recorded::Before => &mut self.before,
            Recorded::After => &mut self.after,
        } += 1;
    }

    /// Both.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            counted: self.counted + other.counted,
            repeated: self.repeated + other.repeated,
            no_metric: self.no_metric + other.no_metric,
            not_exposed: self.not_exposed + other.not_exposed,
            crossed: self.crossed + other.crossed,
            before: self.before + other.before,
            after: self.after + other.after,
        }
    }
}

impl ExperimentState {
    /// Without users.
    pub(crate) fn new(spec: Arc<ExperimentSpec>) -> Self {
        Self::with_ids(spec, EVENT_IDS_MAX)
    }

    fn with_ids(spec: Arc<ExperimentSpec>, ids: usize) -> Self {
        let (users, shares) = (BTreeMap::new(), Vec::new());
        let (tally, unsaved, others) = (EventTally::default(), UnsavedParts::default(), OtherReplicas::default());
        Self { spec, users, shares, ids: RecentIds::new(ids), turned_away: 0, tally, unsaved, others, told: None }
    }

    pub(crate) fn spec(&self) -> &ExperimentSpec {
        &self.spec
    }

    /// A user was given an arm while the treatment had this share.
    pub(crate) fn expose(&mut self, user: NameHash, arm: ExperimentArm, share: Probability, at_ms: u64) -> Exposed {
        if let Some(known) = self.users.get_mut(&user) {
            let crosses = known.arm != arm && !known.crossed;
            if crosses {
                known.crossed = true;
                self.unsaved.note(user, known);
            }
            return if crosses { Exposed::Crossed } else { Exposed::Again };
        }
        let elsewhere = self.knows(user);
        let share = self.share(share).filter(|_| elsewhere || !self.is_full());
        let Some(share) = share else {
            self.turned_away += 1;
            self.unsaved.any = true;
            return Exposed::Full;
        };
        let mut new = ExposedUser { arm, crossed: false, share, first_ms: at_ms, values: Vec::new(), saved: true };
        self.unsaved.note(user, &mut new);
        self.users.insert(user, new);
        if elsewhere { self.met(user) } else { Exposed::First }
    }

    fn share(&mut self, share: Probability) -> Option<u16> {
        let index = self.shares.iter().position(|known| *known == share).unwrap_or(self.shares.len());
        if index == self.shares.len() && index < SHARES_MAX {
            self.shares.push(share);
        }
        u16::try_from(index).ok().filter(|_| index < SHARES_MAX)
    }

    /// A user did something.
    pub(crate) fn record(&mut self, act: &UserAct<'_>) -> Recorded {
        let recorded = self.recorded(act);
        self.unsaved.any = true;
        self.tally.count(recorded);
        recorded
    }

    fn recorded(&mut self, act: &UserAct<'_>) -> Recorded {
        let metrics = &self.spec.metrics;
        if !metrics.iter().enumerate().any(|(index, metric)| Addition::of(index, metric, &act.what).is_some()) {
            return Recorded::NoMetric;
        }
        // Only what counts is remembered: what came before its user's exposure may be sent again after it.
        if act.id.is_some_and(|id| self.ids.contains(id) || self.was_taken_elsewhere(id)) {
            return Recorded::Repeated;
        }
        let Some(known) = self.known(act.user) else { return Recorded::NotExposed };
        if known.crossed {
            return Recorded::Crossed;
        }
        let Some(since) = act.at_ms.checked_sub(known.first_ms) else { return Recorded::Before };
        let spec = Arc::clone(&self.spec);
        let within = |(_, metric): &(usize, &MetricSpec)| since <= metric.window_ms;
        let mut additions = spec.metrics.iter().enumerate().filter(within).filter_map(|(index, metric)| {
            let counts = Addition::of(index, metric, &act.what)?;
            Some((index, counts, metric.plan.measure))
        });
        let Some(first) = additions.next() else { return Recorded::After };
        let user = self.own_row(act.user, &known);
        user.values.resize(spec.metrics.len(), UserValues::default());
        for (index, counts, measure) in std::iter::once(first).chain(additions) {
            user.values[index].add(counts, measure);
        }
        self.note(act.user);
        if let Some(id) = act.id {
            self.ids.add(id);
        }
        Recorded::Counted
    }

    /// Whether a metric is about events of this name.
    pub(crate) fn counts_event(&self, name: &str) -> bool {
        let what = ActKind::Event { name, value: 1.0 };
        self.spec.metrics.iter().enumerate().any(|(index, metric)| Addition::of(index, metric, &what).is_some())
    }

    /// Whether a metric of this name is adjusted by what was known of users before.
    pub(crate) fn adjusts(&self, metric: &str) -> bool {
        let plans = self.spec.metrics.iter().map(|spec| &spec.plan);
        plans.into_iter().any(|plan| plan.measure == Measure::AdjustedMean && plan.name == metric)
    }

    /// What was known of a user before, for the metric of this name; the last one said is true. It is of use for a
    /// metric that is adjusted by it, and of a user that is in the experiment; otherwise it answers `false`.
    pub(crate) fn known_before(&mut self, user: NameHash, metric: &str, value: f64) -> bool {
        let adjusted = |spec: &MetricSpec| spec.plan.measure == Measure::AdjustedMean && spec.plan.name == metric;
        let metrics = self.spec.metrics.len();
        let found = self.spec.metrics.iter().position(adjusted).zip(self.known(user));
        let Some((index, known)) = found else { return false };
        let elsewhere = self.known_before_elsewhere(user, index);
        let own = self.own_row(user, &known);
        own.values.resize(metrics, UserValues::default());
        own.values[index].y = value - elsewhere;
        self.note(user);
        true
    }

    /// A user's row has changed.
    fn note(&mut self, user: NameHash) {
        if let Some(row) = self.users.get_mut(&user) {
            self.unsaved.note(user, row);
        }
    }

    /// The sums.
    #[must_use]
    pub(crate) fn counts(&self) -> ExperimentCounts {
        let mut sums = UserSums::new(self.spec.metrics.iter().map(|metric| &metric.plan), &self.shares);
        self.add_up(&mut sums);
        sums.counts(self.turned_away())
    }
}

/// What something adds to a metric.
#[derive(Clone, Copy)]
enum Addition {
    Value(f64),
    Denominator(f64),
}

impl Addition {
    fn of(index: usize, metric: &MetricSpec, what: &ActKind<'_>) -> Option<Self> {
        match (&metric.source, what) {
            (MetricSource::Event(own), ActKind::Event { name, value }) if **own == **name => Some(Self::Value(*value)),
            (MetricSource::Request(wanted), ActKind::Request { method, path, status }) => {
                wanted.holds(method, path.as_bytes(), *status).then_some(Self::Value(1.0))
            }
            (MetricSource::Request(_), ActKind::Requested { metrics }) => {
                (index < 32 && metrics >> index & 1 == 1).then_some(Self::Value(1.0))
            }
            (_, ActKind::Event { name, value }) => {
                metric.denominator.as_deref().filter(|own| own == name).map(|_| Self::Denominator(*value))
            }
            (MetricSource::Event(_), ActKind::Request { .. } | ActKind::Requested { .. }) => None,
        }
    }
}

impl UnsavedParts {
    fn note(&mut self, name: NameHash, user: &mut ExposedUser) {
        if std::mem::take(&mut user.saved) {
            self.users.push(name);
        }
        self.any = true;
    }
}

impl UserValues {
    fn add(&mut self, counts: Addition, measure: Measure) {
        match (counts, measure) {
            // Once a user, however often.
            (Addition::Value(_), Measure::Conversion) => self.x = 1.0,
            (Addition::Value(value), Measure::Mean | Measure::AdjustedMean | Measure::Ratio) => self.x += value,
            (Addition::Denominator(value), _) => self.y += value,
        }
    }
}

#[cfg(test)]
mod tests;
