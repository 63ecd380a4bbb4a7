//! The dashboards and the recording rules of `deploy/`: each expression finds something when a real Prometheus scrapes
//! a real rollout that is turned back, and one that completes.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};

use crate::support::external_tools::installed;
use crate::support::load::Load;
use crate::support::process::{Process, config};
use crate::support::prometheus::Prometheus;
use crate::support::release::{Operator, id, version, visitors};
use crate::support::{Origin, Reply, eventually_within};

const FILES: [&str; 3] = ["overview", "service", "rollout"];

/// How long it may take on a busy machine until the last scrape that is needed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("deploy/grafana/{name}.json"))).unwrap()
}

/// An expression of a dashboard, with where it stands.
struct Asked {
    place: String,
    expression: String,
}

/// The expressions of a dashboard as Grafana sends them: with its variables replaced.
fn expressions(name: &str) -> Vec<Asked> {
    let board = dashboard(name);
    let mut asked = Vec::new();
    let mut add = |place: &str, expression: &str| {
        let replaced = [
            ("$__rate_interval", "10s"),
            ("$__range", "1h"),
            ("$job", ".*"),
            ("$instance", ".*"),
            ("$service", "shop"),
        ];
        let whole = |text: String, (variable, value): (&str, &str)| text.replace(variable, value);
        let expression = replaced.into_iter().fold(expression.to_owned(), whole);
        assert!(!expression.contains('$'), "{name}: {place}: a variable that is not known: {expression}");
        asked.push(Asked { place: format!("{name}: {place}"), expression });
    };
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            add(panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap());
        }
    }
    for annotation in board["annotations"]["list"].as_array().unwrap() {
        if let Some(expression) = annotation["expr"].as_str() {
            add(annotation["name"].as_str().unwrap(), expression);
        }
    }
    asked
}

/// What a panel says of how it is to be shown, and of whose data.
fn assert_whole(name: &str, panel: &Value) {
    let title = panel["title"].as_str().unwrap();
    let what = format!("{name}: {title}");
    assert!(!title.is_empty(), "{what}");
    if panel["type"] == "row" {
        return;
    }
    assert_eq!(panel["datasource"]["uid"], "${datasource}", "{what}");
    let defaults = &panel["fieldConfig"]["defaults"];
    assert!(defaults["unit"].is_string(), "{what}: {defaults}");
    let steps = defaults["thresholds"]["steps"].as_array().unwrap();
    assert!(steps[0]["value"].is_null() && steps[0]["color"].is_string(), "{what}: the first step has no bound");
    let bounds: Vec<f64> = steps[1..].iter().map(|step| step["value"].as_f64().unwrap()).collect();
    assert!(bounds.is_sorted(), "{what}: {bounds:?}");
    let targets = panel["targets"].as_array().unwrap();
    assert!(!targets.is_empty(), "{what}");
    for (target, letter) in targets.iter().zip('A'..) {
        assert_eq!(target["refId"], json!(letter.to_string()), "{what}");
        assert_eq!(target["datasource"]["uid"], "${datasource}", "{what}");
        assert!(target["legendFormat"].as_str().is_some_and(|legend| !legend.is_empty()), "{what}: no legend");
    }
}

#[test]
fn dashboards_are_whole_and_their_panels_do_not_overlap() {
    let boards = FILES.map(dashboard);
    for (name, board) in FILES.iter().zip(&boards) {
        assert!(board["schemaVersion"].as_u64() >= Some(39), "{name}");
        let variables: Vec<_> = board["templating"]["list"].as_array().unwrap().iter().collect();
        assert_eq!((&variables[0]["name"], &variables[0]["type"]), (&json!("datasource"), &json!("datasource")));
        let panels = board["panels"].as_array().unwrap();
        panels.iter().for_each(|panel| assert_whole(name, panel));
        let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        ids.dedup();
        assert_eq!(ids.len(), panels.len(), "{name}: ids");
        let mut cells = std::collections::BTreeSet::new();
        for panel in panels {
            let of = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(of("x") + of("w") <= 24, "{name}: {}", panel["title"]);
            for cell in (of("x")..of("x") + of("w")).flat_map(|x| (of("y")..of("y") + of("h")).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{name}: {} lies over another panel at {cell:?}", panel["title"]);
            }
        }
    }
    let ids: std::collections::BTreeSet<_> = boards.iter().map(|board| board["uid"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), FILES.len());
}

