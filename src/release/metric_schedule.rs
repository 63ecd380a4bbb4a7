//! When each of a rollout's own metrics is asked for next.

use std::collections::BTreeMap;
use std::time::Duration;

/// A metric of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MetricKey {
    /// The number of the service.
    pub(crate) service: usize,
    /// The number of the metric, of that service's judge.
    pub(crate) metric: usize,
}

/// When each metric of a rollout is asked for next.
#[derive(Debug, Default)]
pub(crate) struct MetricSchedule(BTreeMap<MetricKey, Duration>);

impl MetricSchedule {
    /// Whether it is time to ask; then the next time is an interval later. A question ends before that, because its
    /// timeout is no longer than its interval.
    pub(crate) fn is_due(&mut self, now: Duration, key: MetricKey, interval: Duration) -> bool {
        let next = self.0.entry(key).or_insert(now);
        let due = now >= *next;
        if due {
            *next = now + interval;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_asked_at_its_own_pace() {
        let mut schedule = MetricSchedule::default();
        let keys = [0, 1].map(|metric| MetricKey { service: 0, metric });
        let mut asked = [0, 0];
        for tick in 0..400 {
            for (number, (key, seconds)) in keys.into_iter().zip([1, 10]).enumerate() {
                let now = Duration::from_millis(250) * tick;
                asked[number] += u32::from(schedule.is_due(now, key, Duration::from_secs(seconds)));
            }
        }
        assert_eq!(asked, [100, 10]);
    }
}
