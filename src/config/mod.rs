//! From the text of a config file to a [`Config`] that cannot be wrong, or to everything that is wrong with it.
//!
//! A file goes through two types, in one direction. The *raw* sections are what a user may write: derived from serde,
//! every key optional, unknown keys refused. The sections of [`Config`] are what the program uses, and need no second
//! check. In between, each section builds itself, in the file of its name, and reports what it cannot use; it goes
//! on after a problem, so that one run names them all, each with its line, what was found, what is wanted and what to
//! do. A problem that only follows from another one (a split that names a version whose own section is wrong) is not
//! reported.
//!
//! Why not serde alone: it stops at the first error, and a bad file is then mended one run at a time, in the middle of
//! an outage. Why not a hand-written parser: every key would be named three times.
//!
//! Nothing here reads a file, not even those that the config names, or a clock: the same text with the same variables
//! ([`reader::variables`]) is the same config.

mod build;
mod caller_token;
mod callers;
pub(crate) mod chaos;
pub(crate) mod check;
mod commit_status;
mod events;
mod experiment;
mod files;
mod files_beside;
pub(crate) mod flag;
mod flag_answers;
mod fleet;
mod limits;
pub(crate) mod listener;
mod ofrep;
pub(crate) mod process;
pub(crate) mod reader;
pub(crate) mod release;
mod repository;
pub(crate) mod service;
mod tls;
mod url;
mod write_back_terms;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use self::build::Build;
pub use self::caller_token::CallerToken;
pub(crate) use self::chaos::ChaosConfig;
pub use self::check::RESERVED_NAMES;
pub use self::commit_status::{Forge, StatusConfig};
pub use self::events::EventsConfig;
use self::experiment::definition::ExperimentScope;
pub(crate) use self::experiment::sums::parse_sums;
pub use self::files::{ConfigFiles, ConfigKey, Remark, TlsFiles};
pub use self::files_beside::{FilesBeside, PageFiles, PagesBeside};
pub use self::flag::import::flag_import;
pub use self::flag::imported_text::{ImportedText, UnreadableImport};
pub use self::flag_answers::{FlagAnswers, OFREP, OfrepAccess};
pub use self::fleet::{FleetConfig, FleetUser};
pub use self::limits::{IN_FLIGHT_DEFAULT, ListenerLimits, RateBy, RequestRate};
pub use self::listener::ListenerConfig;
pub use self::listener::proxy_protocol::ProxyProtocol;
pub use self::ofrep::OfrepConfig;
pub use self::process::access_log::{AccessLog, LogFormat};
pub use self::process::admin::{AdminAddress, AdminConfig, CertificateClient};
pub use self::process::admin_token::{AdminRole, AdminToken};
pub use self::process::proxy::ProxyConfig;
pub use self::process::state::StateConfig;
pub use self::process::token_keys::{JwtConfig, JwtKeys};
use self::reader::report::ErrorGuaranteed;
pub use self::reader::units::{duration, size};
pub use self::reader::variables::{ConfigEnvironment, ConfigSurroundings};
pub(crate) use self::release::guardrails::{GuardrailMetrics, compares_nothing, unknown_metric};
pub(crate) use self::release::overrides::IN_THE_FILE;
pub use self::release::overrides::ReleaseOverrides;
pub use self::release::releases::RolloutSections;
pub use self::release::section::RolloutSection;
pub use self::release::settings::ReleaseSettings;
use self::repository::OfMachine;
pub(crate) use self::repository::is_branch_name;
pub use self::repository::{CommitSigners, GitopsConfig, GitopsWords, LocalConfig, is_local, parse_local};
use self::service::RawService;
pub use self::service::edge::page_files::page_files;
pub use self::write_back_terms::{Committer, WriteBackConfig, WriteBackTarget};
use crate::experiment::definition::ExperimentSpec;
pub use crate::problem::{Problem, ProblemKind, Problems};
use crate::rollout::release::Releases;
use crate::table::ServiceSpec;
use crate::table::flag_table::token_readers;
use crate::table::spec::experiment::AssignmentSpec;
use crate::table::spec::flag::FlagSpecs;
use listener::port_conflict::ListenAddress;
use reader::config_path::ConfigPath;
use reader::input::Input;
use reader::report::Report;

