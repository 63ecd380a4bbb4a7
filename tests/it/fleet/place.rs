//! Some replicas of one config, with an etcd and two endpoints.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use pointsman::cli::client::CallError;
use serde_json::{Value, json};

use super::etcd::Etcd;
use crate::support::process::Process;
use crate::support::{Origin, Reply, client, eventually};

/// What replicas share.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) etcd: Etcd,
    v1: Origin,
    v2: Origin,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(Etcd::start())
    }

    pub(crate) fn with(etcd: Etcd) -> Self {
        let origin = |body: &'static str| Origin::with(move |_| Reply::ok(body));
        Self { folder: tempfile::tempdir().unwrap(), etcd, v1: origin("v1"), v2: origin("v2") }
    }

    /// The same with these versions.
    pub(super) fn of(v1: Origin, v2: Origin) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), etcd: Etcd::start(), v1, v2 }
    }

    /// The config of a replica; `fleet` are more lines of its section, `more` what follows.
    pub(crate) fn config(&self, name: &str, fleet: &str, more: &str) -> String {
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let (first, second) = (self.v1.address(), self.v2.address());
        format!(
            "[listeners.public]\naddress = \"{nowhere}\"\n[admin]\naddress = \"{nowhere}\"\n[proxy]\nworkers = 1\n\
             [state]\npath = \"{name}.db\"\n[fleet]\nname = \"{name}\"\n{fleet}\n\
             [services.shop]\nsplit = {{ v1 = 100, v2 = 0 }}\nsticky = [\"header:x-user-id\"]\n\
             versions.v1.endpoints = [\"{first}\"]\nversions.v2.endpoints = [\"{second}\"]\n{more}"
        )
    }

    /// How the section of the fleet says where etcd is.
    pub(crate) fn at(url: &str) -> String {
        format!("etcd = [{url:?}]\nprefix = \"/pointsman/test\"\nwait = \"20s\"")
    }

    /// Where the config of a replica is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.toml"))
    }

    /// Writes the config of a replica.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Starts a replica.
    pub(crate) fn start(&self, name: &str) -> Process {
        let text = self.config(name, &Self::at(&self.etcd.url()), "");
        Process::start(&self.write(name, &text))
    }

    /// Starts three, and waits until they know of each other.
    pub(crate) fn start_three(&self) -> Vec<Process> {
        let all: Vec<_> = ["edge-1", "edge-2", "edge-3"].map(|name| self.start(name)).into();
        know_each_other(&all.iter().collect::<Vec<_>>());
        all
    }
}

/// Ends what runs beside a test, also when that fails: who waits for it would wait for ever.
pub(crate) struct Beside<'a>(pub(crate) &'a AtomicBool);

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a replica knows of its fleet.
pub(crate) fn fleet(replica: &Process) -> Value {
    replica.get("/v1/fleet")
}

/// How many live replicas it knows of.
pub(crate) fn replicas(replica: &Process) -> usize {
    fleet(replica)["replicas"].as_array().unwrap().len()
}

/// Waits until these know of each other, so that a change on one waits for the others.
pub(crate) fn know_each_other(all: &[&Process]) {
    for replica in all {
        eventually("all are there", || replicas(replica) == all.len() && is_together(replica));
    }
}

/// Whether it follows the fleet.
pub(crate) fn is_together(replica: &Process) -> bool {
    fleet(replica)["state"] == "together"
}

/// Whether it leads.
pub(crate) fn leads(replica: &Process) -> bool {
    fleet(replica)["leads"] == true
}

/// The revision in force.
pub(crate) fn revision(replica: &Process) -> u64 {
    fleet(replica)["revision"].as_u64().unwrap()
}

/// Gives so much of the service to v2.
pub(crate) fn shift(replica: &Process, v2: u32) -> Result<Value, CallError> {
    replica.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": 100 - v2, "v2": v2 }))
}

/// The words with which a call is refused that another replica has passed on already.
pub(crate) fn refusal_of_passed(replica: &Process, path: &str, body: &Value) -> String {
    let (host, body) = (replica.admin_address, body.to_string());
    let length = body.len();
    let answer = client::send(
        host,
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nPointsman-Passed-By: edge-9\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    );
    format!("{} {}", answer.status, answer.text())
}

/// The words with which a call is refused.
pub(crate) fn refusal(answer: Result<Value, CallError>) -> String {
    answer.expect_err("it is refused").to_string()
}

/// What a user gets; none: no good answer.
pub(crate) fn of_user(listener: SocketAddr, user: u32) -> Option<String> {
    let answer = client::send(listener, format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: u{user}\r\n\r\n"));
    (answer.status == 200).then(|| answer.text())
}

/// Whom v2 answers, of the first users.
pub(crate) fn on_v2(replica: &Process, users: u32) -> Vec<u32> {
    let mut client = client::Client::to(replica.listener);
    let mut found = Vec::new();
    let all: Vec<_> = (0..users).collect();
    for some in all.chunks(50) {
        let request = |user: &u32| format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: u{user}\r\n\r\n");
        client.write(some.iter().map(request).collect::<String>());
        for user in some {
            let answer = client.answer();
            assert_eq!(answer.status, 200, "u{user}");
            if answer.text() == "v2" {
                found.push(*user);
            }
        }
    }
    found
}

/// The numbers, authors and actions of all revisions.
pub(crate) fn history(replica: &Process) -> Vec<String> {
    let all = replica.get("/v1/revisions?limit=500");
    let line = |one: &Value| format!("{} {} {} {}", one["revision"], one["author"], one["action"], one["difference"]);
    all["revisions"].as_array().unwrap().iter().map(line).collect()
}

/// Runs the binary on a config that it must not start with, and says how it ended and what it said.
pub(crate) fn ends_at_once(config: &Path) -> (Option<i32>, String) {
    // One that does start is ended, and has no exit code of its own.
    let mut command = std::process::Command::new("timeout");
    command.args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_pointsman")]);
    let output = command.arg("run").arg("--config").arg(config).env("NO_COLOR", "1").output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
