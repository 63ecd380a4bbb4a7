//! `hypothesis` and `stop_when` of a chaos experiment: what is believed to stay true, and what ends it early.

use serde::Deserialize;

use crate::chaos::chaos_definition::{ChaosHypothesis, ChaosStop};
use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Setting};
use crate::config::url::{RawWebhook, TIMEOUT};
use crate::problem::Mismatch;
use crate::rollout::judge::judge_settings::{Increase, Margin, Multiple};
use crate::table::Weight;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct RawHypothesis {
    errors: Option<RawErrorsBelief>,
    latency: Option<RawLatencyBelief>,
    requests_min: Option<Setting<Quantity>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawErrorsBelief {
    ratio_max: Option<Setting<Multiple>>,
    increase_max: Option<Setting<Weight>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawLatencyBelief {
    slower_max: Option<Setting<Multiple>>,
}

impl RawHypothesis {
    pub(super) fn build(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<ChaosHypothesis, ErrorGuaranteed> {
        if self.errors.is_none() && self.latency.is_none() {
            let wanted = "what is believed to stay true: errors, latency or both";
            let remedy = "add hypothesis = { errors = { ratio_max = 1.5 }, latency = { slower_max = 1.2 } }";
            return Err(report.missing(at, Mismatch::new("none", wanted, remedy)));
        }
        let margin = self.errors.as_ref().map_or(Ok(Margin::default()), |raw| raw.build(&at.key("errors"), report));
        let slower = self.latency.as_ref().map(|raw| raw.build(&at.key("latency"), report)).transpose();
        let range = Quantity(1)..=Quantity(1_000_000_000);
        let requests = self.requests_min.map(|raw| {
            let count = setting(Some(raw), raw.0, range, &at.key("requests_min"), report)?;
            Ok(u64::try_from(count.0).unwrap_or(u64::MAX))
        });
        Ok(ChaosHypothesis { margin: margin?, slower: slower?, requests_min: requests.transpose()? })
    }
}

impl RawErrorsBelief {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Margin, ErrorGuaranteed> {
        let default = Margin::default();
        let increase = self.increase_max.map_or(Some(default.increase), |read| Increase::new(read.0.ratio()));
        let increase = increase.ok_or_else(|| {
            let wanted = "per cent of the requests that may fail beyond the control slice's, from 0 and below 100";
            report.problem(&at.key("increase_max"), Mismatch::new("100", wanted, "lower it"))
        });
        Ok(Margin { ratio: self.ratio_max.map_or(default.ratio, |read| read.0), increase: increase? })
    }
}

impl RawLatencyBelief {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Multiple, ErrorGuaranteed> {
        self.slower_max.map(|read| read.0).ok_or_else(|| {
            let wanted = "how many times as slow as the control slice the fault slice may be";
            report.missing(&at.key("slower_max"), Mismatch::new("none", wanted, "add slower_max = 1.2"))
        })
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct RawChaosStop {
    failed_requests: Option<Setting<Quantity>>,
    budget_left_below: Option<Setting<Weight>>,
    webhook: Option<RawWebhook>,
    steady: bool,
}

impl RawChaosStop {
    /// Whether there has to be an error budget.
    pub(super) fn asks_for_budget(&self) -> bool {
        self.budget_left_below.is_some()
    }

    /// `is_call` says whether it stands in a call, which may not name a webhook.
    pub(super) fn build(
        &self,
        is_call: bool,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<ChaosStop, ErrorGuaranteed> {
        let range = Quantity(1)..=Quantity(1_000_000_000);
        let failed = self.failed_requests.map(|raw| {
            let count = setting(Some(raw), raw.0, range, &at.key("failed_requests"), report)?;
            Ok(u64::try_from(count.0).unwrap_or(u64::MAX))
        });
        let webhook = self.webhook.as_ref().map(|raw| {
            let path = at.key("webhook");
            if is_call {
                let wanted = "one of an experiment in the config: what is asked is the file's alone";
                let remedy = "add it to [chaos.experiments], and start that by its name";
                return Err(report.problem(&path, Mismatch::new("a webhook in a call", wanted, remedy)));
            }
            raw.build(TIMEOUT, &path, report)
        });
        Ok(ChaosStop {
            failed_requests: failed.transpose()?,
            budget_left_below: self.budget_left_below.map(|read| read.0.percent()),
            webhook: webhook.transpose()?,
            steady: self.steady,
        })
    }
}
