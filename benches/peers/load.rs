//! Load as fast as it is answered: wrk for HTTP/1.1, h2load for HTTP/2.
//!
//! Every case has a thousand users, by a header or (h2load's headers are always the same) by a query, so that
//! stickiness has something to do; all proxies get the same requests. TLS is 1.3 with the same cipher for everybody:
//! which one a server likes best is a matter of its defaults.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use super::certificate::HOST;
use super::open_loop::Target;
use super::origin::{LARGE, SMALL};
use super::proxies::Peer;
use super::wrk::Answered;
use super::{h2load, wrk};

/// How many users there are.
pub(crate) const USERS: usize = 1_000;

const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// A small request of each user, for the load at a given rate.
pub(crate) fn small_requests(address: SocketAddr) -> Target {
    let request = |user| format!("GET {SMALL} HTTP/1.1\r\nhost: {HOST}\r\nx-user: user-{user}\r\n\r\n");
    Target { address, requests: (1..=USERS).map(request).collect() }
}

/// A kind of load.
#[derive(Debug)]
pub(crate) struct Case {
    /// As it is chosen.
    pub(crate) name: &'static str,
    /// As it is shown.
    pub(crate) title: &'static str,
    connections: usize,
    tls: bool,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Small,
    Large,
    Post,
    H2,
}

/// All of them.
pub(crate) const CASES: [Case; 7] = [
    Case { name: "4", title: "HTTP/1.1, 4 connections", connections: 4, tls: false, kind: Kind::Small },
    MAIN,
    Case { name: "512", title: "HTTP/1.1, 512 connections", connections: 512, tls: false, kind: Kind::Small },
    Case { name: "large", title: "answers of 64 KiB, 64 connections", connections: 64, tls: false, kind: Kind::Large },
    Case { name: "post", title: "POST of 1 KiB, 64 connections", connections: 64, tls: false, kind: Kind::Post },
    Case { name: "tls", title: "HTTP/1.1 over TLS, 64 connections", connections: 64, tls: true, kind: Kind::Small },
    Case { name: "h2", title: "HTTP/2 over TLS, 8 x 8 streams", connections: 8, tls: true, kind: Kind::H2 },
];

/// The one that targets are about.
pub(crate) const MAIN: Case =
    Case { name: "64", title: "HTTP/1.1, 64 connections", connections: 64, tls: false, kind: Kind::Small };

impl Case {
    /// Whether this proxy can do it: one of bytes does not translate HTTP/2.
    pub(crate) fn suits(&self, peer: &Peer) -> bool {
        peer.proxy.sees_requests() || self.kind != Kind::H2
    }
}

/// The load generators, with their scripts.
#[derive(Debug)]
pub(crate) struct Generators {
    folder: TempDir,
}

impl Generators {
    /// Writes the scripts.
    ///
    /// # Errors
    /// There is no folder for them.
    pub(crate) fn new() -> Result<Self, String> {
        let generators =
            Self { folder: tempfile::tempdir().map_err(|error| format!("a folder for scripts: {error}"))? };
        let openssl = format!(
            "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\nCiphersuites = {CIPHER}\n"
        );
        generators.write("openssl.cnf", &openssl)?;
        for (name, method, path, bytes) in
            [("small", "GET", SMALL, 0), ("large", "GET", LARGE, 0), ("post", "POST", SMALL, 1024)]
        {
            generators.write(name, &script(method, path, bytes))?;
        }
        Ok(generators)
    }

    /// Pushes for so long.
    ///
    /// # Errors
    /// The generator is missing, or a request failed.
    pub(crate) fn run(&self, case: &Case, peer: &Peer, time: Duration) -> Result<Answered, String> {
        let address = if case.tls { peer.setup.tls } else { peer.setup.plain };
        let answered = match case.kind {
            Kind::H2 => self.h2load(case, address, time),
            Kind::Small => self.wrk("small", case, address, time),
            Kind::Large => self.wrk("large", case, address, time),
            Kind::Post => self.wrk("post", case, address, time),
        };
        answered.map_err(|problem| {
            format!("{}, {}: {problem}; it said:\n{}", peer.proxy.name(), case.title, peer.running.said())
        })
    }

    fn wrk(&self, script: &str, case: &Case, address: SocketAddr, time: Duration) -> Result<Answered, String> {
        let mut command = Command::new("wrk");
        let scheme = if case.tls { "https" } else { "http" };
        command.env("OPENSSL_CONF", self.path("openssl.cnf")).args(["-t1", "--latency", "--timeout", "10s"]);
        command.args(["-c", &case.connections.to_string(), "-d", &format!("{}s", time.as_secs())]);
        command.arg("-s").arg(self.path(script)).arg(format!("{scheme}://{address}/"));
        let output = output(command)?;
        wrk::read(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()))
    }

    fn h2load(&self, case: &Case, address: SocketAddr, time: Duration) -> Result<Answered, String> {
        let uris = (1..=USERS).fold(String::new(), |mut uris, user| {
            writeln!(uris, "https://{address}{SMALL}?user=user-{user}").ok();
            uris
        });
        self.write("uris", &uris)?;
        let log = self.path("log");
        fs::remove_file(&log).ok();
        let mut command = Command::new("h2load");
        command.args(["-t", "1", "-m", "8", "-c", &case.connections.to_string(), "-D", &time.as_secs().to_string()]);
        command.arg(format!("--tls13-ciphers={CIPHER}")).arg(format!("--log-file={}", log.display()));
        command.arg("-i").arg(self.path("uris"));
        let output = output(command)?;
        let log = fs::read_to_string(&log).unwrap_or_default();
        h2load::read(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()), &log)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn output(mut command: Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|error| format!("cannot start {program}: {error}; `.ci/tools bench` installs it"))
}

/// For wrk: one request a user, made before the start, in turn.
fn script(method: &str, path: &str, body_bytes: usize) -> String {
    let body = if body_bytes == 0 { "nil".to_owned() } else { format!("string.rep('x', {body_bytes})") };
    format!(
        "local requests, at = {{}}, 0
function init(args)
  for user = 1, {USERS} do
    requests[user] = wrk.format('{method}', '{path}', {{ Host = '{HOST}', ['x-user'] = 'user-' .. user }}, {body})
  end
end
function request()
  at = at % {USERS} + 1
  return requests[at]
end
"
    )
}
