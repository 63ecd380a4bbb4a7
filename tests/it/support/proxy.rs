//! A whole proxy in this process, from the text of a config.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use pointsman::testing::control::publish::Published;
use pointsman::testing::stats::Registry;
use pointsman::testing::table::FaultInForce;

use super::{Client, Origin};

/// The line that turns path normalisation on for a service.
pub(crate) const NORMALIZE: &str = "normalize_path = true";

/// The line that gives a listener little patience with heads and idle connections.
pub(crate) const IDLE_TIMEOUT_SHORT: &str = "idle_timeout = \"1500ms\"";

/// What a proxy is to be: one service for any host whose versions `v1`, `v2`, ... are given addresses.
pub(crate) struct Setup {
    top: String,
    listener: String,
    service: String,
    version: String,
    bottom: String,
    admin: String,
    weights: Vec<u32>,
    versions: Vec<Vec<SocketAddr>>,
    park_after: Option<Duration>,
}

impl Setup {
    /// One version for each list of endpoints; the first has all the weight.
    pub(crate) fn endpoints(versions: &[&[SocketAddr]]) -> Self {
        let weights = (0..versions.len()).map(|index| if index == 0 { 100 } else { 0 }).collect();
        let versions = versions.iter().map(|endpoints| endpoints.to_vec()).collect();
        Self {
            top: String::new(),
            listener: String::new(),
            service: String::new(),
            version: String::new(),
            bottom: String::new(),
            admin: String::new(),
            weights,
            versions,
            park_after: None,
        }
    }

    /// One version for each origin.
    pub(crate) fn to(origins: &[&Origin]) -> Self {
        let addresses: Vec<_> = origins.iter().map(|origin| [origin.address()]).collect();
        Self::endpoints(&addresses.iter().map(|address| &address[..]).collect::<Vec<_>>())
    }

    /// Lines for the top of the file.
    pub(crate) fn top(mut self, lines: &str) -> Self {
        writeln!(self.top, "{lines}").unwrap();
        self
    }

    /// Lines for the listener.
    pub(crate) fn listener(mut self, lines: &str) -> Self {
        writeln!(self.listener, "{lines}").unwrap();
        self
    }

    /// Lines for the service.
    pub(crate) fn service(mut self, lines: &str) -> Self {
        writeln!(self.service, "{lines}").unwrap();
        self
    }

    /// Lines for each version.
    pub(crate) fn version(mut self, lines: &str) -> Self {
        writeln!(self.version, "{lines}").unwrap();
        self
    }

    /// Idle connections are parked after this.
    pub(crate) fn park_after(mut self, time: Duration) -> Self {
        self.park_after = Some(time);
        self
    }

    /// Sections for the end of the file.
    pub(crate) fn bottom(mut self, lines: &str) -> Self {
        writeln!(self.bottom, "{lines}").unwrap();
        self
    }

    /// Lines for the admin API.
    pub(crate) fn admin(mut self, lines: &str) -> Self {
        writeln!(self.admin, "{lines}").unwrap();
        self
    }

    /// The split, in percent.
    pub(crate) fn split(mut self, weights: &[u32]) -> Self {
        self.weights = weights.to_vec();
        self
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Proxy {
        let split: Vec<_> = self.weights.iter().zip(1..).map(|(weight, n)| format!("v{n} = {weight}")).collect();
        let mut text = format!("{}\n[listeners.public]\naddress = \"127.0.0.1:0\"\n{}\n", self.top, self.listener);
        writeln!(text, "[services.site]\nsplit = {{ {} }}\n{}", split.join(", "), self.service).unwrap();
        for (endpoints, n) in self.versions.iter().zip(1..) {
            let endpoints: Vec<_> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
            let endpoints = endpoints.join(", ");
            writeln!(text, "[services.site.versions.v{n}]\nendpoints = [{endpoints}]\n{}", self.version).unwrap();
        }
        Proxy::launch(&format!("{text}{}", self.bottom), &self.admin, self.park_after)
    }
}

/// A proxy that runs until this is dropped.
pub(crate) struct Proxy {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Where operators connect.
    pub(crate) admin: SocketAddr,
    ofrep: Option<SocketAddr>,
    published: Published,
    registry: Arc<Registry>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    stopped: Mutex<mpsc::Receiver<()>>,
}

impl Proxy {
    /// The common one: version `v1` is the first origin, `v2` the second; all weight on `v1`.
    pub(crate) fn to(origins: &[&Origin]) -> Self {
        Setup::to(origins).start()
    }

