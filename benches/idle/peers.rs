//! The proxies that are measured, and what each is configured with: one worker, no log, connections that may idle for
//! minutes, one origin; plain or with TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A proxy to measure.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) program: String,
    pub(crate) version: &'static str,
    /// `CONFIG` and `FOLDER` stand for their paths.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) config: fn(&Setup<'_>) -> String,
}

/// What a config is about.
pub(crate) struct Setup<'s> {
    /// Where clients come in.
    pub(crate) listen: SocketAddr,
    /// Where requests go.
    pub(crate) origin: SocketAddr,
    /// How many clients come; HAProxy wants to know, and checks that it may have the descriptors.
    pub(crate) connections: usize,
    /// A place for files.
    pub(crate) folder: &'s Path,
    /// The certificate of the listener, if it has TLS.
    pub(crate) tls: Option<&'s Certificate>,
}

/// A certificate and its key, each in a file and both in one.
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) both: PathBuf,
}

pub(crate) fn kinds() -> [Kind; 4] {
    [
        Kind {
            name: "Pointsman",
            program: std::env::var("POINTSMAN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned()),
            version: "--version",
            arguments: &["run", "--config", "CONFIG"],
            config: pointsman,
        },
        Kind {
            name: "nginx",
            program: "nginx".to_owned(),
            version: "-v",
            arguments: &["-c", "CONFIG", "-p", "FOLDER", "-e", "stderr"],
            config: nginx,
        },
        Kind {
            name: "HAProxy",
            program: "haproxy".to_owned(),
            version: "-v",
            arguments: &["-db", "-f", "CONFIG"],
            config: haproxy,
        },
        Kind {
            name: "Envoy",
            program: "envoy".to_owned(),
            version: "--version",
            arguments: &["--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c", "CONFIG"],
            config: envoy,
        },
    ]
}

fn pointsman(setup: &Setup<'_>) -> String {
    let tls = setup.tls.map_or_else(String::new, |tls| {
        format!("tls = {{ cert = \"{}\", key = \"{}\" }}\n", tls.cert.display(), tls.key.display())
    });
    format!(
        "[listeners.public]\naddress = \"{}\"\nidle_timeout = \"10m\"\nconnections_max = 100000\n{tls}\
         [admin]\naddress = \"unix:{folder}/admin.sock\"\n[state]\npath = \"{folder}/pointsman.db\"\n[proxy]\n\
         workers = 1\nconnections_max = 100000\n[services.shop]\nversions.v1.endpoints = [\"{}\"]\n",
        setup.listen,
        setup.origin,
        folder = setup.folder.display()
    )
}

fn nginx(setup: &Setup<'_>) -> String {
    let folder = setup.folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|kind| format!("{kind}_temp_path {folder}/{kind};\n")).collect();
    let tls = setup.tls.map_or_else(String::new, |tls| {
        format!(
            "ssl_protocols TLSv1.2 TLSv1.3;\nssl_certificate {};\nssl_certificate_key {};\n",
            tls.cert.display(),
            tls.key.display()
        )
    });
    let ssl = if setup.tls.is_some() { " ssl" } else { "" };
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{ worker_connections 100000; }}\nhttp {{\n\
         access_log off;\nkeepalive_timeout 10m;\n{temporary}upstream origin {{ server {}; keepalive 8; }}\n\
         server {{\nlisten {}{ssl};\n{tls}location / {{\nproxy_pass http://origin;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n}}\n}}\n}}\n",
        setup.origin, setup.listen
    )
}

fn haproxy(setup: &Setup<'_>) -> String {
    let tls = setup.tls.map_or_else(String::new, |tls| format!(" ssl crt {}", tls.both.display()));
    format!(
        "global\n  nbthread 1\n  maxconn {}\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 10m\n  \
         timeout server 10m\nfrontend in\n  bind {}{tls}\n  default_backend out\nbackend out\n  server origin {}\n",
        setup.connections + 100,
        setup.listen,
        setup.origin
    )
}

fn envoy(setup: &Setup<'_>) -> String {
    let address = |at: SocketAddr| format!("{{socket_address: {{address: {}, port_value: {}}}}}", at.ip(), at.port());
    let package = "type.googleapis.com/envoy.extensions";
    let tls = setup.tls.map_or_else(String::new, |tls| {
        let file = |path: &Path| format!("{{filename: {}}}", path.display());
        let pair = format!("{{certificate_chain: {}, private_key: {}}}", file(&tls.cert), file(&tls.key));
        format!(
            ", transport_socket: {{name: tls, typed_config: {{'@type': \
             {package}.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {{tls_certificates: [{pair}]}}}}}}"
        )
    });
    let router = format!("{{name: router, typed_config: {{'@type': {package}.filters.http.router.v3.Router}}}}");
    let hosts = "[{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]";
    let filter = format!(
        "{{name: http, typed_config: {{'@type': \
         {package}.filters.network.http_connection_manager.v3.HttpConnectionManager, \
         stat_prefix: in, route_config: {{virtual_hosts: {hosts}}}, http_filters: [{router}]}}}}"
    );
    let endpoint = format!("{{lb_endpoints: [{{endpoint: {{address: {}}}}}]}}", address(setup.origin));
    format!(
        "static_resources:\n  listeners:\n  - {{name: in, address: {}, filter_chains: [{{filters: [{filter}]{tls}}}]}}\n  \
         clusters:\n  - {{name: origin, type: STATIC, load_assignment: {{cluster_name: origin, endpoints: [{endpoint}]}}}}\n",
        address(setup.listen)
    )
}
