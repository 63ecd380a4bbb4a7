//! Envoy: weighted clusters whose weights are keys of its runtime, changed over its admin interface.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::http::Place;
use super::proxies::{Proxy, Setup};
use super::running::Running;

/// Where weights are in the runtime.
const KEY: &str = "routing.shop";

pub(crate) struct Envoy;

impl Proxy for Envoy {
    fn name(&self) -> &'static str {
        "Envoy"
    }

    /// On the path, or where `.ci/tools bench` puts it: beside the folder for temporary files of this build.
    fn program(&self) -> String {
        let ours = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers").join("bin/envoy");
        if ours.exists() { ours.display().to_string() } else { "envoy".to_owned() }
    }

    fn version(&self) -> &'static str {
        "--version"
    }

    fn means(&self) -> &'static str {
        "weighted clusters; admin interface; weights in its runtime"
    }

    fn file(&self) -> &'static str {
        "envoy.json"
    }

    fn config(&self, setup: &Setup, split: [u32; 2]) -> String {
        let listener = |name: &str, at: SocketAddr, transport: Option<Value>| {
            let mut chain = json!({ "filters": [manager(split)] });
            if let Some(transport) = transport {
                chain["transport_socket"] = transport;
            }
            json!({ "name": name, "address": address(at), "filter_chains": [chain] })
        };
        let config = json!({
            "admin": { "address": address(setup.admin) },
            "layered_runtime": { "layers": [{ "name": "admin", "admin_layer": {} }] },
            "static_resources": {
                "listeners": [listener("plain", setup.plain, None), listener("tls", setup.tls, Some(tls(setup)))],
                "clusters": [cluster("v1", setup.origins[0]), cluster("v2", setup.origins[1])],
            },
        });
        config.to_string()
    }

    fn arguments(&self, setup: &Setup) -> Vec<String> {
        let file = setup.file.display().to_string();
        ["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", &file].map(str::to_owned).to_vec()
    }

    fn metrics(&self, setup: &Setup) -> (Place, &'static str) {
        (Place::Tcp(setup.admin), "/stats/prometheus")
    }

    fn shift(&self, setup: &Setup, _running: &Running, [v1, v2]: [u32; 2]) -> Result<(), String> {
        let path = format!("/runtime_modify?{KEY}.v1={v1}&{KEY}.v2={v2}");
        Place::Tcp(setup.admin).ask("POST", &path, "").map(drop)
    }
}

/// The filter that speaks HTTP, routes and adds `X-Forwarded-For` (`use_remote_address`).
fn manager([v1, v2]: [u32; 2]) -> Value {
    let clusters = json!([{ "name": "v1", "weight": v1 }, { "name": "v2", "weight": v2 }]);
    let route = json!({ "weighted_clusters": { "clusters": clusters, "runtime_key_prefix": KEY } });
    let host = json!({ "name": "all", "domains": ["*"], "routes": [{ "match": { "prefix": "/" }, "route": route }] });
    typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "in",
            "use_remote_address": true,
            "route_config": { "virtual_hosts": [host] },
            "http_filters": [typed("filters.http.router.v3.Router", json!({}))],
        }),
    )
}

fn tls(setup: &Setup) -> Value {
    let file = |path: &Path| json!({ "filename": path });
    let pair = json!({
        "certificate_chain": file(&setup.certificate.cert),
        "private_key": file(&setup.certificate.key),
    });
    let context = json!({ "tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"] });
    typed("transport_sockets.tls.v3.DownstreamTlsContext", json!({ "common_tls_context": context }))
}

fn cluster(name: &str, origin: SocketAddr) -> Value {
    let endpoint = json!({ "endpoint": { "address": address(origin) } });
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] },
    })
}

/// An extension, named by its type.
fn typed(kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{kind}"));
    json!({ "name": kind, "typed_config": config })
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip(), "port_value": at.port() } })
}
