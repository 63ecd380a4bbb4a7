//! The state machine by hand and by chance: each event in each phase, and what must hold whatever comes.

use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::command::{RolloutCommand, Unfit};
use super::super::event::{Pause, RolloutEnding, RolloutEvent, StageCause};
use super::super::judge::verdict::{HoldReason, RollbackCause};
use super::super::judge::{CandidateShare, EpochCounts, Evidence, JudgeSettings, OutcomeCounts, PerVersion};
use super::super::plan::{Back, BlueGreen, Canary, CanaryStep, Expired, Plan, Rolling, StepGate, Strategy};
use super::super::stage::{Batch, StageTask, TaskResult};
use super::*;
use crate::table::Weight;

const TICK: Duration = Duration::from_millis(250);
const MINUTE: Duration = Duration::from_secs(60);

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn canary(steps: &[(f64, Option<StepGate>)], back: Back) -> Plan {
    let steps = steps.iter().map(|(percent, gate)| CanaryStep { weight: weight(*percent), bake: MINUTE, gate: *gate });
    let mirrors = Vec::new();
    let strategy =
        Canary { smoke: false, mirrors, steps: steps.collect(), watch: Duration::ZERO, keep: Duration::ZERO, back };
    planned(Strategy::Canary(strategy), Expired::Pause)
}

fn planned(strategy: Strategy, expired: Expired) -> Plan {
    Plan::new(strategy, JudgeSettings { slower: None, ..JudgeSettings::default() }, expired).unwrap()
}

fn rolling(endpoints: u32, batch: u32) -> Plan {
    planned(Strategy::Rolling(Rolling { endpoints, batch, watch: MINUTE }), Expired::Pause)
}

/// A rollout under traffic: 1,000 requests a second of which a number of each 1,000 fail on each side.
struct TestRun {
    rollout: Rollout,
    now: Duration,
    candidate_fails: u64,
    baseline_fails: u64,
    requests: usize,
    moves: Vec<Transition>,
    assign: StdRng,
    random: StdRng,
}

impl TestRun {
    fn new(plan: Plan) -> Self {
        let now = Duration::from_secs(1_000_000);
        let (rollout, first) = Rollout::start(plan, 1, now);
        let [assign, random] = [1, 2].map(StdRng::seed_from_u64);
        Self { rollout, now, candidate_fails: 1, baseline_fails: 1, requests: 250, moves: vec![first], assign, random }
    }

    fn evidence(&mut self) -> EpochCounts {
        let share = CandidateShare::at(self.rollout.weight());
        let mut side = |fails: u64, requests: usize| {
            let failures = (0..requests).filter(|_| self.random.random_range(0..1_000) < fails).count() as u64;
            OutcomeCounts::of(requests as u64, failures)
        };
        let to_candidate = (0..self.requests).filter(|_| self.assign.random_bool(share.value())).count();
        let outcomes = PerVersion {
            candidate: side(self.candidate_fails, to_candidate),
            baseline: side(self.baseline_fails, self.requests - to_candidate),
        };
        EpochCounts { outcomes, ..EpochCounts::none(share) }
    }

    fn tick(&mut self) -> Option<Transition> {
        self.now += TICK;
        let epochs = [self.evidence()];
        let evidence = vec![Evidence { epochs: &epochs, ..Evidence::default() }; self.rollout.judges().len()];
        let made = self.rollout.tick(self.now, &evidence);
        self.moves.extend(made);
        made
    }

    /// Ticks until something happens, an hour at the most.
    fn next(&mut self) -> Transition {
        let ticks = 4 * 3_600 * 80;
        (0..ticks).find_map(|_| self.tick()).unwrap_or_else(|| panic!("nothing happens in {:?}", self.rollout.phase()))
    }

    fn answer(&mut self, task: StageTask, answer: &TaskResult) -> Option<Transition> {
        let made = self.rollout.answer(self.now, task, answer);
        self.moves.extend(made);
        made
    }

    fn command(&mut self, command: RolloutCommand) -> Result<Transition, Unfit> {
        let made = self.rollout.command(self.now, command);
        self.moves.extend(made.ok());
        made
    }

    fn weights(&self) -> Vec<f64> {
        self.moves.iter().filter_map(|made| made.weight).map(Weight::percent).collect()
    }
}

fn failed() -> TaskResult {
    TaskResult::Failed("exit status: 1".to_owned())
}

