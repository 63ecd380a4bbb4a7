//! The counters and gauges of objectives: what alerts on budgets go by.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::names;
use crate::slo::burn_window::BurnWindow;
use crate::slo_keeper::slo_handle::{ServiceBudget, SloGauge};
use crate::stats::SloTotals;
use crate::table::Weight;

/// Sets what is known of every service with objectives. Inside the local recorder.
pub(crate) fn update(gauges: &[SloGauge]) {
    for SloGauge { service, counted, budget, spec } in gauges {
        let SloTotals { requests, failed, slow, fault_requests, fault_failed, fault_slow } = *counted;
        let objectives = [
            ("availability", spec.availability, failed, fault_failed),
            ("latency", spec.latency.map(|latency| latency.share), slow, fault_slow),
        ];
        counter!(names::SLO_FAULTED, "service" => service.shared()).absolute(fault_requests);
        for (word, objective, bad, bad_by_faults) in objectives {
            let Some(objective) = objective else { continue };
            let labels = [("service", service.shared()), ("objective", word.into())];
            gauge!(names::SLO_OBJECTIVE, &labels).set(ratio(objective));
            counter!(names::SLO_REQUESTS, &labels).absolute(requests);
            counter!(names::SLO_BAD, &labels).absolute(bad);
            counter!(names::SLO_FAULTED_BAD, &labels).absolute(bad_by_faults);
        }
        let Some(ServiceBudget { budget, .. }) = budget else { continue };
        for (word, budget) in [("availability", budget.availability), ("latency", budget.latency)] {
            let Some(budget) = budget else { continue };
            let labels = [("service", service.shared()), ("objective", word.into())];
            gauge!(names::SLO_BUDGET_LEFT, &labels).set(budget.left_percent / 100.0);
            for (window, rate) in BurnWindow::ALL.into_iter().zip(budget.burn) {
                let [service, objective] = labels.clone();
                gauge!(names::SLO_BURN, &[service, objective, ("window", window.word().into())]).set(rate);
            }
        }
    }
}

fn ratio(objective: Weight) -> f64 {
    f64::from(objective.slots()) / f64::from(Weight::FULL.slots())
}

/// The help texts.
pub(crate) fn describe() {
    describe_gauge!(names::SLO_OBJECTIVE, "Share of the requests of a service that must be good, by objective.");
    describe_counter!(names::SLO_REQUESTS, "Requests that count for an objective of a service.");
    describe_counter!(
        names::SLO_BAD,
        "Those of them that were not good: they failed by our side's fault, or were slow."
    );
    describe_counter!(names::SLO_FAULTED, "Requests that a fault of our own met: they count for no objective.");
    describe_counter!(names::SLO_FAULTED_BAD, "Those of them that were not good, by objective.");
    describe_gauge!(names::SLO_BUDGET_LEFT, "What is left of a budget, 1 to 0; below 0 when more is gone.");
    describe_gauge!(names::SLO_BURN, "How fast a budget goes, by window: at 1 it lasts as long as its own window.");
}
