//! Everything that a config says about releases, put together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::group::{self, RawGroup, Releasable};
use super::of_flag;
use super::rollout::RawRollout;
use super::section::RolloutSection;
use crate::config::build::Build;
use crate::config::flag::RawFlag;
use crate::config::process::notify;
use crate::config::process::notify::RawNotify;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::input::Input;
use crate::config::reader::report::ErrorGuaranteed;
use crate::rollout::release::{Release, Releases};
use crate::table::Name;

/// The rollout sections as they are written; empty ones where none is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RolloutSections {
    /// By service, each of them.
    pub services: BTreeMap<Name, RolloutSection>,
    /// By group, each of them.
    pub groups: BTreeMap<Name, RolloutSection>,
    /// By flag, those that are written.
    pub flags: BTreeMap<Name, RolloutSection>,
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
        let flags = releases.flags.keys().map(|name| (name.clone(), section("flags", name)));
        Self { services: services.collect(), groups: groups.collect(), flags: flags.collect() }
    }
}

/// The releases of all services, flags and groups, and who is told.
pub(crate) fn build(
    known: Releasable<'_>,
    groups: &BTreeMap<String, RawGroup>,
    notified: &BTreeMap<String, RawNotify>,
    build: &mut Build<'_>,
) -> Result<Releases, ErrorGuaranteed> {
    let services_at = ConfigPath::Root.key("services");
    // One for all services that say nothing: a config may have thousands.
    let default = RawRollout::default().build(&services_at.key("rollout"), build).map(Arc::new)?;
    let mut releases = Ok(BTreeMap::new());
    for (name, service) in known.services {
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
    let flags = flags(known.flags, build);
    let groups = group::build_all(groups, known, &ConfigPath::Root.key("groups"), build);
    let notify = notify::build_all(notified, &ConfigPath::Root.key("notify"), build);
    Ok(Releases { services: releases?, flags: flags?, groups: groups?, notify: notify? })
}

/// The releases of the flags that say how.
fn flags(
    flags: &BTreeMap<String, RawFlag>,
    build: &mut Build<'_>,
) -> Result<BTreeMap<Name, Arc<Release>>, ErrorGuaranteed> {
    let all = ConfigPath::Root.key("flags");
    let mut releases = Ok(BTreeMap::new());
    for (name, flag) in flags {
        let Some(release) = of_flag::build(flag, name, &all.key(name), build) else { continue };
        // A bad name is reported with its flag.
        match (release, Name::new(name), &mut releases) {
            (Ok(release), Ok(name), Ok(releases)) => drop(releases.insert(name, Arc::new(release))),
            (Err(reported), ..) => releases = Err(reported),
            _ => {}
        }
    }
    releases
}
