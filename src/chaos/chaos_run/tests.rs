use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Poisson, StandardNormal};
use serde_json::json;

use std::time::Duration;

use super::super::chaos_definition::{ChaosCommand, ChaosFault, ChaosHypothesis, ChaosStop, ChaosWritten};
use super::super::chaos_record::{ChaosRecord, ChaosSlice, ChaosUndo, ChaosUndoState};
use super::super::chaos_schedule::ChaosSchedule;
use super::*;
use crate::rollout::TICK;
use crate::rollout::judge::judge_settings::{Increase, Margin, Multiple};
use crate::shared::canary_outcome::ResponseSeen;
use crate::shared::fault_stats::{FaultAsked, FaultOutcome};
use crate::table::spec::fault::{FaultKind, FaultTarget};
use crate::table::{Name, SLOTS, Weight};

const SECOND: Duration = Duration::from_secs(1);

/// Latency 0 ms: nothing is done.
pub(super) const NOTHING: FaultKind = FaultKind::Latency { fixed: Duration::ZERO, jitter: Duration::ZERO };

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn definition(duration: Duration, baseline: Duration) -> ChaosDefinition {
    let share = Weight::from_percent(2.0).unwrap();
    let (service, version, endpoint) = (name("pay"), Some(name("v1")), None);
    ChaosDefinition {
        name: name("slow-payments"),
        target: FaultTarget { service, version, endpoint, zone: None, segment: None, share },
        fault: ChaosFault::Injected(NOTHING),
        duration,
        baseline,
        hypothesis: ChaosHypothesis { margin: Margin::default(), slower: Multiple::new(1.2), requests_min: None },
        stop_when: ChaosStop::default(),
        only: ChaosSchedule::default(),
        written: ChaosWritten {
            target: json!({ "service": "pay", "version": "v1", "share": 2.0 }),
            fault: json!({ "latency": { "fixed": "0ms" } }),
            hypothesis: json!({ "errors": {}, "latency": { "slower_max": 1.2 } }),
            stop_when: json!(null),
            only: json!(null),
        },
    }
}

fn command(mut definition: ChaosDefinition) -> ChaosDefinition {
    let (run, undo) = (vec!["fill".to_owned()], vec!["empty".to_owned()]);
    let command = ChaosCommand { run, undo, host: Some("db1".to_owned()), endpoint: None, timeout: SECOND };
    definition.fault = ChaosFault::Command(command);
    definition.target.share = Weight::FULL;
    definition
}

/// What users of both slices get while the fault is done; before, both get what the control slice gets.
#[derive(Clone, Copy, Debug)]
struct FaultWorld {
    /// Requests a second of each slice.
    per_second: f64,
    /// The probability of failure of the fault slice and of the control slice.
    failing: [f64; 2],
    /// How many times as slow the fault slice is.
    slower: f64,
    /// Users of each slice, where they have keys; for some of them everything fails.
    users: Option<u32>,
}

const USUAL: FaultWorld = FaultWorld { per_second: 200.0, failing: [0.01, 0.01], slower: 1.0, users: None };

/// A run on simulated time and traffic.
struct Simulated {
    run: ChaosRun,
    world: FaultWorld,
    now: ChaosTime,
    random: StdRng,
}

impl Simulated {
    fn new(definition: ChaosDefinition, world: FaultWorld, seed: u64) -> Self {
        let now = ChaosTime { ms: 1_000_000, at: Timestamp::from_second(1_790_000_000).unwrap() };
        let begun = ChaosBegun {
            id: 7,
            definition: Arc::new(definition),
            per_key: world.users.is_some(),
            workers: 2,
            author: Some("ada".to_owned()),
            reason: None,
        };
        Self { run: ChaosRun::start(begun, now), world, now, random: StdRng::seed_from_u64(seed) }
    }

    fn tick(&mut self) -> Option<ChaosEvent> {
        self.now = self.now.later(TICK);
        if let Some(fault) = self.run.in_force().cloned() {
            for slice in FaultSlice::ALL {
                if slice == FaultSlice::Fault || self.run.definition().command().is_none() {
                    self.requests(&fault, slice);
                }
            }
        }
        self.run.tick(self.now)
    }

