//! `[services.S] outlier = { ... }` and `slow_start`: when endpoints are ejected, and how they come back.

use std::time::Duration;

use serde::Deserialize;

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Ratio, Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::table::spec::outlier::OutlierSpec;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawOutlier {
    consecutive_failures: Option<Setting<Quantity>>,
    failure_ratio: Option<Setting<Ratio>>,
    min_requests: Option<Setting<Quantity>>,
    window: Option<Setting<TimeSpan>>,
    ejection: Option<Setting<TimeSpan>>,
    ejection_max: Option<Setting<TimeSpan>>,
    eject_max_ratio: Option<Setting<Ratio>>,
}

impl RawOutlier {
    /// Defaults and their reasons are [`OutlierSpec`]'s.
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<OutlierSpec, ErrorGuaranteed> {
        let default = OutlierSpec::default();
        let mut count = |raw, default: u32, key: &str| {
            let range = Quantity(1)..=Quantity(1_000_000);
            let count = setting(raw, Quantity(usize::try_from(default).unwrap_or(1)), range, &at.key(key), report)?;
            Ok(u32::try_from(count.0).unwrap_or(u32::MAX))
        };
        let consecutive_failures =
            count(self.consecutive_failures, default.consecutive_failures, "consecutive_failures");
        let requests_min = count(self.min_requests, default.requests_min, "min_requests");
        let failure_ratio = failure_ratio(self.failure_ratio, default.failure_ratio, &at.key("failure_ratio"), report);
        let mut span = |raw, default: Duration, key: &str| {
            setting(raw, TimeSpan(default), TimeSpan::millis(100)..=TimeSpan::secs(3600), &at.key(key), report)
        };
        let window = span(self.window, default.window, "window");
        let ejection = span(self.ejection, default.ejection, "ejection");
        let ejection_max = self.ejection_max.map_or_else(
            || Ok(TimeSpan(default.ejection_max.max(ejection.map_or(Duration::ZERO, |span| span.0)))),
            |raw| span(Some(raw), default.ejection_max, "ejection_max"),
        );
        let (ejection, ejection_max) = (ejection?, ejection_max?);
        if ejection_max < ejection {
            let text = Mismatch::new(
                format!("{ejection_max}"),
                format!("at least ejection, {ejection}"),
                "raise it or lower that",
            );
            return Err(report.problem(&at.key("ejection_max"), text));
        }
        Ok(OutlierSpec {
            consecutive_failures: consecutive_failures?,
            failure_ratio: failure_ratio?,
            requests_min: requests_min?,
            window: window?.0,
            ejection: ejection.0,
            ejection_max: ejection_max.0,
            eject_max_ratio: self.eject_max_ratio.map_or(default.eject_max_ratio, |ratio| ratio.0.0),
        })
    }
}

/// A share of failures that ejects.
fn failure_ratio(
    raw: Option<Setting<Ratio>>,
    default: f64,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<f64, ErrorGuaranteed> {
    let ratio = raw.map_or(default, |ratio| ratio.0.0);
    if ratio > 0.0 {
        return Ok(ratio);
    }
    Err(report.problem(at, Mismatch::new("0", "more: one failure would eject", "raise it, or leave it out")))
}
