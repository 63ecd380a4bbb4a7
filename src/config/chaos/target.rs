//! `target` of a chaos experiment: whose requests the fault is done to.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::ChaosScope;
use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::Setting;
use crate::problem::{Mismatch, Problem, ProblemKind, one_of, suggest};
use crate::shared::name::Name;
use crate::table::spec::VersionSpec;
use crate::table::spec::fault::FaultTarget;
use crate::table::{EndpointAddress, ServiceSpec, Weight};

/// One user of a hundred, if the bounds allow as many.
const SHARE: u32 = 1_000;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct RawFaultTarget {
    service: Option<String>,
    version: Option<String>,
    endpoint: Option<String>,
    zone: Option<String>,
    segment: Option<String>,
    share: Option<Setting<Weight>>,
}

impl RawFaultTarget {
    /// The service as it is written; empty if it is not.
    pub(super) fn service_name(&self) -> &str {
        self.service.as_deref().unwrap_or_default()
    }

    /// Builds it; `fault` is the word of what is done, if that is known.
    pub(super) fn build(
        &self,
        scope: ChaosScope<'_>,
        fault: Option<&str>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<FaultTarget, ErrorGuaranteed> {
        let found = self.service(scope, &at.key("service"), report);
        let share = self.share(scope, fault, &at.key("share"), report);
        let segment = self.segment.as_deref().map(|text| scope.segments.find(text, &at.key("segment"), report));
        let version = self.version.as_deref().map(|text| check::name(text, &at.key("version"), report));
        let zone = self.zone.as_deref().map(|text| check::name(text, &at.key("zone"), report));
        let endpoint = self.endpoint.as_deref().map(|text| endpoint(text, &at.key("endpoint"), report));
        self.check_fault(fault, at, report);
        let (service, spec) = found?;
        let (version, zone, endpoint) = (version.transpose()?, zone.transpose()?, endpoint.transpose()?);
        let parts = AimedParts { version, endpoint, zone };
        spec.map_or(Ok(()), |spec| check_parts(&parts, spec, at, report))?;
        let AimedParts { version, endpoint, zone } = parts;
        Ok(FaultTarget { service, version, endpoint, zone, segment: segment.transpose()?, share: share? })
    }

    /// The name of the service, and what it is if the services are known.
    fn service<'a>(
        &self,
        scope: ChaosScope<'a>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<(Name, Option<&'a ServiceSpec>), ErrorGuaranteed> {
        let Some(text) = &self.service else {
            let wanted = "the service whose users it is done to";
            return Err(report.missing(at, Mismatch::new("none", wanted, "add service = \"NAME\"")));
        };
        let name = check::name(text, at, report)?;
        let Some(services) = scope.services else { return Ok((name, None)) };
        let spec = services.iter().find(|service| service.name == name);
        let known = services.iter().map(|service| service.name.as_str());
        let Some(spec) = spec else {
            let Problem { found, wanted, remedy, .. } = Problem::no_service("", text, known);
            return Err(report.problem(at, Mismatch { found, wanted, remedy }));
        };
        Ok((name, Some(&**spec)))
    }

