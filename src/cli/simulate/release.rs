//! The plan that is simulated: that of the flags, or of a service or group of a config with what the flags say
//! differently.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Map;

use super::SimulateArgs;
use crate::app;
use crate::cli::CommandError;
use crate::config::release::of_flag;
use crate::config::{Config, RolloutSection};
use crate::problem::{Problem, utf8};
use crate::rollout::judge::Assignment;
use crate::rollout::plan::Plan;
use crate::simulation::simulation_options::PresentTraffic;
use crate::table::{Name, ServiceSpec};

/// What a config says, as far as it matters here.
#[derive(Default)]
struct Base {
    section: RolloutSection,
    present: PresentTraffic,
    sticky: bool,
}

/// What is simulated.
pub(crate) struct SimulatedRelease {
    /// By this plan.
    pub(crate) plan: Plan,
    /// How many services and endpoints there are.
    pub(crate) present: PresentTraffic,
    /// Metrics and guardrails of the plan's own.
    pub(crate) metrics: usize,
    /// Whether users stay on their version.
    pub(crate) sticky: bool,
}

/// What the flags and the config say.
///
/// # Errors
/// [`CommandError::Usage`] when the config or the flags make no sense.
pub(crate) fn of(args: &SimulateArgs) -> Result<SimulatedRelease, CommandError> {
    let Base { section, present, sticky } = match &args.config {
        Some(path) => Base::read(path, args)?,
        None => Base::default(),
    };
    let (said, mut overrides) = (args.plan(), Map::new());
    said.write(&mut overrides);
    let by_flag =
        |problem: &Problem| said.at_option(problem.clone(), |option| format!("--{}", option.replace('_', "-")));
    let release = section.merged(&RolloutSection::new(overrides)).release();
    let release = release.map_err(|problems| lines(problems.as_slice().iter().map(|p| by_flag(p).to_string())))?;
    let assignment = if args.users.is_some() { Assignment::PerKey } else { Assignment::PerRequest };
    let plan = release.plan(present.endpoints, assignment);
    let plan = plan.map_err(|problems| lines(problems.iter().map(ToString::to_string)))?;
    Ok(SimulatedRelease { plan, present, metrics: release.metrics.len() + release.guardrails.len(), sticky })
}

fn lines(lines: impl Iterator<Item = String>) -> CommandError {
    CommandError::Usage(lines.collect::<Vec<_>>().join("\npointsman: "))
}

impl Base {
    fn read(path: &Path, args: &SimulateArgs) -> Result<Self, CommandError> {
        let bytes = fs::read(path)
            .map_err(|why| CommandError::Usage(format!("cannot read {} ({why}); name a config", path.display())))?;
        let text = utf8::text(bytes).map_err(|why| CommandError::Usage(format!("{}: {why}", path.display())))?;
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let config = app::parse_with_import(&text, &folder)
            .map_err(|problems| lines(problems.as_slice().iter().map(|p| format!("{}: {p}", path.display()))))?;
        if let Some(name) = &args.group {
            return Self::of_group(&config, name);
        }
        if let Some(name) = &args.flag {
            return Self::of_flag(&config, name);
        }
        let service = chosen(&config, args.service.as_deref())?;
        let section = config.rollout_sections.services.get(service.name.as_str()).cloned().unwrap_or_default();
        Ok(Self::of(section, &[service], !service.sticky.is_empty()))
    }

    /// What is said of services that are released together.
    fn of(section: RolloutSection, services: &[&ServiceSpec], sticky: bool) -> Self {
        let present = PresentTraffic {
            services: u32::try_from(services.len()).unwrap_or(u32::MAX),
            endpoints: services.iter().map(|service| endpoints(service)).max().unwrap_or(1),
            ..PresentTraffic::default()
        };
        Self { section, present, sticky }
    }

    fn of_group(config: &Config, name: &str) -> Result<Self, CommandError> {
        let groups = &config.rollout_sections.groups;
        let found = groups.get(name).zip(config.releases.groups.get(name));
        let unknown = || format!("--group: found {name:?}, want one of {}", listed(groups.keys().map(|n| n.as_str())));
        let (section, group) = found.ok_or_else(|| CommandError::Usage(unknown()))?;
        let lists = |service: &Name| group.flags.iter().any(|flag| lists(config, service, flag));
        let judged = |service: &&Arc<ServiceSpec>| group.services.contains(&service.name) || lists(&service.name);
        let services: Vec<&ServiceSpec> = config.services.iter().filter(judged).map(|service| &**service).collect();
        let section = match group.services.is_empty() {
            true => of_flag::section().merged(section),
            false => section.clone(),
        };
        let sticky = !group.flags.is_empty() || services.iter().any(|service| !service.sticky.is_empty());
        Ok(Self::of(section, &services, sticky))
    }

    fn of_flag(config: &Config, name: &str) -> Result<Self, CommandError> {
        let all = || listed(config.flags.flags.iter().map(|flag| flag.name.as_str()));
        let unknown = || CommandError::Usage(format!("--flag: found {name:?}, want one of {}", all()));
        let flag = &config.flags.named(name).ok_or_else(unknown)?.name;
        let services = config.services.iter().filter(|service| lists(config, &service.name, flag));
        let services: Vec<&ServiceSpec> = services.map(|service| &**service).collect();
        if services.is_empty() {
            let wanted = "one whose requests it can be judged by: list it in a service that acts on it";
            return Err(CommandError::Usage(format!("--flag: found {name}, which no service lists, want {wanted}")));
        }
        let own = config.rollout_sections.flags.get(name).cloned().unwrap_or_default();
        Ok(Self::of(of_flag::section().merged(&own), &services, true))
    }
}

