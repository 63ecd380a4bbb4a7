//! The gauges of rollouts under way.

use metrics::gauge;

use crate::release::controller::RolloutGauge;
use crate::rollout::event::Need;
use crate::stats::names;

const PHASES: [&str; 5] = ["going", "waiting", "paused", "rolling_back", "finished"];

/// Sets the gauges of every service that is being rolled out. Inside the local recorder.
pub(crate) fn update(shown: &[RolloutGauge]) {
    let number = |is: bool| if is { 1.0 } else { 0.0 };
    for RolloutGauge { service, phase, need, evidence, .. } in shown {
        for known in PHASES {
            gauge!(names::ROLLOUT_PHASE, "service" => service.clone(), "phase" => known).set(number(known == *phase));
        }
        for known in Need::ALL {
            let is = *need == Some(known);
            gauge!(names::ROLLOUT_WAITING, "service" => service.clone(), "need" => known.word()).set(number(is));
        }
        for (test, log10) in evidence {
            gauge!(names::JUDGE_EVIDENCE, "service" => service.clone(), "test" => *test).set(*log10);
        }
    }
}
