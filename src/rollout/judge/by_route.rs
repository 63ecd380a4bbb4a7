//! How a judge has its routes judged: evidence in, windows turned.

use std::sync::Arc;
use std::time::Duration;

use super::evidence::Evidence;
use super::route_test::RouteBets;
use super::tick::Judge;

impl Judge {
    /// Folds in what a tick has brought by route.
    pub(super) fn judge_routes(&mut self, now: Duration, evidence: &Evidence<'_>) {
        let Some(mut routes) = self.routes.take() else { return };
        let (settings, tests) = (self.settings, Arc::make_mut(&mut routes));
        tests.begin(&settings, now, evidence.route_names);
        for counts in evidence.routes {
            let bets = self.bets_under(counts.share);
            let bets = RouteBets { errors: &bets.errors, latency: &bets.latency };
            tests.fold(&settings, now, bets, counts);
        }
        tests.settle(now, &self.bursts);
        self.routes = Some(routes);
    }

    /// Users may have a failure on each route once more, with this part of alpha.
    pub(super) fn open_route_failures(&mut self, now: Duration, part: f64) {
        if let Some(routes) = &mut self.routes {
            Arc::make_mut(routes).open_failures(now, part);
        }
    }

    /// Users are timed on each route once more.
    pub(super) fn open_route_latencies(&mut self, now: Duration, part: f64) {
        if let Some(routes) = &mut self.routes {
            Arc::make_mut(routes).open_latencies(now, part);
        }
    }
}
