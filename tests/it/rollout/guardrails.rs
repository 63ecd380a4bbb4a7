//! Metrics of users as guardrails of a release: a version that responds well to everything and loses orders is turned
//! back, and one that loses none goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use pointsman::cli::client::CallError;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::load::{Load, User, connect};
use crate::support::process::{Process, config};
use crate::support::release::{Operator, id, last_words};
use crate::support::{Client, Origin, Proxy, Reply, Setup};

const METRICS: &str = r#"
[metrics.purchase]
kind = "conversion"
when = { method = "POST", path = "/orders" }
[metrics.complaint]
kind = "conversion"
better = "lower"
when = { path = "/complaints" }
[flags.new-checkout]
rules = [{ name = "launch", serve = "off" }]
"#;

const JUDGE: &str = "judge = { warm_up = \"0s\", requests_min = 20, slower = false, responses = { status = \"off\" } }";

/// How many of a thousand users buy, of those who are shown this or that.
#[derive(Clone, Copy)]
struct Buying {
    old: u32,
    new: u32,
}

/// A user after the other: each looks at a page, and then buys or not by what it was shown.
struct Shopper {
    proxy: SocketAddr,
    buying: Buying,
    random: StdRng,
    client: Option<Client>,
}

impl User for Shopper {
    fn ask(&mut self, _: u64) -> Result<(), String> {
        let user: u64 = self.random.random();
        let shown = self.request("GET /", user)?;
        let of_thousand = if shown == "new" { self.buying.new } else { self.buying.old };
        if self.random.random_ratio(of_thousand, 1_000) {
            self.request("POST /orders", user)?;
        }
        Ok(())
    }
}

impl Shopper {
    fn request(&mut self, line: &str, user: u64) -> Result<String, String> {
        let mut client = match self.client.take().filter(|client| !client.is_over()) {
            Some(client) => client,
            None => Client::over(connect(self.proxy)?),
        };
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\nContent-Length: 0\r\n\r\n");
        let answer = client.write(head).read(false).map_err(|(end, _)| format!("{line}: no answer, {end:?}"))?;
        if answer.status != 200 || !answer.is_whole() {
            return Err(format!("{line}: {} {:?}", answer.status, answer.text()));
        }
        self.client = answer.header("connection").is_none().then_some(client);
        Ok(answer.text())
    }
}

fn shoppers(proxy: SocketAddr, buying: Buying) -> Load {
    let shopper = |seed: u64| -> Box<dyn User> {
        let random = StdRng::seed_from_u64(seed);
        Box::new(Shopper { proxy, buying, random, client: None })
    };
    Load::start((0..8).map(shopper).collect())
}

/// A shop with two versions that respond well to everything, and its users.
struct Shop {
    proxy: Proxy,
    operator: Operator,
    /// Orders that each version has taken.
    orders: [Arc<AtomicU64>; 2],
    _versions: [Origin; 2],
}

/// A version that says whether it is the new one; of a flag both do.
fn shop_version(name: &'static str) -> (Origin, Arc<AtomicU64>) {
    let orders = Arc::<AtomicU64>::default();
    let taken = Arc::clone(&orders);
    let origin = Origin::forgetful(move |seen| {
        if seen.line().starts_with("POST /orders ") {
            taken.fetch_add(1, SeqCst);
        }
        let flag = seen.header("x-flag-new-checkout");
        Reply::ok(if flag == Some("on") || name == "new" { "new" } else { "old" })
    });
    (origin, orders)
}

impl Shop {
    /// `plan` is the rest of the rollout section.
    fn new(plan: &str) -> Self {
        let ((old, of_old), (new, of_new)) = (shop_version("old"), shop_version("new"));
        let section =
            format!("sticky = [\"header:x-user-id\"]\nflags = [\"new-checkout\"]\nrollout = {{ {plan}, {JUDGE} }}");
        let proxy = Setup::to(&[&old, &new]).service(&section).bottom(METRICS).start();
        let operator = Operator::at(proxy.admin);
        Self { proxy, operator, orders: [of_old, of_new], _versions: [old, new] }
    }

    fn users(&self, buying: Buying) -> Load {
        shoppers(self.proxy.address, buying)
    }

    fn start(&self) -> u64 {
        id(&self.operator.start(json!({"service": "site", "to": "v2"})))
    }

    fn refused(&self, body: Value) -> String {
        let CallError::Refused { problem, .. } = self.operator.try_start(body).expect_err("want problems") else {
            panic!("want problems")
        };
        problem.to_string()
    }
}

#[test]
fn a_version_that_loses_orders_is_turned_back_although_every_response_is_good() {
    let shop = Shop::new("guardrails = [\"purchase\"], steps = [50, 100], bake = \"10m\"");
    let load = shop.users(Buying { old: 100, new: 40 });
    let rollout = shop.start();
    let over = shop.operator.until_ended(rollout, "rolled_back");
    let found = &over["evidence"][0];
    println!("{}", last_words(&over));
    assert_eq!(found["why"], "guardrail", "{over:#}");
    let guardrail = &found["guardrails"][0];
    let [new, old] = ["candidate", "baseline"].map(|arm| {
        let arm = &guardrail[arm];
        [&arm["conversions"], &arm["users"]].map(|count| count.as_u64().unwrap())
    });
    let words = last_words(&over);
    let beginning = "rolled back site v2: guardrail purchase: ";
    assert!(words.starts_with(beginning), "{words}");
    assert!(words.ends_with(" on v1, odds of chance below 1 in 1,000"), "{words}");
    assert!(new[0] * old[1] < old[0] * new[1], "{guardrail:#}");
    // What is counted is what the versions have seen.
    let taken = shop.orders.each_ref().map(|orders| orders.load(SeqCst));
    assert!(old[0] <= taken[0] && new[0] <= taken[1] && new[0] > 10, "{guardrail:#}, taken {taken:?}");
    assert_eq!(shop.proxy.status()["versions"][0]["weight"], 100.0);
    load.end_well();
}

