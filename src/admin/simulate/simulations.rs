//! The simulations under way: a thread each, and not many of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::release::forecast_view::ForecastView;
use crate::rollout::forecast;
use crate::rollout::forecast::SeenTraffic;
use crate::rollout::simulate::SimulatedWorld;
use crate::simulation::release_batch::{BatchWatch, ReleaseBatch};
use crate::simulation::simulation_report::{SimulationFacts, SimulationReport};

/// Simulations at a time.
pub(crate) const SIMULATIONS_MAX: usize = 2;

/// The machine runs their threads when it has nothing else to do.
const NICENESS: i32 = 19;

/// What may be simulated at a time.
#[derive(Debug)]
pub(crate) struct Simulations {
    places: Arc<Semaphore>,
    ended: Arc<AtomicBool>,
}

/// What is simulated.
#[derive(Debug)]
pub(crate) struct AskedSimulation {
    pub(crate) batch: ReleaseBatch,
    /// Metrics and guardrails of the plan's own.
    pub(crate) metrics: usize,
    /// Whether the service keeps users on their version.
    pub(crate) sticky: bool,
    /// How long it may take.
    pub(crate) budget: Duration,
}

/// A simulation under way; dropping it ends it.
#[derive(Debug)]
pub(crate) struct RunningSimulation {
    /// How far it is.
    pub(crate) watch: Arc<BatchWatch>,
    /// What comes of it; nothing, if its thread has panicked.
    pub(crate) result: oneshot::Receiver<SimulationResult>,
    /// When it began.
    pub(crate) begun: Instant,
    ended: Arc<AtomicBool>,
}

/// What comes of a simulation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SimulationResult {
    /// The figures and the sentences.
    #[serde(flatten)]
    report: SimulationReport,
    /// How long it took to simulate.
    simulating_seconds: f64,
    /// The traffic that was simulated: what the call says, or what the proxy sees at present.
    traffic: TrafficView,
    /// How long a rollout takes with it, and which plan fits it.
    forecast: ForecastView,
}

/// The traffic of a simulated world.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SimulatedTraffic)]
pub(crate) struct TrafficView {
    /// Requests a second of each service.
    rate: f64,
    /// The part of the baseline's requests that fail.
    baseline_errors: f64,
    /// The part of the candidate's.
    candidate_errors: f64,
    /// How many times as slow as the baseline the candidate is.
    slower: f64,
    /// How much latencies differ: the sigma of their logarithm.
    spread: f64,
    /// Services that are released together.
    services: u32,
    /// Endpoints of each version.
    endpoints: u32,
}

/// Why none can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSimulation {
    #[error("found {SIMULATIONS_MAX} simulations under way, want fewer; wait for one, or end it")]
    TooMany,
    #[error("the machine has no thread for it; try again when it has less to do")]
    NoThread,
}

impl Default for Simulations {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(SIMULATIONS_MAX)), ended: Arc::default() }
    }
}

impl Simulations {
    /// Begins one.
    ///
    /// # Errors
    /// [`NoSimulation`].
    pub(crate) fn begin(&self, asked: AskedSimulation) -> Result<RunningSimulation, NoSimulation> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_none| NoSimulation::TooMany)?;
        let begun = Instant::now();
        let watch = Arc::new(BatchWatch::until(begun + asked.budget));
        let (answer, result) = oneshot::channel();
        let watched = Arc::clone(&watch);
        let work = move || {
            // What it would take from others is worth more than an answer that comes soon.
            rustix::process::nice(NICENESS).ok();
            let result = asked.result(&watched, begun);
            // Who has the result may ask for the next one.
            drop(place);
            answer.send(result).ok();
        };
        thread::Builder::new().name("simulation".to_owned()).spawn(work).map_err(|error| {
            tracing::warn!(%error, "there is no thread for a simulation");
            NoSimulation::NoThread
        })?;
        Ok(RunningSimulation { watch, result, begun, ended: Arc::clone(&self.ended) })
    }

    /// Ends all of them, for the process ends.
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
    }
}

impl RunningSimulation {
    /// Whether the process ends.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }
}

impl Drop for RunningSimulation {
    fn drop(&mut self) {
        self.watch.stop();
    }
}

impl AskedSimulation {
    fn result(&self, watch: &BatchWatch, begun: Instant) -> SimulationResult {
        let Self { batch, metrics, sticky, .. } = self;
        let runs = batch.play(1, watch);
        let ReleaseBatch { plan, world, .. } = batch;
        let seen = SeenTraffic { requests_per_second: world.requests_per_second, failing: world.baseline_failing };
        SimulationResult {
            report: SimulationFacts { batch, runs: &runs, metrics: *metrics, sticky: *sticky }.report(),
            simulating_seconds: begun.elapsed().as_secs_f64(),
            traffic: TrafficView::of(world),
            forecast: ForecastView::of(&forecast::of(plan, &[seen])),
        }
    }
}

impl TrafficView {
    fn of(world: &SimulatedWorld) -> Self {
        let candidate = world.later.map_or(world.candidate, |later| later.behaviour);
        Self {
            rate: world.requests_per_second,
            baseline_errors: world.baseline_failing,
            candidate_errors: candidate.failing,
            slower: candidate.slower,
            spread: world.spread,
            services: world.services,
            endpoints: world.endpoints,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RolloutSection;
    use crate::rollout::judge::Assignment;
    use crate::simulation::simulation_options::{PresentTraffic, WorldOptions};

    /// One that takes long, or not.
    fn asked(count: u64) -> AskedSimulation {
        let release = RolloutSection::default().release().expect("the default");
        let plan = release.plan(1, Assignment::PerRequest).expect("a plan");
        let world = WorldOptions { candidate_errors: Some(0.2), ..WorldOptions::default() };
        let batch = ReleaseBatch::new(plan, world.world(&PresentTraffic::default()), count, 7);
        AskedSimulation { batch, metrics: 0, sticky: false, budget: Duration::from_secs(60) }
    }

    #[tokio::test]
    async fn there_are_two_at_a_time_and_one_that_is_dropped_makes_room() {
        let simulations = Simulations::default();
        let endless: Vec<_> = (0..2).map(|_| simulations.begin(asked(1_000_000)).expect("a place")).collect();
        assert_eq!(simulations.begin(asked(1)).err(), Some(NoSimulation::TooMany));
        drop(endless);
        let begun = Instant::now();
        let mut next = loop {
            match simulations.begin(asked(3)) {
                Ok(next) => break next,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "the threads did not end");
        };
        let result = serde_json::to_value((&mut next.result).await.expect("a result")).expect("JSON");
        assert_eq!((&result["runs"], &result["complete"], &result["seed"]), (&3.into(), &true.into(), &7.into()));
        assert_eq!((&result["traffic"]["rate"], &result["traffic"]["candidate_errors"]), (&1000.0.into(), &0.2.into()));
        assert!(result["forecast"]["text"].as_str().expect("a text").contains("1000.0 requests/s"), "{result}");
    }
}
