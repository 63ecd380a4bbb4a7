//! `[chaos]`: whether anything may be made to fail on purpose, how far that may reach, and the experiments that do.
//!
//! An experiment is also read from a call, by the same reader and against the same bounds. What it would run or ask,
//! commands and webhooks, is the file's alone, as in plans of releases: who may operate the traffic must not be able to
//! start programs as the proxy's user.

pub(crate) mod experiment;
mod fault;
mod hypothesis;
mod target;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use self::experiment::RawChaosExperiment;
use super::build::Build;
use super::check::{every, setting};
use super::reader::config_path::ConfigPath;
use super::reader::input::Input;
use super::reader::read;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::{Setting, TimeSpan};
use super::service::definition_index::DefinitionIndex;
use super::service::segment;
use crate::chaos::chaos_definition::ChaosDefinition;
use crate::problem::Problems;
use crate::shared::name::Name;
use crate::table::spec::Segment;
use crate::table::{ServiceSpec, Weight};

/// One user of twenty at most.
const SHARE_MAX: u32 = 5_000;

/// The control slice is as large as the fault slice, and both have to fit.
const SHARE_MOST: u32 = 50_000;

/// Long enough to see what a cache or a pool does, short enough to be watched to its end.
const DURATION_MAX: TimeSpan = TimeSpan::secs(1_800);

/// Where the definition of a call stands.
const DEFINITION: &str = "definition";

/// Whether anything may be made to fail on purpose, how far that may reach, and what does.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChaosConfig {
    /// Without it nothing can be started.
    pub(crate) enabled: bool,
    /// The share of a service's users that faults may reach.
    pub(crate) share_max: Weight,
    /// How long a fault may be there.
    pub(crate) duration_max: Duration,
    /// The experiments, by their names.
    pub(crate) experiments: BTreeMap<Name, Arc<ChaosDefinition>>,
    /// What a definition of a call may name.
    segments: Vec<Arc<Segment>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawChaos {
    enabled: bool,
    share_max: Option<Setting<Weight>>,
    duration_max: Option<Setting<TimeSpan>>,
    experiments: BTreeMap<String, RawChaosExperiment>,
}

/// The bounds of all experiments.
#[derive(Clone, Copy)]
struct ChaosBounds {
    share_max: Weight,
    duration_max: Duration,
    /// Whether what is read is a call.
    is_call: bool,
}

/// What an experiment names, and how far it may reach. No services where those have problems of their own.
#[derive(Clone, Copy)]
struct ChaosScope<'a> {
    services: Option<&'a [Arc<ServiceSpec>]>,
    segments: &'a DefinitionIndex<Segment>,
    bounds: ChaosBounds,
}

impl RawChaos {
    /// Builds the section; `services` are none where those have problems of their own.
    pub(crate) fn build(
        &self,
        services: Option<&[Arc<ServiceSpec>]>,
        segments: &DefinitionIndex<Segment>,
        input: &Input<'_>,
        build: &mut Build<'_>,
    ) -> Result<ChaosConfig, ErrorGuaranteed> {
        let at = ConfigPath::Root.key("chaos");
        let report = &mut build.report;
        let shares = weight(1)..=weight(SHARE_MOST);
        let share_max = setting(self.share_max, weight(SHARE_MAX), shares, &at.key("share_max"), report);
        let durations = TimeSpan::secs(1)..=TimeSpan::secs(86_400);
        let duration_max = setting(self.duration_max, DURATION_MAX, durations, &at.key("duration_max"), report);
        let bounds = ChaosBounds {
            // Experiments are looked at whatever is wrong with the bounds.
            share_max: share_max.unwrap_or(weight(SHARE_MOST)),
            duration_max: duration_max.map_or(Duration::MAX, |most| most.0),
            is_call: false,
        };
        let all = at.key("experiments");
        let experiments = every(self.experiments.iter().map(|(name, raw)| {
            let scope = ChaosScope { services, segments, bounds };
            let built = raw.build(name, scope, input, &all.key(name), build)?;
            Ok((built.name.clone(), Arc::new(built)))
        }));
        Ok(ChaosConfig {
            enabled: self.enabled,
            share_max: share_max?,
            duration_max: duration_max?.0,
            experiments: experiments?.into_iter().collect(),
            segments: segments.good().collect(),
        })
    }
}

impl ChaosConfig {
    /// The experiment that the body of a call defines, among the services that there are.
    ///
    /// # Errors
    /// All problems, by keys such as `definition.duration`; they have no lines.
    pub(crate) fn read(
        &self,
        name: &str,
        definition: &Value,
        services: &[Arc<ServiceSpec>],
    ) -> Result<ChaosDefinition, Problems> {
        let body = json!({ DEFINITION: definition });
        let input = Input::json(&body);
        let (path, mut report) = (ConfigPath::Root.key(DEFINITION), Report::new(&input));
        let raw: RawChaosExperiment = read::at(path, &input, &mut report).unwrap_or_default();
        let mut build = Build::new(report, Path::new(""));
        let mut segments = segment::index();
        for segment in &self.segments {
            segments.add_known(segment.name.as_str(), segment);
        }
        let Self { share_max, duration_max, .. } = *self;
        let bounds = ChaosBounds { share_max, duration_max, is_call: true };
        let scope = ChaosScope { services: Some(services), segments: &segments, bounds };
        let built = raw.build(name, scope, &input, &path, &mut build);
        build.report.finish(built)
    }
}

fn weight(slots: u32) -> Weight {
    Weight::from_slots(slots).unwrap_or_default()
}

#[cfg(test)]
mod tests;