    /// A proxy from a config to which the admin address and the state are added.
    pub(crate) fn start(text: &str) -> Self {
        Self::launch(text, "", None)
    }

    fn launch(text: &str, admin: &str, park_after: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("pointsman.db");
        let state = format!("[state]\npath = \"{}\"\n", state.display());
        let text = format!("{text}\n[admin]\naddress = \"127.0.0.1:0\"\n{admin}\n{state}");
        let config = pointsman::config::parse(&text, folder.path())
            .unwrap_or_else(|problems| panic!("the config of a test is wrong: {problems}\n{text}"));
        let options = pointsman::app::Options { in_memory: true, park_after, ..Default::default() };
        let bound = pointsman::app::Bound::bind(config, options).unwrap();
        let addresses = bound.addresses();
        let (published, registry) = bound.published();
        let pointsman::testing::admin::Address::Tcp(admin) = addresses.admin else {
            panic!("the admin API is not on TCP")
        };
        let address = addresses.listeners[0].1;
        let ofrep = addresses.listeners.iter().find(|(name, _)| name.as_str() == "ofrep").map(|(_, address)| *address);
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        let (done, stopped) = mpsc::channel();
        std::thread::spawn(move || {
            let result = bound.run(async move { stopping.await.unwrap_or(()) });
            drop(folder);
            done.send(()).ok();
            result.unwrap();
        });
        Self { address, admin, ofrep, published, registry, stop: Some(stop), stopped: Mutex::new(stopped) }
    }

    /// Where programs ask for flags.
    #[track_caller]
    pub(crate) fn ofrep(&self) -> SocketAddr {
        self.ofrep.expect("a listener for calls for flags")
    }

    /// Puts these faults in force, and no others: past the control plane.
    pub(crate) fn put_faults(&self, faults: &[Arc<FaultInForce>]) {
        let table = self.published.load().with_faults(faults, &self.registry);
        self.published.store(Arc::new(table));
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// The metrics, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        super::client::send(self.admin, request).text()
    }

    /// What the admin API says of the service.
    pub(crate) fn status(&self) -> serde_json::Value {
        let request = format!("GET /v1/services/site HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        serde_json::from_str(&super::client::send(self.admin, request).text()).unwrap()
    }

    /// A change by the admin API, with a JSON body.
    pub(crate) fn put(&self, path: &str, body: &str) -> serde_json::Value {
        self.call("PUT", path, body)
    }

    /// Why a request of this path for host `a` would go where it would.
    pub(crate) fn explain(&self, path: &str) -> serde_json::Value {
        self.call("POST", "/v1/explain", &serde_json::json!({ "host": "a", "path": path }).to_string())
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            self.admin
        );
        serde_json::from_str(&super::client::send(self.admin, request).text()).unwrap()
    }

    /// The sum of all samples of a metric whose labels contain each of `labels`, such as `reason="connect"`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let fits = found == name && labels.iter().all(|label| rest.contains(label));
            fits.then(|| value.parse::<f64>().unwrap())
        });
        samples.sum()
    }

    /// Waits until a metric has this value.
    #[track_caller]
    pub(crate) fn await_metric(&self, name: &str, labels: &[&str], wanted: f64) {
        super::eventually(&format!("{name}{labels:?} is {wanted}"), || {
            (self.metric(name, labels) - wanted).abs() < 1e-9
        });
    }
}

impl Proxy {
    /// Ends it, and waits until it has ended.
    pub(crate) fn end(mut self) {
        self.stop();
        self.stopped.lock().unwrap().recv_timeout(super::PATIENCE).expect("it ends");
    }

    /// Tells it to end, as a signal would.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
        // Bounded: a proxy that does not stop must not hold up the tests that do not ask for it.
        // One that has failed to end in time has said so: a second panic would end all tests.
        let stopped = self.stopped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        stopped.recv_timeout(Duration::from_secs(1)).ok();
    }
}