    fn requests(&mut self, fault: &FaultInForce, slice: FaultSlice) {
        let Self { world, now, random, .. } = self;
        let mean = world.per_second * TICK.as_secs_f64();
        let requests = whole(if mean > 0.0 { Poisson::new(mean).unwrap().sample(random) } else { 0.0 });
        let is_hit = fault.injecting && slice == FaultSlice::Fault;
        let failing = world.failing[if is_hit { 0 } else { 1 }];
        for number in 0..requests {
            // Users of both slices are drawn alike.
            let user = world.users.map(|users| random.random_range(0..users));
            let slot = user.map(|user| (user * 2 + slice as u32) % SLOTS);
            let luck = match slot {
                // A hash of the user: it sticks.
                Some(slot) => f64::from(slot.wrapping_mul(2_654_435_761) >> 8) / f64::from(1_u32 << 24),
                None => random.random(),
            };
            let normal: f64 = StandardNormal.sample(random);
            let slower = if is_hit { world.slower } else { 1.0 };
            let micros = whole(20_000.0 * slower * (0.5 * normal).exp());
            let worker = usize::try_from(number % 2).unwrap();
            let asked = FaultAsked { slice, slot, client: None, begun_ms: now.ms };
            let sample = fault.stats.begin(worker, asked);
            let outcome = FaultOutcome { failed: luck < failing, seen: ResponseSeen::Whole, micros, injected: is_hit };
            fault.stats.record(worker, sample, outcome);
        }
    }

    /// Until it has ended. Returns how long the fault was done.
    fn play(mut self) -> (ChaosRecord, Duration) {
        let (mut injecting, mut ticks) = (None, 0_u32);
        while self.run.state() != ChaosState::Ended {
            ticks += 1;
            if self.tick() == Some(ChaosEvent::Injecting) {
                injecting = Some(ticks);
            }
            assert!(ticks < 100_000, "it never ends");
        }
        (self.run.record(), TICK * (ticks - injecting.unwrap_or(0)))
    }
}

fn end_of(definition: ChaosDefinition, world: FaultWorld) -> (ChaosRecord, Duration) {
    Simulated::new(definition, world, 11).play()
}

#[test]
fn a_run_goes_from_its_baseline_to_the_fault_and_ends_at_its_time() {
    let mut simulated = Simulated::new(definition(30 * SECOND, 10 * SECOND), USUAL, 3);
    let begun = simulated.now;
    let fault = Arc::clone(simulated.run.in_force().unwrap());
    assert_eq!((fault.injecting, fault.until_ms, fault.run), (false, begun.ms + 40_000, 7));
    assert_eq!(simulated.run.record().evidence, None);
    while simulated.run.state() == ChaosState::Baseline {
        assert!(Arc::ptr_eq(&fault, simulated.run.in_force().unwrap()), "nothing changes meanwhile");
        simulated.tick();
    }
    let fault = Arc::clone(simulated.run.in_force().unwrap());
    assert_eq!((fault.injecting, fault.until_ms), (true, begun.ms + 40_000));
    let record = simulated.run.record();
    assert!(record.before.requests > 3_000 && record.before.p50_ms.is_some(), "{:?}", record.before);
    let (record, took) = simulated.play();
    assert_eq!((record.state, record.ending, took), (ChaosState::Ended, Some(ChaosEnding::Held), took));
    assert_eq!(record.ended_by, Some(ChaosEndedBy::Time));
    assert!(record.sentence.starts_with("slow-payments: hypothesis held for 30 s: "), "{}", record.sentence);
    assert!(record.fault_slice.injected == record.fault_slice.requests && record.fault_slice.requests > 5_000);
    assert_eq!(record.control_slice.unwrap().injected, 0);
    assert_eq!((record.duration_s.as_u64(), record.baseline_s.as_u64()), (Some(30), Some(10)));
    assert_eq!(record.ends_at, record.ended_at.unwrap());
}

