//! An experiment through a whole proxy: users who visit, buy and are told of by events, and a result that has the sums
//! which the origins have counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::command::experiment;
use crate::support::client::send;
use crate::support::reply::Reply;
use crate::support::{Client, Origin, Proxy, Setup, eventually};

/// Users of a simulation.
const USERS: usize = 5_000;

/// Threads that simulate them.
const THREADS: usize = 8;

/// Drawn anew where a run is to be repeated.
const SEED: u64 = 2026;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What was seen of a user by origins: in which arm, whether it has bought, and for how much.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Customer {
    bought: bool,
    value: f64,
}

/// What origins have counted: users by arm.
type Books = Arc<Mutex<BTreeMap<String, BTreeMap<String, Customer>>>>;

/// An origin that notes who came, in the arm that `arm` finds, and who bought. An order is refused if it says so.
fn shop(books: &Books, arm: impl Fn(&crate::support::origin::Seen) -> String + Send + Sync + 'static) -> Origin {
    let books = Arc::clone(books);
    Origin::forgetful(move |seen| {
        let (arm, user) = (arm(seen), seen.header("x-user-id").unwrap_or_default().to_owned());
        let ordered = seen.line().starts_with("POST /orders ") && !seen.text().contains("refuse");
        let mut books = books.lock().unwrap();
        let customer = books.entry(arm.clone()).or_default().entry(user).or_default();
        customer.bought |= ordered;
        match (seen.line().starts_with("POST "), ordered) {
            (true, true) => Reply::raw("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
            (true, false) => Reply::raw("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"),
            (false, _) => Reply::ok(arm),
        }
    })
}

fn request(method: &str, path: &str, user: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-User-Id: {user}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A batch on the listener of the site.
fn batch(events: &Value) -> String {
    let body = events.to_string();
    let length = body.len();
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// One user: visits, may come back, may try to buy, and its order is told by an event, which is sent twice.
fn visit(client: &mut Client, number: usize, books: &Books, treatment: &str) {
    let mut random = StdRng::seed_from_u64(SEED ^ number as u64);
    let user = format!("user-{number}");
    let arm = client.ask(request("GET", "/", &user, "")).text();
    if random.random::<f64>() < 0.3 {
        assert_eq!(client.ask(request("GET", "/again", &user, "")).text(), arm, "{user} stays where it is");
    }
    if random.random::<f64>() < 0.05 {
        assert_eq!(client.ask(request("POST", "/orders", &user, "refuse")).status, 409);
    }
    if random.random::<f64>() >= if arm == treatment { 0.12 } else { 0.1 } {
        return;
    }
    assert_eq!(client.ask(request("POST", "/orders", &user, "one")).status, 201);
    // Quarters add up to the same sum in every order.
    let value = f64::from(random.random_range(20_u32..400)) / 4.0;
    books.lock().unwrap().get_mut(&arm).unwrap().get_mut(&user).unwrap().value = value;
    let events =
        json!([{ "id": format!("order-{number}"), "event": "order_value", "targetingKey": user, "value": value }]);
    for _ in 0..2 {
        let answer = client.ask(batch(&events));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn simulate(address: SocketAddr, books: &Books, treatment: &str) {
    println!("seed {SEED}");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let mut client = Client::to(address);
                (thread..USERS).step_by(THREADS).for_each(|number| visit(&mut client, number, books, treatment));
            });
        }
    });
}

fn start(setup: Setup, folder: &tempfile::TempDir, experiment: &str) -> Proxy {
    let file = folder.path().join("events.token");
    std::fs::write(&file, TOKEN).unwrap();
    let metrics = "[[experiments.button.metrics]]\nname = \"purchase\"\nkind = \"conversion\"\n\
                   when = { method = \"POST\", path = \"/orders\" }\n\
                   [[experiments.button.metrics]]\nname = \"revenue\"\nkind = \"mean\"\nevent = \"order_value\"\n";
    let events =
        format!("[events]\nrate = {{ requests = 100000 }}\n[events.tokens.shop]\nfile = \"{}\"\n", file.display());
    let setup = setup.listener("events = true").service("sticky = [\"header:x-user-id\"]");
    let proxy = setup.bottom(&format!("{events}{experiment}\n{metrics}")).start();
    let started = proxy.call("POST", "/v1/experiments/button/start", "{}");
    assert!(started["revision"].as_u64().is_some(), "{started}");
    proxy
}

fn shown(proxy: &Proxy) -> Value {
    let request = format!("GET /v1/experiments/button HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.admin);
    let answer = send(proxy.admin, request);
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.text()).unwrap()
}

/// The users and sums of a result, arm by arm.
fn sums(result: &Value) -> [(u64, f64, f64); 2] {
    ["control", "treatment"].map(|arm| {
        let sum = |metric: usize| result["metrics"][metric][arm]["sum"].as_f64().unwrap_or(-1.0);
        (result[arm]["users"].as_u64().unwrap_or(0), sum(0), sum(1))
    })
}

