//! What is put in force while the process runs: the config file when it changes, or the newest commit of a repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::control_tasks::{Tasks, stopped};
use super::gitops_start::GitopsStart;
use super::tls_material::MaterialError;
use super::{ConfigFile, check, settings, tls_material};
use crate::config::{Config, GitopsConfig, ReleaseSettings};
use crate::control::expiry_clock::ExpiryClock;
use crate::control::file::FileSpecs;
use crate::control::publish::Published;
use crate::control::watch::{
    ConfigFacts, ConfigSource, ConfigSourceDeps, ConfigText, FileContent, Prepare, ReadBeside, ReadConfig,
};
use crate::control::weight_marks::WeightFacts;
use crate::endpoints::resolve::Resolver;
use crate::files::reload::{Files, Reloader};
use crate::fleet::fleet_handle::FleetHandle;
use crate::gitops::commit_statuses::{CommitStatuses, StatusReporter};
use crate::gitops::git_keeper::{GitDeps, GitKeeper};
use crate::gitops::gitops_handle::GitopsHandle;
use crate::outbound::webhook::WebhookClient;
use crate::stats::Registry;
use crate::supervise::Kind;
use crate::tls::Clients;

/// Where the config of a process is from.
#[derive(Debug)]
pub(crate) enum ConfigOrigin {
    /// A file.
    File(ConfigFile),
    /// A repository.
    Repository(Box<GitopsStart>),
    /// Nowhere: the demo.
    None,
}

/// What follows it.
pub(crate) struct FollowedConfig {
    /// A file.
    pub(crate) watch: Option<Reloader<ConfigSource>>,
    /// A repository.
    pub(crate) keeper: Option<GitKeeper>,
    /// How that is asked.
    pub(crate) gitops: Option<GitopsHandle>,
    /// Who tells the forge of the repository what became of commits.
    pub(crate) reporter: Option<StatusReporter>,
    /// What ends weights that were set for a time.
    pub(crate) expiry: ExpiryClock,
}

impl FollowedConfig {
    /// Follows it until the process stops, and looks at once on `hangup`.
    pub(crate) fn keep(self, tasks: &mut Tasks, hangup: Signal) {
        if let Some(watch) = self.watch {
            tasks.keep("config watch", Kind::Files, (watch, hangup), async |(watch, hangup), stop| {
                watch.run(hangup, stopped(stop)).await;
            });
        } else if let Some(keeper) = self.keeper {
            tasks.keep("gitops", Kind::Waiting, (keeper, hangup), async |(keeper, hangup), stop| {
                keeper.run(hangup, stopped(stop)).await;
            });
        }
        if let Some(reporter) = self.reporter {
            tasks.keep("commit statuses", Kind::Waiting, reporter, async |reporter, stop| {
                reporter.run(stopped(stop)).await;
            });
        }
        tasks.keep("expiry", Kind::Waiting, self.expiry, async |expiry, stop| expiry.run(stopped(stop)).await);
    }
}

impl FollowedConfig {
    /// Where to ask whether the files are whole.
    pub(crate) fn files(&self) -> impl Iterator<Item = Files> {
        self.watch.as_ref().map(Reloader::files).into_iter()
    }
}

/// Where it is told what a reload of the config has found, and what it is told of the weights in force.
pub(crate) struct ConfigChannels {
    pub(crate) facts: watch::Sender<ConfigFacts>,
    pub(crate) releases: watch::Sender<Arc<ReleaseSettings>>,
    pub(crate) weights: watch::Receiver<Arc<WeightFacts>>,
    /// Which rollouts are under way.
    pub(crate) registry: Arc<Registry>,
    /// The replicas that follow it as well.
    pub(crate) fleet: Option<FleetHandle>,
}

impl ConfigOrigin {
    /// Where it is from.
    pub(crate) fn of(file: Option<ConfigFile>, gitops: Option<GitopsStart>) -> Self {
        match (gitops, file) {
            (Some(start), _) => Self::Repository(Box::new(start)),
            (None, Some(file)) => Self::File(file),
            (None, None) => Self::None,
        }
    }

