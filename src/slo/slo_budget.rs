//! What is left of the budgets of a service, and how fast they go.

use super::burn_window::BurnWindow;
use super::slo_history::SloHistory;
use crate::stats::SloTotals;
use crate::table::Weight;
use crate::table::spec::slo::SloSpec;

/// The budgets of a service at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SloBudget {
    /// Of requests that fail.
    pub availability: Option<ObjectiveBudget>,
    /// Of requests that are slow.
    pub latency: Option<ObjectiveBudget>,
    /// What is counted in the window; what faults of our own met is in it, apart.
    pub counted: SloTotals,
    /// The first second that is counted, since 1970; none before the first request.
    pub since_s: Option<u64>,
}

/// The budget of one objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectiveBudget {
    /// How many of the requests must be good.
    pub objective: Weight,
    /// Requests of the window.
    pub requests: u64,
    /// Those that were not good.
    pub bad: u64,
    /// What is left, in per cent of what there was; below 0 when more is gone.
    pub left_percent: f64,
    /// How fast it goes, in the order of [`BurnWindow::ALL`]: at 1 it lasts as long as the window.
    pub burn: [f64; BurnWindow::ALL.len()],
}

impl SloBudget {
    /// The budgets of these objectives at this moment, in seconds since 1970.
    pub(crate) fn of(spec: &SloSpec, history: &SloHistory, now_s: u64) -> Self {
        let hours = u64::from(spec.window_hours);
        let counted = history.window(now_s, hours);
        let burned = BurnWindow::ALL.map(|window| history.burned(now_s, window));
        let of = |objective: Weight, bad: fn(&SloTotals) -> u64| ObjectiveBudget {
            objective,
            requests: counted.requests,
            bad: bad(&counted),
            left_percent: 100.0 * (1.0 - burn_rate(objective, counted.requests, bad(&counted))),
            burn: burned.map(|burned| burn_rate(objective, burned.requests, bad(&burned))),
        };
        Self {
            availability: spec.availability.map(|objective| of(objective, |totals| totals.failed)),
            latency: spec.latency.map(|latency| of(latency.share, |totals| totals.slow)),
            counted,
            since_s: history.since_s(now_s, hours),
        }
    }

    /// What is left of the budget that has less, in per cent; below 0 when more is gone.
    pub(crate) fn left_percent(&self) -> f64 {
        self.objectives().map(|budget| budget.left_percent).fold(100.0, f64::min)
    }

    /// How fast the budget goes that goes faster.
    pub(crate) fn burn(&self) -> [f64; BurnWindow::ALL.len()] {
        let mut fastest = [0.0; BurnWindow::ALL.len()];
        for budget in self.objectives() {
            fastest.iter_mut().zip(budget.burn).for_each(|(fastest, burn)| *fastest = burn.max(*fastest));
        }
        fastest
    }

    fn objectives(&self) -> impl Iterator<Item = ObjectiveBudget> {
        self.availability.into_iter().chain(self.latency)
    }
}

/// The part of the requests that were not good, in parts of what an objective allows; 0 without requests.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn burn_rate(objective: Weight, requests: u64, bad: u64) -> f64 {
    let allowed = f64::from(Weight::FULL.slots() - objective.slots()) / f64::from(Weight::FULL.slots());
    if requests == 0 { 0.0 } else { bad as f64 / requests as f64 / allowed }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::slo_history::HOUR_S;
    use super::*;
    use crate::table::spec::slo::LatencyObjective;

    #[test]
    fn a_budget_is_what_the_objective_leaves() {
        let percent = |percent| Weight::from_percent(percent).expect("a share");
        let latency = LatencyObjective { under: Duration::from_millis(300), share: percent(99.0) };
        let spec =
            SloSpec { availability: Some(percent(99.9)), latency: Some(latency), window_hours: 720, failed_calls: 0 };
        let (mut history, now) = (SloHistory::default(), 500_000 * HOUR_S);
        let empty = SloBudget::of(&spec, &history, now);
        assert_eq!((empty.left_percent(), empty.burn(), empty.since_s), (100.0, [0.0; 4], None));
        let fault = SloTotals { fault_requests: 1_000, fault_failed: 1_000, fault_slow: 1_000, ..SloTotals::default() };
        history.add(now - 700 * HOUR_S, &SloTotals { requests: 90_000, failed: 18, slow: 0, ..fault });
        history.add(now, &SloTotals { requests: 10_000, failed: 7, slow: 1_500, ..SloTotals::default() });
        let budget = SloBudget::of(&spec, &history, now + 1);
        let (availability, latency) = (budget.availability.expect("one"), budget.latency.expect("one"));
        assert_eq!((availability.requests, availability.bad, latency.bad), (100_000, 25, 1_500));
        assert!((availability.left_percent - 75.0).abs() < 1e-9, "{availability:?}");
        assert!((latency.left_percent + 50.0).abs() < 1e-9, "more is gone than there was: {latency:?}");
        assert!((budget.left_percent() + 50.0).abs() < 1e-9);
        assert!((availability.burn[1] - 0.7).abs() < 1e-9 && (latency.burn[3] - 15.0).abs() < 1e-9, "{budget:?}");
        assert_eq!(budget.since_s, Some(now - 700 * HOUR_S));
    }
}
