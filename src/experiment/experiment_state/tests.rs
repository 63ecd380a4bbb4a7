//! The state beside a naive model, which keeps everything that it is told and looks through all of it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::saving::{SavedTotals, SavedUser};
use super::*;
use crate::experiment::definition::counted_requests;
use crate::experiment::metric_result::{Better, MetricPlan};
use crate::shared::name::Name;
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;
use crate::table::Weight;
use crate::table::spec::Pattern;
use crate::table::spec::experiment::{AssignmentSpec, ExperimentSubject, RequestMatch};
use crate::table::spec::health_check::StatusRange;

mod fleet;

const USERS_MAX: usize = 6;
const WINDOW: u64 = 20;

fn metric(name: &str, measure: Measure, source: MetricSource, denominator: Option<&str>) -> MetricSpec {
    let plan = MetricPlan { name: name.to_owned(), measure, better: Better::Higher, guardrail: false };
    MetricSpec { plan, source, denominator: denominator.map(Box::from), window_ms: WINDOW }
}

fn orders() -> MetricSource {
    let path = Some(Pattern::Exact("/orders".into()));
    MetricSource::Request(RequestMatch { methods: vec![Method::POST], path, statuses: vec![StatusRange::SUCCESS] })
}

fn spec() -> Arc<ExperimentSpec> {
    let name = |text| Name::new(text).unwrap();
    let metrics = vec![
        metric("purchase", Measure::Conversion, orders(), None),
        metric("revenue", Measure::Mean, MetricSource::Event("value".into()), None),
        metric("basket", Measure::Ratio, MetricSource::Event("value".into()), Some("order")),
        metric("adjusted", Measure::AdjustedMean, MetricSource::Event("value".into()), None),
    ];
    let assignment = AssignmentSpec {
        name: name("button"),
        subject: ExperimentSubject::Service(name("shop")),
        arms: PerArm { control: name("v1"), treatment: name("v2") },
        share: Weight::FULL,
        segment: None,
        layer: None,
        requests: counted_requests(&metrics),
    };
    let (assignment, alpha) = (Arc::new(assignment), Probability::new(0.05).unwrap());
    Arc::new(ExperimentSpec { assignment, metrics, alpha, users_max: USERS_MAX })
}

fn hash(user: u8) -> NameHash {
    NameHash::of(&format!("user-{user}"))
}

fn id(id: u8) -> NameHash {
    NameHash::of(&format!("id-{id}"))
}