#[test]
fn users_who_get_less_end_it_at_once() {
    let failing = FaultWorld { failing: [0.21, 0.01], ..USUAL };
    let slow = FaultWorld { slower: 1.6, ..USUAL };
    let sticky = FaultWorld { users: Some(2_000), failing: [0.21, 0.01], ..USUAL };
    for (world, words) in
        [(failing, "requests failed"), (slow, "requests took more than 1.2 times the"), (sticky, "users")]
    {
        let (record, took) = end_of(definition(60 * SECOND, 10 * SECOND), world);
        let ended = (record.ending, record.ended_by);
        assert_eq!(ended, (Some(ChaosEnding::Broken), Some(ChaosEndedBy::Verdict)), "{}", record.sentence);
        assert!(took <= 5 * SECOND, "{took:?}: {}", record.sentence);
        let sentence = &record.sentence;
        assert!(sentence.starts_with("slow-payments: hypothesis broken after "), "{sentence}");
        let control = record.control_slice.as_ref().unwrap();
        assert!(words != "users" || control.users > 0, "{control:?}");
        let users = format!(", {} against {} users, odds", record.fault_slice.users, control.users);
        assert_eq!(sentence.contains(&users), words == "users", "{sentence}");
        assert!(sentence.contains(words) && !sentence.contains(" of 1 users"), "{sentence}");
        assert!(sentence.ends_with(", odds of chance below 1 in 1,000"), "{sentence}");
        let evidence = record.evidence.unwrap();
        assert!(evidence.e >= evidence.alarm, "{evidence:?}");
    }
}

#[test]
fn without_traffic_nothing_can_be_said() {
    let (record, took) = end_of(definition(20 * SECOND, 5 * SECOND), FaultWorld { per_second: 0.0, ..USUAL });
    assert_eq!((record.ending, record.ended_by), (Some(ChaosEnding::NotEnoughData), Some(ChaosEndedBy::Time)));
    assert_eq!(took, 20 * SECOND);
    assert!(record.sentence.starts_with("slow-payments: not enough data: 0 of "), "{}", record.sentence);
    let little = ChaosHypothesis { requests_min: Some(20), ..definition(SECOND, SECOND).hypothesis };
    let few = FaultWorld { per_second: 5.0, failing: [0.0, 0.0], ..USUAL };
    let (record, _) = end_of(ChaosDefinition { hypothesis: little, ..definition(20 * SECOND, 5 * SECOND) }, few);
    assert_eq!(record.ending, Some(ChaosEnding::Held), "{}", record.sentence);
}

#[test]
fn nothing_is_done_to_a_service_that_fails_by_itself() {
    let (record, _) = end_of(definition(20 * SECOND, 5 * SECOND), FaultWorld { failing: [0.2, 0.2], ..USUAL });
    assert_eq!((record.injecting_since, record.ended_by), (None, Some(ChaosEndedBy::Steady)));
    assert!(record.sentence.contains("failed before anything was done"), "{}", record.sentence);
}

#[test]
fn failed_requests_end_it_before_the_proof() {
    let mut cautious = definition(60 * SECOND, 5 * SECOND);
    cautious.stop_when.failed_requests = Some(3);
    let (record, _) = end_of(cautious, FaultWorld { failing: [0.21, 0.0], ..USUAL });
    let ended = (record.ending, record.ended_by);
    // Twelve in a tick may be the proof as well, and it comes first.
    assert!(matches!(ended, (Some(ChaosEnding::Broken), Some(by)) if by != ChaosEndedBy::Time), "{ended:?}");
    let mut cautious = definition(60 * SECOND, 5 * SECOND);
    cautious.stop_when.failed_requests = Some(2);
    let few = FaultWorld { failing: [0.5, 0.0], per_second: 4.0, ..USUAL };
    let (record, _) = end_of(cautious, few);
    assert_eq!((record.ending, record.ended_by), (Some(ChaosEnding::Broken), Some(ChaosEndedBy::FailedRequests)));
    assert!(record.sentence.contains("as many requests had failed as stop_when allows; "), "{}", record.sentence);
}