fn counted(books: &Books, arms: [&str; 2]) -> [(u64, f64, f64); 2] {
    let books = books.lock().unwrap();
    arms.map(|arm| {
        let users = &books[arm];
        let bought = users.values().filter(|customer| customer.bought).count();
        (users.len() as u64, bought as f64, users.values().map(|customer| customer.value).sum())
    })
}

/// Result and export are what the origins have counted.
fn compare(proxy: &Proxy, books: &Books, arms: [&str; 2]) {
    let wanted = counted(books, arms);
    eventually(&format!("the result has {wanted:?}"), || sums(&shown(proxy)["result"]) == wanted);
    let answer = shown(proxy);
    let result = &answer["result"];
    assert_eq!((&result["comparable"], &result["in_both_arms"]), (&json!(true), &json!(0)), "{result}");
    assert_eq!((&answer["state"], &answer["compared_something_else"]), (&json!("running"), &json!(false)));
    let orders = wanted.iter().map(|(_, bought, _)| bought).sum::<f64>();
    // What is sent again changes no sum, and may be looked at after the last of them.
    eventually("what was sent again is counted", || shown(proxy)["events"]["sent_again"].as_f64() >= Some(orders));
    let events = &shown(proxy)["events"];
    assert_eq!(events["sent_again"].as_f64(), Some(orders), "{events}");
    assert_eq!(events["counted"].as_f64(), Some(2.0 * orders), "requests and events: {events}");
    proxy.await_metric("pointsman_events_total", &["\"counted\""], orders);
    proxy.await_metric("pointsman_experiment_users", &[], (wanted[0].0 + wanted[1].0) as f64);
    let admin = format!("http://{}", proxy.admin);
    let (code, lines, errors) = experiment(&["export", "button", "--admin", &admin], "");
    assert_eq!((code, errors.as_str()), (0, ""));
    let mut exported = [(0, 0.0, 0.0); 2];
    for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let index = usize::from(line["arm"] == "treatment");
        assert_eq!(line["feature_flag.result.variant"], arms[index], "{line}");
        let (users, bought, value) = &mut exported[index];
        *users += 1;
        *bought += line["values"]["purchase"].as_f64().unwrap();
        *value += line["values"]["revenue"].as_f64().unwrap();
    }
    assert_eq!(exported, wanted);
    let (code, csv, _) = experiment(&["export", "button", "--format", "csv", "--admin", &admin], "");
    assert_eq!((code, csv.lines().count() as u64), (0, 1 + wanted[0].0 + wanted[1].0));
    let (code, text, errors) = experiment(&["show", "button", "--admin", &admin], "");
    assert_eq!(code, 0, "{errors}");
    let sentence = result["sentence"].as_str().unwrap();
    assert!(text.starts_with("button  running since revision ") && text.contains(sentence), "{text}");
    let (code, text, _) = experiment(&["list", "--admin", &admin], "");
    assert!(code == 0 && text.contains("button") && text.contains("running"), "{text}");
}

#[test]
fn versions_have_the_sums_that_the_origins_counted() {
    let (books, folder) = (Books::default(), tempfile::tempdir().unwrap());
    let origins = ["v1", "v2", "v3"].map(|version| shop(&books, move |_| version.to_owned()));
    let setup = Setup::to(&[&origins[0], &origins[1], &origins[2]]).split(&[0, 0, 100]);
    let section =
        "[experiments.button]\nservice = \"site\"\narms = { control = \"v1\", treatment = \"v2\" }\nshare = 80";
    let proxy = start(setup, &folder, section);
    simulate(proxy.address, &books, "v2");
    let outside = books.lock().unwrap()["v3"].len();
    assert!((USERS / 10..USERS * 3 / 10).contains(&outside), "{outside} of {USERS} users are in no arm");
    compare(&proxy, &books, ["v1", "v2"]);
}

#[test]
fn variants_have_the_sums_that_the_origin_counted() {
    let (books, folder) = (Books::default(), tempfile::tempdir().unwrap());
    let origin = shop(&books, |seen| seen.header("x-flag-colour").unwrap_or("none").to_owned());
    let setup = Setup::to(&[&origin]).service("flags = [\"colour\"]");
    let section = "[flags.colour]\nvariants = { grey = 0, green = 1, blue = 2 }\ndefault = \"grey\"\n\
                   [experiments.button]\nflag = \"colour\"\narms = { control = \"blue\", treatment = \"green\" }\nshare = 60";
    let proxy = start(setup, &folder, section);
    simulate(proxy.address, &books, "green");
    let outside = books.lock().unwrap()["grey"].len();
    assert!((USERS * 3 / 10..USERS / 2).contains(&outside), "{outside} of {USERS} users are in no arm");
    compare(&proxy, &books, ["blue", "green"]);
}
