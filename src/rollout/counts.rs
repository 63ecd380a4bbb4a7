//! From the counters of the workers to what the judge is told.
//!
//! Counters only grow; what a tick brings is the difference to the tick before. The proxy and the simulation read
//! them here, from the same counters, so that a user who comes back is one draw in both by the same rule: a bit for
//! each slot of the key space, in [`CanaryStats`].

use super::judge::evidence::RouteCounts;
use super::judge::quantiles::{LatencyCounts, Thresholds};
use super::judge::windows::Windows;
use super::judge::{CandidateShare, EpochCounts, OutcomeCounts, PerVersion, Side};
use crate::shared::additive::Additive;
use crate::shared::canary_stats::{ArmTotals, CanaryStats, EpochTotals};
use crate::shared::route_stats::{RouteEpochTotals, RouteTotals};
use crate::shared::user_sets::{ActiveUsers, LatencySets};
use crate::table::Weight;

/// Ticks of a minute, after which it is asked which users came in it.
const MINUTE: u32 = 240;

/// Reads the counters of one service, tick by tick.
#[derive(Debug, Default)]
pub(crate) struct CountsReader {
    seen: Vec<EpochTotals>,
    seen_routes: Vec<RouteEpochTotals>,
    /// The judge's windows at the reading before.
    windows: Option<Windows>,
    ticks: u32,
}

impl CountsReader {
    /// Which users came, if a minute is over. In a new window every user may testify once more. To be called with each
    /// tick, before [`Self::read`].
    pub(crate) fn look_at_users(&mut self, canary: &CanaryStats, windows: &Windows) -> Option<ActiveUsers> {
        if !canary.terms().per_key {
            return None;
        }
        let users = canary.users();
        let clients = canary.clients();
        let before = self.windows.replace(*windows).unwrap_or(*windows);
        let changed = [
            (before.step != windows.step, &users.came),
            (before.step != windows.step, &clients.came),
            (before.failures != windows.failures, &users.failed),
            (before.failures != windows.failures, &clients.failed),
            (before.lost != windows.lost, &users.lost),
            (before.lost != windows.lost, &clients.lost),
        ];
        changed.iter().filter(|(changed, _)| *changed).for_each(|(_, set)| set.clear());
        if let Some(routes) = canary.routes().filter(|_| before.failures != windows.failures) {
            routes.forget_failures();
        }
        if before.latency != windows.latency {
            [&users.latency, &clients.latency].into_iter().for_each(LatencySets::clear);
            canary.routes().iter().for_each(|routes| routes.forget_latencies());
        }
        users.end_tick();
        self.ticks += 1;
        self.ticks.is_multiple_of(MINUTE).then(|| users.end_minute())
    }

    /// What was counted since the last reading.
    pub(crate) fn read(&mut self, canary: &CanaryStats) -> Vec<EpochCounts> {
        self.new_since(canary.totals()).iter().filter_map(epoch_counts).collect()
    }

    /// What is new in these totals.
    pub(super) fn new_since(&mut self, totals: Vec<EpochTotals>) -> Vec<EpochTotals> {
        let since = |now: &EpochTotals| {
            let before = self.seen.iter().find(|before| before.shares == now.shares);
            EpochTotals { arms: before.map_or(now.arms, |before| now.arms.since(&before.arms)), ..*now }
        };
        let new = totals.iter().map(since).collect();
        for now in totals {
            match self.seen.iter_mut().find(|before| before.shares == now.shares) {
                Some(before) => *before = now,
                None => self.seen.push(now),
            }
        }
        new
    }

    /// What was counted by route since the last reading.
    pub(crate) fn read_routes(&mut self, canary: &CanaryStats) -> Vec<RouteCounts> {
        self.new_on_routes_since(canary.route_totals()).iter().flat_map(route_counts).collect()
    }

    /// What is new in these totals.
    pub(super) fn new_on_routes_since(&mut self, totals: Vec<RouteEpochTotals>) -> Vec<RouteEpochTotals> {
        let since = |epoch: &RouteEpochTotals| {
            let before = self.seen_routes.iter().find(|before| before.shares == epoch.shares);
            let then = |number: usize| before.and_then(|before| before.routes.get(number)).copied().unwrap_or_default();
            let routes = epoch.routes.iter().enumerate().map(|(number, now)| now.since(&then(number)));
            RouteEpochTotals { shares: epoch.shares, routes: routes.collect() }
        };
        let new = totals.iter().map(since).collect();
        for now in totals {
            match self.seen_routes.iter_mut().find(|before| before.shares == now.shares) {
                Some(before) => *before = now,
                None => self.seen_routes.push(now),
            }
        }
        new
    }
}

/// Has the workers compare latencies with these from now on.
pub(crate) fn compare_with(canary: &CanaryStats, thresholds: &Thresholds) {
    canary.compare_with([Side::Candidate, Side::Baseline].map(|side| thresholds.micros(side)));
}

/// The share that these slots are; none: neither side has any.
fn share(shares: [u32; 2]) -> Option<CandidateShare> {
    let [candidate, baseline] = shares.map(|slots| Weight::from_slots(slots).unwrap_or_default());
    CandidateShare::of(candidate, baseline)
}

/// What is new under one share, as the judge is told; none: nothing.
pub(super) fn epoch_counts(new: &EpochTotals) -> Option<EpochCounts> {
    let [candidate, baseline] = &new.arms;
    let counts = EpochCounts {
        share: share(new.shares)?,
        outcomes: PerVersion { candidate: outcomes(candidate), baseline: outcomes(baseline) },
        latencies: PerVersion { candidate: latencies(candidate), baseline: latencies(baseline) },
        responses: PerVersion { candidate: candidate.classes, baseline: baseline.classes },
    };
    (counts != EpochCounts::none(counts.share)).then_some(counts)
}

/// The same by route.
pub(super) fn route_counts(new: &RouteEpochTotals) -> Vec<RouteCounts> {
    let Some(share) = share(new.shares) else { return Vec::new() };
    // What is overdue has no outcome yet.
    let any = |totals: &RouteTotals| totals.requests + totals.overdue.iter().sum::<u64>() > 0;
    let with_any = new.routes.iter().enumerate().filter(|(_, arms)| arms.iter().any(any));
    let counts = with_any.map(|(number, [candidate, baseline])| RouteCounts {
        number,
        share,
        outcomes: PerVersion { candidate: outcomes_of_route(candidate), baseline: outcomes_of_route(baseline) },
        latencies: PerVersion { candidate: latencies_of_route(candidate), baseline: latencies_of_route(baseline) },
    });
    counts.collect()
}

fn outcomes(totals: &ArmTotals) -> OutcomeCounts {
    let ArmTotals { requests, draws, failures, counted_failures, lost, .. } = *totals;
    OutcomeCounts { requests, draws, failures, counted_failures, lost }
}

fn outcomes_of_route(totals: &RouteTotals) -> OutcomeCounts {
    let RouteTotals { requests, failures, counted_failures, .. } = *totals;
    OutcomeCounts { counted_failures, ..OutcomeCounts::of(requests, failures) }
}

fn latencies_of_route(totals: &RouteTotals) -> LatencyCounts {
    let RouteTotals { by_exceeded, overdue, first_above, .. } = *totals;
    LatencyCounts { by_exceeded, overdue, first_above, ..LatencyCounts::default() }
}

fn latencies(totals: &ArmTotals) -> LatencyCounts {
    let ArmTotals { by_exceeded, overdue, first_above, timed, slow, first_slow, .. } = *totals;
    LatencyCounts { by_exceeded, overdue, first_above, timed, slow, first_slow }
}
