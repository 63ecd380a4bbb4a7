//! `[groups.NAME]`: services and flags that are released together.
//!
//! Where the requests of a service are in several of them, with other versions and other variants, each user has to be
//! on the same side of all: else what one of them breaks is spread over both sides of the other, and no comparison sees
//! it. So a flag that is listed by a service of the group, or by one that lists another flag of it, draws as that does.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::of_flag;
use super::rollout::RawRollout;
use crate::config::build::Build;
use crate::config::check;
use crate::config::flag::{RawFlag, SERVICE_SALT};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::service::RawService;
use crate::problem::{Mismatch, listed, suggest};
use crate::rollout::release::ReleaseGroup;
use crate::table::Name;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawGroup {
    services: List<String>,
    flags: List<String>,
    rollout: RawRollout,
}

/// What releases are of.
#[derive(Clone, Copy)]
pub(crate) struct Releasable<'r> {
    /// The services of the file.
    pub(crate) services: &'r BTreeMap<String, RawService>,
    /// Its flags.
    pub(crate) flags: &'r BTreeMap<String, RawFlag>,
}

/// All groups, by name.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawGroup>,
    known: Releasable<'_>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<BTreeMap<Name, Arc<ReleaseGroup>>, ErrorGuaranteed> {
    let mut members = GroupMembers { known, services: BTreeMap::new(), flags: BTreeMap::new() };
    let groups = check::every(raw.iter().map(|(name, raw)| raw.build(name, &mut members, &at.key(name), build)))?;
    Ok(groups.into_iter().map(|group| (group.name.clone(), Arc::new(group))).collect())
}

/// What groups may name.
struct GroupMembers<'r> {
    known: Releasable<'r>,
    /// The services that are in a group already, and in which one.
    services: BTreeMap<&'r str, &'r str>,
    /// The same of flags.
    flags: BTreeMap<&'r str, &'r str>,
}

impl RawGroup {
    fn build<'r>(
        &'r self,
        name: &'r str,
        members: &mut GroupMembers<'r>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<ReleaseGroup, ErrorGuaranteed> {
        let (services_at, flags_at) = (at.key("services"), at.key("flags"));
        let own_name = check::name(name, at, &mut build.report);
        let taken =
            self.services.iter().map(|(i, text)| members.take(text, name, &services_at.item(i), &mut build.report));
        let services = check::every(taken.collect::<Vec<_>>());
        let taken =
            self.flags.iter().map(|(i, text)| members.take_flag(text, name, &flags_at.item(i), &mut build.report));
        let flags = check::every(taken.collect::<Vec<_>>());
        let release = self.rollout.build(&at.key("rollout"), build);
        let (services, flags) = (services?, flags?);
        let count = services.len() + flags.len();
        if count < 2 {
            let wanted = "at least two services, or flags";
            let text = Mismatch::new(count.to_string(), wanted, "name them, or remove the group");
            return Err(build.report.missing(&services_at, text));
        }
        let release = release?;
        if !flags.is_empty() {
            of_flag::check_shape(&release, services.is_empty(), &at.key("rollout"), &mut build.report)?;
        }
        let group = ReleaseGroup { name: own_name?, services, flags, release: Arc::new(release) };
        self.check_draws(&group, members.known, &flags_at, &mut build.report).map(|()| group)
    }

    /// Reports flags that put a user on another side than what else is moved of a service.
    fn check_draws(
        &self,
        group: &ReleaseGroup,
        known: Releasable<'_>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<(), ErrorGuaranteed> {
        let problem = |(index, flag): (usize, &String)| {
            let other = conflicting(group, known, flag)?;
            Some(report.problem(&at.item(index), other.mismatch(flag)))
        };
        let problems: Vec<ErrorGuaranteed> = self.flags.iter().filter_map(problem).collect();
        problems.into_iter().next().map_or(Ok(()), Err)
    }
}

/// A service that carries a flag, and what else of the group is moved there.
struct OtherDraw<'g> {
    service: &'g str,
    /// A flag, or the versions of the service.
    flag: Option<&'g str>,
    /// The other service of the group that the flag draws as.
    drawn_as: Option<&'g str>,
}

impl OtherDraw<'_> {
    fn mismatch(&self, own: &str) -> Mismatch {
        let Self { service, flag, drawn_as } = self;
        let (with, remedy) = match flag {
            None => {
                let remedy = match drawn_as {
                    Some(other) => format!("give {service} the sticky and the salt of {other}, or take it out"),
                    None => format!("set flags.{own}.salt = \"service:{service}\", or release it by itself"),
                };
                (format!("the versions of {service}"), remedy)
            }
            Some(other) => (
                format!("the flag {other}"),
                format!("give flags.{own} and flags.{other} the same salt, or release one of them by itself"),
            ),
        };
        Mismatch::new(
            format!("{own:?}, which {service} lists and which draws other users than {with}"),
            "users who are on the same side of all that is moved of a service",
            remedy,
        )
    }
}