/// A service whose rollout is judged by everything that there is: failures, a metric of its own, and a guardrail.
fn shop(prometheus: &Prometheus, told: &Origin) -> String {
    format!(
        "shield = true\nslo = {{ availability = 99, latency = {{ under = \"300ms\", share = 90 }} }}\n\
         [services.shop.rollout]\nsteps = [{{ weight = 50, gate = \"manual\" }}, 100]\nbake = \"1s\"\nwatch = \"500ms\"\n\
         guardrails = [{{ metric = \"visit\", users_min = 10 }}]\n\
         judge = {{ warm_up = \"0s\", requests_min = 20, slower = false, responses = {{ status = \"off\" }} }}\n\
         metrics = [{{ name = \"load\", url = \"http://{}\", query = \"vector(1)\", at_most = 2, interval = \"1s\", \
         timeout = \"500ms\" }}]\n\
         [metrics.visit]\nkind = \"conversion\"\nwhen = {{ path = \"/visit\" }}\n\
         [notify.chat]\nurl = \"http://{}/\"\n",
        prometheus.address,
        told.address()
    )
}

#[test]
fn no_expression_is_empty_when_a_real_rollout_is_scraped() {
    if !installed("prometheus", "deploy/grafana") {
        return;
    }
    let prometheus = Prometheus::start(&read("deploy/prometheus/rules.yml"));
    let ((v1, _), (v2, mood)) = (version("v1"), version("v2"));
    let told = Origin::forgetful(|_| Reply::ok(""));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("[state]\npath = \"{}\"\n", folder.path().join("pointsman.db").display());
    let text = config(v1.address(), v2.address(), &shop(&prometheus, &told)) + &state;
    std::fs::write(&path, text).unwrap();
    let process = Process::start(&path);
    prometheus.scrape(process.admin_address);
    eventually_within(PATIENCE, "a scrape", || prometheus.has_numbers("pointsman_build_info"));
    let operator = Operator::at(process.admin_address);
    let load = Load::start(visitors(process.listener, &["/", "/visit"], 200, false));
    let start = || id(&operator.start(json!({"service": "shop", "to": "v2"})));

    let rollout = start();
    operator.until(rollout, "at its gate", |rollout| rollout["task"] == "approval");
    eventually_within(PATIENCE, "a scrape of it", || prometheus.has_numbers("pointsman_rollout_waiting == 1"));
    mood.failing.store(400, SeqCst);
    operator.until_ended(rollout, "rolled_back");
    mood.failing.store(0, SeqCst);
    let rollout = start();
    operator.until(rollout, "at its gate", |rollout| rollout["task"] == "approval");
    operator.order(rollout, "promote").unwrap();
    operator.until_ended(rollout, "completed");

    let mut asked: Vec<Asked> = FILES.into_iter().flat_map(expressions).collect();
    let rules = read("deploy/prometheus/rules.yml");
    let records = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    asked.extend(records.map(|record| Asked { place: "rules.yml".to_owned(), expression: record.to_owned() }));
    assert!(asked.len() > 60, "{}", asked.len());
    for Asked { place, expression } in &asked {
        let what = format!("{place} has a number: {expression}");
        eventually_within(PATIENCE, &what, || prometheus.has_numbers(expression));
    }
    for (ending, why) in [("rolled_back", "errors"), ("completed", "plan")] {
        let series = format!("pointsman_rollout_endings_total{{service=\"shop\",ending=\"{ending}\",why=\"{why}\"}}");
        assert!(prometheus.has_numbers(&format!("{series} == 0")), "{series}: there at zero from the beginning");
        eventually_within(PATIENCE, &series, || prometheus.has_numbers(&format!("{series} == 1")));
    }
    load.end();
}
