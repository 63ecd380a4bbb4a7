//! `[services.S.slo]`: what a service has promised its users.

use std::time::Duration;

use serde::Deserialize;

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Scalar, Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::rollout::judge::judge_settings::FailedCalls;
use crate::table::Weight;
use crate::table::spec::slo::{LatencyObjective, SloSpec};

/// Hours of a day.
const DAY_HOURS: u32 = 24;

/// The usual window: four weeks and two days, so that a bad Monday does not leave before the fifth one.
const WINDOW: SloWindow = SloWindow(30 * DAY_HOURS);

/// As it is written.
#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawSlo {
    availability: Option<Setting<Weight>>,
    latency: Option<RawLatency>,
    window: Option<Setting<SloWindow>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { under = \"300ms\", share = 99 }")]
struct RawLatency {
    under: Option<Setting<TimeSpan>>,
    share: Option<Setting<Weight>>,
}

/// How long is counted, in hours.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
struct SloWindow(u32);

impl std::fmt::Display for SloWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.is_multiple_of(DAY_HOURS) {
            true => write!(f, "{}d", self.0 / DAY_HOURS),
            false => write!(f, "{}h", self.0),
        }
    }
}

impl FromScalar for SloWindow {
    const WANTED: &'static str = r#"days or hours such as "30d" or "36h""#;

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let Scalar::Text(text) = scalar else { return None };
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let count: u32 = digits.parse().ok()?;
        match unit {
            "d" => count.checked_mul(DAY_HOURS).map(Self),
            "h" => Some(Self(count)),
            _ => None,
        }
    }
}

impl RawSlo {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<SloSpec, ErrorGuaranteed> {
        let availability = self.availability.map(|raw| objective(raw.0, &at.key("availability"), report)).transpose();
        let latency = self.latency.as_ref().map(|raw| raw.build(&at.key("latency"), report)).transpose();
        let range = SloWindow(DAY_HOURS)..=SloWindow(90 * DAY_HOURS);
        let window = setting(self.window, WINDOW, range, &at.key("window"), report);
        let is_none = |key: &str, found: bool, report: &Report<'_>| !found && report.touched(&at.key(key)).is_none();
        if is_none("availability", self.availability.is_some(), report)
            && is_none("latency", self.latency.is_some(), report)
        {
            let text = Mismatch::new(
                "no objective",
                "at least one of availability and latency",
                "add availability = 99.9, or remove the section",
            );
            return Err(report.missing(at, text));
        }
        let failed_calls = FailedCalls::default().bits();
        Ok(SloSpec { availability: availability?, latency: latency?, window_hours: window?.0, failed_calls })
    }
}

impl RawLatency {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<LatencyObjective, ErrorGuaranteed> {
        let range = TimeSpan::millis(1)..=TimeSpan::secs(3600);
        let under = match self.under {
            None => Err(missing("under", "how long a request may take", "add under = \"300ms\"", at, report)),
            Some(raw) => setting(Some(raw), TimeSpan(Duration::ZERO), range, &at.key("under"), report),
        };
        let share = match self.share {
            None => Err(missing("share", "how many requests, in per cent", "add share = 99", at, report)),
            Some(raw) => objective(raw.0, &at.key("share"), report),
        };
        Ok(LatencyObjective { under: under?.0, share: share? })
    }
}

fn missing(
    key: &str,
    wanted: &'static str,
    remedy: &'static str,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> ErrorGuaranteed {
    let at = at.key(key);
    report.touched(&at).unwrap_or_else(|| report.missing(&at, Mismatch::new("none", wanted, remedy)))
}

/// A share of requests that must be good.
fn objective(share: Weight, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Weight, ErrorGuaranteed> {
    /// A promise of less is none, and `0.999` is one that was meant in per cent.
    const LEAST: u32 = 50_000;
    if share == Weight::FULL {
        let text = Mismatch::new(
            "100, which leaves no budget: the first failure would be too many",
            "50 to 99.999, in per cent",
            "lower it, to 99.9 for example",
        );
        return Err(report.problem(at, text));
    }
    if share.slots() < LEAST {
        let meant = f64::from(share.slots()) / 1000.0;
        let remedy = match meant > 0.5 && meant < 1.0 {
            true => format!("write {}, if that is meant", (meant * 100_000.0).round() / 1000.0),
            false => "raise it, to 99.9 for example".to_owned(),
        };
        return Err(report.problem(at, Mismatch::new(format!("{share}"), "50 to 99.999, in per cent", remedy)));
    }
    Ok(share)
}
