//! Tries the endpoints that are paused by connections of our own, so that no request has to find out that one is back.
//!
//! Every [`TICK`](super::TICK) each paused endpoint is tried once: one that listens again is in rotation a tenth of a
//! second later. A refusal costs both sides some microseconds, so there is no reason to try less often the longer it
//! lasts, and an operator who mends something after a night sees it at once. What is bounded is the sum
//! ([`TRIES_A_TICK`], and those under way): when a thousand endpoints are dead they take turns. It runs once in a
//! process, in the control plane; the state is shared by all workers.
//!
//! A try is what a request's own connection would be: TCP, and TLS where the version has it. Without the handshake an
//! endpoint whose certificate is wrong would come back ten times a second, and cost a request each time. No HTTP is
//! spoken: a refused connection is what paused the endpoint, and an operator who wants to know more has active checks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stats::EndpointStats;
use crate::table::{Name, Service, Table, Version};
use crate::tls::{ClientSettings, Clients, Handshake};

use crate::control::clock::Clock;

/// Tries that begin in a tick: a thousand a second, a few per cent of a core.
const TRIES_A_TICK: usize = 100;

/// Tries under way of one endpoint that says nothing. They begin in turns, so that one is fresh whenever it comes back:
/// a lost SYN is sent again only after a second.
const TRIES_EACH: u32 = 16;

/// The longest time between two tries of an endpoint that takes connections and fails the handshake, which is work.
const HANDSHAKE_WAIT_MAX_MS: u64 = 4_000;

/// The tries of all paused endpoints.
#[derive(Debug)]
pub(crate) struct Reconnects {
    clients: Arc<Clients>,
    clock: Clock,
    schedule: Schedule,
    tries: JoinSet<(u32, TryOutcome)>,
    /// Tries under way, over all endpoints: each holds a descriptor, and those of endpoints that say nothing for long.
    max: usize,
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Schedule {
    known: HashMap<u32, Turns>,
    /// The endpoint of the last turn: the next tick begins after it.
    last: u32,
}

/// When an endpoint is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turns {
    under_way: u32,
    next_ms: u64,
    failed_handshakes: u32,
}

/// What a try said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TryOutcome {
    Connected,
    Refused,
    FailedHandshake,
}

/// One endpoint that is to be tried.
struct Paused<'t> {
    service: &'t Service,
    version: &'t Version,
    stats: &'t Arc<EndpointStats>,
}

impl Turns {
    /// Whether a try is to begin; if so, it has.
    fn begin(&mut self, now_ms: u64, limit: Duration) -> bool {
        if self.next_ms > now_ms || self.under_way >= TRIES_EACH {
            return false;
        }
        if self.under_way > 0 {
            // Those before hang.
            let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            self.next_ms = now_ms.saturating_add(limit / u64::from(TRIES_EACH));
        }
        self.under_way += 1;
        true
    }

    fn end(&mut self, outcome: TryOutcome, now_ms: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        if outcome == TryOutcome::FailedHandshake {
            let wait = (100 << self.failed_handshakes.min(10)).min(HANDSHAKE_WAIT_MAX_MS);
            self.failed_handshakes += 1;
            self.next_ms = now_ms + wait;
        } else {
            self.failed_handshakes = 0;
        }
    }
}

impl Schedule {
    /// The endpoints whose tries begin at `now_ms`, of those that are paused with the limits of their connections,
    /// while there is room for this many tries.
    fn due(&mut self, paused: &[(u32, Duration)], room: usize, now_ms: u64) -> Vec<u32> {
        let mut before = std::mem::take(&mut self.known);
        self.known = paused.iter().map(|(id, _)| (*id, before.remove(id).unwrap_or_default())).collect();
        // In turns, from the one after the last of the tick before.
        let mut paused = paused.to_vec();
        paused.sort_unstable_by_key(|(id, _)| id.wrapping_sub(self.last).wrapping_sub(1));
        let begins =
            |(id, limit)| self.known.get_mut(&id).is_some_and(|turns| turns.begin(now_ms, limit)).then_some(id);
        let most = TRIES_A_TICK.min(room);
        let due: Vec<_> = paused.into_iter().filter_map(begins).take(most).collect();
        self.last = due.last().copied().unwrap_or(self.last);
        due
    }

    fn ended(&mut self, id: u32, outcome: TryOutcome, now_ms: u64) {
        if let Some(turns) = self.known.get_mut(&id) {
            turns.end(outcome, now_ms);
        }
    }
}

impl Reconnects {
    pub(crate) fn new(clients: Arc<Clients>, clock: Clock, max: usize) -> Self {
        Self { clients, clock, schedule: Schedule::default(), tries: JoinSet::new(), max }
    }

    /// Notes how tries ended, and begins those that are due.
    pub(crate) fn tick(&mut self, table: &Table) {
        let now_ms = self.clock.now_ms();
        while let Some(ended) = self.tries.try_join_next() {
            if let Ok((id, outcome)) = ended {
                self.schedule.ended(id, outcome, now_ms);
            }
        }
        let paused: HashMap<_, _> =
            table.with_unhealthy_endpoints().flat_map(paused_of).map(|paused| (paused.stats.id, paused)).collect();
        let limits: Vec<_> = paused.iter().map(|(id, paused)| (*id, paused.limit())).collect();
        let room = self.max.saturating_sub(self.tries.len());
        for id in self.schedule.due(&limits, room, now_ms) {
            if let Some(paused) = paused.get(&id) {
                self.tries.spawn(Try::of(paused, &self.clients, self.clock).run());
            }
        }
    }
}

impl Paused<'_> {
    fn limit(&self) -> Duration {
        self.service.spec.policy.connect_timeout
    }
}

