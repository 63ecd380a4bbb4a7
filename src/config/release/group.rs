//! `[groups.NAME]`: services that are released together.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::rollout::RawRollout;
use crate::config::build::Build;
use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::ErrorGuaranteed;
use crate::config::service::RawService;
use crate::problem::{Mismatch, listed, suggest};
use crate::rollout::release::ReleaseGroup;
use crate::table::Name;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawGroup {
    services: List<String>,
    rollout: RawRollout,
}

/// All groups, by name.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawGroup>,
    services: &BTreeMap<String, RawService>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<BTreeMap<Name, Arc<ReleaseGroup>>, ErrorGuaranteed> {
    let mut known = ServiceNames { services, grouped: BTreeMap::new() };
    let groups = check::every(raw.iter().map(|(name, raw)| raw.build(name, &mut known, &at.key(name), build)))?;
    Ok(groups.into_iter().map(|group| (group.name.clone(), Arc::new(group))).collect())
}

/// What groups may name.
struct ServiceNames<'r> {
    services: &'r BTreeMap<String, RawService>,
    /// The services that are in a group already, and in which one.
    grouped: BTreeMap<&'r str, &'r str>,
}

impl RawGroup {
    fn build<'r>(
        &'r self,
        name: &'r str,
        known: &mut ServiceNames<'r>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<ReleaseGroup, ErrorGuaranteed> {
        let list = at.key("services");
        let own_name = check::name(name, at, &mut build.report);
        let services: Vec<_> = self.services.iter().map(|(index, text)| (index, text.as_str())).collect();
        let services = check::every(services.iter().map(|(i, text)| known.take(text, name, &list.item(*i), build)));
        let release = self.rollout.build(&at.key("rollout"), build);
        let services = services?;
        if services.len() < 2 {
            let text =
                Mismatch::new(services.len().to_string(), "at least two services", "name them, or remove the group");
            return Err(build.report.missing(&list, text));
        }
        Ok(ReleaseGroup { name: own_name?, services, release: Arc::new(release?) })
    }
}

impl<'r> ServiceNames<'r> {
    /// A service that becomes part of the group `group`.
    fn take(
        &mut self,
        text: &'r str,
        group: &'r str,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<Name, ErrorGuaranteed> {
        let report = &mut build.report;
        let service_at = ConfigPath::Root.key("services");
        let Some(service) = self.services.get(text) else {
            let names = || self.services.keys().map(String::as_str);
            let remedy = match suggest(text, names()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("add [{}]", service_at.key(text)),
            };
            let problem = Mismatch::new(format!("{text:?}"), format!("a service: {}", listed(names())), remedy);
            return Err(report.unless(&service_at.key(text), at, problem));
        };
        if let Some(other) = self.grouped.insert(text, group) {
            let problem = match other == group {
                true => {
                    Mismatch::new(format!("{text:?} for the second time"), "each service once", "remove one of the two")
                }
                false => {
                    Mismatch::new(format!("{text:?}, which is in groups.{other} too"), "it in one group", "choose one")
                }
            };
            return Err(report.problem(at, problem));
        }
        let versions = service.versions_count();
        if versions < 2 {
            let own = service_at.key(text);
            let all = own.key("versions");
            let word = if versions == 1 { "version" } else { "versions" };
            let remedy = format!("add [{}]", all.key("v2"));
            let problem = Mismatch::new(format!("{text:?} with {versions} {word}"), "two or more to release", remedy);
            return Err(report.unless(&all, at, problem));
        }
        check::name(text, at, report)
    }
}
