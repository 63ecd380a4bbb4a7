//! `[chaos.experiments.NAME]`, and the same in the body of a call.

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::ChaosScope;
use super::fault::RawFault;
use super::hypothesis::{RawChaosStop, RawHypothesis};
use super::target::RawFaultTarget;
use crate::chaos::chaos_definition::{COMMAND_BASELINE_MIN, ChaosDefinition, ChaosWritten};
use crate::chaos::chaos_schedule::{ChaosSchedule, ChaosWindow};
use crate::config::build::Build;
use crate::config::check::{self, every, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::input::Input;
use crate::config::reader::list::Texts;
use crate::config::reader::read;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::table::Weight;

/// A minute has enough requests for a 99th percentile on most services.
const BASELINE: TimeSpan = TimeSpan::secs(60);

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawChaosExperiment {
    target: RawFaultTarget,
    fault: RawFault,
    duration: Option<Setting<TimeSpan>>,
    baseline: Option<Setting<TimeSpan>>,
    hypothesis: RawHypothesis,
    stop_when: RawChaosStop,
    only: Option<Texts>,
}

impl RawChaosExperiment {
    /// Builds it, from what stands at `at` in the input.
    #[expect(clippy::too_many_arguments, reason = "what it is called, may name and stands at, and where problems go")]
    pub(super) fn build(
        &self,
        name: &str,
        scope: ChaosScope<'_>,
        input: &Input<'_>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<ChaosDefinition, ErrorGuaranteed> {
        let report = &mut build.report;
        let name = check::name(name, at, report);
        let fault = self.fault.build(scope.bounds.is_call, &at.key("fault"), report);
        // Also of a fault with which something is wrong: the rest is held against what is meant.
        let word = self.fault.word();
        let target = self.target.build(scope, word, &at.key("target"), report);
        let duration = self.duration(scope.bounds.duration_max, at, report);
        let least = if word == Some("command") { TimeSpan(COMMAND_BASELINE_MIN) } else { TimeSpan::millis(0) };
        let range = least..=TimeSpan::secs(3_600);
        let baseline = setting(self.baseline, BASELINE, range, &at.key("baseline"), report);
        let hypothesis = self.hypothesis.build(&at.key("hypothesis"), report);
        let stop_when = self.stop_when.build(scope.bounds.is_call, &at.key("stop_when"), report);
        let only = self.only(&at.key("only"), report);
        if self.stop_when.asks_for_budget() {
            check_budget(self.target.service_name(), scope, &at.key("stop_when").key("budget_left_below"), report)?;
        }
        let target = target?;
        let written = written(input, at, target.share);
        Ok(ChaosDefinition {
            name: name?,
            target,
            fault: fault?,
            duration: duration?,
            baseline: baseline?.0,
            hypothesis: hypothesis?,
            stop_when: stop_when?,
            only: only?,
            written,
        })
    }

    fn duration(
        &self,
        most: Duration,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Duration, ErrorGuaranteed> {
        let path = at.key("duration");
        let Some(written) = self.duration else {
            let wanted = "how long the fault is done at the longest: every fault has an end";
            return Err(report.missing(&path, Mismatch::new("none", wanted, "add duration = \"10m\"")));
        };
        if written.0.0 > most {
            let found = format!("{}, above chaos.duration_max = {}", written.0, TimeSpan(most));
            let wanted = format!("1s to {}", TimeSpan(most));
            let text = Mismatch::new(found, wanted, "shorten it, or raise chaos.duration_max");
            return Err(report.problem(&path, text));
        }
        let range = TimeSpan::secs(1)..=TimeSpan(most);
        setting(Some(written), written.0, range, &path, report).map(|duration| duration.0)
    }

    fn only(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<ChaosSchedule, ErrorGuaranteed> {
        let Some(texts) = &self.only else { return Ok(ChaosSchedule::default()) };
        if texts.is_empty() {
            let text = Mismatch::new("no window", "at least one, or no only", "add one, or leave it out");
            return Err(report.problem(at, text));
        }
        let windows = texts.each(at, |at, text| ChaosWindow::parse(text).map_err(|wrong| report.problem(at, wrong)));
        every(windows).map(ChaosSchedule::new)
    }
}

/// That a service whose budget is asked for has one.
fn check_budget(
    service: &str,
    scope: ChaosScope<'_>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let spec = scope.services.and_then(|all| all.iter().find(|spec| spec.name.as_str() == service));
    if spec.is_none_or(|spec| spec.slo.is_some()) {
        return Ok(());
    }
    let wanted = "a service with objectives, of which a budget is left";
    let remedy = format!("add [services.{service}.slo], or leave it out");
    let found = format!("it, and {service} has no objectives");
    Err(report.problem(at, Mismatch::new(found, wanted, remedy)))
}

/// The parts of a definition as they are written, with the share that it has.
fn written(input: &Input<'_>, at: &ConfigPath<'_>, share: Weight) -> ChaosWritten {
    let part = |key: &str| -> Value {
        let path = at.key(key);
        let read = input.value(&path).and_then(|value| read::once(value, path, &HashSet::new(), &|_, _, _| {}).ok());
        read.unwrap_or_default()
    };
    let mut target = part("target");
    if let Some(keys) = target.as_object_mut() {
        keys.insert("share".to_owned(), share.percent().into());
    }
    let [fault, hypothesis, stop_when, only] = ["fault", "hypothesis", "stop_when", "only"].map(part);
    ChaosWritten { target, fault, hypothesis, stop_when, only }
}
