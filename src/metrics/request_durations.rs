//! The histogram of the times of requests, as text.
//!
//! The workers count into buckets of their own, so all that is left to do is to sum these up to the bounds that are
//! exported. A histogram of the recorder would want each request once more, as a sample, and cannot be forgotten when
//! its version leaves the config.

use std::fmt::Write;

use super::names;
use crate::stats::latency_histogram::{LatencyTotals, bucket_middle};

/// Begins the family.
pub(crate) fn begin(text: &mut String) {
    let name = names::REQUEST_DURATION;
    let help = "Time from a request's head to the end of its answer.";
    // Writing to a string does not fail.
    let _written = write!(text, "# HELP {name} {help}\n# TYPE {name} histogram\n");
}

/// Adds the series of a version.
pub(crate) fn add(text: &mut String, service: &str, version: &str, latency: &LatencyTotals) {
    let name = names::REQUEST_DURATION;
    let labels = format!("service=\"{service}\",version=\"{version}\"");
    let mut buckets = latency.buckets.iter().enumerate().map(|(bucket, count)| (bucket_middle(bucket), *count));
    let mut next = buckets.next();
    let mut count = 0;
    for bound in names::DURATION_BUCKETS {
        while let Some((middle, here)) = next.filter(|(middle, _)| seconds(*middle) <= bound) {
            let _middle = middle;
            count += here;
            next = buckets.next();
        }
        let _written = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let (total, sum) = (latency.count(), seconds(latency.sum_us));
    let _written = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}");
    let _written = writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {total}");
}

fn seconds(micros: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "sums are far below 2^52 microseconds")]
    let seconds = micros as f64 / 1e6;
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_cumulative_and_the_last_has_everything() {
        let mut text = String::new();
        begin(&mut text);
        add(&mut text, "shop", "v2", &LatencyTotals::of([(900, 2), (60_000, 1), (40_000_000, 1)]));
        let value = |of: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{}_{of} ", names::REQUEST_DURATION)));
            line.unwrap_or_else(|| panic!("{of} in {text}")).to_owned()
        };
        let bucket = |le: &str| value(&format!("bucket{{service=\"shop\",version=\"v2\",le=\"{le}\"}}"));
        assert_eq!(["0.001", "0.05", "0.1", "30", "+Inf"].map(bucket), ["2", "2", "3", "3", "4"]);
        assert_eq!(value("sum{service=\"shop\",version=\"v2\"}"), "40.0618");
        assert_eq!(value("count{service=\"shop\",version=\"v2\"}"), "4");
    }
}
