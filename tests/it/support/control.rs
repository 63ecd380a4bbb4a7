//! A control plane without a data plane, and a client for its API.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pointsman::testing::admin::{
    Access, AccessSettings, Address, AdminApi, AdminListener, AdminServer, ExperimentSources, upgrade_calls,
};
use pointsman::testing::control::clock::Clock;
use pointsman::testing::control::hold::HoldRegistry;
use pointsman::testing::control::watch::ConfigFacts;
use pointsman::testing::control::{FileSpecs, Handle, Store, Writer};
use pointsman::testing::metrics::recent_rates::RecentRates;
use pointsman::testing::metrics::{Exporter, Sources};
use pointsman::testing::outbound::notify::notifier;
use pointsman::testing::outbound::prometheus::MetricsClient;
use pointsman::testing::outbound::webhook::WebhookClient;
use pointsman::testing::release::controller::{Deps, RolloutController};
use pointsman::testing::stats::Registry;
use pointsman::testing::table::Table;
use pointsman::testing::table::spec::flag::FlagSpec;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::spec;

/// A running control plane.
pub struct Control {
    pub handle: Handle,
    pub admin: Arc<AdminApi>,
    pub address: Address,
    pub facts: watch::Sender<ConfigFacts>,
    pub stop: Option<oneshot::Sender<()>>,
    pub served: JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Control {
    /// Two services on loopback, in memory, without tokens.
    pub fn start() -> Self {
        let services = spec::services(&[("cart", "v1=100 v2=0"), ("shop", "v1=95 v2=5")]);
        let address = Address::Tcp(([127, 0, 0, 1], 0).into());
        Self::with(services, Store::in_memory().unwrap(), &address, &AccessSettings::default())
    }

    /// The same with these flags.
    pub fn with_flags(flags: Vec<FlagSpec>) -> Self {
        let specs = spec::file(&[("cart", "v1=100 v2=0"), ("shop", "v1=95 v2=5")], flags);
        let address = Address::Tcp(([127, 0, 0, 1], 0).into());
        Self::with(specs, Store::in_memory().unwrap(), &address, &AccessSettings::default())
    }

    pub fn with(specs: impl Into<FileSpecs>, store: Store, address: &Address, access: &AccessSettings) -> Self {
        let registry = Arc::new(Registry::new(1));
        let writer = Writer::new(store, Arc::clone(&registry), specs).unwrap();
        let (published, store_problem) = (writer.published(), writer.store_problem());
        let experiments = ExperimentSources::without_ledger(&writer, &registry);
        let (handle, _thread) = writer.start(pointsman::testing::supervise::Part::alone("writer")).unwrap();
        let ((facts, config), live) = (watch::channel(ConfigFacts::good(None)), Arc::new(RecentRates::default()));
        let ((targets, notified), webhook_client) = (watch::channel(Vec::new()), WebhookClient::default());
        let (notifier, _courier) = notifier(notified, webhook_client.clone(), StdRng::seed_from_u64(1));
        let (mut controller, ends) = RolloutController::new(Deps {
            handle: handle.clone(),
            published: Arc::clone(&published),
            registry: Arc::clone(&registry),
            live: Arc::clone(&live),
            clients: Arc::default(),
            webhook_client,
            metrics_client: MetricsClient::default(),
            clock: Clock(Instant::now()),
            notifier: notifier.clone(),
            guardrails: Default::default(),
            slo: Default::default(),
            fleet: None,
            known: watch::channel(Arc::default()).1,
            targets,
        });
        tokio::spawn(async move { controller.run(std::future::pending()).await });
        let exporter = Arc::new(Exporter::new(Sources {
            deliveries: notifier.deliveries(),
            logs: Default::default(),
            slo: Default::default(),
            supervisor: Default::default(),
            rollouts: ends.gauges,
            published,
            registry: Arc::clone(&registry),
            clock: Clock(Instant::now()),
            config,
            gitops: None,
            fleet: None,
            store_problem,
            tls: Arc::default(),
            jwt: None,
        }));
        let listener = AdminListener::bind(address).unwrap();
        let address = listener.address().unwrap();
        let access = Arc::new(Access::new(&address, access).unwrap());
        let holds = Arc::new(HoldRegistry::new(Arc::clone(&registry), Clock(Instant::now())));
        let admin = Arc::new(AdminApi {
            handle: handle.clone(),
            holds,
            exporter,
            live,
            access,
            ready: Arc::new(AtomicBool::new(true)),
            upgrades: upgrade_calls::channel().0,
            rollouts: ends.rollouts,
            briefs: ends.briefs,
            board: Arc::default(),
            experiments,
            chaos: Default::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            stopped.await.ok();
        };
        let server = AdminServer { listener: Arc::new(listener), tls: None, admin: Arc::clone(&admin), extra: None };
        let served = tokio::spawn(server.run(shutdown));
        Self { handle, admin, address, facts, stop: Some(stop), served }
    }

    pub fn table(&self) -> Arc<Table> {
        self.admin.exporter.sources().published.load_full()
    }

    pub fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }

    /// Sends bytes, reads to the end.
    pub async fn raw(&self, request: &str) -> Reply {
        match &self.address {
            Address::Tcp(address) => exchange(TcpStream::connect(address).await.unwrap(), request).await,
            Address::Unix(path) => exchange(UnixStream::connect(path).await.unwrap(), request).await,
        }
    }

    /// A call with a few more header lines, each with its line end, and a body.
    pub async fn call(&self, line: &str, headers: &str, body: &str) -> Reply {
        let host = format!("localhost:{}", self.port());
        let length = body.len();
        self.raw(&format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
        .await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(&format!("GET {path}"), "", "").await
    }

    /// A call with a JSON body.
    pub async fn send(&self, line: &str, body: &str) -> Reply {
        self.call(line, "content-type: application/json\r\n", body).await
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Reply {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A refused body may end in a reset after the answer.
    let _ended = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_ascii_lowercase(), text: body.to_owned() }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    /// Checks that this is a refusal of that status, and returns `where: found` of its problems.
    #[track_caller]
    pub fn refusal(&self, status: u16) -> Vec<String> {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], status);
        for key in ["type", "title", "detail"] {
            assert!(json[key].is_string(), "{key} of {self:?}");
        }
        let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_else(|| panic!("{key}: {item}")).to_owned();
        let problems = json["problems"].as_array().unwrap();
        let line = |item: &Value| {
            assert!(!text(item, "wanted").is_empty() && !text(item, "remedy").is_empty(), "{item}");
            format!("{}: {}", text(item, "where"), text(item, "found"))
        };
        problems.iter().map(line).collect()
    }
}

/// A file with a token.
pub fn token_file(folder: &tempfile::TempDir, name: &str, token: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.path().join(name);
    std::fs::write(&path, token).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
