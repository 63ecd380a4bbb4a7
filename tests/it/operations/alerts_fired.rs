//! The alerts of `deploy/prometheus/rules.yml` on a real Prometheus: each is fired by the thing that it is about.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::external_tools::installed;
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::prometheus::Prometheus;
use crate::support::release::{Operator, id, version, visitors};
use crate::support::{Client, Origin, Reply, client, eventually_within, fault, get};

/// How long a thing may take to happen on a busy machine, and to be scraped.
const PATIENCE: Duration = Duration::from_secs(90);

const REFUSES: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!";

/// The rules, and what they are to find here: a test does not wait for minutes until something has lasted.
fn rules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules.yml");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim().starts_with("for: ")).map(|line| format!("{line}\n")).collect()
}

/// All alerts of the rules, in order.
fn alerts() -> Vec<String> {
    let rules = rules();
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let mut names: Vec<_> = names.filter_map(|name| name.split_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names
}

/// A service below a path of its own.
fn service(name: &str, [v1, v2]: [SocketAddr; 2], more: &str) -> String {
    format!(
        "[services.{name}]\npaths = [\"/{name}\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         versions.v1.endpoints = [\"{v1}\"]\nversions.v2.endpoints = [\"{v2}\"]\n{more}\n"
    )
}

/// A proxy, in whose services everything goes wrong in its time.
struct Site {
    folder: tempfile::TempDir,
    text: String,
}

impl Site {
    fn new(good: SocketAddr, bad: SocketAddr, refuses: SocketAddr, gone: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let judge = "judge = { warm_up = \"0s\", requests_min = 20, slower = false, tolerate_burst = \"0s\", \
                     responses = { status = \"off\" } }";
        let plan = |more: &str| format!("rollout = {{ {more}, {judge} }}");
        let state = folder.path().join("pointsman.db");
        let services = [
            service("fails", [bad, good], "slo = { availability = 99.9 }"),
            service("worse", [good, bad], &plan("steps = [50, 100], bake = \"10m\"")),
            service("hinted", [good, bad], &plan("steps = [50, 100], bake = \"10m\"")),
            service("paused", [good, good], &plan("steps = [50, 100], bake = \"10m\"")),
            service(
                "asked",
                [good, good],
                &plan(&format!(
                    "steps = [{{ weight = 10, gate = \"webhook\" }}, 100], bake = \"100ms\", \
                     webhook = {{ url = \"http://{refuses}/\" }}"
                )),
            ),
            service(
                "stuck",
                [good, good],
                &plan(
                    "strategy = \"rolling\", smoke = [{ path = \"/\", status = [404] }], verify_timeout = \"1s\", \
                     upgrade = { command = [\"true\"] }, undo = { command = [\"false\"] }",
                ),
            ),
            service(
                "gone",
                [gone, gone],
                "versions.v1.health = { path = \"/\", interval = \"1s\", timeout = \"500ms\" }",
            ),
            service("drilled", [good, good], ""),
        ];
        let chaos = "[chaos]\nenabled = true\n[chaos.experiments.disk]\ntarget = { service = \"drilled\" }\n\
                     duration = \"10m\"\nbaseline = \"1s\"\nhypothesis = { errors = {} }\n\
                     [chaos.experiments.disk.fault.command]\nrun = [\"true\"]\nundo = [\"false\"]\nhost = \"db-1\"\n";
        let text = format!(
            "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 2\n\
             [state]\npath = \"{}\"\n[notify.chat]\nurl = \"http://{refuses}/\"\n{}{chaos}",
            state.display(),
            services.concat()
        );
        let site = Self { folder, text };
        site.write("");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the config, with this at its end.
    fn write(&self, more: &str) {
        let new = self.path("new.toml");
        std::fs::write(&new, format!("{}{more}", self.text)).unwrap();
        std::fs::rename(new, self.path("pointsman.toml")).unwrap();
    }
}

fn start(operator: &Operator, service: &str) -> u64 {
    id(&operator.start(json!({"service": service, "to": "v2"})))
}

/// A value of the metrics.
fn metric(process: &Process, series: &str) -> Option<f64> {
    let admin = process.admin_address;
    let text =
        client::send(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")).text();
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// Brings a rollout to where something speaks against the new version and nothing is proved: by one request after the
/// other, none more once there is a hint.
fn hint(process: &Process, operator: &Operator) {
    let mut rollout = start(operator, "hinted");
    let mut client = Client::to(process.listener);
    eventually_within(PATIENCE, "a hint", || {
        let evidence = metric(process, "pointsman_judge_evidence{service=\"hinted\",test=\"comparison\"}");
        if evidence.is_some_and(|log10| (1.0..2.9).contains(&log10)) {
            return true;
        }
        // On a machine that stands still, a look finds more than was wanted.
        if operator.rollout(rollout)["phase"] == "finished" {
            rollout = start(operator, "hinted");
        }
        client.ask(get("/hinted"));
        std::thread::sleep(Duration::from_millis(150));
        false
    });
}

#[test]
fn each_alert_fires_when_its_thing_happens() {
    if !installed("prometheus", "deploy/prometheus/rules.yml") {
        return;
    }
    let prometheus = Prometheus::start(&rules());
    let ((good, _), (bad, mood)) = (version("good"), version("bad"));
    mood.failing.store(1_000, SeqCst);
    let refuses = Origin::forgetful(|_| Reply::raw(REFUSES));
    let gone = fault::Fault::refusing();
    let site = Site::new(good.address(), bad.address(), refuses.address(), gone.address());
    let process = Process::start(&site.path("pointsman.toml"));
    prometheus.scrape(process.admin_address);
    eventually_within(PATIENCE, "a scrape", || prometheus.has_numbers("pointsman_build_info"));
    let fires = |alert: &str| {
        eventually_within(PATIENCE, &format!("{alert} fires"), || prometheus.firing().contains(&alert.to_owned()));
    };
    assert!(!prometheus.firing().contains(&"NewVersionTurnedBack".to_owned()), "{:?}", prometheus.firing());

    let operator = Operator::at(process.admin_address);
    let load = Load::start(visitors(process.listener, &["/fails", "/worse", "/asked", "/paused"], 200, false));
    operator.until_ended(start(&operator, "worse"), "rolled_back");
    let paused = start(&operator, "paused");
    operator.order(paused, "pause").unwrap();
    let (asked, stuck) = (start(&operator, "asked"), start(&operator, "stuck"));
    operator.until(stuck, "stuck", |rollout| rollout["waits_for"] == "repair");
    operator.until(asked, "asking", |rollout| rollout["task"] == "webhook");
    let begun = process.send(Method::POST, "/v1/chaos", json!({ "experiment": "disk" })).unwrap();
    assert_eq!(begun["id"], 1, "{begun:#}");
    eventually_within(PATIENCE, "it is done", || process.get("/v1/chaos/1")["state"] == "injecting");
    process.send(Method::POST, "/v1/chaos/stop", json!({})).unwrap();
    hint(&process, &operator);
    for alert in
        alerts().iter().filter(|alert| !["NothingCanBeWritten", "ConfigIsNotInForce"].contains(&alert.as_str()))
    {
        fires(alert);
    }
    load.end();

    site.write("[nonsense]\n");
    fires("ConfigIsNotInForce");
    // Another file stands where the store was.
    std::fs::copy(site.path("pointsman.db"), site.path("copy.db")).unwrap();
    std::fs::rename(site.path("copy.db"), site.path("pointsman.db")).unwrap();
    let split = json!({ "v1": 90, "v2": 10 });
    let changed: Result<Value, _> = process.send(Method::PUT, "/v1/services/drilled/split", split);
    assert!(changed.unwrap_err().to_string().contains("another file"));
    fires("NothingCanBeWritten");
    println!("fired: {}", alerts().join(", "));
}
