//! Runs of experiments on requests, and beside rollouts.

use std::collections::BTreeMap;

use http::Method;
use pointsman::cli::client::{Call, CallError};
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::release::{Operator, id, version};
use crate::support::{Origin, Proxy, Setup};

const EXPERIMENTS: &str = r#"
[flags.look]
rules = [{ name = "launch", serve = "off" }]
[experiments.button]
service = "site"
layer = "checkout"
share = 50
arms = { control = "v1", treatment = "v2" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.banner]
service = "site"
layer = "checkout"
share = 40
arms = { control = "v1", treatment = "v2" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.look]
flag = "look"
share = 50
arms = { control = "off", treatment = "on" }
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
"#;

const USERS: u32 = 300;

/// Which version each user gets.
type Versions = BTreeMap<u32, String>;

struct Site {
    proxy: Proxy,
    operator: Operator,
    _versions: [Origin; 2],
}

impl Site {
    fn new() -> Self {
        let versions = [version("v1").0, version("v2").0];
        let setup =
            Setup::to(&[&versions[0], &versions[1]]).service("sticky = [\"header:x-user-id\"]\nflags = [\"look\"]");
        let proxy = setup.bottom(EXPERIMENTS).start();
        Self { operator: Operator::at(proxy.admin), proxy, _versions: versions }
    }

    fn post(&self, path: &str, body: Value) -> Result<Value, CallError> {
        self.operator.0.call(Call { method: Method::POST, path, body: Some(body), if_match: None })
    }

    /// Does something with an experiment; returns the part of the users who move by it.
    #[track_caller]
    fn order(&self, experiment: &str, order: &str, body: Value) -> f64 {
        let path = format!("/v1/experiments/{experiment}/{order}");
        let answer = self.post(&path, body).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer["changed"], true, "{answer}");
        answer["experiments"][0]["moved_ratio"].as_f64().expect("it is known")
    }

    #[track_caller]
    fn refused(&self, path: &str, body: Value) -> String {
        self.post(path, body).expect_err("it is refused").to_string()
    }

    fn versions(&self) -> Versions {
        let ask = |user: u32| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-user-id: user-{user}\r\n\r\n");
            send(self.proxy.address, head).text()
        };
        let body = |answer: String| answer.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned();
        (0..USERS).map(|user| (user, body(ask(user)))).collect()
    }
}

fn moved(before: &Versions, after: &Versions) -> Vec<u32> {
    before.iter().filter(|(user, version)| after[user] != **version).map(|(user, _)| *user).collect()
}

#[test]
fn a_run_moves_whom_it_says_and_no_user_of_another_one() {
    let site = Site::new();
    let none = site.versions();
    assert!(none.values().all(|version| version == "v1"), "{none:?}");
    // Of 300 users three standard deviations are 8 %.
    let near = |moved: &[u32], share: f64| {
        (f64::from(u32::try_from(moved.len()).unwrap()) / f64::from(USERS) - share).abs() < 0.09
    };
    assert_eq!(site.order("button", "start", json!({})), 0.25);
    let button = site.versions();
    let first = moved(&none, &button);
    assert!(near(&first, 0.25), "{first:?}");
    assert_eq!(site.order("banner", "start", json!({})), 0.2);
    let both = site.versions();
    let second = moved(&button, &both);
    assert!(near(&second, 0.2) && second.iter().all(|user| button[user] == "v1"), "{second:?}");
    // None of the first run's, neither in the treatment nor in the control.
    assert!(first.iter().all(|user| both[user] == "v2"), "{first:?}");
    site.order("button", "start", json!({ "share": 60 }));
    let grown = site.versions();
    assert!(moved(&both, &grown).iter().all(|user| both[user] == "v1"), "who is in an arm stays in it");
    site.order("button", "stop", json!({}));
    assert_eq!(moved(&none, &site.versions()), second, "what is left is the other run");
    assert_eq!(site.order("banner", "ship", json!({ "arm": "treatment" })), 0.8);
    assert!(site.versions().values().all(|version| version == "v2"));
    site.post("/v1/rollback", json!({})).expect("it can be undone");
    assert_eq!(moved(&none, &site.versions()), second, "each user is back, in the same run");
}

#[test]
fn a_rollout_and_an_experiment_of_one_thing_refuse_each_other() {
    let site = Site::new();
    let plan = json!({ "steps": [10, 100], "bake": "1h" });
    for (experiment, subject, of) in [("button", "site", "service"), ("look", "look", "flag")] {
        // So that there is something to ship.
        site.order(experiment, "start", json!({ "share": 10 }));
        let path = "/v1/rollouts";
        let mut body = json!({ "plan": plan });
        body[of] = subject.into();
        let running = site.refused(path, body.clone());
        assert!(running.contains(&format!("pointsman experiment stop {experiment}")), "{running}");
        site.order(experiment, "stop", json!({}));
        let rollout = id(&site.operator.start(body));
        for (order, arguments) in [("start", json!({})), ("ship", json!({ "arm": "treatment" }))] {
            let path = format!("/v1/experiments/{experiment}/{order}");
            let refused = site.refused(&path, arguments.clone());
            assert!(refused.contains(&format!("{subject}, which is being rolled out")), "{refused}");
            let refused = site.refused(&format!("{path}?dry_run=true"), arguments);
            assert!(refused.contains("which is being rolled out"), "{refused}");
        }
        // Of another thing, neither has anything against the other.
        let other = if experiment == "button" { "look" } else { "button" };
        site.order(other, "start", json!({}));
        site.order(other, "stop", json!({}));
        site.operator.order(rollout, "abort").expect("it can be aborted");
        site.operator.until_ended(rollout, "aborted");
        site.order(experiment, "start", json!({}));
        site.order(experiment, "stop", json!({}));
    }
}