/// A config without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is of this machine, when the rest is in a repository.
    pub local: Option<Arc<LocalConfig>>,
    /// Where users come in, at least one, and where calls for flags do.
    pub listeners: Vec<ListenerConfig>,
    /// What all listeners have in common that answer calls for flags.
    pub ofrep: OfrepConfig,
    /// What all listeners have in common that take events of users.
    pub events: EventsConfig,
    /// Where operators come in.
    pub admin: AdminConfig,
    /// Where revisions are kept.
    pub state: StateConfig,
    /// The replicas that it shares the traffic with, if there are any.
    pub fleet: Option<Arc<FleetConfig>>,
    /// Workers, upstream connections and limits.
    pub proxy: ProxyConfig,
    /// How tokens of users are verified, if they are.
    pub jwt: Option<JwtConfig>,
    /// What is written about each request.
    pub access_log: AccessLog,
    /// What users address, at least one, in order of their names.
    pub services: Vec<Arc<ServiceSpec>>,
    /// What users get that does not depend on a deploy.
    pub flags: FlagSpecs,
    /// The files that belong to it.
    pub beside: FilesBeside,
    /// Which arms are compared, in order of their names.
    pub experiments: Vec<Arc<ExperimentSpec>>,
    /// What may be made to fail on purpose.
    pub(crate) chaos: Arc<ChaosConfig>,
    /// The metrics of users that plans of releases may name, by what they are called there.
    pub guardrail_metrics: GuardrailMetrics,
    /// How they are released, and who is told.
    pub releases: Releases,
    /// The same as it is written, for rollouts that change some of it or go on after the file has changed.
    pub rollout_sections: RolloutSections,
}

impl Config {
    /// Whom its experiments give which arm.
    #[must_use]
    pub(crate) fn assignments(&self) -> Vec<Arc<AssignmentSpec>> {
        self.experiments.iter().map(|experiment| Arc::clone(&experiment.assignment)).collect()
    }

    /// The services whose requests may be decided by their bearer tokens, or what is decided besides.
    #[must_use]
    pub(crate) fn token_readers(&self) -> Vec<&ServiceSpec> {
        token_readers(&self.services, &self.flags, &self.assignments())
    }
}

/// Reads a config where no variable is set; relative paths in it begin at `base`, the folder of its file. Pages that it
/// names are not looked at, and empty.
///
/// # Errors
/// All problems of the text, in its order. A text that is not TOML is reported for that alone.
pub fn parse(text: &str, base: &Path) -> Result<Config, Problems> {
    parse_with_files(text, base, FilesBeside { imported: None, pages: PagesBeside::Unread }).0
}

/// The same, with the files that it names, also those of a text with problems: of every part that could be read. Those
/// that belong to it ([`flag_import`], [`page_files`]) were read before.
pub fn parse_with_files<'a>(
    text: &str,
    surroundings: impl Into<ConfigSurroundings<'a>>,
    beside: FilesBeside,
) -> (Result<Config, Problems>, ConfigFiles) {
    parse_beside(text, surroundings.into(), beside, None)
}