#[test]
fn a_healthy_canary_goes_up_its_steps() {
    let mut run = TestRun::new(canary(&[(1.0, None), (10.0, None), (50.0, None), (100.0, None)], Back::AtOnce));
    let began = run.now;
    while !run.rollout.is_finished() {
        run.next();
    }
    assert_eq!(run.weights(), [1.0, 10.0, 50.0, 100.0]);
    assert_eq!(run.rollout.phase(), Phase::Finished { at: run.now, ending: RolloutEnding::Completed });
    assert!(run.now >= began + 4 * MINUTE, "every step bakes");
    let advanced = |made: &&Transition| matches!(made.event, RolloutEvent::Advanced { cause: StageCause::Verdict, .. });
    assert_eq!(run.moves.iter().filter(advanced).count(), 3);
}

#[test]
fn a_worse_version_is_turned_back_at_once() {
    let mut run = TestRun::new(canary(&[(10.0, None), (100.0, None)], Back::AtOnce));
    run.candidate_fails = 200;
    let began = run.now;
    let made = run.next();
    let ending = RolloutEnding::RolledBack(RollbackCause::Errors);
    assert_eq!((made.weight, made.event), (Some(Weight::ZERO), RolloutEvent::Finished(ending)));
    assert!(run.now - began < Duration::from_secs(3), "{:?}", run.now - began);
    assert!(run.tick().is_none());
    assert_eq!(run.command(RolloutCommand::Promote), Err(Unfit::Over(ending)));
}

#[test]
fn the_way_back_can_be_gradual() {
    let back = Back::Gradual { every: MINUTE };
    let mut run = TestRun::new(canary(&[(1.0, None), (10.0, None), (50.0, None), (100.0, None)], back));
    while run.rollout.weight() < weight(50.0) {
        run.next();
    }
    run.candidate_fails = 300;
    let turned = run.next();
    assert_eq!(turned.event, RolloutEvent::TurnedBack(RolloutEnding::RolledBack(RollbackCause::Errors)));
    let at = run.now;
    while !run.rollout.is_finished() {
        run.next();
    }
    assert_eq!(run.weights(), [1.0, 10.0, 50.0, 10.0, 1.0, 0.0]);
    assert_eq!(run.now - at, 2 * MINUTE);
}

#[test]
fn without_requests_it_is_held_and_then_paused_or_turned_back() {
    for (expired, want) in [
        (Expired::Pause, RolloutEvent::Paused(Pause::Held(HoldReason::NotEnoughData { judged: 0, needed: Some(0) }))),
        (
            Expired::RollBack,
            RolloutEvent::Finished(RolloutEnding::HeldTooLong(HoldReason::NotEnoughData {
                judged: 0,
                needed: Some(0),
            })),
        ),
    ] {
        let steps = vec![CanaryStep { weight: weight(1.0), bake: MINUTE, gate: None }];
        let mirrors = Vec::new();
        let canary =
            Canary { smoke: false, mirrors, steps, watch: Duration::ZERO, keep: Duration::ZERO, back: Back::AtOnce };
        let mut run = TestRun::new(planned(Strategy::Canary(canary), expired));
        run.requests = 0;
        let began = run.now;
        let made = run.next();
        assert_eq!(std::mem::discriminant(&made.event), std::mem::discriminant(&want), "{made:?}");
        assert_eq!(run.now - began, MINUTE + JudgeSettings::default().hold_max);
        let (RolloutEvent::Paused(Pause::Held(held)) | RolloutEvent::Finished(RolloutEnding::HeldTooLong(held))) =
            made.event
        else {
            panic!("{made:?}")
        };
        assert!(matches!(held, HoldReason::NotEnoughData { judged: 0, needed: Some(1..) }), "{held:?}");
    }
}

#[test]
fn an_ill_baseline_is_nobodys_fault_and_no_time_to_promote() {
    let mut run = TestRun::new(canary(&[(10.0, None), (100.0, None)], Back::AtOnce));
    (run.candidate_fails, run.baseline_fails) = (300, 300);
    for _ in 0..4 * 300 {
        assert_eq!(run.tick(), None);
    }
    let (_, decision) = run.rollout.worst(run.rollout.bake(run.now));
    assert!(matches!(decision, JudgeDecision::Hold { why: HoldReason::BaselineUnhealthy, .. }), "{decision:?}");
}

