//! Many releases with one plan in one world, each with a seed of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::rollout::forecast;
use crate::rollout::forecast::SeenTraffic;
use crate::rollout::plan::Plan;
use crate::rollout::simulate::{ReleaseSimulation, SimulatedRun, SimulatedWorld};
use crate::rollout::stage::Stage;

/// The longest release that is simulated, beyond its own bakes and holds.
const SLACK: Duration = Duration::from_secs(3_600);

/// Ticks between two looks at whether it is over: with many users one takes a millisecond.
const TICKS_PER_LOOK: u32 = 16;

/// Releases that are to be simulated.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseBatch {
    /// By this plan.
    pub(crate) plan: Plan,
    /// The same without tolerance for bursts, to say what tolerance costs; none where it costs nothing.
    pub(crate) without_tolerance: Option<Plan>,
    /// What happens to requests.
    pub(crate) world: SimulatedWorld,
    /// The longest that a release may take.
    pub(crate) most: Duration,
    /// How many releases.
    pub(crate) count: u64,
    /// The seed of the first; those of the others follow.
    pub(crate) seed: u64,
}

/// How far it is, and whether it is to end.
#[derive(Debug, Default)]
pub(crate) struct BatchWatch {
    done: AtomicU64,
    stopped: AtomicBool,
    until: Option<Instant>,
}

/// What came of a release, and what without tolerance for bursts, if that is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchRun {
    pub(crate) run: SimulatedRun,
    pub(crate) without_tolerance: Option<SimulatedRun>,
}

impl BatchWatch {
    /// One of releases that may be simulated until then.
    pub(crate) fn until(until: Instant) -> Self {
        Self { until: Some(until), ..Self::default() }
    }

    /// How many releases are done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// One more is done.
    pub(crate) fn add(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// The rest is not wanted any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

impl ReleaseBatch {
    /// This number of releases, each for as long as such a plan takes.
    pub(crate) fn new(plan: Plan, world: SimulatedWorld, count: u64, seed: u64) -> Self {
        let without_tolerance = plan.without_tolerance().filter(|_| !world.is_healthy());
        Self { most: longest(&plan, &world), without_tolerance, plan, world, count, seed }
    }

    /// The same where no release is simulated for longer than this.
    pub(crate) fn within(self, most: Duration) -> Self {
        Self { most: self.most.min(most), ..self }
    }

    /// How many releases are played, those without tolerance among them.
    pub(crate) fn all(&self) -> u64 {
        self.count * if self.without_tolerance.is_some() { 2 } else { 1 }
    }

    /// Plays on this number of threads, of which the caller's is one. All that were done before the watch ended it, in
    /// the order of their seeds.
    pub(crate) fn play(&self, threads: usize, watch: &BatchWatch) -> Vec<BatchRun> {
        let next = AtomicU64::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let played = (number < self.count).then(|| self.one(number, watch)).flatten();
                let Some(run) = played else { return done };
                done.push((number, run));
            }
        };
        let mut runs: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            // A thread that is gone has panicked, which is a bug that its message has told.
            own.into_iter().chain(workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default())).collect()
        });
        runs.sort_unstable_by_key(|(number, _)| *number);
        runs.into_iter().map(|(_, run)| run).collect()
    }

    /// The release with this number; `None`: it is over before.
    fn one(&self, number: u64, watch: &BatchWatch) -> Option<BatchRun> {
        let play = |plan: &Plan| {
            let mut random = StdRng::seed_from_u64(self.seed.wrapping_add(number));
            let mut release = ReleaseSimulation::new(plan, &self.world, self.most, &mut random);
            while !watch.is_over() {
                for _ in 0..TICKS_PER_LOOK {
                    if let Some(run) = release.tick(&mut random) {
                        watch.add();
                        return Some(run);
                    }
                }
            }
            None
        };
        let run = play(&self.plan)?;
        match &self.without_tolerance {
            None => Some(BatchRun { run, without_tolerance: None }),
            Some(plan) => Some(BatchRun { run, without_tolerance: Some(play(plan)?) }),
        }
    }
}

/// The time in which a release with this plan has ended or waits for an operator. With little traffic it takes several
/// times as long as the forecast, now and then.
fn longest(plan: &Plan, world: &SimulatedWorld) -> Duration {
    let seen = SeenTraffic { requests_per_second: world.requests_per_second, failing: world.baseline_failing };
    let expected = forecast::takes(plan, seen).map_or(Duration::ZERO, |takes| takes.saturating_mul(3));
    let times = plan.stages().into_iter().map(|stage| match stage {
        Stage::Bake { bake, .. } | Stage::Mirror { bake, .. } => bake + plan.judge().hold_max,
        Stage::Keep(time) => time,
        Stage::Do(_) => Duration::ZERO,
    });
    times.fold(SLACK, Duration::saturating_add).max(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RolloutSection;
    use crate::rollout::judge::Assignment;
    use crate::simulation::simulation_options::{PresentTraffic, WorldOptions};

    fn batch(options: &WorldOptions, count: u64) -> ReleaseBatch {
        let release = RolloutSection::default().release().expect("the default");
        let plan = release.plan(1, Assignment::PerRequest).expect("a plan");
        ReleaseBatch::new(plan, options.world(&PresentTraffic::default()), count, 7)
    }

    #[test]
    fn a_result_does_not_depend_on_the_number_of_threads() {
        let batch = batch(&WorldOptions { candidate_errors: Some(0.05), ..WorldOptions::default() }, 12);
        let watch = BatchWatch::default();
        let runs = batch.play(1, &watch);
        assert_eq!((runs.len(), watch.done(), batch.all()), (12, 24, 24), "each with and without tolerance");
        assert_eq!(batch.play(3, &BatchWatch::default()), runs);
    }

    #[test]
    fn it_ends_in_the_middle_of_a_release() {
        // Weeks of one request a minute, of which nothing comes.
        let batch = batch(&WorldOptions { rate: Some(1.0 / 60.0), ..WorldOptions::default() }, 1_000_000);
        assert!(batch.play(2, &BatchWatch::until(Instant::now())).is_empty(), "there is no time");
        let watch = BatchWatch::default();
        watch.stop();
        assert!(batch.play(2, &watch).is_empty(), "it is not wanted");
        let begun = Instant::now();
        batch.play(1, &BatchWatch::until(begun + Duration::from_millis(100)));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn no_release_is_simulated_for_longer_than_it_may_be() {
        let batch = batch(&WorldOptions::default(), 1).within(Duration::from_secs(60));
        let runs = batch.play(1, &BatchWatch::default());
        assert_eq!(runs[0].run.took, Duration::from_secs(60));
    }
}
