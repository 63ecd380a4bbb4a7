//! The ceilings for green when it has all of the traffic: they come from blue's last requests.
//!
//! At 100 % there is no version to compare with, and rates drift with the hour; so blue's own rates, as they were right
//! before the flip, become ceilings unless the plan has some: of failures the most that is compatible with what was
//! seen of blue and with the margin, of slow requests twice those that blue had above its 99th percentile. They are
//! written into the plan, so that they are stored and shown with it, and stay the same over a restart.

use serde_json::{Map, Value, json};

use crate::config::RolloutSection;
use crate::rollout::judge::frozen::{REQUESTS_MIN, SLOW_AT_MOST, failures_at_most};
use crate::rollout::release::{Release, Shape};
use crate::stats::VersionTotals;

/// The keys that a blue/green release needs besides its own, from what blue did in each service.
#[must_use]
pub(crate) fn from_blue(release: &Release, blue: &[VersionTotals]) -> Option<RolloutSection> {
    let Shape::BlueGreen { .. } = release.shape else { return None };
    let judge = &release.judge;
    let seen = blue.iter().all(|totals| totals.requests() >= REQUESTS_MIN);
    let mut keys = Map::new();
    if judge.ceilings.failures.is_none() && seen {
        let worst = blue
            .iter()
            .map(|totals| failures_at_most(totals.failures(), totals.requests(), judge.margin))
            .fold(0.0, f64::max);
        keys.insert("errors_max".to_owned(), json!(worst));
    }
    if let Some(slower) = judge.slower.filter(|_| judge.ceilings.slow.is_none() && seen) {
        let worst = blue.iter().filter_map(|totals| totals.latency.quantile(0.99)).max().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of minutes are far below 2^52")]
        let longer = (worst as f64 * slower.value() / 1_000.0).ceil().max(1.0);
        keys.insert("slow_max".to_owned(), json!({ "longer_than": format!("{longer}ms"), "at_most": SLOW_AT_MOST }));
    }
    if keys.is_empty() {
        return None;
    }
    serde_json::from_value(Value::Object(Map::from_iter([("judge".to_owned(), Value::Object(keys))]))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{CodeClass, UpstreamFailure, VersionStats};

    fn blue(requests: u64, failed: u64) -> VersionTotals {
        let stats = VersionStats::new(1);
        for number in 0..requests {
            stats.cell(0).answered(CodeClass::Success, 1_000 + number % 100 * 100);
        }
        (0..failed).for_each(|_| stats.cell(0).failed(UpstreamFailure::Status));
        stats.totals()
    }

    fn release(text: &str) -> Release {
        serde_json::from_str::<RolloutSection>(text).unwrap().release().unwrap()
    }

    #[test]
    fn green_may_do_what_blue_did_and_a_little_more() {
        let plain = release(r#"{"strategy": "blue_green"}"#);
        let found = from_blue(&plain, &[blue(10_000, 10)]).unwrap();
        let read = RolloutSection::default().merged(&found);
        let merged = serde_json::from_str::<RolloutSection>(r#"{"strategy": "blue_green"}"#).unwrap().merged(&read);
        let judge = merged.release().unwrap().judge;
        let most = judge.ceilings.failures.unwrap().value();
        assert!((0.002..0.004).contains(&most), "{most}");
        let slow = judge.ceilings.slow.unwrap();
        assert!((12..15).contains(&slow.longer_than.as_millis()), "{slow:?}");
    }

    #[test]
    fn own_ceilings_stay_and_too_little_says_nothing() {
        let own = release(r#"{"strategy": "blue_green", "judge": {"errors_max": 0.01, "slower": false}}"#);
        assert!(from_blue(&own, &[blue(10_000, 0)]).is_none());
        let plain = release(r#"{"strategy": "blue_green"}"#);
        assert!(from_blue(&plain, &[blue(10_000, 0), blue(99, 0)]).is_none());
        assert!(from_blue(&release("{}"), &[blue(10_000, 0)]).is_none());
    }
}