#[test]
fn who_stops_it_ends_it_once() {
    let mut simulated = Simulated::new(definition(60 * SECOND, Duration::ZERO), USUAL, 5);
    assert_eq!(simulated.run.state(), ChaosState::Injecting, "without a baseline it begins with the fault");
    for _ in 0..20 {
        simulated.tick();
    }
    let now = simulated.now;
    let ended = simulated.run.stop(now, ChaosEndedBy::Operator, Some("by ada".to_owned()));
    assert_eq!((ended, simulated.run.in_force().is_none()), (Some(ChaosEvent::Ended), true));
    assert_eq!(simulated.run.stop(now, ChaosEndedBy::Budget, None), None);
    assert_eq!(simulated.tick(), None);
    let record = simulated.run.record();
    assert_eq!((record.ending, record.ended_by), (Some(ChaosEnding::NotEnoughData), Some(ChaosEndedBy::Operator)));
    assert!(record.sentence.contains("not enough data after 5 s: an operator stopped it (by ada); "));
    assert_eq!(record.restored_at, None, "that is for who takes the fault out of the table to say");
}

#[test]
fn the_sentence_has_the_numbers_of_the_slices() {
    // All users share an address, of which few failures are evidence.
    let world = FaultWorld { users: Some(30), failing: [0.3, 0.1], ..USUAL };
    let mut simulated = Simulated::new(definition(60 * SECOND, Duration::ZERO), world, 5);
    simulated.tick();
    // Since the last look of the judge there were more.
    let fault = Arc::clone(simulated.run.in_force().unwrap());
    for slice in FaultSlice::ALL {
        simulated.requests(&fault, slice);
    }
    let check = |record: &ChaosRecord| {
        let (fault, control) = (&record.fault_slice, record.control_slice.as_ref().unwrap());
        assert!(fault.users > 1 && fault.failed > fault.users / 3, "{fault:?}");
        let part = |slice: &ChaosSlice| format!("{} of {}", slice.failed, slice.requests);
        let [begun, other] = [part(fault), part(control)];
        assert!(
            record.sentence.contains(&format!(": {begun} requests failed ("))
                || record.sentence.contains(&format!("; {begun} ")),
            "{record:#?}"
        );
        let users = format!(", {} against {} users, E ", fault.users, control.users);
        assert!(
            record.sentence.contains(&format!(" against {other} (")) && record.sentence.contains(&users),
            "{record:#?}"
        );
    };
    check(&simulated.run.record());
    simulated.run.stop(simulated.now, ChaosEndedBy::Operator, None);
    check(&simulated.run.record());
}

#[test]
fn a_command_is_held_to_what_the_baseline_showed() {
    let (record, took) =
        end_of(command(definition(60 * SECOND, 20 * SECOND)), FaultWorld { failing: [0.2, 0.01], ..USUAL });
    assert_eq!((record.ending, record.ended_by), (Some(ChaosEnding::Broken), Some(ChaosEndedBy::Verdict)));
    assert!(took <= 5 * SECOND && record.control_slice.is_none(), "{took:?}");
    assert!(record.sentence.contains("by what the baseline did"), "{}", record.sentence);
    let slow = FaultWorld { slower: 3.0, ..USUAL };
    let (record, _) = end_of(command(definition(60 * SECOND, 20 * SECOND)), slow);
    assert_eq!(record.ending, Some(ChaosEnding::Broken), "{}", record.sentence);
    let (record, _) = end_of(command(definition(60 * SECOND, 20 * SECOND)), USUAL);
    assert_eq!(record.ending, Some(ChaosEnding::Held), "{}", record.sentence);
    // Too few requests in the baseline: there is nothing to compare with.
    let few = FaultWorld { per_second: 2.0, ..USUAL };
    let (record, _) = end_of(command(definition(20 * SECOND, 10 * SECOND)), few);
    assert_eq!(record.ending, Some(ChaosEnding::NotEnoughData), "{}", record.sentence);
    assert!(record.sentence.contains("requests in the baseline to compare with"), "{}", record.sentence);
}