/// Whether the requests of a service carry a flag.
fn lists(config: &Config, service: &Name, flag: &Name) -> bool {
    config.flags.told.get(service).is_some_and(|told| told.contains(flag))
}

/// The service that is named, or the only one.
fn chosen<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c ServiceSpec, CommandError> {
    let names = || listed(config.services.iter().map(|service| service.name.as_str()));
    match (name, config.services.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => {
            let text = format!("found several services, want --service, --group or --flag; services: {}", names());
            Err(CommandError::Usage(text))
        }
        (Some(name), services) => {
            let found = services.iter().find(|service| service.name.as_str() == name);
            let unknown = || format!("--service: found {name:?}, want one of {}", names());
            found.map(|service| &**service).ok_or_else(|| CommandError::Usage(unknown()))
        }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none, for there are none".to_owned() } else { names.join(", ") }
}

/// How many endpoints the version with the largest weight has, as they are written.
fn endpoints(service: &ServiceSpec) -> u32 {
    let stable = service.split.iter().max_by_key(|(_, weight)| weight.slots()).map(|(name, _)| name);
    let stable = service.versions.iter().find(|version| Some(&version.name) == stable);
    let count = stable.map_or(1, |version| version.endpoints.len() + version.names.len());
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn args(flags: &[&str]) -> Result<SimulateArgs, clap::Error> {
        let command = SimulateArgs::augment_args(Command::new("simulate").no_binary_name(true));
        SimulateArgs::from_arg_matches(&command.try_get_matches_from(flags)?)
    }

    fn planned(flags: &[&str]) -> Result<Plan, CommandError> {
        of(&args(flags).expect("good arguments")).map(|simulated| simulated.plan)
    }

    /// A config whose judge is not the default one.
    fn config(folder: &tempfile::TempDir) -> String {
        let text = r#"
            [listeners.public]
            address = "127.0.0.1:8080"
            [services.shop]
            paths = ["/"]
            versions.v1.endpoints = ["127.0.0.1:9001"]
            versions.v2.endpoints = ["127.0.0.1:9002"]
            split = { v1 = 100 }
            [services.shop.rollout]
            judge = { alpha = 0.01, tolerate_burst = "0s" }
        "#;
        let path = folder.path().join("pointsman.toml");
        fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    }

    #[test]
    fn each_flag_of_the_plan_changes_the_plan() {
        let plain = planned(&[]).expect("a plan");
        for flags in [
            ["--steps", "5,100"],
            ["--bake", "1m"],
            ["--on-expired", "roll-back"],
            ["--alpha", "0.01"],
            ["--tolerate-burst", "0s"],
        ] {
            assert_ne!(planned(&flags).expect("a plan"), plain, "{flags:?}");
        }
    }

    #[test]
    fn each_flag_of_the_world_changes_the_world() {
        let burst = ["--bursts", "20s"];
        for (before, flags) in [
            (&[][..], &["--rate", "50"][..]),
            (&[], &["--baseline-errors", "1%"]),
            (&[], &["--candidate-errors", "1%"]),
            (&[], &["--slower", "2"]),
            (&[], &["--spread", "1"]),
            (&["--slower", "2"], &["--bad-at", "1m"]),
            (&["--bad-at", "1m"], &["--ramp", "1m"]),
            (&[], &["--users", "100"]),
            (&["--users", "100"], &["--failures-stick"]),
            (&[], &["--endpoints", "3"]),
            (&[], &["--candidate-capacity", "600"]),
            (&[], &burst),
            (&burst, &["--burst-lasts", "3s"]),
            (&burst, &["--burst-pauses"]),
        ] {
            let world = |flags: &[&str]| {
                format!("{:?}", args(flags).expect("good arguments").world().world(&PresentTraffic::default()))
            };
            assert_ne!(world(before), world(&[before, flags].concat()), "{flags:?}");
        }
    }

    #[test]
    fn a_flag_of_the_judge_leaves_the_rest_of_the_judge_as_the_config_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(&folder);
        let judge = |flags: &[&str]| {
            let plan = planned(&[&["--config", &config], flags].concat()).expect("a plan");
            (plan.judge().alpha.value(), plan.judge().tolerate_burst)
        };
        assert_eq!(judge(&[]), (0.01, Duration::ZERO));
        assert_eq!(judge(&["--tolerate-burst", "2s"]), (0.01, Duration::from_secs(2)));
        assert_eq!(judge(&["--alpha", "0.02"]), (0.02, Duration::ZERO));
        assert_eq!(judge(&["--alpha", "0.02", "--tolerate-burst", "2s"]), (0.02, Duration::from_secs(2)));
    }

    #[test]
    fn a_tolerance_out_of_the_range_of_the_config_is_told_by_its_flag() {
        for long in ["61s", "2h"] {
            let Err(refused) = planned(&["--tolerate-burst", long]) else { panic!("{long} is too long") };
            let text = refused.to_string();
            assert!(text.contains("--tolerate-burst: found") && text.contains("want 0ms to 1m"), "{text}");
        }
    }

    #[test]
    fn bursts_have_a_distance_and_a_length() {
        for flags in [&["--bursts", "0s"][..], &["--bursts", "1m", "--burst-lasts", "0ms"]] {
            let refused = args(flags).expect_err("no time").to_string();
            assert!(refused.contains("want a time above 0"), "{refused}");
        }
    }
}