    /// What is told of the config at the start.
    pub(crate) fn facts(&self) -> ConfigFacts {
        ConfigFacts::good(match self {
            Self::File(file) => Some(file.path.clone()),
            Self::Repository(start) => Some(start.clone.place(&start.commit).into()),
            Self::None => None,
        })
    }

    /// Will follow it.
    pub(crate) fn follow(
        self,
        running: Config,
        resolver: &Resolver,
        clients: &Arc<Clients>,
        told: ConfigChannels,
    ) -> FollowedConfig {
        let clients = Arc::clone(clients);
        let expiry = ExpiryClock {
            handle: resolver.handle.clone(),
            published: Arc::clone(&resolver.published),
            weights: told.weights.clone(),
            registry: Arc::clone(&told.registry),
        };
        let none = FollowedConfig { watch: None, keeper: None, gitops: None, reporter: None, expiry };
        match self {
            Self::File(file) => {
                FollowedConfig { watch: Some(watch_config(file, running, resolver, clients, told)), ..none }
            }
            Self::Repository(start) => {
                let GitopsStart { clone, commit, base } = *start;
                let GitopsConfig { status, branch, .. } = &clone.source;
                let told_of = status
                    .as_ref()
                    .map(|to| CommitStatuses::of(to, branch, WebhookClient::default(), told.fleet.clone()));
                let (statuses, reporter) = told_of.unzip();
                let deps = GitDeps {
                    read: read_config(base, running, clients, &resolver.published),
                    prepare: prepare_names(resolver),
                    handle: resolver.handle.clone(),
                    published: Arc::clone(&resolver.published),
                    weights: told.weights,
                    registry: told.registry,
                    config_facts: told.facts,
                    releases: told.releases,
                    statuses: statuses.unwrap_or_default(),
                    fleet: told.fleet,
                };
                let (keeper, handle) = GitKeeper::new(clone, commit, deps);
                FollowedConfig { keeper: Some(keeper), gitops: Some(handle), reporter, ..none }
            }
            Self::None => none,
        }
    }
}

fn watch_config(
    file: ConfigFile,
    running: Config,
    resolver: &Resolver,
    clients: Arc<Clients>,
    told: ConfigChannels,
) -> Reloader<ConfigSource> {
    let in_force = ConfigText { text: file.text.clone(), beside: running.beside.clone() };
    let base = file.path.parent().unwrap_or(Path::new("")).to_owned();
    let deps = ConfigSourceDeps {
        read_beside: read_beside(base.clone()),
        read: read_config(base, running, clients, &resolver.published),
        prepare: prepare_names(resolver),
        handle: resolver.handle.clone(),
        published: Arc::clone(&resolver.published),
        facts: told.facts,
        releases: told.releases,
    };
    Reloader::new(ConfigSource::new(file.path, in_force, deps))
}

/// Resolves the names of services before they are put in force.
fn prepare_names(resolver: &Resolver) -> Prepare {
    let resolver = resolver.clone();
    Arc::new(move |services| {
        let resolver = resolver.clone();
        Box::pin(async move { resolver.ahead(&services).await })
    })
}

/// How the files that belong to a config are read.
fn read_beside(base: PathBuf) -> ReadBeside {
    Arc::new(move |text| check::files_beside(text, &base))
}

/// How the text of the config is read while the process runs; relative paths in it begin at `base`.
fn read_config(base: PathBuf, running: Config, clients: Arc<Clients>, published: &Published) -> ReadConfig {
    let published = Arc::clone(published);
    Arc::new(move |text| {
        let config = check::reloaded(text, &base, &running, &clients).map_err(|refused| refused.lines())?;
        let needs_restart = settings::needs_restart(&running, &config);
        let prepared = tls_material::prepare_next(&clients, &published.load(), &config.services);
        prepared.map_err(|MaterialError(problems)| problems)?;
        let releases = Arc::new(ReleaseSettings::of(&config));
        Ok(FileContent { specs: file_specs(&config), needs_restart, releases })
    })
}

/// What of the config is put in force, at the start and whenever it is read again.
pub(super) fn file_specs(config: &Config) -> FileSpecs {
    FileSpecs {
        services: config.services.clone(),
        flags: Arc::new(config.flags.clone()),
        experiments: config.experiments.clone().into(),
        guardrails: config.guardrail_metrics.values().cloned().collect(),
        origin: None,
    }
}