/// What is moved of a service that lists `flag`, and draws otherwise.
fn conflicting<'g>(group: &'g ReleaseGroup, known: Releasable<'g>, flag: &'g str) -> Option<OtherDraw<'g>> {
    let lists = |service: &RawService, flag: &str| service.flags().iter().any(|(_, name)| name == flag);
    let own = known.flags.get(flag)?.draws_by(flag);
    let mut listing = known.services.iter().filter(|(_, service)| lists(service, flag));
    listing.find_map(|(name, service)| {
        let in_group = group.services.iter().any(|member| member.as_str() == name);
        if in_group && !draws_as(own, name, group, known) {
            let of_group = |salt: &&str| group.services.iter().any(|member| member.as_str() == *salt);
            let drawn_as = own.strip_prefix(SERVICE_SALT).filter(of_group);
            return Some(OtherDraw { service: name, flag: None, drawn_as });
        }
        let before = group.flags.iter().map(Name::as_str).take_while(|other| *other != flag);
        // Those that draw as the service does draw alike.
        let mut before = before.filter(|other| !in_group && lists(service, other));
        let is_other = |other: &&str| known.flags.get(*other).is_some_and(|raw| raw.draws_by(other) != own);
        before.find(is_other).map(|other| OtherDraw { service: name, flag: Some(other), drawn_as: None })
    })
}

/// Whether a flag with this salt draws the users of a service of a group as the service does.
fn draws_as(salt: &str, service: &str, group: &ReleaseGroup, known: Releasable<'_>) -> bool {
    let Some(drawn_as) = salt.strip_prefix(SERVICE_SALT) else { return false };
    if drawn_as == service {
        return true;
    }
    // Services of a group share one salt, unless they have their own.
    let both = known.services.get(drawn_as).zip(known.services.get(service));
    let together = group.services.iter().any(|member| member.as_str() == drawn_as);
    together && both.is_some_and(|(one, other)| one.draws_like(other))
}

impl<'r> GroupMembers<'r> {
    /// A service that becomes part of the group `group`.
    fn take(
        &mut self,
        text: &'r str,
        group: &'r str,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Name, ErrorGuaranteed> {
        let service_at = ConfigPath::Root.key("services");
        let Some(service) = self.known.services.get(text) else {
            let names = || self.known.services.keys().map(String::as_str);
            let wanted = format!("a service: {}", listed(names()));
            return Err(report.unless(&service_at.key(text), at, unknown(text, wanted, names(), &service_at)));
        };
        once(&mut self.services, [text, group], "service", at, report)?;
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

    /// A flag that does.
    fn take_flag(
        &mut self,
        text: &'r str,
        group: &'r str,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Name, ErrorGuaranteed> {
        let flag_at = ConfigPath::Root.key("flags");
        let Some(flag) = self.known.flags.get(text) else {
            let names = || self.known.flags.keys().map(String::as_str);
            let known = if names().next().is_none() { "none is defined".to_owned() } else { listed(names()) };
            let wanted = format!("a flag of the config: {known}");
            return Err(report.unless(&flag_at.key(text), at, unknown(text, wanted, names(), &flag_at)));
        };
        once(&mut self.flags, [text, group], "flag", at, report)?;
        if let Some(mismatch) = flag.unreleasable(text) {
            return Err(report.unless(&flag_at.key(text), at, mismatch));
        }
        let listed = self.known.services.values().any(|service| service.flags().iter().any(|(_, name)| name == text));
        if !listed {
            let found = format!("{text:?}, which no service lists");
            let remedy = format!("add flags = [\"{text}\"] to a service that acts on it");
            return Err(report.problem(at, Mismatch::new(found, "one whose requests it can be judged by", remedy)));
        }
        check::name(text, at, report)
    }
}

/// What is named is not there; it would be below `at`.
fn unknown<'k>(text: &str, wanted: String, known: impl Iterator<Item = &'k str>, at: &ConfigPath<'_>) -> Mismatch {
    let remedy = match suggest(text, known) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("add [{}]", at.key(text)),
    };
    Mismatch::new(format!("{text:?}"), wanted, remedy)
}

/// Notes that `text` is in `group`; a member is in one group, once.
fn once<'r>(
    grouped: &mut BTreeMap<&'r str, &'r str>,
    [text, group]: [&'r str; 2],
    what: &str,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let Some(other) = grouped.insert(text, group) else { return Ok(()) };
    let problem = match other == group {
        true => {
            Mismatch::new(format!("{text:?} for the second time"), format!("each {what} once"), "remove one of the two")
        }
        false => Mismatch::new(format!("{text:?}, which is in groups.{other} too"), "it in one group", "choose one"),
    };
    Err(report.problem(at, problem))
}
