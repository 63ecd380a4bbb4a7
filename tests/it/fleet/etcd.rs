//! A real etcd on loopback: one member, which can be ended, paused, compacted, and restored from a copy.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A member of etcd.
pub(super) struct Etcd {
    folder: tempfile::TempDir,
    child: Option<Child>,
    client: u16,
    peer: u16,
    /// The folder of its data, of which a restore makes another.
    data: PathBuf,
    options: Vec<String>,
    /// Who its tools say that they are.
    user: Option<&'static str>,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.end();
    }
}

impl Etcd {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut etcd = Self { folder, child: None, client: 0, peer: 0, data, options, user: None };
        // Another process may take a port between the look and the use.
        for _ in 0..10 {
            (etcd.client, etcd.peer) = (free_port(), free_port());
            if etcd.begin() {
                return etcd;
            }
            std::fs::remove_dir_all(&etcd.data).unwrap();
        }
        panic!("etcd does not start: {}", etcd.log());
    }

    /// Where it is asked.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client)
    }

    /// The port of that.
    pub(super) fn port(&self) -> u16 {
        self.client
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts it on what it has. Whether it runs.
    fn begin(&mut self) -> bool {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let (client, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(&self.data).args(["--listen-client-urls", &client]);
        command.args(["--advertise-client-urls", &client, "--listen-peer-urls", &peer]);
        command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
        command.args(&self.options).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().expect("etcd: see `make tools`");
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.control(&["endpoint", "health"]).is_some() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        false
    }

    /// Starts it again.
    pub(super) fn start_again(&mut self) {
        assert!(self.begin(), "etcd does not start again: {}", self.log());
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Calls etcdctl; none: it has failed.
    pub(super) fn control(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url(), "--command-timeout=10s"]);
        if let Some(user) = self.user {
            command.args(["--user", user]);
        }
        let output = command.args(arguments).stdin(Stdio::null()).output().expect("etcdctl: see `make tools`");
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// The same of a call that must not fail.
    pub(super) fn must(&self, arguments: &[&str]) -> String {
        self.control(arguments).unwrap_or_else(|| panic!("etcdctl {arguments:?} has failed: {}", self.log()))
    }

    /// Lets in these alone: `root` and a user `pointsman` who may do what is below `/pointsman/`.
    pub(super) fn close(&mut self) {
        for arguments in [
            &["user", "add", "root:root"] as &[&str],
            &["user", "grant-role", "root", "root"],
            &["role", "add", "fleet"],
            &["role", "grant-permission", "fleet", "readwrite", "/pointsman/", "--prefix"],
            &["user", "add", "pointsman:secret"],
            &["user", "grant-role", "pointsman", "fleet"],
            &["auth", "enable"],
        ] {
            // The role root is there from the beginning in some versions.
            self.control(arguments);
        }
        self.user = Some("root:root");
    }

    /// A copy of what it has.
    pub(super) fn copy(&self) -> PathBuf {
        let file = self.folder.path().join("copy.db");
        self.must(&["snapshot", "save", file.to_str().unwrap()]);
        file
    }

    /// Ends it, and starts it with what was in a copy.
    pub(super) fn restore(&mut self, copy: &Path) {
        self.end();
        self.data = self.folder.path().join("restored");
        let peer = format!("http://127.0.0.1:{}", self.peer);
        let data = self.data.to_str().unwrap().to_owned();
        self.must(&[
            "snapshot",
            "restore",
            copy.to_str().unwrap(),
            "--data-dir",
            &data,
            "--initial-cluster",
            &format!("default={peer}"),
            "--initial-advertise-peer-urls",
            &peer,
        ]);
        self.start_again();
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Forgets what was before now.
    pub(super) fn compact(&self) {
        let status = self.must(&["endpoint", "status", "--write-out=json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let revision = status[0]["Status"]["header"]["revision"].to_string();
        self.must(&["compaction", &revision, "--physical"]);
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
