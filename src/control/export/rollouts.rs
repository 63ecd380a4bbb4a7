//! The gauges of rollouts under way.

use metrics::gauge;

use crate::control::rollouts::director::Shown;
use crate::stats::names;

const PHASES: [&str; 4] = ["going", "paused", "rolling_back", "finished"];

/// Sets the gauges of every service that is being rolled out. Inside the local recorder.
pub(super) fn update(shown: &[Shown]) {
    for Shown { service, phase, evidence } in shown {
        for known in PHASES {
            let is = if known == *phase { 1.0 } else { 0.0 };
            gauge!(names::ROLLOUT_PHASE, "service" => service.clone(), "phase" => known).set(is);
        }
        for (test, log10) in evidence {
            gauge!(names::JUDGE_EVIDENCE, "service" => service.clone(), "test" => *test).set(*log10);
        }
    }
}
