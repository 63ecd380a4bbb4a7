//! What differs is found, with its place, among many that do not.

use serde_json::Value;

use super::copies::{await_pairs, found};
use crate::support::{Origin, Reply, Setup, get};

/// Pairs in the suite; `POINTSMAN_MIRROR_PAIRS` says another number.
const PAIRS: u64 = 1_500;

/// A document with what is different in each response, and what is different in one of a hundred.
fn document(version: u64, target: &str) -> Reply {
    let number: u64 = target.trim_start_matches('/').parse().unwrap_or(1);
    let price = if version == 2 && number.is_multiple_of(100) { 8 } else { 7 };
    let (first, second) = (r#"{"price":7,"at":1}"#, format!(r#"{{"at":{version},"price":{price}}}"#));
    let body = if version == 1 {
        format!(r#"{{"generated_at":"{version}","items":[{first},{second}]}}"#)
    } else {
        format!(r#"{{ "items": [{first}, {second}], "generated_at": "{version}" }}"#)
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    Reply::raw(format!("{head}{body}"))
}

#[test]
fn one_body_in_a_hundred_is_found_at_its_pointer() {
    let pairs = std::env::var("POINTSMAN_MIRROR_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(PAIRS);
    let [old, new] = [1, 2].map(|version| Origin::forgetful(move |seen| document(version, seen.target())));
    let compare = "compare = { headers = [\"content-type\"], body = \"json\", ignore = [\"/generated_at\", \"/items/*/at\"], \
                   latency = false }";
    let mirror = format!("mirror = {{ to = \"v2\", share = 100, in_flight_max = 1000, samples = true, {compare} }}");
    let proxy = Setup::to(&[&old, &new]).service(&mirror).start();
    let mut client = proxy.client();
    for number in 1..=pairs {
        assert_eq!(client.ask(get(&format!("/{number}"))).status, 200);
    }
    let found = await_pairs(&proxy, pairs);
    println!("{pairs} pairs: {} differ, at {}", found["differing"], found["places"]);
    let different = pairs / 100;
    assert_eq!(found["dropped"]["in_flight"], 0, "{found:#}");
    assert_eq!((&found["differing"], &found["differences"]["body"]), (&different.into(), &different.into()));
    let places = found["places"].as_array().unwrap();
    assert_eq!(
        (places.len(), &places[0]["place"], &places[0]["pairs"]),
        (1, &"/items/1/price".into(), &different.into())
    );
    let last = found["last"].as_array().unwrap();
    let path = |found: &Value| found["path"].as_str().unwrap().trim_start_matches('/').parse::<u64>().unwrap();
    assert!(last.iter().all(|found| path(found).is_multiple_of(100) && found["user"]["sample"] == "7"), "{last:#?}");
    assert_ne!(last[0]["user"]["hash"], last[0]["mirror"]["hash"]);
}

#[test]
fn what_is_ignored_is_no_difference_and_headers_are_compared_that_are_named() {
    let old = Origin::raw("HTTP/1.1 200 OK\r\nX-Kind: a\r\nX-Other: a\r\nContent-Length: 8\r\n\r\n{\"at\":1}");
    let new = Origin::raw("HTTP/1.1 200 OK\r\nX-Kind: b\r\nX-Other: b\r\nContent-Length: 9\r\n\r\n{\"at\": 2}");
    let compare = "compare = { headers = [\"x-kind\"], body = \"json\", ignore = [\"/at\"], latency = false }";
    let proxy =
        Setup::to(&[&old, &new]).service(&format!("mirror = {{ to = \"v2\", share = 100, {compare} }}")).start();
    proxy.client().ask(get("/"));
    await_pairs(&proxy, 1);
    let found = found(&proxy);
    assert_eq!((&found["differences"]["header"], &found["differences"]["body"]), (&1.into(), &0.into()), "{found:#}");
    assert_eq!((&found["last"][0]["place"], &found["last"][0]["user"]["sample"]), (&"x-kind".into(), &Value::Null));
    assert_eq!(found["timed"], 0);
}
