//! HAProxy: weights of a backend's servers, changed over its socket. Once as a proxy of HTTP, and once of bytes, for
//! the floor: what it costs to carry them from one socket to another without looking at them.

use super::http::Place;
use super::proxies::{Proxy, Setup};
use super::running::Running;

pub(crate) enum Haproxy {
    Http,
    Tcp,
}

impl Proxy for Haproxy {
    fn name(&self) -> &'static str {
        match self {
            Self::Http => "HAProxy",
            Self::Tcp => "layer-4",
        }
    }

    fn program(&self) -> String {
        "haproxy".to_owned()
    }

    fn version(&self) -> &'static str {
        "-v"
    }

    fn means(&self) -> &'static str {
        match self {
            Self::Http => "server weights, round robin; statistics page; set weight over the runtime API",
            Self::Tcp => "the same HAProxy in tcp mode: bytes, not requests (TLS is still its own); the floor",
        }
    }

    fn file(&self) -> &'static str {
        "haproxy.cfg"
    }

    fn config(&self, setup: &Setup, [v1, v2]: [u32; 2]) -> String {
        let (mode, http, alpn) = match self {
            Self::Http => ("http", "  option forwardfor\n  http-reuse always\n", "h2,http/1.1"),
            Self::Tcp => ("tcp", "", "http/1.1"),
        };
        let [first, second] = setup.origins;
        format!(
            "global
  nbthread 1
  maxconn {most}
  stats socket {folder}/haproxy.sock level admin
defaults
  mode {mode}
  timeout connect 4s
  timeout client 10m
  timeout server 10m
{http}frontend in
  bind {plain}
  bind {tls} ssl crt {both} alpn {alpn}
  default_backend shop
backend shop
  balance roundrobin
  server v1 {first} weight {v1}
  server v2 {second} weight {v2}
frontend metrics
  mode http
  bind {admin}
  stats enable
  stats uri /metrics
",
            most = setup.connections + 100,
            folder = setup.folder.display(),
            plain = setup.plain,
            tls = setup.tls,
            both = setup.certificate.both.display(),
            admin = setup.admin,
        )
    }

    fn arguments(&self, setup: &Setup) -> Vec<String> {
        ["-db", "-f", &setup.file.display().to_string()].map(str::to_owned).to_vec()
    }

    fn metrics(&self, setup: &Setup) -> (Place, &'static str) {
        (Place::Tcp(setup.admin), "/metrics")
    }

    fn shift(&self, setup: &Setup, _running: &Running, [v1, v2]: [u32; 2]) -> Result<(), String> {
        let socket = Place::Unix(setup.folder.join("haproxy.sock"));
        // The one that grows first, so that there is always one that takes requests.
        let mut weights = [("v1", v1), ("v2", v2)];
        weights.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let [first, second] = weights.map(|(server, weight)| format!("set weight shop/{server} {weight}"));
        let said = socket.say(&format!("{first};{second}\n"))?;
        if said.trim().is_empty() { Ok(()) } else { Err(format!("set weight: {}", said.trim())) }
    }

    fn sees_requests(&self) -> bool {
        matches!(self, Self::Http)
    }
}
