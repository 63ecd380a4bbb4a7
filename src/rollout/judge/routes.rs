//! The tests by route: is there a page that the candidate serves worse than the baseline does?
//!
//! A page with a thousandth of the requests may fail always, and the whole fails one request in a thousand more, which
//! is tolerated. A long poll among the pages makes the upper quantiles of all latencies its own, and what becomes
//! slower below them goes unseen. By itself each page is plain. So the bets on failures and on latency are made once
//! more for each of the [routes](crate::shared::route_stats) that have most of the requests, against what the baseline
//! does on the *same* route: its failures, and its own quantiles.
//!
//! # What it costs
//!
//! Routes have a part of alpha of their own ([`ROUTES_PART`](super::judge_settings::ROUTES_PART)), in equal parts for
//! as many routes as there may be. So the comparison of the whole pays ln(0.8/0.75), 0.06 nats or half a per cent more
//! requests, and the failures of a route pay ln(32/0.0375), 6.7 nats: with 10 % of the traffic three failures more than
//! the whole would need. The obvious other way is the mean of all wealths, the whole's among 33: it asks ln 33 of
//! everyone, half of the requests again, to save a rare page two failures; half of the stake for routes asks ln 2.
//! Hints on several routes do not add up so; where several routes are bad the whole says it.
//!
//! # Why it stays right
//!
//! A route is a player that begins when the route gets a place, with its stake, and bets on requests that come later.
//! Which routes get places depends on how often they were asked for before, and there are as many parts of alpha as
//! places, each of which is given once. The odds of a request are those of its share whatever its path is, because the
//! lot does not look at the path. Clients who ask for paths of their choice choose which routes there are, and win
//! nothing by it but places.
//!
//! Bursts, users and clients count as in the whole: a burst of an endpoint is one draw for each route that it hits; a
//! user's first failure on a route counts, once in a window, and so does the first time that he exceeds one of the
//! route's thresholds; a client's first failure counts likewise. What hangs is told when it is older than one of them.
//!
//! # Why a failure is worth no more
//!
//! At half of the traffic a page that always fails takes 24 of its failures, against 8 at a tenth. A factor that is
//! fair whatever the rates do has to be fair while all requests fail, on both versions: then the candidate's failures
//! come with probability `w`, so one of them multiplies by `1/w` at the most. Where `w` is a half that is ln 2, of the
//! 13.7 nats that a route needs, and no bet can do with fewer than 20. Two things would be worth more, and are not bet
//! on:
//!
//! - The baseline's *successes*: beside a version that fails always, a success is the baseline's, and as unlikely to be
//!   so by chance. But an outcome counts when it is known, and a candidate that is slower, which may be tolerated, has
//!   its successes later than the baseline has: for as long as that, all successes are the baseline's. Failures of a
//!   healthy page are too few for that to matter. To be right, a bet would have to take all that is in flight on a page
//!   for successes of the candidate, and a busy page would lose more by that than it wins.
//! - The baseline's *history*: that it has failed none of n requests bounds its rate only if that does not drift, and
//!   what makes a page fail all at once is often behind both versions. That the baseline serves the page well
//!   meanwhile tells these apart, and is again a lot that falls on one of two sides: `1/w` a failure.
//!
//! In time little is lost: with a thousandth of 1,000 requests a second, 24 failures come in 48 seconds at half of the
//! traffic, and 8 in 80 seconds at a tenth.
//!
//! # Why classes of responses are not asked by route
//!
//! A page that is gone, or leads elsewhere, is what new versions do on purpose: a release that is without one of thirty
//! pages is promoted, and by route each such release would wait for an operator. What is left is a page that has become
//! empty or is forbidden. For that there would be eleven classes to each route, each with ln 11 more to prove than its
//! failures (three events more at half of the traffic), the usual lengths and types of each route (some 150 KB a
//! worker), and in a sticky service eleven bits more for each slot and route, 4.4 MB a service. A smoke request with a
//! `body` asks for such a page, and the whole finds one that has a large part of the requests.

use std::sync::Arc;
use std::time::Duration;

use super::burst::BurstWatch;
use super::evidence::RouteCounts;
use super::judge_settings::{Assignment, JudgeSettings};
use super::route_finding::RouteFinding;
use super::route_test::{RouteBets, RouteTest};
use super::windows::WINDOW;
use crate::shared::route_name::RouteName;

/// Findings that are shown.
const SHOWN: usize = 3;

/// The tests of all routes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RouteTests {
    tests: Vec<RouteTest>,
}

impl RouteTests {
    /// No routes yet, if the settings ask for them. Shared, because a rollout is copied for each move that is tried.
    #[must_use]
    pub(crate) fn new(settings: &JudgeSettings) -> Option<Arc<Self>> {
        settings.judges_routes().then(Arc::default)
    }

    /// Begins a tick, in which these routes are there.
    pub(super) fn begin(&mut self, settings: &JudgeSettings, now: Duration, names: &[RouteName]) {
        let new = names.iter().skip(self.tests.len());
        self.tests.extend(new.map(|name| RouteTest::new(*name, settings, now)));
    }

    /// Folds in what the tick has brought of one route.
    pub(super) fn fold(&mut self, settings: &JudgeSettings, now: Duration, bets: RouteBets<'_>, counts: &RouteCounts) {
        let horizon = match settings.assignment {
            Assignment::PerRequest => settings.horizon,
            Assignment::PerKey => WINDOW,
        };
        if let Some(test) = self.tests.get_mut(counts.number) {
            test.fold(now, horizon, bets, counts);
        }
    }

    /// Ends the tick.
    pub(super) fn settle(&mut self, now: Duration, bursts: &BurstWatch) {
        self.tests.iter_mut().for_each(|test| test.settle(now, bursts));
    }

    /// Users may have a failure on each route once more, with this part of alpha.
    pub(super) fn open_failures(&mut self, now: Duration, part: f64) {
        self.tests.iter_mut().for_each(|test| test.open_failures(now, part));
    }

    /// Users are timed on each route once more.
    pub(super) fn open_latencies(&mut self, now: Duration, part: f64) {
        self.tests.iter_mut().for_each(|test| test.open_latencies(now, part));
    }

    /// How many routes there are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.tests.len()
    }

    /// By how much ln E of the route that is nearest to a proof exceeds what that needs.
    #[must_use]
    pub(crate) fn ln_ahead(&self) -> Option<f64> {
        self.tests.iter().map(RouteTest::ln_ahead).max_by(f64::total_cmp)
    }

    /// What turns the version back.
    #[must_use]
    pub(crate) fn proof(&self) -> Option<RouteFinding> {
        let near = self.tests.iter().filter(|test| test.ln_ahead() >= 0.0);
        near.filter_map(RouteTest::proof).max_by(|a, b| a.ln_ahead.total_cmp(&b.ln_ahead))
    }

    /// What is nearest to that.
    #[must_use]
    pub(crate) fn nearest(&self) -> Option<RouteFinding> {
        self.tests.iter().max_by(|a, b| a.ln_ahead().total_cmp(&b.ln_ahead())).map(RouteTest::finding)
    }

    /// A few, those first that are nearest to a proof.
    #[must_use]
    pub(crate) fn findings(&self) -> Vec<RouteFinding> {
        let mut some: Vec<_> = self.tests.iter().filter(|test| test.has_bad_requests()).collect();
        some.sort_by(|a, b| b.ln_ahead().total_cmp(&a.ln_ahead()));
        some.truncate(SHOWN);
        some.into_iter().map(RouteTest::finding).collect()
    }
}

#[cfg(test)]
mod tests;
