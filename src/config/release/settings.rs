//! The release settings as the running process asks for them: the sections of services, flags and groups, and who is
//! told. Chaos experiments are among them: what the process does by itself is told it in one piece.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::guardrails::GuardrailMetrics;
use super::section::RolloutSection;
use crate::config::{ChaosConfig, Config};
use crate::rollout::release::{Notify, ReleaseGroup};
use crate::table::Name;

/// A group, as the running process asks for it.
#[derive(Clone, Debug, Default)]
pub struct GroupSettings {
    /// Its services.
    pub services: Vec<Name>,
    /// Its flags.
    pub flags: Vec<Name>,
    /// Its section `rollout`.
    pub section: RolloutSection,
}

/// How services and flags are released, as the config says.
#[derive(Clone, Debug, Default)]
pub struct ReleaseSettings {
    /// The sections `rollout`, by service.
    pub services: BTreeMap<Name, RolloutSection>,
    /// The sections `rollout` of flags, where one is written.
    pub flags: BTreeMap<Name, RolloutSection>,
    /// The groups.
    pub groups: BTreeMap<Name, GroupSettings>,
    /// The metrics of users that plans may name.
    pub metrics: GuardrailMetrics,
    /// Who is told what happens.
    pub notify: Vec<Arc<Notify>>,
    /// What may be made to fail on purpose.
    pub(crate) chaos: Arc<ChaosConfig>,
}

impl ReleaseSettings {
    /// What a config says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let Config { releases, rollout_sections, .. } = config;
        let section = |name: &Name| rollout_sections.groups.get(name).cloned().unwrap_or_default();
        let of = |(name, group): (&Name, &Arc<ReleaseGroup>)| {
            let (services, flags) = (group.services.clone(), group.flags.clone());
            (name.clone(), GroupSettings { services, flags, section: section(name) })
        };
        Self {
            services: rollout_sections.services.clone(),
            flags: rollout_sections.flags.clone(),
            groups: releases.groups.iter().map(of).collect(),
            metrics: config.guardrail_metrics.clone(),
            notify: releases.notify.clone(),
            chaos: Arc::clone(&config.chaos),
        }
    }
}
