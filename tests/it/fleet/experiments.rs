//! Users who meet several replicas are counted once, and what they do counts wherever they do it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::place::{Place, fleet, know_each_other, leads};
use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::release::{Operator, id, last_words};
use crate::support::{Origin, Reply, eventually, eventually_within};

/// A lease, and a rollout on a busy machine.
const LONG: Duration = Duration::from_secs(60);

const USERS: usize = 300;

/// What the config has besides the service.
const MEASURED: &str = r#"
[experiments.button]
service = "shop"
arms = { control = "v1", treatment = "v2" }
share = 100
[[experiments.button.metrics]]
name = "purchase"
kind = "conversion"
when = { method = "POST", path = "/orders" }
[[experiments.button.metrics]]
name = "revenue"
kind = "mean"
event = "order_value"
[metrics.purchase]
kind = "conversion"
when = { method = "POST", path = "/orders" }
"#;

/// Three replicas whose endpoints say which version they are.
struct Shop {
    place: Place,
    all: Vec<Process>,
}

impl Shop {
    fn start() -> Self {
        let place = Place::of(version("v1"), version("v2"));
        let all: Vec<_> = ["edge-1", "edge-2", "edge-3"].map(|name| replica(&place, name)).into();
        know_each_other(&all.iter().collect::<Vec<_>>());
        eventually_within(LONG, "one leads", || all.iter().any(leads));
        Self { place, all }
    }
}

fn replica(place: &Place, name: &str) -> Process {
    let text = place.config(name, &Place::at(&place.etcd.url()), MEASURED);
    Process::start(&place.write(name, &text))
}

fn version(name: &'static str) -> Origin {
    Origin::forgetful(move |_| Reply::ok(name))
}

/// Asks as a user, and gives what it is answered.
fn ask(client: &mut Client, line: &str, user: &str) -> String {
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\nContent-Length: 0\r\n\r\n");
    let answer = client.ask(head);
    assert_eq!(answer.status, 200, "{line}: {answer:?}");
    answer.text()
}

fn event(user: &str, value: f64) -> Value {
    json!([{ "id": format!("order of {user}"), "event": "order_value", "targetingKey": user, "value": value }])
}

/// What became of an event that a replica is told.
fn tell(replica: &Process, event: &Value) -> Value {
    let answer = replica.send(Method::POST, "/v1/events", event.clone());
    answer.unwrap_or_else(|refusal| panic!("{event}: {refusal}"))
}

fn shown(replica: &Process) -> Value {
    replica.get("/v1/experiments/button")
}

/// Users, conversions and the sum of values of both arms.
fn sums(replica: &Process) -> [(u64, f64, f64); 2] {
    let result = &shown(replica)["result"];
    ["control", "treatment"].map(|arm| {
        let sum = |metric: usize| result["metrics"][metric][arm]["sum"].as_f64().unwrap_or(-1.0);
        (result[arm]["users"].as_u64().unwrap_or(0), sum(0), sum(1))
    })
}