#[test]
fn a_gate_waits_for_an_operator_and_the_judge_goes_on() {
    let plan = canary(&[(10.0, Some(StepGate::Manual)), (100.0, None)], Back::AtOnce);
    let mut run = TestRun::new(plan.clone());
    assert_eq!(run.next().task, Some(StageTask::Approval));
    for _ in 0..1_000 {
        assert_eq!(run.tick(), None);
    }
    let made = run.command(RolloutCommand::Promote).unwrap();
    assert_eq!(made.weight, Some(Weight::FULL));

    let mut run = TestRun::new(plan.clone());
    run.next();
    run.candidate_fails = 300;
    assert_eq!(run.next().event, RolloutEvent::Finished(RolloutEnding::RolledBack(RollbackCause::Errors)));

    // No requests come.
    let mut run = TestRun::new(plan);
    run.next();
    run.requests = 0;
    let (asked, made) = (run.now, run.next());
    assert_eq!(made.event, RolloutEvent::Paused(Pause::NoAgreement(StageTask::Approval)));
    assert_eq!(run.now - asked, APPROVAL_MAX);
}

#[test]
fn a_webhook_that_does_not_agree_is_asked_again() {
    let mut run = TestRun::new(canary(&[(10.0, Some(StepGate::Webhook)), (100.0, None)], Back::AtOnce));
    assert_eq!(run.next().task, Some(StageTask::Webhook));
    for _ in 0..3 {
        assert_eq!(run.answer(StageTask::Webhook, &failed()), None);
        let (asked, made) = (run.now, run.next());
        assert_eq!((made.task, made.event), (Some(StageTask::Webhook), RolloutEvent::AskedAgain));
        assert_eq!(run.now - asked, ASK_AGAIN);
    }
    assert_eq!(run.answer(StageTask::Webhook, &TaskResult::Done).unwrap().weight, Some(Weight::FULL));
}

#[test]
fn operators_pause_resume_promote_and_abort() {
    let mut run = TestRun::new(canary(&[(10.0, None), (100.0, None)], Back::AtOnce));
    assert_eq!(run.command(RolloutCommand::Resume), Err(Unfit::NotPaused));
    assert_eq!(run.command(RolloutCommand::Pause).unwrap().event, RolloutEvent::Paused(Pause::Operator));
    assert_eq!(run.command(RolloutCommand::Pause), Err(Unfit::PausedAlready));
    for _ in 0..1_000 {
        assert_eq!(run.tick(), None, "time does not count");
    }
    run.command(RolloutCommand::Resume).unwrap();
    let (resumed, made) = (run.now, run.next());
    assert_eq!((made.weight, run.now - resumed), (Some(Weight::FULL), MINUTE), "the stage begins again");
    let made = run.command(RolloutCommand::Abort).unwrap();
    assert_eq!((made.weight, made.event), (Some(Weight::ZERO), RolloutEvent::Finished(RolloutEnding::Aborted)));
}

#[test]
fn a_proof_turns_a_paused_rollout_back_but_not_one_that_was_taken_by_hand() {
    for (command, turns) in [(RolloutCommand::Pause, true), (RolloutCommand::Shifted, false)] {
        let mut run = TestRun::new(canary(&[(10.0, None), (100.0, None)], Back::AtOnce));
        run.command(command).unwrap();
        run.candidate_fails = 500;
        let turned = (0..1_000).any(|_| run.tick().is_some());
        assert_eq!(turned, turns, "{command:?}");
    }
}

#[test]
fn blue_green_asks_flips_watches_and_keeps() {
    let plan = planned(Strategy::BlueGreen(BlueGreen { smoke: true, watch: MINUTE, keep: 5 * MINUTE }), Expired::Pause);
    let mut run = TestRun::new(plan.clone());
    assert_eq!((run.moves[0].weight, run.moves[0].task), (None, Some(StageTask::Smoke)));
    assert_eq!(run.answer(StageTask::Smoke, &TaskResult::Done).unwrap().weight, Some(Weight::FULL));
    let flipped = run.now;
    run.next();
    assert_eq!((run.rollout.phase(), run.now - flipped), (Phase::Going { stage: 2, since: run.now }, MINUTE));
    assert_eq!(run.next().event, RolloutEvent::Finished(RolloutEnding::Completed));
    assert_eq!(run.now - flipped, 6 * MINUTE);
    assert_eq!(run.weights(), [100.0]);

    let mut run = TestRun::new(plan);
    let made = run.answer(StageTask::Smoke, &failed()).unwrap();
    assert_eq!(made.event, RolloutEvent::Finished(RolloutEnding::TaskFailed(StageTask::Smoke)));
    assert_eq!(run.weights(), [0.0], "green never had a user");
}

