//! Everything that a config says about releases, put together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::group;
use super::group::RawGroup;
use super::rollout::RawRollout;
use super::section::RolloutSection;
use crate::config::build::Build;
use crate::config::process::notify;
use crate::config::process::notify::RawNotify;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::input::Input;
use crate::config::reader::report::ErrorGuaranteed;
use crate::config::service::RawService;
use crate::rollout::release::Releases;
use crate::table::Name;

/// The rollout sections as they are written; empty ones where none is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RolloutSections {
    /// By service, each of them.
    pub services: BTreeMap<Name, RolloutSection>,
    /// By group, each of them.
    pub groups: BTreeMap<Name, RolloutSection>,
}

impl RolloutSections {
    /// The sections of a config without problems.
    pub(crate) fn of(input: &Input<'_>, releases: &Releases, base: &Path) -> Self {
        let section = |all: &str, name: &Name| {
            let all = ConfigPath::Root.key(all);
            RolloutSection::of(input, all.key(name).key("rollout"), base)
        };
        let services = releases.services.keys().map(|name| (name.clone(), section("services", name)));
        let groups = releases.groups.keys().map(|name| (name.clone(), section("groups", name)));
        Self { services: services.collect(), groups: groups.collect() }
    }
}

/// The releases of all services and groups, and who is told.
pub(crate) fn build(
    services: &BTreeMap<String, RawService>,
    groups: &BTreeMap<String, RawGroup>,
    notified: &BTreeMap<String, RawNotify>,
    build: &mut Build<'_>,
) -> Result<Releases, ErrorGuaranteed> {
    let services_at = ConfigPath::Root.key("services");
    // One for all services that say nothing: a config may have thousands.
    let default = RawRollout::default().build(&services_at.key("rollout"), build).map(Arc::new)?;
    let mut releases = Ok(BTreeMap::new());
    for (name, service) in services {
        let at = services_at.key(name);
        let release = match service.rollout() {
            Some(raw) => raw.build(&at.key("rollout"), build).map(Arc::new),
            None => Ok(Arc::clone(&default)),
        };
        // A bad name was reported with its service.
        match (release, Name::new(name), &mut releases) {
            (Ok(release), Ok(name), Ok(releases)) => drop(releases.insert(name, release)),
            (Err(reported), ..) => releases = Err(reported),
            _ => {}
        }
    }
    let groups = group::build_all(groups, services, &ConfigPath::Root.key("groups"), build);
    let notify = notify::build_all(notified, &ConfigPath::Root.key("notify"), build);
    Ok(Releases { services: releases?, groups: groups?, notify: notify? })
}