#[test]
fn the_end_of_the_process_is_an_end() {
    let mut simulated = Simulated::new(definition(60 * SECOND, SECOND), USUAL, 5);
    for _ in 0..20 {
        simulated.tick();
    }
    let stored = serde_json::to_string(&simulated.run.record()).unwrap();
    let mut record: ChaosRecord = serde_json::from_str(&stored).unwrap();
    assert_eq!(record, simulated.run.record());
    let at = simulated.now.at;
    record.end_by_restart(at);
    assert_eq!((record.state, record.ended_by), (ChaosState::Ended, Some(ChaosEndedBy::Restart)));
    assert!(record.restored_at.is_some(), "a fault goes with its process");
    let again = record.clone();
    record.end_by_restart(simulated.now.later(SECOND).at);
    assert_eq!(record, again);
    let mut with_undo = simulated.run.record();
    with_undo.undo = Some(ChaosUndo { state: ChaosUndoState::Waiting, tries: 0, error: None });
    with_undo.end_by_restart(at);
    assert_eq!(with_undo.restored_at, None);
}

/// What the table promises, for as many runs as `CHAOS_RUNS` says: `make chaos-table` plays a thousand of each world.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "drawn numbers are small and not negative")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[expect(clippy::print_stdout, reason = "a line of a table for people")]
fn told(line: &str) {
    println!("{line}");
}

#[test]
fn chaos_table() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u32>().ok());
    let runs = u64::from(number("CHAOS_RUNS").unwrap_or(3));
    let first = u64::from(number("CHAOS_SEED").unwrap_or(1));
    let seconds = number("CHAOS_SECONDS").unwrap_or(30);
    let quiet = FaultWorld { per_second: 50.0, ..USUAL };
    let before = 20 * SECOND;
    let equal = ChaosHypothesis {
        margin: Margin { ratio: Multiple::ONE, increase: Increase::NONE },
        slower: Some(Multiple::ONE),
        requests_min: None,
    };
    let usual = definition(SECOND, SECOND).hypothesis;
    let sticky = FaultWorld { users: Some(2_000), ..USUAL };
    for (what, hypothesis, world) in [
        ("nothing is done, no difference tolerated", equal, quiet),
        ("the same, users with keys", equal, FaultWorld { users: Some(500), ..quiet }),
        ("nothing is done, 1.2 times slower tolerated", usual, quiet),
    ] {
        let played = (first..first + runs).map(|seed| {
            let definition = definition(seconds * SECOND, before);
            (seed, Simulated::new(ChaosDefinition { hypothesis, ..definition }, world, seed).play().0)
        });
        let ends: Vec<_> = played.collect();
        let broken: Vec<_> = ends.iter().filter(|(_, end)| end.ending == Some(ChaosEnding::Broken)).collect();
        let held = ends.iter().filter(|(_, end)| end.ending == Some(ChaosEnding::Held)).count();
        told(&format!("| {what} | {runs} runs of {seconds} s | {} broken | {held} held |", broken.len()));
        let seeds: Vec<_> = broken.iter().map(|(seed, end)| format!("seed {seed}: {}", end.sentence)).collect();
        assert!(broken.len() as u64 <= runs.div_ceil(1_000), "{seeds:#?}");
    }
    for (what, world) in [
        ("20 % more fail", FaultWorld { failing: [0.21, 0.01], ..USUAL }),
        ("the same, users with keys", FaultWorld { failing: [0.21, 0.01], ..sticky }),
        ("1.5 times slower", FaultWorld { slower: 1.5, ..USUAL }),
    ] {
        let mut took: Vec<Duration> = (first..first + runs)
            .map(|seed| {
                let (record, took) = Simulated::new(definition(60 * SECOND, before), world, seed).play();
                assert_eq!(record.ended_by, Some(ChaosEndedBy::Verdict), "seed {seed}: {}", record.sentence);
                took
            })
            .collect();
        took.sort_unstable();
        let [median, p99, last] = [took[took.len() / 2], took[took.len() * 99 / 100], took[took.len() - 1]];
        let found = format!("found in {median:?}, p99 {p99:?}, last {last:?}");
        told(&format!("| {what} at 200 requests/s in the slice | {runs} runs | {found} |"));
        assert!(last <= 2 * SECOND || world.slower > 1.0, "{what}: {took:?}");
    }
}
