//! A repository that persons and proxies push to, by the real git.

use std::path::PathBuf;
use std::process::Command;

use super::git_place::GitPlace;
use super::process::Process;

/// A bare repository that a person and the proxy push to.
pub(crate) struct SharedRepository {
    pub(crate) place: GitPlace,
}

impl SharedRepository {
    /// One whose newest commit has this config.
    pub(crate) fn new(text: impl FnOnce(&GitPlace) -> String) -> Self {
        let place = GitPlace::new();
        let shared = Self { place };
        shared.place.git(&["init", "--quiet", "--bare", "--initial-branch=main", &shared.folder().to_string_lossy()]);
        shared.place.git(&["remote", "add", "origin", &shared.url()]);
        let text = text(&shared.place);
        shared.place.commit_text(&text, "Begin");
        shared.publish();
        shared
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.place.folder().join("traffic.git")
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.folder().display())
    }

    /// Starts a machine that follows it.
    pub(crate) fn start(&self, keys: &str) -> Process {
        self.place.write_local(&self.url(), keys);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.arg("run").arg("--config").arg(self.place.local());
        Process::start_command(command)
    }

    /// Asks git in the bare repository.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let folder = self.folder().to_string_lossy().into_owned();
        self.place.git(&[&["--git-dir", &*folder], arguments].concat())
    }

    pub(crate) fn newest(&self) -> String {
        self.ask(&["rev-parse", "main"])
    }

    /// The first line of the newest commit.
    pub(crate) fn subject(&self) -> String {
        self.ask(&["log", "-1", "--format=%s", "main"])
    }

    pub(crate) fn count(&self) -> String {
        self.ask(&["rev-list", "--count", "main"])
    }

    /// The config of the newest commit.
    pub(crate) fn text(&self) -> String {
        self.ask(&["show", "main:pointsman.toml"])
    }

    /// Pushes what was committed by hand; its hash.
    pub(crate) fn publish(&self) -> String {
        self.place.git(&["push", "--quiet", "origin", "main"]);
        self.newest()
    }

    /// Takes in what the proxy has pushed.
    pub(crate) fn pull(&self) {
        self.place.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    }
}
