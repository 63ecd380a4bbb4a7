//! The release settings as the running process asks for them: the sections of services and groups, and who is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::section::RolloutSection;
use crate::config::Config;
use crate::rollout::release::Notify;
use crate::table::Name;

/// How services are released, as the config says.
#[derive(Clone, Debug, Default)]
pub struct ReleaseSettings {
    /// The sections `rollout`, by service.
    pub services: BTreeMap<Name, RolloutSection>,
    /// The groups, with their sections.
    pub groups: BTreeMap<Name, (Vec<Name>, RolloutSection)>,
    /// Who is told what happens.
    pub notify: Vec<Arc<Notify>>,
}

impl ReleaseSettings {
    /// What a config says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let Config { releases, rollout_sections, .. } = config;
        let section = |name: &Name| rollout_sections.groups.get(name).cloned().unwrap_or_default();
        let groups = releases.groups.iter();
        Self {
            services: rollout_sections.services.clone(),
            groups: groups.map(|(name, group)| (name.clone(), (group.services.clone(), section(name)))).collect(),
            notify: releases.notify.clone(),
        }
    }
}
