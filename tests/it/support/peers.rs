//! Other proxies on loopback, in front of the same origin and given the same bytes, so that the page of conformance can
//! say what they do. Only `make peers` starts them (`PEERS=1`); what it measured is a checked-in file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Client, End, Origin, apart, conformance, eventually, fault};

/// How long a peer may be silent: none of them thinks longer, so it waits for more bytes.
const SILENCE: Duration = Duration::from_secs(1);

/// What was measured, and of which versions.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) cases: Vec<MeasuredCase>,
}

/// What the peers did with one case: the answer, and what the origin saw.
#[derive(Serialize, Deserialize)]
pub(crate) struct MeasuredCase {
    pub(crate) rule: u8,
    pub(crate) case: String,
    pub(crate) peers: BTreeMap<String, (String, String)>,
}

static FILE: Mutex<()> = Mutex::new(());

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/peers.toml")
}

/// Everything that was measured.
pub(crate) fn measured() -> Measured {
    let _alone = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    read()
}

fn read() -> Measured {
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    if text.is_empty() { Measured::default() } else { toml::from_str(&text).unwrap() }
}

/// The peers that are installed, in front of one origin.
pub(crate) struct Peers {
    running: Vec<Peer>,
    _folder: tempfile::TempDir,
}

struct Peer {
    name: &'static str,
    version: String,
    address: SocketAddr,
    process: Child,
}

impl Peers {
    /// Starts them, if this run is to measure.
    pub(crate) fn wanted(origin: &Origin) -> Option<Self> {
        std::env::var_os("PEERS")?;
        let folder = tempfile::tempdir().unwrap();
        let running = KINDS.iter().filter_map(|kind| Peer::start(kind, origin.address(), folder.path())).collect();
        Some(Self { running, _folder: folder })
    }

    /// Asks all of them and notes what came of it.
    pub(crate) fn measure(&self, (rule, case): (u8, &str), bytes: &[u8], names: &[String], origin: &Origin) {
        let mut peers = BTreeMap::new();
        // What our own proxy has broken off may still be on its way.
        apart();
        for peer in &self.running {
            origin.forget();
            let mut client = Client::to(peer.address).patient(SILENCE);
            let answer = match client.write(bytes).read(bytes.starts_with(b"HEAD ")) {
                Ok(answer) if answer.is_whole() => answer.status.to_string(),
                Ok(answer) => format!("{}, broken off", answer.status),
                Err((End::Silent, _)) => "waits".to_owned(),
                Err((End::Malformed, _)) => "no HTTP".to_owned(),
                Err((End::Clean | End::Reset, _)) => "closes".to_owned(),
            };
            drop(client);
            apart();
            peers.insert(peer.name.to_owned(), (answer, conformance::saw(&origin.forget().0, names)));
        }
        let _alone = FILE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = read();
        all.versions.extend(self.running.iter().map(|peer| (peer.name.to_owned(), peer.version.clone())));
        all.cases.retain(|old| (old.rule, old.case.as_str()) != (rule, case));
        all.cases.push(MeasuredCase { rule, case: case.to_owned(), peers });
        all.cases.sort_by(|a, b| (a.rule, &a.case).cmp(&(b.rule, &b.case)));
        std::fs::write(path(), toml::to_string(&all).unwrap()).unwrap();
    }
}

/// What is known of a peer.
struct Kind {
    name: &'static str,
    program: &'static str,
    version: &'static str,
    /// `CONFIG` and `FOLDER` stand for their paths.
    arguments: &'static [&'static str],
    config: fn(SocketAddr, SocketAddr, &Path) -> String,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "nginx",
        program: "nginx",
        version: "-v",
        arguments: &["-c", "CONFIG", "-p", "FOLDER", "-e", "stderr"],
        config: nginx,
    },
    Kind { name: "HAProxy", program: "haproxy", version: "-v", arguments: &["-db", "-f", "CONFIG"], config: haproxy },
    Kind {
        name: "Envoy",
        program: "envoy",
        version: "--version",
        arguments: &["--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c", "CONFIG"],
        config: envoy,
    },
];

impl Peer {
    fn start(kind: &Kind, origin: SocketAddr, folder: &Path) -> Option<Self> {
        let Ok(said) = Command::new(kind.program).arg(kind.version).output() else {
            println!("{} is not installed and not measured", kind.name);
            return None;
        };
        let version = number(&String::from_utf8_lossy(&[said.stdout, said.stderr].concat()));
        let address = fault::listener().local_addr().unwrap();
        let file = folder.join(format!("{}.yaml", kind.name));
        std::fs::write(&file, (kind.config)(address, origin, folder)).unwrap();
        let place = |word: &&str| match *word {
            "CONFIG" => file.display().to_string(),
            "FOLDER" => folder.display().to_string(),
            word => word.to_owned(),
        };
        let mut command = Command::new(kind.program);
        command.args(kind.arguments.iter().map(place)).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        eventually("a peer listens", || std::net::TcpStream::connect(address).is_ok());
        Some(Self { name: kind.name, version, address, process })
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for peer in &mut self.running {
            peer.process.kill().ok();
            peer.process.wait().ok();
        }
    }
}

/// The first `1.2.3` in what a program says of itself.
fn number(said: &str) -> String {
    let words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.map(|word| word.trim_matches('.')).find(|word| word.matches('.').count() == 2).unwrap_or("unknown").to_owned()
}

fn nginx(listen: SocketAddr, origin: SocketAddr, folder: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        temporary.iter().map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display())).collect();
    format!(
        "daemon off;\nmaster_process off;\npid {0}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         upstream origin {{ server {origin}; keepalive 8; }}\nserver {{\nlisten {listen};\nlocation / {{\n\
         proxy_pass http://origin;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
         proxy_set_header Host $http_host;\nproxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n}}\n}}\n}}\n",
        folder.display()
    )
}

fn haproxy(listen: SocketAddr, origin: SocketAddr, _: &Path) -> String {
    format!(
        "defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n  option forwardfor\n\
         frontend in\n  bind {listen}\n  default_backend out\nbackend out\n  server origin {origin}\n"
    )
}

fn envoy(listen: SocketAddr, origin: SocketAddr, _: &Path) -> String {
    let address = |at: SocketAddr| format!("{{socket_address: {{address: {}, port_value: {}}}}}", at.ip(), at.port());
    let package = "type.googleapis.com/envoy.extensions.filters";
    let router = format!("{{name: router, typed_config: {{'@type': {package}.http.router.v3.Router}}}}");
    let hosts = "[{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]";
    let filter = format!(
        "{{name: http, typed_config: {{'@type': {package}.network.http_connection_manager.v3.HttpConnectionManager, \
         stat_prefix: in, use_remote_address: true, route_config: {{virtual_hosts: {hosts}}}, http_filters: [{router}]}}}}"
    );
    let endpoint = format!("{{lb_endpoints: [{{endpoint: {{address: {}}}}}]}}", address(origin));
    format!(
        "static_resources:\n  listeners:\n  - {{name: in, address: {}, filter_chains: [{{filters: [{filter}]}}]}}\n  \
         clusters:\n  - {{name: origin, type: STATIC, load_assignment: {{cluster_name: origin, endpoints: [{endpoint}]}}}}\n",
        address(listen)
    )
}
