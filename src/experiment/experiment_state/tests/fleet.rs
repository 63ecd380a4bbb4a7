//! Three replicas beside one that is told everything.

use super::super::others::ReplicaName;
use super::super::told::HeardUpTo;
use super::*;

/// Replicas whose users are of one fleet.
struct Team(Vec<(ReplicaName, ExperimentState)>);

impl Team {
    fn of_three() -> Self {
        Self(["a", "b", "c"].map(|name| (name.into(), replica(1))).into())
    }

    /// Has one hear another, in pages.
    fn hear(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        // What is told is kept.
        self.0[from].1.set_saved();
        let name = Arc::clone(&self.0[from].0);
        loop {
            let told = self.0[from].1.tell(self.0[to].1.heard(&name), 2);
            let more = told.more;
            self.0[to].1.hear(&name, told);
            if !more {
                return;
            }
        }
    }

    fn hear_all(&mut self) {
        for (from, to) in (0..9).map(|pair| (pair / 3, pair % 3)) {
            self.hear(from, to);
        }
    }
}

fn replica(numbering: u64) -> ExperimentState {
    let mut state = ExperimentState::new(spec());
    state.tell_changes(numbering);
    state
}

/// Where it is told, and what is heard before.
#[derive(Clone, Copy, Debug)]
struct ToldAt {
    told: Told,
    at: usize,
    hears: (usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<ToldAt>> {
    let step = (told(), 0..3_usize, (0..3_usize, 0..3_usize));
    let steps = proptest::collection::vec(step, 0..80);
    steps.prop_map(|steps| {
        // A user that comes later comes later.
        let late = |(now, (told, at, hears))| {
            let told = match told {
                Told::Exposure { user, arm, share, at: _ } => Told::Exposure { user, arm, share, at: now },
                Told::Event { .. } | Told::Request { .. } | Told::Before { .. } => told,
            };
            ToldAt { told, at, hears }
        };
        (0..).zip(steps).map(late).collect()
    })
}

proptest! {
    #[test]
    fn replicas_that_know_of_each_other_count_what_one_counts_that_is_told_everything(steps in steps()) {
        let (mut team, mut one) = (Team::of_three(), ExperimentState::new(spec()));
        for ToldAt { told, at, .. } in steps {
            tell(&mut team.0[at].1, told);
            tell(&mut one, told);
            team.hear_all();
        }
        for (name, replica) in &team.0 {
            prop_assert_eq!(sorted(replica.counts()), sorted(one.counts()), "{}", name);
            prop_assert_eq!((replica.tally(), replica.users()), (one.tally(), one.users()), "{}", name);
        }
    }

    #[test]
    fn replicas_that_hear_late_agree_in_the_end_and_after_they_were_kept(steps in steps()) {
        let mut team = Team::of_three();
        for ToldAt { told, at, hears: (from, to) } in &steps {
            tell(&mut team.0[*at].1, *told);
            team.hear(*from, *to);
        }
        team.hear_all();
        let (expected, tally) = (sorted(team.0[0].1.counts()), team.0[0].1.tally());
        for (name, replica) in &team.0 {
            prop_assert_eq!(sorted(replica.counts()), expected.clone(), "{}", name);
            prop_assert_eq!(replica.tally(), tally, "{}", name);
            prop_assert_eq!(replica.users() as u64, expected.seen);
        }
        // All that is ever told again changes nothing.
        let name = Arc::clone(&team.0[1].0);
        let again = team.0[1].1.tell(HeardUpTo::default(), 1_000);
        team.0[0].1.hear(&name, again);
        prop_assert_eq!(sorted(team.0[0].1.counts()), expected.clone());
        // One that was kept and put together again is the same.
        let kept = &mut team.0[0].1;
        kept.set_unsaved();
        let mut restored = ExperimentState::restore(spec(), kept.totals());
        kept.unsaved_users().for_each(|user| restored.put_back(user));
        kept.other_totals().for_each(|(replica, totals)| restored.put_totals_back(replica, totals));
        kept.unsaved_others().for_each(|(replica, user)| restored.put_other_back(replica, user));
        prop_assert_eq!((sorted(restored.counts()), restored.tally()), (expected, tally));
    }
}

/// The shares in their order: replicas meet them in different ones. Those without users may be missing.
fn sorted(mut counts: ExperimentCounts) -> ExperimentCounts {
    counts.users.retain(|of| of.users.control + of.users.treatment > 0);
    counts.users.sort_by(|one, other| one.share.value().total_cmp(&other.share.value()));
    for metric in &mut counts.metrics {
        metric.sums.retain(|of| of.arms.control.users + of.arms.treatment.users > 0);
        metric.sums.sort_by(|one, other| one.share.value().total_cmp(&other.share.value()));
    }
    counts
}

#[test]
fn what_changes_often_is_told_in_bounded_memory_and_one_that_was_away_hears_all_of_it() {
    let (mut state, mut other) = (replica(7), replica(8));
    let user = |number: u64| NameHash::from_number(number);
    for number in 0..6 {
        state.expose(user(number), ExperimentArm::Control, Probability::HALF, 0);
    }
    let heard_early = state.tell(HeardUpTo::default(), 10).next;
    for round in 0..3_000_u64 {
        let what = ActKind::Event { name: "value", value: 1.0 };
        state.record(&UserAct { id: Some(user(1_000 + round)), user: user(round % 6), at_ms: 1, what });
        state.set_saved();
    }
    assert!(state.told.as_ref().unwrap().changes() < 1_100);
    let name = ReplicaName::from("a");
    for from in [heard_early, HeardUpTo { numbering: 1, users: 5, ids: 5 }] {
        let told = state.tell(from, 10_000);
        assert_eq!((told.users.len(), told.more), (6, false), "{from:?}");
        other.hear(&name, told);
    }
    assert_eq!(other.counts().metrics[1].sums[0].arms.control.x.to_bits(), 3_000_f64.to_bits());
    let again =
        UserAct { id: Some(user(1_000)), user: user(0), at_ms: 1, what: ActKind::Event { name: "value", value: 1.0 } };
    assert_eq!(other.record(&again), Recorded::Repeated);
}
