//! Whether the users of a service are well at this moment: what an experiment asks before and while it breaks things.
//!
//! A budget says what may be risked in a month, and is no measure of a moment. Here the last seconds count, against the
//! objectives, and everything that users got: a fault of our own that makes them unhappy is what is looked for.

use super::slo_budget::burn_rate;
use super::slo_history::SloHistory;
use crate::stats::SloTotals;
use crate::table::Weight;
use crate::table::spec::slo::SloSpec;

/// How far back one looks, in seconds.
const LOOK_S: u64 = 10;

/// With fewer requests one cannot say.
const REQUESTS_MIN: u64 = 20;

/// At least this number has to go wrong: one or two are chance.
const BAD_MIN: u64 = 3;

/// At this burn rate a budget of 30 days is gone in two, and the first alert of the SRE workbook fires.
pub(crate) const BURN_MAX: f64 = 14.4;

/// Why the users of a service with these objectives are not well, at this moment in seconds since 1970.
pub(crate) fn unsteady(spec: &SloSpec, history: &SloHistory, now_s: u64) -> Option<String> {
    let SloTotals { requests, failed, slow, fault_requests, fault_failed, fault_slow } = history.last(now_s, LOOK_S);
    let requests = requests + fault_requests;
    let too_many = |objective: Weight, bad: u64| {
        requests >= REQUESTS_MIN && bad >= BAD_MIN && burn_rate(objective, requests, bad) >= BURN_MAX
    };
    let (failed, slow) = (failed + fault_failed, slow + fault_slow);
    if spec.availability.is_some_and(|objective| too_many(objective, failed)) {
        return Some(format!("{failed} of {requests} requests failed in the last {LOOK_S} s"));
    }
    let latency = spec.latency.filter(|latency| too_many(latency.share, slow))?;
    Some(format!("{slow} of {requests} requests took more than {:?} in the last {LOOK_S} s", latency.under))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::table::spec::slo::LatencyObjective;

    #[test]
    fn users_are_unwell_when_a_budget_goes_too_fast() {
        let percent = |percent| Weight::from_percent(percent).expect("a share");
        let latency = LatencyObjective { under: Duration::from_millis(300), share: percent(95.0) };
        let availability = Some(percent(99.0));
        let spec = SloSpec { availability, latency: Some(latency), window_hours: 720, failed_calls: 0 };
        let why = |failed, fault_failed, slow| {
            let mut history = SloHistory::default();
            let fault = SloTotals { fault_requests: 20, fault_failed, ..SloTotals::default() };
            history.add(1_000_000, &SloTotals { requests: 180, failed, slow, ..fault });
            unsteady(&spec, &history, 1_000_004)
        };
        assert_eq!(why(28, 0, 100), None, "14 times as many as may fail, and 10 as many as may be slow");
        assert_eq!(why(20, 9, 0).as_deref(), Some("29 of 200 requests failed in the last 10 s"));
        assert_eq!(why(0, 0, 145).as_deref(), Some("145 of 200 requests took more than 300ms in the last 10 s"));
        let mut few = SloHistory::default();
        few.add(1_000_000, &SloTotals { requests: 19, failed: 19, ..SloTotals::default() });
        assert_eq!(unsteady(&spec, &few, 1_000_000), None);
    }
}
