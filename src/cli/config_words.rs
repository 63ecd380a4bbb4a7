//! Which config a command means: a file, or one in a repository.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::finding_lines::{plural, tell, warn};
use super::{EXIT_FAILED, EXIT_USAGE, chain};
use crate::app::{self, CheckFinding, Checked, ConfigFile, GitopsStart, GitopsStartError, StartCommit};
use crate::config::{self, Config, GitopsWords, LocalConfig};
use crate::problem::utf8;

/// Which config
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// The config file; with --gitops, or a section gitops in it, the file of what is of this machine: admin and state
    #[arg(long, short, value_name = "FILE", required_unless_present = "gitops")]
    config: Option<PathBuf>,
    /// The config is in this repository: https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or file:///PATH
    #[arg(long, value_name = "URL")]
    gitops: Option<String>,
    /// The branch whose newest commit counts [default: main]
    #[arg(long, value_name = "BRANCH", requires = "gitops")]
    gitops_branch: Option<String>,
    /// The file in the repository [default: pointsman.toml]
    #[arg(long, value_name = "PATH", requires = "gitops")]
    gitops_path: Option<String>,
}

/// A config that a process can begin with.
pub(super) struct LoadedConfig {
    pub(super) config: Config,
    /// The file that it is.
    pub(super) file: Option<ConfigFile>,
    /// The commit that it is of.
    pub(super) gitops: Option<GitopsStart>,
}

/// What was written, before it is checked.
pub(super) enum WrittenConfig {
    /// A file that is all of it.
    Whole(String),
    /// A file, or none, that is about this machine.
    Local(Box<Checked<LocalConfig>>),
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnreadableConfig(pub(super) String);

impl ConfigArgs {
    /// What it is called in what is said of it.
    pub(super) fn place(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| PathBuf::from("--gitops"))
    }

    /// Where relative paths begin.
    pub(super) fn base(&self) -> &Path {
        self.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""))
    }

    /// The arguments that name the same config.
    pub(super) fn again(&self) -> Vec<std::ffi::OsString> {
        let texts = [
            ("--gitops", &self.gitops),
            ("--gitops-branch", &self.gitops_branch),
            ("--gitops-path", &self.gitops_path),
        ];
        let texts = texts.into_iter().filter_map(|(name, value)| Some([name.into(), value.as_ref()?.into()]));
        let config = self.config.as_ref().map(|config| ["--config".into(), config.into()]);
        config.into_iter().chain(texts).flatten().collect()
    }

    /// Reads what is written.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(super) fn written(&self) -> Result<WrittenConfig, UnreadableConfig> {
        let text = match &self.config {
            None => String::new(),
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| {
                    let why = chain(&error);
                    UnreadableConfig(format!("cannot read the config: {why}; give the path of a readable file"))
                })?;
                utf8::text(bytes).map_err(|error| UnreadableConfig(error.to_string()))?
            }
        };
        if self.gitops.is_none() && !config::is_local(&text) {
            return Ok(WrittenConfig::Whole(text));
        }
        let (repository, branch) = (self.gitops.clone(), self.gitops_branch.clone());
        let words = GitopsWords { repository, branch, path: self.gitops_path.clone() };
        Ok(WrittenConfig::Local(Box::new(app::check_local(&text, self.base(), &words))))
    }

    /// Reads and checks it, also from the repository; says line by line what is wrong with it, as `check` does.
    ///
    /// # Errors
    /// The exit code, after every problem was said.
    pub(super) fn load(&self, say: &dyn Fn(&str)) -> Result<LoadedConfig, ExitCode> {
        let place = self.place();
        let unreadable = |UnreadableConfig(text): UnreadableConfig| {
            tell(&place, &[CheckFinding::Remark { path: String::new(), line: None, text }], say);
            ExitCode::from(EXIT_USAGE)
        };
        let local = match self.written().map_err(unreadable)? {
            WrittenConfig::Local(local) => local,
            WrittenConfig::Whole(text) => {
                let checked = app::check(&text, self.base());
                let config = told(&place, checked, say)?;
                return Ok(LoadedConfig { config, file: Some(ConfigFile { path: place, text }), gitops: None });
            }
        };
        let local = Arc::new(told(&place, *local, say)?);
        match GitopsStart::find(&local, self.base()) {
            Ok(StartCommit { config, warnings, place, start }) => {
                warn(Path::new(&place), &warnings, say);
                Ok(LoadedConfig { config, file: None, gitops: Some(start) })
            }
            Err(GitopsStartError::Refused { place, problems }) => {
                tell(Path::new(&place), &problems, say);
                Err(ExitCode::from(EXIT_USAGE))
            }
            Err(error) => {
                say(&format!("cannot start: {}", chain(&error)));
                Err(ExitCode::from(EXIT_FAILED))
            }
        }
    }
}

/// What was checked, if it is good; its warnings and problems are said.
fn told<C>(place: &Path, checked: Checked<C>, say: &dyn Fn(&str)) -> Result<C, ExitCode> {
    let warnings: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
    warn(place, &warnings, say);
    checked.config.map_err(|refused| {
        tell(place, &refused.findings(), say);
        ExitCode::from(EXIT_USAGE)
    })
}

/// How good a config is, in a few words.
pub(super) fn summary(config: &Config) -> String {
    let (services, listeners) = (config.services.len(), config.listeners.len());
    let (services, listeners) = (plural(services, "service"), plural(listeners, "listener"));
    let flags = match config.flags.flags.len() {
        0 => String::new(),
        count => format!(", and {}", plural(count, "flag")),
    };
    format!("{services} on {listeners}{flags}")
}
