//! Caddy: the random choice among upstreams of which nine are v1 and one is v2, as 2.6 knows no weights; changed by a
//! new list over its admin interface.

use serde_json::{Value, json};

use super::certificate::HOST;
use super::http::Place;
use super::proxies::{Proxy, Setup};
use super::running::Running;

pub(crate) struct Caddy;

impl Proxy for Caddy {
    fn name(&self) -> &'static str {
        "Caddy"
    }

    fn program(&self) -> String {
        "caddy".to_owned()
    }

    fn version(&self) -> &'static str {
        "version"
    }

    fn means(&self) -> &'static str {
        "nine upstreams to one, at random; metrics; a new list over the admin API"
    }

    fn file(&self) -> &'static str {
        "caddy.json"
    }

    fn config(&self, setup: &Setup, split: [u32; 2]) -> String {
        let proxy = json!({
            "handler": "reverse_proxy",
            "load_balancing": { "selection_policy": { "policy": "random" } },
            "transport": {
                "protocol": "http",
                "compression": false,
                "keep_alive": { "max_idle_conns_per_host": 1024 },
            },
            "upstreams": upstreams(setup, split),
        });
        let server = json!({
            "protocols": ["h1", "h2"],
            "idle_timeout": "10m",
            "automatic_https": { "disable": true },
            "routes": [{ "handle": [proxy] }],
            "metrics": {},
        });
        let with = |key: &str, part: Value, mut server: Value| {
            server[key] = part;
            server
        };
        let plain = with("listen", json!([setup.plain.to_string()]), server.clone());
        let secure = with("listen", json!([setup.tls.to_string()]), server);
        // Clients that go to an address name no host.
        let secure = with("tls_connection_policies", json!([{ "default_sni": HOST }]), secure);
        let pair = json!({ "certificate": setup.certificate.cert, "key": setup.certificate.key });
        let config = json!({
            "admin": { "listen": setup.admin.to_string(), "config": { "persist": false } },
            "logging": { "logs": { "default": { "level": "FATAL" } } },
            "apps": {
                "http": { "servers": { "plain": plain, "secure": secure } },
                "tls": { "certificates": { "load_files": [pair] } },
            },
        });
        config.to_string()
    }

    fn arguments(&self, setup: &Setup) -> Vec<String> {
        ["run", "--config", &setup.file.display().to_string()].map(str::to_owned).to_vec()
    }

    fn environment(&self, setup: &Setup) -> Vec<(&'static str, String)> {
        // It writes below its home.
        vec![("GOMAXPROCS", "1".to_owned()), ("HOME", setup.folder.display().to_string())]
    }

    fn metrics(&self, setup: &Setup) -> (Place, &'static str) {
        (Place::Tcp(setup.admin), "/metrics")
    }

    fn shift(&self, setup: &Setup, _running: &Running, split: [u32; 2]) -> Result<(), String> {
        let path = "/config/apps/http/servers/plain/routes/0/handle/0/upstreams";
        Place::Tcp(setup.admin).ask("PATCH", path, &upstreams(setup, split).to_string()).map(drop)
    }
}

/// One for each ten per cent.
fn upstreams(setup: &Setup, split: [u32; 2]) -> Value {
    let pairs = setup.origins.iter().zip(split);
    pairs.flat_map(|(origin, weight)| vec![json!({ "dial": origin.to_string() }); weight as usize / 10]).collect()
}