/// The same of a file of a commit, beside what is `local`; the files that the local one names are not among those here.
pub fn parse_beside(
    text: &str,
    surroundings: ConfigSurroundings<'_>,
    beside: FilesBeside,
    local: Option<Arc<LocalConfig>>,
) -> (Result<Config, Problems>, ConfigFiles) {
    let input = match Input::toml_with(text, surroundings.environment) {
        Ok(input) => input,
        Err(problems) => return (Err(problems), ConfigFiles::default()),
    };
    let mut report = Report::new(&input);
    let raw: RawConfig = reader::read::at(ConfigPath::Root, &input, &mut report).unwrap_or_default();
    let services = read_services(&raw.services, &input, &mut report);
    let mut build = Build::new(report, surroundings.base);
    build.state = surroundings.state;
    build.imported.clone_from(&beside.imported);
    build.pages.clone_from(&beside.pages);
    let config = raw.build(&services, &input, local, &mut build).map(|config| Config { beside, ..config });
    let files = std::mem::take(&mut build.report.files);
    (build.report.finish(config), files)
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawConfig {
    listeners: BTreeMap<String, listener::RawListener>,
    ofrep: ofrep::RawOfrep,
    events: events::RawEvents,
    admin: process::admin::RawAdmin,
    state: process::state::RawState,
    fleet: Option<fleet::RawFleet>,
    proxy: process::proxy::RawProxy,
    access_log: process::access_log::RawAccessLog,
    attributes: BTreeMap<String, reader::list::Texts>,
    jwt: Option<process::token_keys::RawJwt>,
    segments: BTreeMap<String, service::condition::RawCondition>,
    services: BTreeMap<String, IgnoredAny>,
    flags: flag::raw_flags::FlagSection,
    experiments: BTreeMap<String, experiment::definition::RawExperiment>,
    metrics: BTreeMap<String, experiment::metric::RawExperimentMetric>,
    chaos: chaos::RawChaos,
    groups: BTreeMap<String, release::group::RawGroup>,
    notify: BTreeMap<String, process::notify::RawNotify>,
}

/// Reads the services, each by itself; one that is no table at all is left out.
fn read_services(
    names: &BTreeMap<String, IgnoredAny>,
    input: &Input<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<String, RawService> {
    let all = ConfigPath::Root.key("services");
    names.keys().filter_map(|name| Some((name.clone(), reader::read::at(all.key(name), input, report)?))).collect()
}

impl RawConfig {
    fn build(
        &self,
        services: &BTreeMap<String, RawService>,
        input: &Input<'_>,
        local: Option<Arc<LocalConfig>>,
        build: &mut Build<'_>,
    ) -> Result<Config, ErrorGuaranteed> {
        let at = ConfigPath::Root;
        let listeners = listener::build_all(&self.listeners, &at.key("listeners"), build);
        let ofrep_at = at.key(OFREP);
        let ofrep = self.ofrep.build(&ofrep_at, &mut build.report);
        let ofrep_listener = self.ofrep.listener(self.listeners.keys(), &ofrep_at, build);
        let events = self.events.build(&self.listeners, &at.key("events"), build);
        let OfMachine { admin, state, fleet } = self.of_machine(local.as_deref(), build);
        let proxy = self.proxy.build(&at.key("proxy"), &mut build.report);
        let jwt = self.jwt.as_ref().map(|raw| raw.build(&at.key("jwt"), build)).transpose();
        let access_log = self.access_log.build(&at.key("access_log"), build);
        build.attributes = service::attribute::build_all(&self.attributes, &at.key("attributes"), &mut build.report);
        let segments = service::segment::build_all(&self.segments, &at.key("segments"), build);
        let releasable = release::group::Releasable { services, flags: &self.flags.flags };
        let releases = release::releases::build(releasable, &self.groups, &self.notify, build);
        let imported = flag::import::build(&self.flags, services, build);
        let flags = imported.and_then(|imported| {
            let flags = &self.flags.flags;
            flag::build_all(&flag::FlagScope { segments: &segments, services, flags, imported: &imported }, build)
        });
        let services = service::build_all(services, &segments, &at.key("services"), build);
        let (services_ok, flags_ok) = (services.as_deref().ok(), flags.as_ref().ok());
        let scope = ExperimentScope { segments: &segments, services: services_ok, flags: flags_ok };
        let experiments = experiment::definition::build_all(&self.experiments, scope, build);
        let metrics = experiment::metric::build_all(&self.metrics, build);
        let chaos = self.chaos.build(services_ok, &segments, input, build);
        self.check_addresses(local.as_deref(), build);
        build.attributes.check()?;
        segments.check()?;
        let (mut listeners, admin) = (listeners?, admin?);
        listeners.extend(ofrep_listener?);
        let (proxy, services) = (proxy?, service::mirror::without_circles(services?, &listeners, build)?);
        limits::check_services(&services, proxy.requests_in_flight_max, &at.key("services"), &mut build.report)?;
        let (releases, flags) = (releases?, flags?);
        let timed = release::contradictions::TimedServices { services: &services, told: &flags.told };
        release::contradictions::check_timeouts(timed, &releases, &mut build.report)?;
        let (state, access_log, jwt, experiments, chaos) = (state?, access_log?, jwt?, experiments?, Arc::new(chaos?));
        let guardrail_metrics = release::guardrails::metrics_of(&metrics?, &experiments);
        release::guardrails::check_metrics(&services, &releases, &guardrail_metrics, &mut build.report)?;
        let config = Config {
            local,
            listeners,
            ofrep: ofrep?,
            events: events?,
            admin,
            state,
            fleet: fleet?,
            proxy,
            jwt,
            access_log,
            services,
            flags,
            beside: FilesBeside::default(),
            experiments,
            chaos,
            guardrail_metrics,
            rollout_sections: RolloutSections::of(input, &releases, build.base),
            releases,
        };
        if config.jwt.is_none() {
            process::token_keys::remark_unverified(&config.token_readers(), &at.key("services"), &mut build.report);
        }
        Ok(config)
    }

    /// What is of this machine.
    fn of_machine(&self, local: Option<&LocalConfig>, build: &mut Build<'_>) -> OfMachine {
        OfMachine::of(&self.admin, &self.state, self.fleet.as_ref(), local, build)
    }

    /// That the addresses of operators and of calls for flags are not those of listeners.
    fn check_addresses(&self, local: Option<&LocalConfig>, build: &mut Build<'_>) {
        let mut addresses = listener::addresses(&self.listeners);
        let admin = local.map_or_else(|| self.admin.socket(), |local| local.admin.address.socket());
        for (section, socket) in [(OFREP, self.ofrep.socket()), ("admin", admin)] {
            let Some(own) = socket else { continue };
            if let Some(conflict) = addresses.iter().find_map(|other| other.conflict(own)) {
                build.report.problem(&ConfigPath::Root.key(section).key("address"), conflict);
            }
            addresses.push(ListenAddress { name: OFREP, address: own });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use toml::Spanned;
    use toml::de::{DeTable, DeValue};

    use super::reader::tree::Tree;
    use super::*;

    /// A key that no section has.
    const STRANGE: &str = "no such key";

    /// Puts the strange key into one table after the other; `visit` sees the table's keys and the whole tree.
    fn in_each_table<'t>(
        root: &mut DeValue<'t>,
        path: &mut Vec<usize>,
        visit: &mut dyn FnMut(&mut DeValue<'t>, &[usize]),
    ) {
        visit(root, path);
        let children = child(root, path).map_or(0, |value| {
            value.as_table().map(DeTable::len).or(value.as_array().map(|list| list.len())).unwrap_or_default()
        });
        for index in 0..children {
            path.push(index);
            in_each_table(root, path, visit);
            path.pop();
        }
    }

    /// The value at a path of positions.
    fn child<'v, 't>(value: &'v mut DeValue<'t>, path: &[usize]) -> Option<&'v mut DeValue<'t>> {
        let Some((first, rest)) = path.split_first() else { return Some(value) };
        if let DeValue::Table(table) = value {
            child(table.iter_mut().nth(*first)?.1.get_mut(), rest)
        } else if let DeValue::Array(list) = value {
            child(list.get_mut(*first)?.get_mut(), rest)
        } else {
            None
        }
    }

    /// Each table of the example is read with a strange key: serde's refusal lists the keys that the table could have,
    /// and all tables with the same list must have each of them at least once between them.
    #[test]
    fn the_example_has_every_key() {
        let text = include_str!("../../config/example.toml");
        let root = DeTable::parse(text).expect("TOML").into_inner();
        let mut seen: BTreeMap<&'static [&'static str], BTreeSet<String>> = BTreeMap::new();
        in_each_table(&mut DeValue::Table(root), &mut Vec::new(), &mut |root, path| {
            let Some(DeValue::Table(table)) = child(root, path) else { return };
            let keys: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
            table.insert(Spanned::new(0..0, STRANGE.into()), Spanned::new(0..0, DeValue::Boolean(true)));
            let known = RefCell::new(None);
            let note = |fault: &reader::read_fault::ReadFault, place: &ConfigPath<'_>, _| {
                if matches!(place, ConfigPath::Key(_, STRANGE)) {
                    *known.borrow_mut() = fault.known();
                }
            };
            let none = HashSet::new();
            let _: Result<RawConfig, _> = reader::read::once(Tree::Toml(root), ConfigPath::Root, &none, &note);
            for service in
                root.get("services").and_then(|all| all.get_ref().as_table()).into_iter().flat_map(DeTable::values)
            {
                let _: Result<RawService, _> =
                    reader::read::once(Tree::Toml(service.get_ref()), ConfigPath::Root, &none, &note);
            }
            if let Some(known) = known.into_inner() {
                seen.entry(known).or_default().extend(keys);
            }
            if let Some(DeValue::Table(table)) = child(root, path) {
                table.remove(STRANGE);
            }
        });
        assert!(seen.len() >= 11, "found only {} kinds of sections", seen.len());
        for (known, keys) in seen {
            let missing: Vec<_> = known.iter().filter(|key| !keys.contains(**key)).collect();
            assert!(missing.is_empty(), "config/example.toml lacks {missing:?} of {known:?}");
        }
    }
}