#[test]
fn a_version_that_loses_none_goes_on_when_enough_users_have_come_and_its_verdicts_have_the_counts() {
    // More than come between two looks, of which there is one a second: the first finds some, and not enough.
    let guardrails = "guardrails = [{ metric = \"purchase\", users_min = 20000 }, \"complaint\"]";
    let shop = Shop::new(&format!("{guardrails}, steps = [40, 100], bake = \"300ms\", watch = \"300ms\""));
    let rollout = shop.start();
    let load = shop.users(Buying { old: 100, new: 100 });
    let held = shop.operator.until(rollout, "users", |rollout| {
        let found = &rollout["evidence"][0];
        found["why"] == "no_guardrail_data" && found["guardrails"][0]["candidate"]["users"].as_u64() > Some(0)
    });
    let sentence = held["evidence"][0]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("holding site v2: not enough users for guardrail purchase: "), "{sentence}");
    // The version with fewer users is named.
    let [v2, v1] = ["candidate", "baseline"].map(|arm| held["evidence"][0]["guardrails"][0][arm]["users"].as_u64());
    let fewest = if v2 <= v1 { (v2, "v2") } else { (v1, "v1") };
    let ending = format!(": {} of 20000 on {}", fewest.0.unwrap(), fewest.1);
    assert!(sentence.replace(',', "").ends_with(&ending), "{sentence}");
    shop.proxy.await_metric("pointsman_rollout_guardrail", &["metric=\"complaint\"", "standing=\"unharmed\""], 1.0);
    // Fifty thousand users and more have to come.
    let over = shop.operator.until_ended_within(Duration::from_secs(300), rollout, "completed");
    let advanced = over["events"].as_array().unwrap().iter().find(|event| event["word"] == "advanced").unwrap();
    let (text, guardrail) = (advanced["text"].as_str().unwrap(), &advanced["evidence"][0]["guardrails"][0]);
    assert!(text.contains("; guardrail purchase: ") && text.contains("; guardrail complaint: 0 of "), "{text}");
    assert_eq!(guardrail["standing"], "unharmed", "{advanced:#}");
    assert!(guardrail["candidate"]["users"].as_u64() >= Some(20_000), "{advanced:#}");
    // All the traffic is nothing to compare.
    assert_eq!(over["evidence"][0]["guardrails"], json!([]), "{over:#}");
    load.end_well();
}

#[test]
fn a_flag_that_loses_orders_is_taken_back() {
    let shop = Shop::new("bake = \"10m\"");
    let load = shop.users(Buying { old: 100, new: 40 });
    let plan = json!({"steps": [50, 100], "bake": "10m", "guardrails": ["purchase"], "judge": {"slower": false}});
    let rollout = id(&shop.operator.start(json!({"flag": "new-checkout", "to": "on", "plan": plan})));
    let over = shop.operator.until_ended(rollout, "rolled_back");
    println!("{}", last_words(&over));
    assert!(last_words(&over).starts_with("rolled back site new-checkout=on: guardrail purchase: "), "{over:#}");
    assert!(last_words(&over).contains(" on new-checkout=off"), "{over:#}");
    load.end_well();
}

#[test]
fn after_a_restart_the_users_of_the_step_are_counted_anew() {
    let ((old, _), (new, _)) = (shop_version("old"), shop_version("new"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let plan = format!("rollout = {{ guardrails = [\"purchase\"], steps = [50, 100], bake = \"10m\", {JUDGE} }}");
    let state = format!("[state]\npath = \"{}\"", folder.path().join("pointsman.db").display());
    std::fs::write(&path, config(old.address(), new.address(), &format!("{plan}\n{METRICS}\n{state}\n"))).unwrap();
    let process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    let rollout = id(&operator.start(json!({"service": "shop", "to": "v2"})));
    let users = |rollout: &Value| rollout["evidence"][0]["guardrails"][0]["candidate"]["users"].as_u64();
    let load = shoppers(process.listener, Buying { old: 100, new: 100 });
    operator.until(rollout, "users", |rollout| users(rollout) > Some(100));
    load.end_well();
    process.kill();
    let process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    let again = operator.until(rollout, "known again", |view| view["phase"] == "going");
    assert_eq!(users(&again), Some(0), "{again:#}");
    let load = shoppers(process.listener, Buying { old: 100, new: 30 });
    let over = operator.until_ended(rollout, "rolled_back");
    assert!(last_words(&over).starts_with("rolled back shop v2: guardrail purchase: "), "{over:#}");
    load.end_well();
}

#[test]
fn a_guardrail_that_is_no_metric_and_a_plan_that_compares_nothing_are_refused() {
    let shop = Shop::new("guardrails = [\"purchase\"], steps = [50, 100]");
    let with = |plan: Value| json!({"service": "site", "to": "v2", "plan": plan});
    let unknown = shop.refused(with(json!({"guardrails": ["purchase", "purchases"]})));
    assert!(unknown.contains("plan.guardrails[2]") && unknown.contains("did you mean \\\"purchase\\\"?"), "{unknown}");
    let nothing = shop.refused(with(json!({"steps": [100]})));
    assert!(nothing.contains("guardrails beside steps = [100]"), "{nothing}");
    let dry = shop.operator.dry_run(with(json!({"guardrails": [{"metric": "purchase", "tolerate": 0.1}]})));
    let guardrail = &dry["rollout"]["evidence"][0]["guardrails"][0];
    assert_eq!((&guardrail["metric"], &guardrail["tolerate"]), (&json!("purchase"), &json!(0.1)), "{dry:#}");
}