/// Something that the state is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    Exposure { user: u8, arm: ExperimentArm, share: Probability, at: u64 },
    Event { id: u8, user: u8, name: &'static str, value: f64, at: u64 },
    Request { user: u8, path: &'static str, status: u16, at: u64 },
    Before { user: u8, value: f64 },
}

fn told() -> impl Strategy<Value = Told> {
    let arm = prop_oneof![Just(ExperimentArm::Control), Just(ExperimentArm::Treatment)];
    let share = prop_oneof![Just(Probability::HALF), Just(Probability::new(0.2).unwrap())];
    let name = prop_oneof![Just("value"), Just("order"), Just("other")];
    let value = (-4..=4_i32).prop_map(|value| f64::from(value) / 4.0);
    prop_oneof![
        (0..9_u8, arm, share, 0..40_u64).prop_map(|(user, arm, share, at)| Told::Exposure { user, arm, share, at }),
        (0..12_u8, 0..9_u8, name, value.clone(), 0..60_u64).prop_map(|(id, user, name, value, at)| Told::Event {
            id,
            user,
            name,
            value,
            at
        }),
        (0..9_u8, prop_oneof![Just("/orders"), Just("/")], prop_oneof![Just(201_u16), Just(500)], 0..60_u64)
            .prop_map(|(user, path, status, at)| Told::Request { user, path, status, at }),
        (0..9_u8, value).prop_map(|(user, value)| Told::Before { user, value }),
    ]
}

fn tell(state: &mut ExperimentState, told: Told) {
    match told {
        Told::Exposure { user, arm, share, at } => {
            state.expose(hash(user), arm, share, at);
        }
        Told::Event { id: number, user, name, value, at } => {
            let what = ActKind::Event { name, value };
            state.record(&UserAct { id: Some(id(number)), user: hash(user), at_ms: at, what });
        }
        Told::Request { user, path, status, at } => {
            let what = ActKind::Request { method: &Method::POST, path, status };
            state.record(&UserAct { id: None, user: hash(user), at_ms: at, what });
        }
        Told::Before { user, value } => {
            state.known_before(hash(user), "adjusted", value);
        }
    }
}

/// What one user is in the naive model: the arm, the share, and x and y of each metric; none if it is in no sum.
fn naive_values(all: &[Told], user: u8, admitted: usize) -> Option<[UserValues; 4]> {
    let mut values = [UserValues::default(); 4];
    let Told::Exposure { at: first, .. } = all[admitted] else { unreachable!("an exposure") };
    let arms: BTreeSet<_> = all[admitted..].iter().filter_map(|told| arm_of(*told, user)).collect();
    if arms.len() > 1 {
        return None;
    }
    for (index, told) in all.iter().enumerate().skip(admitted) {
        match *told {
            Told::Event { id, user: own, name, value, at } if own == user && in_window(first, at) => {
                let counted = |told: &Told| matches!(*told, Told::Event { id: other, .. } if other == id);
                let repeated = (0..index).any(|before| counted(&all[before]) && counts(all, before));
                match (repeated, name) {
                    (false, "value") => [1, 2, 3].iter().for_each(|metric| values[*metric].x += value),
                    (false, "order") => values[2].y += value,
                    _ => {}
                }
            }
            Told::Request { user: own, path: "/orders", status: 201, at } if own == user && in_window(first, at) => {
                values[0].x = 1.0;
            }
            Told::Before { user: own, value } if own == user => values[3].y = value,
            Told::Exposure { .. } | Told::Event { .. } | Told::Request { .. } | Told::Before { .. } => {}
        }
    }
    Some(values)
}

fn arm_of(told: Told, user: u8) -> Option<bool> {
    let Told::Exposure { user: own, arm, .. } = told else { return None };
    (own == user).then_some(arm == ExperimentArm::Treatment)
}

fn in_window(first: u64, at: u64) -> bool {
    (first..=first + WINDOW).contains(&at)
}

/// Whether the event with this index counted for some metric when it was told.
fn counts(all: &[Told], index: usize) -> bool {
    let Told::Event { id, user, name, at, .. } = all[index] else { return false };
    let Some(admitted) = admissions(&all[..index]).into_iter().find(|index| exposure(all, *index).0 == user) else {
        return false;
    };
    let arms: BTreeSet<_> = all[..index].iter().filter_map(|told| arm_of(*told, user)).collect();
    let same = |told: &Told| matches!(*told, Told::Event { id: other, .. } if other == id);
    let repeated = (0..index).any(|before| same(&all[before]) && counts(all, before));
    name != "other" && arms.len() == 1 && in_window(exposure(all, admitted).1, at) && !repeated
}

fn exposure(all: &[Told], index: usize) -> (u8, u64) {
    let Told::Exposure { user, at, .. } = all[index] else { unreachable!("an exposure") };
    (user, at)
}

/// Where users were admitted.
fn admissions(all: &[Told]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    for (index, told) in all.iter().enumerate() {
        let Told::Exposure { user, .. } = told else { continue };
        let known = found.iter().any(|at| exposure(all, *at).0 == *user);
        if !known && found.len() < USERS_MAX {
            found.push(index);
        }
    }
    found
}

/// What is kept of a state: each row overwrites the one before.
#[derive(Clone, Default)]
struct KeptRows {
    users: std::collections::BTreeMap<NameHash, SavedUser>,
    ids: std::collections::BTreeMap<u64, NameHash>,
    totals: SavedTotals,
}

const IDS_MAX: usize = 5;

impl KeptRows {
    fn keep(&mut self, state: &mut ExperimentState) {
        self.users.extend(state.unsaved_users().map(|user| (user.user, user)));
        self.ids.extend(state.unsaved_ids());
        self.totals = state.totals();
        self.ids.retain(|number, _| *number >= self.totals.first_id);
        state.set_saved();
    }

    fn restored(&self) -> ExperimentState {
        let mut state = ExperimentState::restore_with_ids(spec(), self.totals.clone(), IDS_MAX);
        self.users.values().for_each(|user| state.put_back(user.clone()));
        self.ids.values().for_each(|id| state.remember(*id));
        state.set_saved();
        state
    }
}

/// Everything that one knows of a state: its sums, bit by bit, and what it says to what comes next.
fn known(state: &ExperimentState) -> String {
    let mut whole = state.clone();
    whole.set_unsaved();
    let ids: Vec<_> = whole.unsaved_ids().collect();
    format!("{:?} {:?} {:?} {ids:?}", state.counts(), state.tally(), state.totals())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_state_that_was_put_together_again_is_the_one_that_was_kept(
        batches in prop::collection::vec((prop::collection::vec(told(), 0..8), 0..3_u8), 0..12),
    ) {
        let mut lives = ExperimentState::with_ids(spec(), IDS_MAX);
        let (mut rows, mut kept) = (KeptRows::default(), known(&lives));
        for (batch, then) in batches {
            batch.iter().for_each(|one| tell(&mut lives, *one));
            if then > 0 {
                rows.keep(&mut lives);
                kept = known(&lives);
            }
            if then == 2 {
                lives = rows.restored();
                prop_assert_eq!(known(&lives), kept.clone());
                prop_assert!(!lives.is_unsaved() && lives.unsaved_users().next().is_none());
            }
            // Whatever was told since is gone with a crash here, and nothing else is.
            prop_assert_eq!(known(&rows.restored()), kept.clone());
        }
        // Where all that is kept is lost, it is kept anew.
        lives.set_unsaved();
        let mut anew = KeptRows::default();
        anew.keep(&mut lives);
        prop_assert_eq!(known(&anew.restored()), known(&lives));
    }
}

#[test]
fn what_has_not_changed_is_not_kept_again() {
    let mut state = ExperimentState::new(spec());
    for user in 1..=3 {
        expose(&mut state, user, ExperimentArm::Control, 0);
    }
    state.set_saved();
    assert!(!state.is_unsaved());
    expose(&mut state, 1, ExperimentArm::Control, 1);
    assert!(!state.is_unsaved(), "a user that comes again changes nothing");
    event(&mut state, 1, 2, 1);
    event(&mut state, 2, 2, 1);
    expose(&mut state, 3, ExperimentArm::Treatment, 1);
    let unsaved: Vec<_> = state.unsaved_users().map(|user| user.user).collect();
    assert_eq!(unsaved, [hash(2), hash(3)], "each once");
    assert_eq!(state.unsaved_ids().collect::<Vec<_>>(), [(0, id(1)), (1, id(2))]);
}

#[test]
fn a_request_counts_for_the_metrics_whose_bits_it_has() {
    let mut state = ExperimentState::new(spec());
    expose(&mut state, 1, ExperimentArm::Control, 0);
    let mut requested = |metrics| {
        let what = ActKind::Requested { metrics };
        state.record(&UserAct { id: None, user: hash(1), at_ms: 1, what })
    };
    let wanted = [Recorded::NoMetric, Recorded::NoMetric, Recorded::Counted];
    assert_eq!([0, 0b1110, 0b1111].map(&mut requested), wanted, "the others are about events");
    let sums = state.counts().metrics;
    assert_eq!(sums.iter().map(|metric| metric.sums[0].arms.control.x).collect::<Vec<_>>(), [1.0, 0.0, 0.0, 0.0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_are_those_of_the_naive_model(all in prop::collection::vec(told(), 0..60)) {
        let mut state = ExperimentState::new(spec());
        all.iter().for_each(|one| tell(&mut state, *one));
        let counts = state.counts();
        let mut crossed = 0;
        let mut users = Vec::<(f64, [u64; 2])>::new();
        let mut sums = Vec::<(f64, ExperimentArm, usize, f64, f64, f64)>::new();
        for at in admissions(&all) {
            let Told::Exposure { user, arm, share, .. } = all[at] else { unreachable!("an exposure") };
            users.push((share.value(), if arm == ExperimentArm::Control { [1, 0] } else { [0, 1] }));
            match naive_values(&all, user, at) {
                None => crossed += 1,
                Some(values) => sums.extend(values.iter().enumerate().map(|(metric, values)| {
                    (share.value(), arm, metric, values.x, values.y, values.x * values.y)
                })),
            }
        }
        prop_assert_eq!(counts.crossed, crossed);
        for found in &counts.users {
            let of_share = users.iter().filter(|(share, _)| *share == found.share.value());
            let wanted = of_share.fold([0, 0], |sum, (_, one)| [sum[0] + one[0], sum[1] + one[1]]);
            prop_assert_eq!([found.users.control, found.users.treatment], wanted);
        }
        for (metric, found) in counts.metrics.iter().enumerate() {
            for found in &found.sums {
                for arm in [ExperimentArm::Control, ExperimentArm::Treatment] {
                    // Quarters and their products are exact.
                    let of_arm = || sums.iter().filter(|one| one.0 == found.share.value() && one.1 == arm && one.2 == metric);
                    let wanted = [of_arm().map(|one| one.3).sum(), of_arm().map(|one| one.4).sum(), of_arm().map(|one| one.5).sum::<f64>()];
                    let mut arms = found.arms;
                    let found = *arms.get_mut(arm);
                    prop_assert_eq!(found.users, of_arm().count() as u64);
                    prop_assert_eq!([found.x, found.y, found.products], wanted);
                }
            }
        }
    }
}

fn expose(state: &mut ExperimentState, user: u8, arm: ExperimentArm, at: u64) -> Exposed {
    state.expose(hash(user), arm, Probability::HALF, at)
}

fn event(state: &mut ExperimentState, number: u8, user: u8, at: u64) -> Recorded {
    let what = ActKind::Event { name: "value", value: 2.0 };
    state.record(&UserAct { id: Some(id(number)), user: hash(user), at_ms: at, what })
}

#[test]
fn each_fate_of_an_event_has_a_name_and_a_count() {
    let mut state = ExperimentState::new(spec());
    assert_eq!(expose(&mut state, 1, ExperimentArm::Control, 100), Exposed::First);
    assert_eq!(expose(&mut state, 1, ExperimentArm::Control, 101), Exposed::Again);
    let found = [(1, 1, 99), (1, 1, 100), (1, 1, 101), (2, 1, 121), (3, 9, 110), (4, 1, 120)]
        .map(|(number, user, at)| event(&mut state, number, user, at));
    let wanted = [
        Recorded::Before,
        Recorded::Counted,
        Recorded::Repeated,
        Recorded::After,
        Recorded::NotExposed,
        Recorded::Counted,
    ];
    assert_eq!(found, wanted);
    assert_eq!(expose(&mut state, 1, ExperimentArm::Treatment, 105), Exposed::Crossed);
    assert_eq!(event(&mut state, 5, 1, 106), Recorded::Crossed);
    let other = UserAct { id: None, user: hash(1), at_ms: 100, what: ActKind::Event { name: "x", value: 1.0 } };
    assert_eq!(state.record(&other), Recorded::NoMetric);
    let tally = state.tally();
    let all =
        [tally.counted, tally.repeated, tally.no_metric, tally.not_exposed, tally.crossed, tally.before, tally.after];
    assert_eq!(all, [2, 1, 1, 1, 1, 1, 1]);
    let counts = state.counts();
    assert_eq!((counts.crossed, counts.metrics[1].sums[0].arms.control.users), (1, 0), "a crossed user is in no sum");
}

#[test]
fn a_full_experiment_admits_no_more_and_measures_those_that_it_has() {
    let mut state = ExperimentState::new(spec());
    for user in 0..6 {
        assert_eq!(expose(&mut state, user, ExperimentArm::Control, 0), Exposed::First);
    }
    assert_eq!(expose(&mut state, 7, ExperimentArm::Control, 0), Exposed::Full);
    assert_eq!((event(&mut state, 1, 7, 1), event(&mut state, 2, 3, 1)), (Recorded::NotExposed, Recorded::Counted));
    let counts = state.counts();
    assert_eq!((counts.turned_away, counts.users[0].users.control), (1, 6));
}

#[test]
fn ids_are_remembered_for_as_many_events_as_is_said() {
    let mut state = ExperimentState::with_ids(spec(), 2);
    expose(&mut state, 1, ExperimentArm::Control, 0);
    let found = [1, 2, 1, 3, 1].map(|number| event(&mut state, number, 1, 1));
    let wanted = [Recorded::Counted, Recorded::Counted, Recorded::Repeated, Recorded::Counted, Recorded::Counted];
    assert_eq!(found, wanted);
    assert_eq!(state.counts().metrics[1].sums[0].arms.control.x, 8.0);
}
