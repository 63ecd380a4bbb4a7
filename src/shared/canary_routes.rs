//! What the counters of a rollout know by route.

use std::sync::PoisonError;

use super::canary_stats::{CanaryStats, SplitEpoch};
use super::route_stats::{RouteEpochTotals, RouteNumber, RouteStats};

impl CanaryStats {
    /// What was counted so far, by share and route, of the routes that there are.
    #[must_use]
    pub fn route_totals(&self) -> Vec<RouteEpochTotals> {
        let Some(routes) = self.routes() else { return Vec::new() };
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = routes.names().count();
        epochs.iter().map(|epoch| RouteEpochTotals::of(epoch.shares, &epoch.routes, known)).collect()
    }

    /// The routes, if they are told apart.
    pub(crate) fn routes(&self) -> Option<&RouteStats> {
        self.rules.routes.as_ref()
    }
}

impl SplitEpoch {
    /// The route of a request that a worker has got for `path`, if it is one of those that are judged.
    #[must_use]
    pub(crate) fn route(&self, worker: usize, path: &[u8]) -> Option<RouteNumber> {
        self.rules.routes.as_ref()?.route(worker, path)
    }
}
