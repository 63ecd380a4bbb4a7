//! A tick of the judge does not allocate: a simulation runs thousands of rollouts of thousands of ticks.

use std::time::Duration;

use allocation_counter::measure;
use pointsman::testing::rollout::judge::{
    Bake, CandidateShare, EpochCounts, Evidence, Judge, JudgeDecision, JudgeSettings, OutcomeCounts, PerVersion, Side,
};

#[test]
fn a_tick_and_its_ruling_do_not_allocate() {
    let shares = [0.01, 0.1].map(|share| CandidateShare::new(share).expect("a share"));
    let epochs = shares.map(|share| {
        let counts = |requests| OutcomeCounts::of(requests, 1);
        let mut epoch = EpochCounts::none(share);
        epoch.outcomes = PerVersion { candidate: counts(10), baseline: counts(100) };
        epoch.latencies.of_mut(Side::Baseline).by_exceeded = [50, 40, 9, 1];
        epoch
    });
    let evidence = Evidence { epochs: &epochs, ..Evidence::default() };
    let mut judge = Judge::new(JudgeSettings::default(), shares[0], Duration::ZERO);
    // The first time that a share appears its factors are computed and kept.
    judge.tick(Duration::from_millis(250), &evidence);
    let allocated = measure(|| {
        for number in 2..1000 {
            judge.tick(number * Duration::from_millis(250), &evidence);
            assert_ne!(judge.decision(Bake::Over { ago: Duration::ZERO }), JudgeDecision::Advance);
        }
    });
    assert_eq!(allocated.count_total, 0);
}