/// The endpoints of a service that refuse connections and would get requests otherwise.
fn paused_of(service: &Service) -> impl Iterator<Item = Paused<'_>> {
    service.versions.iter().flat_map(move |version| {
        let paused = version.endpoints.iter().filter(|endpoint| {
            let health = &endpoint.stats.health;
            endpoint.is_last_resort() && health.is_paused()
        });
        paused.map(move |endpoint| Paused { service, version, stats: &endpoint.stats })
    })
}

/// One try.
struct Try {
    service: Name,
    version: Name,
    stats: Arc<EndpointStats>,
    tls: Option<Arc<ClientSettings>>,
    clients: Arc<Clients>,
    clock: Clock,
    limit: Duration,
}

impl Try {
    fn of(paused: &Paused<'_>, clients: &Arc<Clients>, clock: Clock) -> Self {
        Self {
            service: paused.service.spec.name.clone(),
            version: paused.version.name.clone(),
            stats: Arc::clone(paused.stats),
            tls: paused.version.tls.clone(),
            clients: Arc::clone(clients),
            clock,
            limit: paused.limit(),
        }
    }

    async fn run(self) -> (u32, TryOutcome) {
        let connected = timeout(self.limit, self.connect()).await;
        let outcome = connected.unwrap_or(TryOutcome::Refused);
        let (health, now_ms) = (&self.stats.health, self.clock.now_ms());
        match outcome {
            TryOutcome::Connected => {
                let for_ms = health.refuses_for(now_ms);
                if health.connected(now_ms) {
                    let (service, version) = (self.service.as_str(), self.version.as_str());
                    tracing::info!(service, version, endpoint = %self.stats.address, for_ms, "the endpoint takes connections again");
                }
            }
            TryOutcome::Refused | TryOutcome::FailedHandshake => health.still_refuses(now_ms),
        }
        (self.stats.id, outcome)
    }

    /// Connects as requests do, and leaves.
    async fn connect(&self) -> TryOutcome {
        let address = self.stats.address;
        let Ok(stream) = TcpStream::connect(address).await else { return TryOutcome::Refused };
        let Some(tls) = &self.tls else { return TryOutcome::Connected };
        let Ok(handshake) = Handshake::with(tls, address, &self.clients) else { return TryOutcome::FailedHandshake };
        if handshake.on(stream).await.is_ok() { TryOutcome::Connected } else { TryOutcome::FailedHandshake }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When tries of an endpoint begin within a second, if each ends after `takes_ms`.
    fn begun(takes_ms: u64, outcome: TryOutcome) -> Vec<u64> {
        let (mut turns, mut running, mut begun) = (Turns::default(), Vec::new(), Vec::new());
        for now in (0..10_000).step_by(100) {
            let (over, going): (Vec<u64>, Vec<u64>) = running.into_iter().partition(|at| at + takes_ms <= now);
            over.iter().for_each(|_| turns.end(outcome, now));
            running = going;
            if turns.begin(now, Duration::from_secs(4)) {
                running.push(now);
                begun.push(now);
            }
            assert!(running.len() <= TRIES_EACH as usize);
        }
        begun
    }

    fn longest_gap(begun: &[u64]) -> u64 {
        begun.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX)
    }

    /// Tries that may be under way.
    const MOST: usize = 256;

    /// How often each of `count` paused endpoints is tried in ten seconds, if a try takes `takes_ms`, and the most that
    /// are under way.
    fn tries(count: u32, takes_ms: u64) -> (Vec<usize>, usize) {
        let mut schedule = Schedule::default();
        let (mut running, mut most, mut tries) = (Vec::<(u32, u64)>::new(), 0, vec![0; count as usize]);
        let paused: Vec<_> = (0..count).map(|id| (id, Duration::from_secs(4))).collect();
        for now in (0..10_000).step_by(100) {
            let (over, going): (Vec<_>, Vec<_>) = running.into_iter().partition(|(_, at)| at + takes_ms <= now);
            over.iter().for_each(|(id, _)| schedule.ended(*id, TryOutcome::Refused, now));
            running = going;
            let due = schedule.due(&paused, MOST - running.len(), now);
            assert!(due.len() <= TRIES_A_TICK);
            due.iter().for_each(|id| tries[*id as usize] += 1);
            running.extend(due.into_iter().map(|id| (id, now)));
            most = most.max(running.len());
        }
        (tries, most)
    }

    #[test]
    fn thousands_take_turns() {
        assert_eq!(tries(100, 1).0, [100; 100], "as long as there are few, each has every tick");
        let (tries_of, most) = tries(5_000, 1);
        assert!(tries_of.iter().all(|tries| *tries == 2) && most <= TRIES_A_TICK, "{most}");
        let (tries_of, most) = tries(1_000, 4_000);
        assert!(most <= MOST, "{most}");
        let spread = tries_of.iter().max().unwrap() - tries_of.iter().min().unwrap();
        assert!(spread <= 1, "those that hang are dealt with in turns as well: {spread}");
    }

    #[test]
    fn an_endpoint_that_refuses_is_tried_every_tick() {
        assert_eq!(longest_gap(&begun(1, TryOutcome::Refused)), 100);
    }

    #[test]
    fn one_that_says_nothing_has_a_fresh_try_at_all_times() {
        let begun = begun(4_000, TryOutcome::Refused);
        assert!(longest_gap(&begun) <= 300, "{begun:?}");
    }

    #[test]
    fn one_whose_handshake_fails_is_tried_less_and_less() {
        let begun = begun(1, TryOutcome::FailedHandshake);
        assert!((4..8).contains(&begun.len()) && longest_gap(&begun) <= HANDSHAKE_WAIT_MAX_MS, "{begun:?}");
    }
}