/// Answers every task with `Done` until the rollout is over; the tasks, in order.
fn go_through(run: &mut TestRun, first: Option<StageTask>, fails: impl Fn(StageTask) -> bool) -> Vec<StageTask> {
    let (mut tasks, mut task) = (Vec::new(), first);
    while !run.rollout.is_finished() {
        task = match task {
            Some(begun) => {
                tasks.push(begun);
                let answer = if fails(begun) { failed() } else { TaskResult::Done };
                run.answer(begun, &answer).expect("an answer moves it on").task
            }
            None => run.next().task,
        };
    }
    tasks
}

#[test]
fn a_rolling_release_takes_batch_after_batch() {
    let mut run = TestRun::new(rolling(4, 2));
    let tasks = go_through(&mut run, Some(StageTask::Drain(Batch { first: 0, until: 2 })), |_| false);
    let [first, second] = [Batch { first: 0, until: 2 }, Batch { first: 2, until: 4 }];
    let of =
        |batch| [StageTask::Drain(batch), StageTask::Upgrade(batch), StageTask::Verify(batch), StageTask::Join(batch)];
    assert_eq!(tasks, [of(first), of(second)].concat());
    assert_eq!(run.weights(), [50.0, 100.0]);
    assert!(matches!(run.rollout.phase(), Phase::Finished { ending: RolloutEnding::Completed, .. }));
}

#[test]
fn a_hook_that_fails_on_the_third_endpoint_is_undone_in_reverse() {
    let mut run = TestRun::new(rolling(4, 1));
    let batch = |first| Batch { first, until: first + 1 };
    let tasks = go_through(&mut run, Some(StageTask::Drain(batch(0))), |task| task == StageTask::Upgrade(batch(2)));
    let undone = tasks.iter().position(|task| *task == StageTask::Upgrade(batch(2))).unwrap() + 1;
    let back = |number| {
        let batch = batch(number);
        [StageTask::Drain(batch), StageTask::Downgrade(batch), StageTask::Verify(batch), StageTask::Return(batch)]
    };
    let mut want = vec![StageTask::Downgrade(batch(2)), StageTask::Verify(batch(2)), StageTask::Return(batch(2))];
    want.extend([back(1), back(0)].concat());
    assert_eq!(tasks[undone..], want);
    // Traffic leaves an endpoint before it is touched.
    assert_eq!(run.weights(), [25.0, 50.0, 25.0, 0.0]);
    let ending = RolloutEnding::TaskFailed(StageTask::Upgrade(batch(2)));
    assert!(matches!(run.rollout.phase(), Phase::Finished { ending: found, .. } if found == ending));
}

#[test]
fn a_task_that_says_nothing_has_failed_after_a_while() {
    let mut run = TestRun::new(rolling(1, 1));
    let batch = Batch { first: 0, until: 1 };
    let began = run.now;
    assert_eq!(run.next().event, RolloutEvent::TurnedBack(RolloutEnding::TaskFailed(StageTask::Drain(batch))));
    assert_eq!(run.now - began, TASK_MAX);
    // On the way back it waits for an operator instead.
    assert_eq!(run.next().event, RolloutEvent::RollbackBlocked { task: StageTask::Return(batch) });
    assert_eq!(run.command(RolloutCommand::Abort), Err(Unfit::OnItsWayBack));
    assert_eq!(run.command(RolloutCommand::Resume).unwrap().task, Some(StageTask::Return(batch)));
    assert_eq!(
        run.answer(StageTask::Return(batch), &failed()).unwrap().event,
        RolloutEvent::RollbackBlocked { task: StageTask::Return(batch) }
    );
    run.command(RolloutCommand::Resume).unwrap();
    run.answer(StageTask::Return(batch), &TaskResult::Done).unwrap();
    assert!(run.rollout.is_finished());
}

#[test]
fn the_worst_of_a_group_counts() {
    let now = Duration::from_secs(5);
    let (mut rollout, _) = Rollout::start(canary(&[(50.0, None), (100.0, None)], Back::AtOnce), 3, now);
    let counts = |failures| {
        let one = |failures| OutcomeCounts::of(1_000, failures);
        let outcomes = PerVersion { candidate: one(failures), baseline: one(1) };
        [EpochCounts { outcomes, ..EpochCounts::none(CandidateShare::at(weight(50.0))) }]
    };
    let (good, bad) = (counts(1), counts(300));
    let of = |epochs| Evidence { epochs, ..Evidence::default() };
    // One tick may be one burst, which is no proof.
    let mut ticks = (1..=20).map(|tick| rollout.tick(now + TICK * tick, &[of(&good), of(&bad), of(&good)]));
    let made = ticks.find_map(|made| made).expect("turned back within five seconds");
    assert_eq!(made.event, RolloutEvent::Finished(RolloutEnding::RolledBack(RollbackCause::Errors)));
    assert_eq!(rollout.worst(Bake::Running).0, 1, "and is named");
}

