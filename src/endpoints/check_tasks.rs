//! A task for each endpoint that is checked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::stats::EndpointStats;
use crate::table::spec::VersionSpec;
use crate::table::{Endpoint, Name, Service, Table};
use crate::tls::Clients;

use super::probe::{Probe, ProbeSpec};
use super::rise_fall::{CheckVerdict, RiseFallCounter};
use crate::control::clock::Clock;

/// Checks under way at one time, over all endpoints, if there are descriptors for them: each holds one. Endpoints that
/// hang hold theirs for their timeout; the others wait, and their own time begins after that.
pub(crate) const CHECKS_MAX: usize = 256;

/// An endpoint of a version of a service.
type EndpointKey = (Name, Name, SocketAddr);

/// The tasks.
#[derive(Debug)]
pub(crate) struct CheckTasks {
    clock: Clock,
    random: StdRng,
    clients: Arc<Clients>,
    permits: Arc<Semaphore>,
    running: HashMap<EndpointKey, CheckTask>,
    /// They end with this.
    checks: JoinSet<()>,
}

#[derive(Debug)]
struct CheckTask {
    spec: ProbeSpec,
    clock: Clock,
    stats: Arc<EndpointStats>,
    running: AbortHandle,
}

impl CheckTask {
    /// Whether it asks `endpoint` by `spec`.
    fn is_of(&self, endpoint: &Endpoint, spec: &ProbeSpec) -> bool {
        self.spec == *spec && Arc::ptr_eq(&self.stats, &endpoint.stats)
    }

    fn end(self) {
        self.running.abort();
        // No check is left to say that it is well again.
        self.stats.health.unchecked(self.clock.now_ms());
    }
}

impl CheckTasks {
    /// With up to `max` checks at a time.
    pub(crate) fn new(clock: Clock, random: StdRng, clients: Arc<Clients>, max: usize) -> Self {
        Self {
            clock,
            random,
            clients,
            permits: Arc::new(Semaphore::new(max)),
            running: HashMap::new(),
            checks: JoinSet::new(),
        }
    }

    /// Whether a check has ended, which it does by a bug only.
    pub(crate) fn any_ended(&mut self) -> bool {
        while self.checks.try_join_next().is_some() {}
        self.running.values().any(|task| task.running.is_finished())
    }

    /// Ends the tasks of endpoints that are not checked any more, or otherwise, and begins those of new ones.
    pub(crate) fn adapt(&mut self, table: &Table) {
        let mut before = std::mem::take(&mut self.running);
        for service in table.services() {
            for (version, spec) in service.versions.iter().zip(&service.spec.versions) {
                let Some(probe) = ProbeSpec::of(spec) else { continue };
                for endpoint in &version.endpoints {
                    let key = (service.spec.name.clone(), version.name.clone(), endpoint.address);
                    let task = match before.remove(&key) {
                        Some(task) if task.is_of(endpoint, &probe) && !task.running.is_finished() => task,
                        other => {
                            other.into_iter().for_each(CheckTask::end);
                            self.begin(&probe, service, spec, endpoint)
                        }
                    };
                    self.running.insert(key, task);
                }
            }
        }
        before.into_values().for_each(CheckTask::end);
    }

    fn begin(&mut self, spec: &ProbeSpec, service: &Service, version: &VersionSpec, endpoint: &Endpoint) -> CheckTask {
        let name = service.addresses.name_of(version, endpoint.address);
        let host = name.map_or_else(|| endpoint.address.to_string(), ToString::to_string);
        let host = HeaderValue::from_str(&host);
        let check = EndpointCheck {
            service: service.spec.name.clone(),
            version: version.name.clone(),
            probe: Probe {
                address: endpoint.address,
                host: host.unwrap_or(HeaderValue::from_static("")),
                spec: spec.clone(),
                clients: Arc::clone(&self.clients),
            },
            stats: Arc::clone(&endpoint.stats),
            clock: self.clock,
            permits: Arc::clone(&self.permits),
            random: StdRng::from_rng(&mut self.random),
        };
        let stats = Arc::clone(&endpoint.stats);
        CheckTask { spec: spec.clone(), clock: self.clock, stats, running: self.checks.spawn(check.run()) }
    }
}

/// The checks of one endpoint.
#[derive(Debug)]
struct EndpointCheck {
    service: Name,
    version: Name,
    probe: Probe,
    stats: Arc<EndpointStats>,
    clock: Clock,
    permits: Arc<Semaphore>,
    random: StdRng,
}

impl EndpointCheck {
    async fn run(mut self) {
        let spec = Arc::clone(&self.probe.spec.health);
        let mut state = RiseFallCounter::new(spec.rise, spec.fall);
        // Soon, but not all at the same moment.
        let mut next = Instant::now() + spec.interval.mul_f64(spec.jitter * self.random.random::<f64>());
        loop {
            sleep_until(next).await;
            let Ok(permit) = self.permits.acquire().await else { return };
            next = Instant::now() + jittered(spec.interval, spec.jitter, self.random.random());
            let asked = self.probe.ask().await;
            drop(permit);
            match asked {
                Ok(()) => self.passed(&mut state),
                // It was not asked: neither a pass nor a failure.
                Err(error) if error.is_own() => {
                    tracing::debug!(service = %self.service, error = error.line(), "no descriptor for a health check");
                }
                Err(error) => self.failed(&mut state, error.line()),
            }
        }
    }

    fn passed(&self, state: &mut RiseFallCounter) {
        let (service, version, endpoint) = (self.service.as_str(), self.version.as_str(), self.probe.address);
        let now_ms = self.clock.now_ms();
        if state.note(true) == Some(CheckVerdict::Healthy) && self.stats.health.mark_healthy(now_ms) {
            tracing::info!(service, version, %endpoint, "the endpoint passes its checks and is back");
        }
        if self.stats.health.connected(now_ms) {
            tracing::info!(service, version, %endpoint, "the endpoint takes connections again");
        }
    }

    fn failed(&self, state: &mut RiseFallCounter, complaint: String) {
        let (service, version, endpoint) = (self.service.as_str(), self.version.as_str(), self.probe.address);
        if state.note(false) == Some(CheckVerdict::Unhealthy) {
            tracing::warn!(service, version, %endpoint, %complaint, "the endpoint fails its checks and gets no requests");
            self.stats.health.mark_unhealthy(complaint);
        } else {
            self.stats.health.note_failed_check(complaint);
        }
    }
}

/// An interval that varies by a part of it: `chance` is from 0 to 1.
fn jittered(interval: Duration, jitter: f64, chance: f64) -> Duration {
    interval.mul_f64((1.0 + jitter * (2.0 * chance - 1.0)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_varies_by_its_jitter_and_not_on_average() {
        let interval = Duration::from_secs(10);
        let jittered = [0.0, 0.5, 1.0].map(|chance| jittered(interval, 0.1, chance).as_millis());
        assert_eq!(jittered, [9_000, 10_000, 11_000]);
    }
}
