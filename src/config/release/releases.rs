//! Everything that a config says about releases, put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::group;
use super::group::RawGroup;
use super::section::RolloutSection;
use crate::config::build::Build;
use crate::config::process::notify;
use crate::config::process::notify::RawNotify;
use crate::config::reader::config_path::Place;
use crate::config::reader::document::Document;
use crate::config::reader::report::Reported;
use crate::config::service::definition::RawService;
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
    pub(crate) fn of(document: &Document<'_>, releases: &Releases) -> Self {
        let section = |all: &str, name: &Name| {
            let all = Place::Root.key(all);
            RolloutSection::of(document, all.key(name).key("rollout"))
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
) -> Result<Releases, Reported> {
    let services_at = Place::Root.key("services");
    // One for all services that say nothing: a config may have thousands.
    let default = RolloutSection::default().release().map(Arc::new);
    let default = default.map_err(|why| build.report.problem(&services_at, why.to_string()))?;
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
    let groups = group::build_all(groups, services, &Place::Root.key("groups"), build);
    let notify = notify::build_all(notified, &Place::Root.key("notify"), build);
    Ok(Releases { services: releases?, groups: groups?, notify: notify? })
}
