//! `[groups.NAME]`: services that are released together.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::rollout::RawRollout;
use crate::config::build::Build;
use crate::config::check;
use crate::config::reader::config_path::Place;
use crate::config::reader::list::List;
use crate::config::reader::report::Reported;
use crate::config::reader::suggest::{listed, nearest};
use crate::config::service::definition::RawService;
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
    at: &Place<'_>,
    build: &mut Build<'_>,
) -> Result<BTreeMap<Name, Arc<ReleaseGroup>>, Reported> {
    let mut known = Known { services, taken: BTreeMap::new() };
    let groups = check::every(raw.iter().map(|(name, raw)| raw.build(name, &mut known, &at.key(name), build)))?;
    Ok(groups.into_iter().map(|group| (group.name.clone(), Arc::new(group))).collect())
}

/// What groups may name.
struct Known<'r> {
    services: &'r BTreeMap<String, RawService>,
    /// The services that are in a group already, and in which one.
    taken: BTreeMap<&'r str, &'r str>,
}

impl RawGroup {
    fn build<'r>(
        &'r self,
        name: &'r str,
        known: &mut Known<'r>,
        at: &Place<'_>,
        build: &mut Build<'_>,
    ) -> Result<ReleaseGroup, Reported> {
        let list = at.key("services");
        let own_name = check::name(name, at, &mut build.report);
        let services: Vec<_> = self.services.iter().map(|(index, text)| (index, text.as_str())).collect();
        let services = check::every(services.iter().map(|(i, text)| known.take(text, name, &list.item(*i), build)));
        let release = self.rollout.build(&at.key("rollout"), build);
        let services = services?;
        if services.len() < 2 {
            let text = format!("found {}, want at least two services (name them, or remove the group)", services.len());
            return Err(build.report.missing(&list, text));
        }
        Ok(ReleaseGroup { name: own_name?, services, release: Arc::new(release?) })
    }
}

impl<'r> Known<'r> {
    /// A service that becomes part of the group `group`.
    fn take(&mut self, text: &'r str, group: &'r str, at: &Place<'_>, build: &mut Build<'_>) -> Result<Name, Reported> {
        let report = &mut build.report;
        let service_at = Place::Root.key("services");
        let Some(service) = self.services.get(text) else {
            let names = || self.services.keys().map(String::as_str);
            let remedy = match nearest(text, names()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("add [{}]", service_at.key(text)),
            };
            let problem = format!("found {text:?}, want a service: {} ({remedy})", listed(names()));
            return Err(report.unless(&service_at.key(text), at, problem));
        };
        if let Some(other) = self.taken.insert(text, group) {
            let problem = match other == group {
                true => format!("found {text:?} for the second time, want each service once (remove one of the two)"),
                false => format!("found {text:?}, which is in groups.{other} too, want it in one group (choose one)"),
            };
            return Err(report.problem(at, problem));
        }
        let versions = service.versions_count();
        if versions < 2 {
            let own = service_at.key(text);
            let all = own.key("versions");
            let word = if versions == 1 { "version" } else { "versions" };
            let remedy = format!("add [{}]", all.key("v2"));
            let problem = format!("found {text:?} with {versions} {word}, want two or more to release ({remedy})");
            return Err(report.unless(&all, at, problem));
        }
        check::name(text, at, report)
    }
}
