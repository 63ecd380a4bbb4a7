//! A proxy with experiments, and an operator of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use pointsman::cli::client::{Call, CallError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::Origin;
use crate::support::process::{Process, config};

/// How long what takes a second may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with the config and the store of a proxy whose service `shop` has two versions.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    _origins: [Origin; 2],
    service: String,
}

impl Bench {
    /// With this section `[chaos]`, and what follows it.
    pub(super) fn new(chaos: &str) -> Self {
        Self::with("", chaos)
    }

    /// The same, with lines of the service.
    pub(super) fn with(lines: &str, chaos: &str) -> Self {
        Self::of(".", lines, chaos)
    }

    /// The same, with the store in a folder in the folder.
    pub(super) fn kept_in(state: &str, chaos: &str) -> Self {
        Self::of(state, "", chaos)
    }

    fn of(state: &str, lines: &str, chaos: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join(state);
        std::fs::create_dir_all(&state).unwrap();
        let origins = ["v1", "v2"].map(|_| Origin::saying("fine"));
        let state = state.join("pointsman.db");
        let service = config(origins[0].address(), origins[1].address(), lines);
        let service = format!("{service}\n[state]\npath = \"{}\"\n", state.display());
        let bench = Self { folder, _origins: origins, service };
        bench.write(chaos);
        bench
    }

    /// Another section `[chaos]`.
    pub(super) fn write(&self, chaos: &str) {
        let new = self.folder.path().join("new.toml");
        std::fs::write(&new, format!("{}\n[chaos]\n{chaos}", self.service)).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("pointsman.toml")
    }

    /// A file in the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the proxy.
    pub(super) fn start(&self) -> Process {
        Process::start(&self.path())
    }
}

/// An experiment that runs this script, and undoes it by that one.
pub(super) fn command(script: &str, undo: &str) -> String {
    format!(
        "enabled = true\n[chaos.experiments.disk]\ntarget = {{ service = \"shop\" }}\nduration = \"10m\"\n\
         baseline = \"1s\"\nhypothesis = {{ errors = {{}} }}\n[chaos.experiments.disk.fault.command]\n\
         run = [\"/bin/sh\", \"-c\", {script:?}]\nundo = [\"/bin/sh\", \"-c\", {undo:?}]\nhost = \"db-1\"\n"
    )
}

/// An experiment `slow` without an effect, with these keys more.
pub(super) fn slow(more: &str) -> String {
    format!(
        "enabled = true\n[chaos.experiments.slow]\ntarget = {{ service = \"shop\", share = 2 }}\n\
         fault = {{ latency = {{ fixed = \"0ms\" }} }}\nhypothesis = {{ errors = {{}} }}\n{more}"
    )
}

/// A fault `failing` that refuses half of the users of `shop` by 503.
pub(super) const FAILING: &str = "enabled = true\nshare_max = 50\n[chaos.experiments.failing]\n\
    target = { service = \"shop\", share = 50 }\nfault = { abort = 503 }\nbaseline = \"0s\"\nduration = \"10m\"\n\
    hypothesis = { errors = { ratio_max = 1000, increase_max = 99 } }\n";

/// What the metrics say: the value of a series as it is written.
#[track_caller]
pub(super) fn metric(process: &Process, series: &str) -> Option<String> {
    let admin = process.admin_address;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let text = crate::support::client::send(admin, request).text();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

/// Calls that change something.
pub(super) fn post(process: &Process, path: &str, body: Value) -> Result<Value, CallError> {
    let call = Call { method: Method::POST, path, body: Some(body), if_match: None };
    process.admin.call_for(PATIENCE, call)
}

/// Starts an experiment of the config.
#[track_caller]
pub(super) fn begin(process: &Process, experiment: &str) -> Value {
    post(process, "/v1/chaos", json!({ "experiment": experiment })).unwrap_or_else(|error| panic!("{error}"))
}

/// The run, once it is as wanted. After a start the stored ones are read in a moment.
#[track_caller]
pub(super) fn until(process: &Process, id: u64, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let run = process.admin.call_for(PATIENCE, Call::get(&format!("/v1/chaos/{id}"))).unwrap_or_default();
        if wanted(&run) {
            return run;
        }
        assert!(begun.elapsed() < PATIENCE, "not {what}: {run:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until everything is as it was before the run.
#[track_caller]
pub(super) fn until_restored(process: &Process, id: u64) -> Value {
    until(process, id, "restored", |run| run["restored_at"].is_string())
}

/// Waits until there is such a file.
#[track_caller]
pub(super) fn until_file(path: &Path) {
    crate::support::eventually(&format!("{} is there", path.display()), || path.exists());
}