#[test]
fn a_restart_begins_the_stage_again_and_completes_a_way_back() {
    let mut run = TestRun::new(canary(&[(10.0, None), (100.0, None)], Back::AtOnce));
    for _ in 0..200 {
        run.tick();
    }
    let made = run.rollout.resumed(run.now).unwrap();
    assert_eq!(
        (made.weight, made.event),
        (Some(weight(10.0)), RolloutEvent::Advanced { stage: 0, cause: StageCause::Restart })
    );
    let (resumed, made) = (run.now, run.next());
    assert_eq!((made.weight, run.now - resumed), (Some(Weight::FULL), MINUTE));

    let mut run = TestRun::new(rolling(2, 1));
    let batch = Batch { first: 0, until: 1 };
    run.answer(StageTask::Drain(batch), &TaskResult::Done).unwrap();
    let made = run.answer(StageTask::Upgrade(batch), &failed()).unwrap();
    assert_eq!(made.task, Some(StageTask::Downgrade(batch)));
    assert_eq!(run.rollout.resumed(run.now).unwrap().task, Some(StageTask::Downgrade(batch)));
    go_through(&mut run, made.task, |_| false);
    assert_eq!(run.rollout.weight(), Weight::ZERO);
}

/// Something that can happen to a rollout.
#[derive(Clone, Debug)]
enum Input {
    Ticks(u32),
    Rates(u64, u64, usize),
    Command(RolloutCommand),
    Answer(bool),
    Restart,
}

fn input() -> impl proptest::strategy::Strategy<Value = Input> {
    let command = prop::sample::select(vec![
        RolloutCommand::Pause,
        RolloutCommand::Resume,
        RolloutCommand::Promote,
        RolloutCommand::Abort,
        RolloutCommand::Shifted,
    ]);
    prop_oneof![
        4 => (1_u32..300).prop_map(Input::Ticks),
        1 => (0_u64..30, 0_u64..30, 0_usize..500).prop_map(|(a, b, c)| Input::Rates(a, b, c)),
        1 => command.prop_map(Input::Command),
        3 => any::<bool>().prop_map(Input::Answer),
        1 => Just(Input::Restart),
    ]
}

fn plans() -> Vec<Plan> {
    vec![
        canary(&[(1.0, None), (10.0, Some(StepGate::Manual)), (50.0, Some(StepGate::Webhook))], Back::AtOnce),
        canary(&[(5.0, None), (100.0, None)], Back::Gradual { every: MINUTE }),
        planned(Strategy::BlueGreen(BlueGreen { smoke: true, watch: MINUTE, keep: MINUTE }), Expired::RollBack),
        rolling(3, 1),
    ]
}

proptest! {
    /// Whatever happens in whatever order: the weight grows only by a verdict of the judge, by a task that is done, or
    /// by an operator; the weight of the last move is the rollout's; and what is over stays over.
    #[test]
    fn nothing_grows_that_was_not_judged(number in 0_usize..4, inputs in prop::collection::vec(input(), 1..60)) {
        let mut run = TestRun::new(plans().swap_remove(number));
        let mut weight = run.moves[0].weight.unwrap_or_default();
        for input in inputs {
            let before = run.moves.len();
            let over = run.rollout.is_finished();
            match input {
                Input::Ticks(count) => (0..count).for_each(|_| { run.tick(); }),
                Input::Rates(candidate, baseline, requests) => {
                    (run.candidate_fails, run.baseline_fails, run.requests) = (candidate, baseline, requests);
                }
                Input::Command(command) => { run.command(command).ok(); }
                Input::Answer(good) => {
                    let answer = if good { TaskResult::Done } else { failed() };
                    if let Some(task) = run.rollout.task() { run.answer(task, &answer); }
                }
                Input::Restart => { let made = run.rollout.resumed(run.now); run.moves.extend(made); }
            }
            prop_assert!(!over || run.moves.len() == before, "it moves after its end");
            for made in &run.moves[before..] {
                let Some(new) = made.weight else { continue };
                let allowed = if let RolloutEvent::Advanced { cause, .. } = made.event {
                    cause != StageCause::Start
                        && cause != StageCause::Time
                        && (cause != StageCause::Restart || new == weight)
                } else {
                    false
                };
                prop_assert!(new <= weight || allowed, "from {weight} to {new} by {made:?}");
                weight = new;
            }
            prop_assert_eq!(run.rollout.weight(), weight);
        }
    }
}
