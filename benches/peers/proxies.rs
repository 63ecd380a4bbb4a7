//! The proxies that are compared, and what all of them are asked to do.
//!
//! Equal features, or the comparison is worth nothing: one worker; two pools, 90 % of the requests to one and 10 % to
//! the other; kept-alive connections on both sides, as many as there are clients; `X-Forwarded-For`; a page of metrics;
//! no access log; TLS 1.3 and HTTP/2 on a second listener. Where a proxy offers several ways it gets a cheap one; its
//! own file says which and why. Pointsman does more: users stay on their version by a header, the split is the step of
//! a canary, and the judge watches it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::caddy::Caddy;
use super::certificate::Certificate;
use super::envoy::Envoy;
use super::haproxy::Haproxy;
use super::http::Place;
use super::machine::on_the_proxies_core;
use super::nginx::Nginx;
use super::origin::Origin;
use super::pointsman::Pointsman;
use super::running::{Running, free_addresses};

/// In the order of the columns; ours first.
pub(crate) const PROXIES: [&dyn Proxy; 6] = [&Pointsman, &Haproxy::Http, &Nginx, &Caddy, &Envoy, &Haproxy::Tcp];

/// Per cent to v1 and v2.
pub(crate) const SPLIT: [u32; 2] = [90, 10];

/// What a proxy is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To carry load.
    Load,
    /// To have its weights changed while it carries some.
    Shift,
}

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Setup {
    /// For clients without TLS.
    pub(crate) plain: SocketAddr,
    /// For clients with TLS.
    pub(crate) tls: SocketAddr,
    /// For metrics, and changes where they go over TCP.
    pub(crate) admin: SocketAddr,
    /// v1 and v2.
    pub(crate) origins: [SocketAddr; 2],
    pub(crate) certificate: Arc<Certificate>,
    /// A place for files.
    pub(crate) folder: PathBuf,
    /// The config.
    pub(crate) file: PathBuf,
    /// Most connections of clients.
    pub(crate) connections: usize,
    pub(crate) purpose: Purpose,
}

/// How a proxy is configured and operated.
pub(crate) trait Proxy: Sync {
    /// As it is shown.
    fn name(&self) -> &'static str;
    /// A name or a path.
    fn program(&self) -> String;
    /// The argument that makes it tell its version.
    fn version(&self) -> &'static str;
    /// How it does what all of them do, in a few words.
    fn means(&self) -> &'static str;
    /// The name of its config file.
    fn file(&self) -> &'static str;
    /// The config, with these per cent to v1 and v2.
    fn config(&self, setup: &Setup, split: [u32; 2]) -> String;
    /// The arguments that make it run in the foreground.
    fn arguments(&self, setup: &Setup) -> Vec<String>;
    /// Variables that it is to see.
    fn environment(&self, _setup: &Setup) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Where its metrics are.
    fn metrics(&self, setup: &Setup) -> (Place, &'static str);
    /// What there is to do once it runs.
    ///
    /// # Errors
    /// Why it could not be done.
    fn begin(&self, _setup: &Setup) -> Result<(), String> {
        Ok(())
    }
    /// Changes the weights as its operators do.
    ///
    /// # Errors
    /// Why it could not be done.
    fn shift(&self, setup: &Setup, running: &Running, split: [u32; 2]) -> Result<(), String>;
    /// Whether it looks at requests; if not it only shows what the sockets cost.
    fn sees_requests(&self) -> bool {
        true
    }
    /// Whether it still does what the others do.
    ///
    /// # Errors
    /// What it no longer does.
    fn check(&self, _setup: &Setup) -> Result<(), String> {
        Ok(())
    }
}

/// One that runs on its core.
pub(crate) struct Peer {
    pub(crate) proxy: &'static dyn Proxy,
    pub(crate) setup: Setup,
    pub(crate) running: Running,
    _folder: TempDir,
}

impl Peer {
    /// Starts it.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn start(
        proxy: &'static dyn Proxy,
        origin: &Origin,
        purpose: Purpose,
        connections: usize,
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("a folder for {}: {error}", proxy.name()))?;
        let [plain, tls, admin] = free_addresses();
        let setup = Setup {
            plain,
            tls,
            admin,
            origins: origin.addresses,
            certificate: Arc::clone(&origin.certificate),
            folder: folder.path().to_owned(),
            file: folder.path().join(proxy.file()),
            connections,
            purpose,
        };
        fs::write(&setup.file, proxy.config(&setup, SPLIT))
            .map_err(|error| format!("{}: {error}", setup.file.display()))?;
        let mut command = Command::new(proxy.program());
        command.args(proxy.arguments(&setup)).envs(proxy.environment(&setup));
        let start = || Running::start(proxy.name(), &mut command, folder.path(), &[plain, tls]);
        let running = on_the_proxies_core(start)??;
        let peer = Self { proxy, setup, running, _folder: folder };
        proxy.begin(&peer.setup).map_err(|problem| format!("{}: {problem}", proxy.name()))?;
        Ok(peer)
    }
}

/// The version of a program, if it is there: the first `1.2.3` in what it says of itself.
pub(crate) fn version(program: &str, argument: &str) -> Option<String> {
    let said = Command::new(program).arg(argument).output().ok()?;
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    let number = words.map(|word| word.trim_matches('.')).find(|word| word.matches('.').count() == 2);
    Some(number.unwrap_or("unknown").to_owned())
}
