//! nginx: weights of an upstream's servers, changed by a reload.
//!
//! Weights and not `split_clients`: the latter draws sixteen random bytes for each request. Buffers of 16 KiB, as
//! HAProxy's are: with those of 4 KiB that it has by itself a large answer costs twice as much. One process where load
//! is measured; a master and a worker where the config is reloaded, as no other program could.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::http::Place;
use super::proxies::{Proxy, Purpose, Setup};
use super::running::Running;

pub(crate) struct Nginx;

impl Proxy for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn program(&self) -> String {
        "nginx".to_owned()
    }

    fn version(&self) -> &'static str {
        "-v"
    }

    fn means(&self) -> &'static str {
        "server weights; stub_status; reload by SIGHUP"
    }

    fn file(&self) -> &'static str {
        "nginx.conf"
    }

    fn config(&self, setup: &Setup, split: [u32; 2]) -> String {
        let pairs = setup.origins.iter().zip(split).filter(|(_, weight)| *weight > 0);
        let servers: String = pairs.map(|(origin, weight)| format!("    server {origin} weight={weight};\n")).collect();
        let (cert, key) = (setup.certificate.cert.display(), setup.certificate.key.display());
        format!(
            "{head}  keepalive_timeout 10m;
  proxy_max_temp_file_size 0;
  proxy_buffers 8 16k;
  upstream shop {{
{servers}    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {plain};
    listen {tls} ssl http2;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    location / {{
      proxy_pass http://shop;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
  server {{
    listen {admin};
    location = /metrics {{ stub_status; }}
  }}
}}
",
            head = head(&setup.folder, setup.connections, setup.purpose == Purpose::Shift),
            plain = setup.plain,
            tls = setup.tls,
            admin = setup.admin,
        )
    }

    fn arguments(&self, setup: &Setup) -> Vec<String> {
        arguments(&setup.folder, &setup.file)
    }

    fn metrics(&self, setup: &Setup) -> (Place, &'static str) {
        (Place::Tcp(setup.admin), "/metrics")
    }

    fn shift(&self, setup: &Setup, running: &Running, split: [u32; 2]) -> Result<(), String> {
        let written = fs::write(&setup.file, self.config(setup, split));
        written.map_err(|error| format!("{}: {error}", setup.file.display()))?;
        running.signal(Signal::HUP);
        Ok(())
    }
}

/// What every nginx here begins with: in the foreground, one worker, no log, all its files in a folder. Its table of
/// connections is made at each start and reload, so it is as large as it has to be for this many clients.
pub(crate) fn head(folder: &Path, clients: usize, master: bool) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n")).collect();
    // One to the client, one to the origin.
    let places = clients * 2 + 100;
    let master = if master { "on" } else { "off" };
    format!(
        "daemon off;
master_process {master};
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections {places}; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
{temporary}"
    )
}

/// What it is started with.
pub(crate) fn arguments(folder: &Path, file: &Path) -> Vec<String> {
    ["-c", &file.display().to_string(), "-p", &folder.display().to_string(), "-e", "stderr"].map(str::to_owned).to_vec()
}