    fn share(
        &self,
        scope: ChaosScope<'_>,
        fault: Option<&str>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Weight, ErrorGuaranteed> {
        let most = scope.bounds.share_max;
        match (self.share, fault) {
            (Some(_), Some("command")) => {
                let wanted = "none: what a command does on a host reaches all users of it";
                Err(report.problem(at, Mismatch::new("a share beside a command", wanted, "leave it out")))
            }
            (None, Some("command")) => Ok(Weight::FULL),
            (None, _) => Ok(Weight::from_slots(SHARE.min(most.slots())).unwrap_or_default()),
            (Some(Setting(share)), _) if share > most => {
                let found = format!("{share}, above chaos.share_max = {most}");
                let wanted = format!("per cent of the users, above 0 and at most {most}");
                Err(report.problem(at, Mismatch::new(found, wanted, "lower it, or raise chaos.share_max")))
            }
            (Some(Setting(share)), _) if share == Weight::ZERO => {
                let wanted = format!("per cent of the users, above 0 and at most {most}");
                Err(report.problem(at, Mismatch::new("0", wanted, "raise it")))
            }
            (Some(Setting(share)), _) => Ok(share),
        }
    }

    /// That what is done can be done to what is meant.
    fn check_fault(&self, fault: Option<&str>, at: &ConfigPath<'_>, report: &mut Report<'_>) {
        let one = [("endpoint", self.endpoint.is_some()), ("zone", self.zone.is_some())];
        for (key, _) in one.into_iter().filter(|(_, is_written)| *is_written) {
            let text = match fault {
                Some("exhaust") => {
                    Mismatch::new(format!("{key} beside exhaust"), "none: places are the service's", "leave it out")
                }
                Some("command") => {
                    let remedy = "name the host in the command: { run = [...], undo = [...], host = \"db1\" }";
                    Mismatch::new(
                        format!("{key} beside a command"),
                        "none: requests are not what it is done to",
                        remedy,
                    )
                }
                _ => continue,
            };
            report.problem(&at.key(key), text);
        }
    }
}

fn endpoint(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<EndpointAddress, ErrorGuaranteed> {
    EndpointAddress::new(text).ok_or_else(|| {
        let wanted = "IP:PORT or NAME:PORT, as it stands in endpoints of the service";
        report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "write it as it stands there"))
    })
}

/// What is meant of a service.
struct AimedParts {
    version: Option<Name>,
    endpoint: Option<EndpointAddress>,
    zone: Option<Name>,
}

/// That the service has what is meant of it.
fn check_parts(
    target: &AimedParts,
    spec: &ServiceSpec,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let names = || spec.versions.iter().map(|version| version.name.as_str());
    if let Some(name) = target.version.as_ref().filter(|name| !names().any(|known| known == name.as_str())) {
        let problem = Problem::no_version(ProblemKind::Invalid, "", name.as_str(), names());
        let Problem { found, wanted, remedy, .. } = problem;
        return Err(report.problem(&at.key("version"), Mismatch { found, wanted, remedy }));
    }
    let of_version = |version: &&VersionSpec| target.version.as_ref().is_none_or(|name| *name == version.name);
    let versions = || spec.versions.iter().filter(of_version);
    let whose = match &target.version {
        Some(version) => format!("{} {version}", spec.name),
        None => spec.name.to_string(),
    };
    let zone = check_zone(target, versions(), &whose, &at.key("zone"), report);
    if let Some(endpoint) = &target.endpoint {
        let has = |version: &VersionSpec| match endpoint {
            EndpointAddress::Ip(address) => version.endpoints.contains(address),
            EndpointAddress::Name(name) => version.names.contains(name),
        };
        if !versions().any(has) {
            let of = |version: &VersionSpec| {
                let addresses = version.endpoints.iter().map(ToString::to_string);
                addresses.chain(version.names.iter().map(ToString::to_string)).collect::<Vec<_>>()
            };
            let known: Vec<String> = versions().flat_map(of).collect();
            let found = format!("{:?}, which {whose} does not have", endpoint.to_string());
            let text = Mismatch::new(found, one_of(known.iter().map(String::as_str)), "name one of them");
            return Err(report.problem(&at.key("endpoint"), text));
        }
    }
    zone
}

fn check_zone<'a>(
    target: &AimedParts,
    versions: impl Iterator<Item = &'a VersionSpec>,
    whose: &str,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let Some(zone) = &target.zone else { return Ok(()) };
    let known: BTreeSet<&Name> = versions.flat_map(|version| version.zones.values()).collect();
    if known.contains(zone) {
        return Ok(());
    }
    let names = || known.iter().map(|name| name.as_str());
    let wanted = if known.is_empty() { format!("none: {whose} has no zones") } else { one_of(names()) };
    let remedy = match suggest(zone.as_str(), names()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("add zones = {{ \"10.0.0.1:8080\" = \"{zone}\" }} to a version"),
    };
    Err(report.problem(at, Mismatch::new(format!("the zone {zone:?}", zone = zone.as_str()), wanted, remedy)))
}
