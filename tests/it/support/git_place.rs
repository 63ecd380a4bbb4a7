//! A repository with a work tree, by the real git, and a machine that follows it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use http::Method;
use pointsman::cli::client::CallError;
use serde_json::{Value, json};

use super::process::Process;
use super::{Origin, Reply, client};

/// How many users are asked for.
pub(crate) const USERS: u32 = 30;

/// A repository with a work tree, and a machine that follows it.
pub(crate) struct GitPlace {
    folder: tempfile::TempDir,
    v1: Origin,
    v2: Origin,
}

impl GitPlace {
    /// One with a first commit, which gives all to v1.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder, v1: origin("v1"), v2: origin("v2") };
        std::fs::create_dir(place.work()).unwrap();
        place.git(&["init", "--quiet", "--initial-branch=main"]);
        place.commit(0, "First");
        place
    }

    /// The folder of the machine, with the work tree in it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The work tree.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder().join("work")
    }

    /// What git fetches from.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.work().display())
    }

    /// Calls git in the work tree.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_in(arguments, &[])
    }

    /// The same, with more of an environment.
    pub(crate) fn git_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let mut command = Command::new("git");
        command.envs(environment.iter().copied());
        command.current_dir(self.work()).env("HOME", self.folder()).env("GIT_CONFIG_NOSYSTEM", "1");
        command.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]);
        let Output { status, stdout, stderr } = command.args(arguments).output().unwrap();
        assert!(status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap().trim().to_owned()
    }

    /// A config that gives so much to v2.
    pub(crate) fn config(&self, v2: u32) -> String {
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let (first, second) = (self.v1.address(), self.v2.address());
        format!(
            "[listeners.public]\naddress = \"{nowhere}\"\n[proxy]\nworkers = 1\n[services.shop]\n\
             split = {{ v1 = {}, v2 = {v2} }}\nsticky = [\"header:x-user-id\"]\n\
             versions.v1.endpoints = [\"{first}\"]\nversions.v2.endpoints = [\"{second}\"]\n",
            100 - v2
        )
    }

    /// Commits a config that gives so much to v2.
    pub(crate) fn commit(&self, v2: u32, subject: &str) -> String {
        self.commit_text(&self.config(v2), subject)
    }

    /// Commits this text as the config.
    pub(crate) fn commit_text(&self, text: &str, subject: &str) -> String {
        std::fs::write(self.work().join("pointsman.toml"), text).unwrap();
        self.commit_all(subject)
    }

    /// Commits what is in the work tree.
    pub(crate) fn commit_all(&self, subject: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Starts the machine, which looks at the repository so often.
    pub(crate) fn start(&self, interval: &str) -> Process {
        self.start_with(&format!("interval = {interval:?}\n"))
    }

    /// Starts it with more keys of `[gitops]`, and sections behind them.
    pub(crate) fn start_with(&self, gitops: &str) -> Process {
        self.start_in(gitops, &[])
    }

    /// The same, with more of an environment.
    pub(crate) fn start_in(&self, gitops: &str, environment: &[(&str, &str)]) -> Process {
        self.write_local(&self.url(), gitops);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.arg("run").arg("--config").arg(self.local());
        command.envs(environment.iter().copied());
        Process::start_command(command)
    }

    /// Writes the local file.
    pub(crate) fn write_local(&self, repository: &str, gitops: &str) {
        let local = format!("[admin]\naddress = \"127.0.0.1:0\"\n[gitops]\nrepository = {repository:?}\n{gitops}");
        std::fs::write(self.local(), local).unwrap();
    }

    /// The local file.
    pub(crate) fn local(&self) -> PathBuf {
        self.folder().join("local.toml")
    }

    /// Writes a file beside it, for this user only.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }
}

fn origin(body: &'static str) -> Origin {
    Origin::with(move |_| Reply::ok(body))
}

/// Whom v2 answers.
pub(crate) fn on_v2(process: &Process) -> BTreeSet<u32> {
    let asked = |user: &u32| {
        let answer = client::send(process.listener, format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: u{user}\r\n\r\n"));
        answer.text() == "v2"
    };
    (0..USERS).filter(asked).collect()
}

/// A request that the admin API takes.
pub(crate) fn get_of(host: SocketAddr, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// All metrics.
pub(crate) fn metrics(process: &Process) -> String {
    client::send(process.admin_address, get_of(process.admin_address, "/metrics")).text()
}

/// What is known of the repository.
pub(crate) fn gitops(process: &Process) -> Value {
    process.get("/v1/gitops")
}

/// Whether this commit is in force, in this state.
pub(crate) fn is(process: &Process, state: &str, commit: &str) -> bool {
    let gitops = gitops(process);
    gitops["state"] == state && gitops["commit"]["hash"] == commit
}

/// Has the repository looked at.
pub(crate) fn sync(process: &Process) -> Result<Value, CallError> {
    process.send(Method::POST, "/v1/gitops/sync", json!({}))
}

/// What a look at the repository is refused with.
pub(crate) fn refusal(process: &Process) -> String {
    sync(process).expect_err("a refusal").to_string()
}

/// Runs the binary to its end.
pub(crate) fn pointsman(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let Output { status, stdout, stderr } =
        command.current_dir(folder).args(arguments).env("NO_COLOR", "1").output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code().expect("an exit code"), String::from_utf8(text).unwrap())
}
