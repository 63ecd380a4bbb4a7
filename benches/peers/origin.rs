//! The origin: one nginx on the load's core that plays v1 on one port and v2 on another, and answers from memory.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::answer::{SAW, VERSION};
use super::certificate::Certificate;
use super::nginx;
use super::running::{Running, free_addresses};

/// The path of the small answer.
pub(crate) const SMALL: &str = "/items/7";

/// The path of the large one, and its size.
pub(crate) const LARGE: &str = "/large";
const LARGE_BYTES: usize = 64 * 1024;

/// The path that tells what `X-Forwarded-For` it saw.
pub(crate) const ECHO: &str = "/echo";

/// The small body: 100 bytes.
pub(crate) const BODY: &str =
    "Item 7, a lamp of brass with a green shade, 40 W, in stock at four places, delivered within two days";

/// More connections than all proxies have to it together.
const CLIENTS: usize = 50_000;

/// It ends with this.
#[derive(Debug)]
pub(crate) struct Origin {
    /// v1 and v2.
    pub(crate) addresses: [SocketAddr; 2],
    /// What listeners in front of it show.
    pub(crate) certificate: Arc<Certificate>,
    _running: Running,
    _folder: TempDir,
}

impl Origin {
    /// Starts it on this thread's core.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("a folder for the origin: {error}"))?;
        let at = folder.path();
        let addresses = free_addresses();
        let file = at.join("origin.conf");
        let large = "0123456789abcdef".repeat(LARGE_BYTES / 16);
        let config = config(&folder, addresses);
        for (path, text) in [(&file, config), (&at.join("large"), large)] {
            fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let mut command = Command::new("nginx");
        command.args(nginx::arguments(at, &file));
        let running = Running::start("nginx, the origin", &mut command, at, &addresses);
        let running = running.map_err(|problem| format!("{problem}; `.ci/tools bench` installs what is needed"))?;
        let certificate = Arc::new(Certificate::new(at));
        Ok(Self { addresses, certificate, _running: running, _folder: folder })
    }
}

fn config(folder: &TempDir, addresses: [SocketAddr; 2]) -> String {
    let folder = folder.path();
    let head = nginx::head(folder, CLIENTS, false);
    let servers = ["v1", "v2"].iter().zip(addresses).map(|(version, address)| {
        format!(
            "  server {{
    listen {address} backlog=4096;
    add_header {VERSION} {version};
    location / {{ return 200 \"{BODY}\"; }}
    location = {LARGE} {{ root {root}; }}
    location = {ECHO} {{
      add_header {VERSION} {version};
      add_header {SAW} $http_x_forwarded_for;
      return 200 \"{BODY}\";
    }}
  }}
",
            root = folder.display()
        )
    });
    format!(
        "{head}  keepalive_timeout 1h;
  default_type text/plain;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
{}}}
",
        servers.collect::<String>()
    )
}
