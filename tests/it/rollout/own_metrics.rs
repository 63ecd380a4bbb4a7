//! A plan's own metrics: what a metrics server says turns a release back, holds it, or lets it go on; and whatever else
//! it says, the rollout is never stuck.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, version, visitors};
use crate::support::{Origin, Proxy, Reply, Setup};

/// What a metrics server says of a version.
type Says = Box<dyn Fn(&str) -> Reply + Send>;

/// An answer that is no number, and how it is told.
type NoNumber = (&'static str, fn() -> Reply);

/// A metrics server that answers as it is told.
struct MetricsServer {
    origin: Origin,
    /// What it says of a version.
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
    /// What it was asked last.
    target: Arc<Mutex<String>>,
}

impl MetricsServer {
    fn saying(numbers: [&'static str; 2]) -> Self {
        let says: Arc<Mutex<Says>> = Arc::new(Mutex::new(Box::new(move |v| number(numbers, v))));
        let (its, asked) = (Arc::clone(&says), Arc::<AtomicUsize>::default());
        let (count, last) = (Arc::clone(&asked), Arc::<Mutex<String>>::default());
        let target = Arc::clone(&last);
        let origin = Origin::forgetful(move |seen| {
            count.fetch_add(1, SeqCst);
            seen.target().clone_into(&mut target.lock().unwrap());
            let version = if seen.target().contains("%22v1%22") { "v1" } else { "v2" };
            its.lock().unwrap()(version)
        });
        Self { origin, says, asked, target: last }
    }

    fn say(&self, says: impl Fn(&str) -> Reply + Send + 'static) {
        *self.says.lock().unwrap() = Box::new(says);
    }
}

fn vector(values: &[&str]) -> Reply {
    let series: Vec<_> = values.iter().map(|value| json!({"metric": {}, "value": [1.5, value]})).collect();
    Reply::ok(json!({"status": "success", "data": {"resultType": "vector", "result": series}}).to_string())
}

/// The number of v1 or v2.
fn number([v1, v2]: [&str; 2], version: &str) -> Reply {
    vector(&[if version == "v1" { v1 } else { v2 }])
}

/// A service with a metric in its plan, and users.
struct Measured {
    proxy: Proxy,
    operator: Operator,
    server: MetricsServer,
    load: Load,
    _origins: [Origin; 2],
}

impl Measured {
    /// `limit` is of the metric, `plan` the rest of the section.
    fn new(numbers: [&'static str; 2], limit: &str, plan: &str) -> Self {
        let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
        let server = MetricsServer::saying(numbers);
        let metric = format!(
            "{{ name = \"orders-failed\", url = \"http://{}/prom\", query = 'sum(failed{{version=\"{{version}}\"}})', \
             {limit}, interval = \"1s\", timeout = \"500ms\" }}",
            server.origin.address()
        );
        let judge = "judge = { warm_up = \"0s\", requests_min = 5, slower = false, responses = { status = \"off\" } }";
        let plan = format!("rollout = {{ {plan}, {judge}, metrics = [{metric}] }}");
        let proxy = Setup::to(&[&v1, &v2]).service(&plan).start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/"], 100, true));
        load.await_more(120);
        Self { proxy, operator, server, load, _origins: [v1, v2] }
    }

    fn start(&self) -> u64 {
        id(&self.operator.start(json!({"service": "site", "to": "v2"})))
    }

    /// Waits until the metric's line says this.
    fn until_said(&self, rollout: u64, wanted: &str) -> Value {
        let text =
            |rollout: &Value| rollout["evidence"][0]["metrics"][0]["text"].as_str().unwrap_or_default().to_owned();
        self.operator.until(rollout, wanted, |rollout| text(rollout).contains(wanted))
    }
}

const CANARY: &str = "steps = [20, 50, 100], bake = \"500ms\"";

#[test]
fn a_version_whose_numbers_are_good_goes_on_and_every_verdict_keeps_them() {
    let stage = Measured::new(["0", "4.5"], "at_most = 5", CANARY);
    let began = Instant::now();
    let rollout = stage.start();
    let over = stage.operator.until_ended(rollout, "completed");
    let (asked, took) = (stage.server.asked.load(SeqCst), began.elapsed());
    let advanced: Vec<_> =
        over["events"].as_array().unwrap().iter().filter(|event| event["word"] == "advanced").collect();
    assert!(advanced.len() >= 2, "{over:#}");
    for event in advanced {
        let metric = &event["evidence"][0]["metrics"][0];
        assert_eq!((&metric["answer"], &metric["value"], &metric["limit"]), (&json!("good"), &json!(4.5), &json!(5.0)));
        assert_eq!(metric["query"], "sum(failed{version=\"v2\"})");
        assert!(metric["at_ms"].as_i64() > Some(1_700_000_000_000), "{metric:#}");
    }
    let target = stage.server.target.lock().unwrap().clone();
    assert_eq!(target, "/prom/api/v1/query?query=sum%28failed%7Bversion%3D%22v2%22%7D%29");
    // Once a second, and at once when a step begins: not four times a second, as often as is judged.
    assert!(asked as f64 <= 4.0 + 1.5 * took.as_secs_f64(), "asked {asked} times in {took:?}");
    stage.load.end_well();
}

#[test]
fn bad_numbers_in_a_row_turn_a_version_back_and_name_themselves() {
    let stage = Measured::new(["0", "4"], "at_most = 5, failures = 2", "steps = [20, 100], bake = \"5m\"");
    let rollout = stage.start();
    stage.until_said(rollout, "metric orders-failed is 4, want at most 5");
    stage.proxy.await_metric("pointsman_rollout_metric", &["metric=\"orders-failed\"", "answer=\"good\""], 1.0);
    stage.proxy.await_metric("pointsman_rollout_metric_number", &["of=\"candidate\""], 4.0);
    stage.server.say(|_| vector(&["7"]));
    let over = stage.operator.until_ended(rollout, "rolled_back");
    assert_eq!(last_words(&over), "rolled back site v2: metric orders-failed is 7, want at most 5, 2 answers in a row");
    assert_eq!(over["evidence"][0]["why"], "metric", "{over:#}");
    assert_eq!(over["evidence"][0]["metrics"][0]["bad_in_a_row"], 2, "{over:#}");
    assert_eq!(stage.proxy.status()["versions"][0]["weight"], 100.0);
    stage.load.end_well();
}

#[test]
fn whatever_is_no_number_holds_with_a_clear_word_and_never_for_good() {
    let stage = Measured::new(["0", "1"], "at_most = 5", "steps = [20, 100], bake = \"0s\", hold_max = \"10m\"");
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    stage.server.say(|_| vector(&[]));
    let rollout = stage.start();
    let cases: [NoNumber; 8] = [
        ("the query answered no series, want 1", || vector(&[])),
        ("the query answered 2 series, want 1", || vector(&["1", "2"])),
        ("the query answered NaN, want a number", || vector(&["NaN"])),
        ("status 503: overloaded", || Reply::raw("HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\noverloaded")),
        ("found \"hello\", want JSON", || Reply::ok("hello")),
        ("the query answered more than 65536 bytes", || Reply::ok(" ".repeat(100_000))),
        ("no answer within 500ms", || Reply::default().hang()),
        ("no HTTP answer", || Reply::raw("SSH-2.0\r\n").close()),
    ];
    for (wanted, says) in cases {
        stage.server.say(move |_| says());
        stage.until_said(rollout, wanted);
        let held = stage.operator.until(rollout, wanted, |rollout| rollout["evidence"][0]["why"] == "no_metric_data");
        let found = &held["evidence"][0];
        assert_eq!(
            (&found["why"], &found["metrics"][0]["answer"]),
            (&json!("no_metric_data"), &json!("no_data")),
            "{held:#}"
        );
        let sentence = found["sentence"].as_str().unwrap();
        assert!(sentence.starts_with("holding site v2: no data of metric orders-failed: "), "{sentence}");
        assert_eq!(held["phase"], "going", "{held:#}");
    }
    stage.server.say(move |_| Reply::ok(matrix));
    stage.until_said(rollout, "the query answered a matrix");
    stage.proxy.await_metric("pointsman_rollout_hold", &["why=\"no_metric_data\""], 1.0);
    stage.server.say(|_| vector(&["1"]));
    stage.operator.until_ended(rollout, "completed");
    stage.load.end_well();
}

#[test]
fn a_server_that_is_gone_pauses_a_rollout_after_its_hold() {
    let stage = Measured::new(["0", "1"], "at_most = 5", "steps = [20, 100], bake = \"0s\", hold_max = \"2s\"");
    stage.server.origin.stop();
    let rollout = stage.start();
    let paused = stage.operator.until(rollout, "paused", |rollout| rollout["phase"] == "paused");
    assert_eq!(paused["paused_because"], "held for too long: no_metric_data", "{paused:#}");
    assert!(last_words(&paused).contains("no data of metric orders-failed: "), "{paused:#}");
    stage.load.end_well();
}

#[test]
fn a_comparison_asks_for_both_versions_and_holds_the_new_one_to_the_last_number_of_the_old_one() {
    let stage = Measured::new(
        ["10", "11"],
        "compare = { at_most = 1.2, slack = 1 }, failures = 1",
        "steps = [50], bake = \"500ms\", watch = \"5m\"",
    );
    let rollout = stage.start();
    let full = stage.operator.until(rollout, "at 100 %", |rollout| rollout["weight"] == 100.0);
    assert!(full["events"][1]["evidence"][0]["metrics"][0]["baseline"] == 10.0, "{full:#}");
    // With all the traffic on v2 nothing is there to ask v1 for.
    stage.server.say(|version| if version == "v1" { vector(&["NaN"]) } else { vector(&["12.5"]) });
    stage.until_said(rollout, "is 12.5 against 10 on v1, want at most 13 (1.2 times v1 + 1)");
    stage.server.say(|version| if version == "v1" { vector(&["NaN"]) } else { vector(&["13.5"]) });
    let over = stage.operator.until_ended(rollout, "rolled_back");
    assert_eq!(
        last_words(&over),
        "rolled back site v2: metric orders-failed is 13.5 against 10 on v1, want at most 13 (1.2 times v1 + 1), 1 answer"
    );
    stage.load.end_well();
}

#[test]
fn the_watch_of_a_blue_green_release_is_measured_too() {
    let plan = "strategy = \"blue_green\", watch = \"5m\", keep = \"0s\"";
    let stage = Measured::new(["100", "90"], "compare = { at_least = 0.8 }, failures = 2", plan);
    let rollout = stage.start();
    stage.until_said(rollout, "metric orders-failed is 90 against 100 on v1, want at least 80");
    stage.server.say(|_| vector(&["79"]));
    let over = stage.operator.until_ended(rollout, "rolled_back");
    assert!(
        last_words(&over).contains("is 79 against 100 on v1, want at least 80 (0.8 times v1), 2 answers"),
        "{over:#}"
    );
    stage.load.end_well();
}