/// The users that are exported: lines without their times of writing.
fn exported(replica: &Process) -> Vec<String> {
    let answer = crate::support::client::send(
        replica.admin_address,
        format!(
            "GET /v1/experiments/button/export HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            replica.admin_address
        ),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().lines().map(str::to_owned).collect()
}

/// A run that begins at once leaves the books of the one before as they were.
fn begin_again(shop: &Shop) {
    shop.all[0].send(Method::POST, "/v1/experiments/button/start", json!({})).unwrap();
    ask(&mut Client::to(shop.all[0].listener), "GET /", "ada");
    for replica in &shop.all {
        eventually_within(LONG, "the new run has its user", || {
            sums(replica).iter().map(|(users, ..)| users).sum::<u64>() == 1
        });
        let runs = shown(replica)["runs"].clone();
        assert_eq!((&runs[0]["users"], &runs[1]["users"]), (&json!(1), &json!(USERS)), "{runs}");
    }
}

#[test]
fn users_of_several_replicas_are_one_user_and_an_event_counts_wherever_it_is_told() {
    let mut shop = Shop::start();
    let split = shop.all[0].send(Method::PUT, "/v1/services/shop/split", json!({ "v1": 50, "v2": 50 }));
    split.unwrap();
    shop.all[0].send(Method::POST, "/v1/experiments/button/start", json!({})).unwrap();
    let mut wanted = [(0, 0.0, 0.0); 2];
    let mut clients: Vec<_> = shop.all.iter().map(|replica| Client::to(replica.listener)).collect();
    let mut later = Vec::new();
    for number in 0..USERS {
        let user = format!("user-{number}");
        // Most users come to one replica only, and some to all of them.
        let first = number % 3;
        let arm = ask(&mut clients[first], "GET /", &user);
        if number % 5 == 0 {
            for client in &mut clients {
                assert_eq!(ask(client, "GET /again", &user), arm, "{user} has the same version on all");
            }
        }
        let (users, bought, value) = &mut wanted[usize::from(arm == "v2")];
        *users += 1;
        if number % 4 == 0 {
            ask(&mut clients[(number / 4) % 3], "POST /orders", &user);
            let worth = f64::from(u32::try_from(number % 40).unwrap()) / 4.0;
            // A replica is told that may never have met the user.
            let told = tell(&shop.all[(number / 8) % 3], &event(&user, worth));
            assert_eq!(told["outcomes"]["counted"], 1, "{user}: {told}");
            later.push(event(&user, worth));
            *bought += 1.0;
            *value += worth;
        }
    }
    for replica in &shop.all {
        eventually_within(LONG, "all have all users", || sums(replica) == wanted);
        assert_eq!(shown(replica)["result"]["in_both_arms"], 0);
    }
    // Told again to whichever replica, an event does not count again.
    for (number, event) in later.iter().enumerate() {
        let told = tell(&shop.all[number % 3], event);
        assert_eq!(told["outcomes"]["counted"], 0, "{told}");
    }
    let users = exported(&shop.all[0]);
    assert_eq!(users.len(), USERS);
    assert!(shop.all.iter().all(|replica| exported(replica) == users), "all export the same users");

    // One that is gone is missed by no sum, and one that begins again has what it had.
    shop.all.pop().unwrap().kill();
    shop.all[1].end();
    shop.all[1] = replica(&shop.place, "edge-2");
    eventually_within(LONG, "it follows", || fleet(&shop.all[1])["state"] == "together");
    for replica in &shop.all {
        assert_eq!(sums(replica), wanted);
    }
    eventually_within(LONG, "the one that is gone is no member", || {
        fleet(&shop.all[0])["replicas"].as_array().unwrap().len() == 2
    });
    shop.all[1].send(Method::POST, "/v1/experiments/button/stop", json!({})).unwrap();
    for replica in &shop.all {
        eventually_within(LONG, "it is over everywhere", || shown(replica)["state"] == "ended");
        assert_eq!(sums(replica), wanted, "what is over is told as it was");
        assert_eq!(exported(replica), users);
    }
    begin_again(&shop);
}

#[test]
fn a_replica_that_does_not_say_whom_it_has_counted_is_named_beside_the_result() {
    let shop = Shop::start();
    shop.all[0].send(Method::PUT, "/v1/services/shop/split", json!({ "v1": 50, "v2": 50 })).unwrap();
    shop.all[0].send(Method::POST, "/v1/experiments/button/start", json!({})).unwrap();
    let mut client = Client::to(shop.all[2].listener);
    ask(&mut client, "GET /", "ada");
    eventually_within(LONG, "others know", || sums(&shop.all[0]).iter().map(|(users, ..)| users).sum::<u64>() == 1);
    shop.all[2].signal("STOP");
    let warned = || {
        let warnings = shown(&shop.all[0])["result"]["warnings"].clone();
        let silent = |warning: &Value| warning["kind"] == "silent";
        warnings.as_array().unwrap().iter().any(silent).then(|| warnings.to_string())
    };
    eventually_within(LONG, "it is told", || warned().is_some_and(|told| told.contains("edge-3 has not said for ")));
    // Who waits for it is answered all the same.
    let told = tell(&shop.all[0], &event("grace", 1.0));
    assert_eq!(told["outcomes"]["counted"], 0, "{told}");
    let told = tell(&shop.all[0], &event("ada", 1.0));
    assert_eq!(told["outcomes"]["counted"], 1, "{told}");
    shop.all[2].signal("CONT");
    eventually_within(LONG, "it speaks again", || warned().is_none());
}

#[test]
fn a_version_that_loses_orders_on_replicas_that_do_not_lead_is_turned_back() {
    let mut shop = Shop::start();
    shop.all.sort_by_key(|replica| !leads(replica));
    let operator = Operator(shop.all[0].admin.clone());
    let judge = json!({ "warm_up": "0s", "requests_min": 20, "slower": false, "responses": { "status": "off" } });
    let plan = json!({ "guardrails": ["purchase"], "steps": [50, 100], "bake": "10m", "judge": judge });
    let rollout = id(&operator.start(json!({ "service": "shop", "to": "v2", "plan": plan })));
    let mut clients: Vec<_> = shop.all[1..].iter().map(|replica| Client::to(replica.listener)).collect();
    eventually_within(LONG, "the others have the step", || {
        (0..20).any(|user| ask(&mut clients[1], "GET /", &format!("early-{user}")) == "v2")
    });
    let mut number = 0;
    let over = || operator.rollout(rollout)["ending"] == "rolled_back";
    // They look at one replica, and buy at the other; of the old version a third of them.
    while number < 20_000 && !over() {
        for user in number..number + 50 {
            let name = format!("user-{user}");
            let (at, other) = (user % 2, 1 - user % 2);
            if ask(&mut clients[at], "GET /", &name) == "v1" && user % 3 == 0 {
                ask(&mut clients[other], "POST /orders", &name);
            }
        }
        number += 50;
    }
    let over = operator.until_ended(rollout, "rolled_back");
    assert!(last_words(&over).contains("purchase"), "{over:#}");
    eventually("no user is on it", || (0..20).all(|user| ask(&mut clients[0], "GET /", &format!("u{user}")) == "v1"));
}
