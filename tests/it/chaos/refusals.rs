//! What is refused, with what to do: everything that is wrong with a call, and everything that speaks against it now.

use serde_json::{Value, json};

use super::bench::{Bench, begin, post, slow};
use crate::support::process::Process;

/// Why a start is refused: its status and words.
fn refused(process: &Process, body: Value) -> String {
    post(process, "/v1/chaos", body).expect_err("it is refused").to_string()
}

/// Why a definition with this part in the place of its own is.
fn with(process: &Process, part: &str, value: Value) -> String {
    let mut definition = json!({
        "target": { "service": "shop", "share": 2 },
        "fault": { "latency": { "fixed": "10ms" } },
        "duration": "1m",
        "baseline": "0s",
        "hypothesis": { "errors": {} },
    });
    match value {
        Value::Null => drop(definition.as_object_mut().unwrap().remove(part)),
        value => definition[part] = value,
    }
    refused(process, json!({ "name": "try", "definition": definition }))
}

#[test]
fn a_definition_that_is_wrong_is_refused_with_what_to_do() {
    let bench = Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n"));
    let process = bench.start();
    let cases = [
        ("duration", Value::Null, "duration"),
        ("duration", json!("2h"), "duration_max"),
        ("target", json!({ "service": "shop", "share": 30 }), "share_max"),
        ("target", json!({ "service": "shp", "share": 2 }), "shop"),
        ("target", json!({ "service": "shop", "version": "v9" }), "v9"),
        ("target", json!({ "service": "shop", "endpoint": "10.9.9.9:1" }), "10.9.9.9:1"),
        ("target", json!({ "service": "shop", "zone": "mars" }), "mars"),
        ("target", json!({ "service": "shop", "segment": "staff" }), "staff"),
        ("only", json!(["Mon-Fri 09:00-16:00 Europe/Atlantis"]), "Europe/Atlantis"),
        ("fault", json!({ "command": { "run": ["/bin/true"], "undo": ["/bin/true"] } }), "command"),
        ("fault", json!({}), "fault"),
    ];
    for (part, value, word) in cases {
        let told = with(&process, part, value.clone());
        assert!(told.contains(word) && told.contains("definition."), "{part} = {value}: {told}");
    }
    assert_eq!(process.get("/v1/chaos")["runs"], json!([]), "nothing was begun");
}

#[test]
fn a_call_that_says_too_little_or_too_much_is_refused() {
    let bench = Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n"));
    let process = bench.start();
    for body in [json!({}), json!({ "name": "try" }), json!({ "experiment": "slow", "name": "try" })] {
        let told = refused(&process, body.clone());
        assert!(told.contains("the name of an experiment of the config"), "{body}: {told}");
    }
    let told = refused(&process, json!({ "experiment": "slwo" }));
    assert!(told.contains("did you mean \"slow\"?"), "{told}");
    let told = refused(&process, json!({ "experiment": "slow", "reson": "x" }));
    assert!(told.contains("reson"), "{told}");
}

#[test]
fn what_is_under_way_or_closed_speaks_against_it() {
    let bench = Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n"));
    let process = bench.start();
    begin(&process, "slow");
    let told = refused(&process, json!({ "experiment": "slow" }));
    assert!(told.contains("pointsman chaos stop 1"), "{told}");
    post(&process, "/v1/chaos/stop", json!({})).unwrap();
    let told = with(&process, "stop_when", json!({ "budget_left_below": 20 }));
    assert!(told.contains("services.shop.slo"), "{told}");
    // No window of a minute is long enough for one that has begun.
    let told = with(&process, "only", json!(["Mon-Sun 03:00-03:01 UTC", "Mon 12:00-12:01 Europe/Berlin"]));
    assert!(told.contains("only"), "{told}");
}

#[test]
fn nothing_runs_where_it_is_not_enabled() {
    let bench =
        Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n").replace("enabled = true", "enabled = false"));
    let process = bench.start();
    let told = refused(&process, json!({ "experiment": "slow" }));
    assert!(told.contains("chaos.enabled") && told.contains("[chaos]"), "{told}");
    assert_eq!(process.get("/v1/chaos")["enabled"], false);
    assert_eq!(post(&process, "/v1/chaos/stop", json!({})).unwrap(), json!({ "stopped": [] }), "this always works");
}
