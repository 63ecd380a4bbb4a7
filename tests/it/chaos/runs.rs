//! What a run goes through, and what ends it.

use serde_json::json;

use super::bench::{Bench, begin, command, post, slow, until, until_file, until_restored};
use crate::support::{Origin, Reply, eventually};

#[test]
fn a_run_goes_to_its_end_and_is_kept_with_its_reports() {
    let bench = Bench::new(&slow("baseline = \"0s\"\nduration = \"1s\"\n"));
    let process = bench.start();
    let dry = post(&process, "/v1/chaos?dry_run=true", json!({ "experiment": "slow" })).unwrap();
    assert_eq!((&dry["dry_run"], &dry["open"], &dry["share"]), (&json!(true), &json!(true), &json!(2.0)), "{dry:#}");
    assert_eq!(process.get("/v1/chaos")["runs"], json!([]), "nothing was begun");
    let run = begin(&process, "slow");
    assert_eq!((&run["id"], &run["state"], &run["service"]), (&json!(1), &json!("injecting"), &json!("shop")));
    let run = until_restored(&process, 1);
    assert_eq!((&run["state"], &run["ended_by"]), (&json!("ended"), &json!("time")), "{run:#}");
    assert_eq!(run["ending"], "not_enough_data", "nobody came: {run:#}");
    let list = process.get("/v1/chaos");
    assert_eq!((&list["enabled"], &list["runs"][0]["id"]), (&json!(true), &json!(1)), "{list:#}");
    assert_eq!(list["experiments"][0]["name"], "slow");
    assert_eq!(process.get("/v1/chaos/1/report?format=json")["run"]["id"], 1);
    assert_eq!(process.get("/v1/chaos/1/report?format=journal")["platform"], "pointsman");
    process.kill();
    let process = bench.start();
    eventually("the run is read", || process.get("/v1/chaos")["runs"][0]["id"] == 1);
    assert_eq!(process.get("/v1/chaos/1"), run, "it is kept as it was shown");
    assert_eq!(begin(&process, "slow")["id"], 2);
}

#[test]
fn an_operator_ends_one_or_all_and_may_say_it_twice() {
    let bench = Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n"));
    let process = bench.start();
    begin(&process, "slow");
    let run = post(&process, "/v1/chaos/1/stop", json!({ "reason": "seen enough" })).unwrap();
    assert_eq!((&run["state"], &run["ended_by"]), (&json!("ended"), &json!("operator")), "{run:#}");
    assert!(!run["restored_at"].is_null(), "its fault is gone when it is answered: {run:#}");
    assert!(run["sentence"].as_str().unwrap().contains("seen enough"), "{run:#}");
    assert_eq!(post(&process, "/v1/chaos/1/stop", json!({})).unwrap(), run, "it stays as it is");
    begin(&process, "slow");
    assert_eq!(post(&process, "/v1/chaos/stop", json!({})).unwrap(), json!({ "stopped": [2] }));
    assert_eq!(post(&process, "/v1/chaos/stop", json!({})).unwrap(), json!({ "stopped": [] }));
    let unknown = post(&process, "/v1/chaos/7/stop", json!({})).unwrap_err().to_string();
    assert!(unknown.contains("there is no chaos run"), "{unknown}");
}

#[test]
fn a_config_that_takes_it_away_ends_it() {
    let bench = Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n"));
    let process = bench.start();
    begin(&process, "slow");
    bench.write(&slow("baseline = \"1m\"\nduration = \"10m\"\n").replace("enabled = true", "enabled = false"));
    process.signal("HUP");
    let run = until_restored(&process, 1);
    assert_eq!(run["ended_by"], "config", "{run:#}");
    assert!(run["sentence"].as_str().unwrap().contains("chaos.enabled is false"), "{run:#}");
}

#[test]
fn a_webhook_that_does_not_agree_ends_it_and_receivers_are_told() {
    let refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\nConnection: close\r\n\r\nincident";
    let hook = Origin::forgetful(move |_| Reply::raw(refusal).close());
    let more = format!(
        "baseline = \"1m\"\nduration = \"10m\"\nstop_when = {{ webhook = {{ url = \"http://{}/calm\" }} }}\n",
        hook.address()
    );
    let bench = Bench::new(&slow(&more));
    let process = bench.start();
    begin(&process, "slow");
    let run = until_restored(&process, 1);
    assert_eq!((&run["ended_by"], &run["ending"]), (&json!("webhook"), &json!("not_enough_data")), "{run:#}");
    assert!(run["sentence"].as_str().unwrap().contains("incident"), "{run:#}");
}

#[test]
fn an_upgrade_in_place_ends_it_and_the_new_process_undoes_it() {
    let bench = Bench::new("");
    let (begun, undone) = (bench.file("begun"), bench.file("undone"));
    let script = format!("touch {}; sleep 600", begun.display());
    bench.write(&command(&script, &format!("echo $POINTSMAN_RUN >> {}", undone.display())));
    let mut process = bench.start();
    begin(&process, "disk");
    until_file(&begun);
    process.upgrade().unwrap();
    process.wait_for_first();
    until_file(&undone);
    let run = until_restored(&process, 1);
    assert_eq!((&run["ended_by"], &run["undo"]["state"]), (&json!("restart"), &json!("done")), "{run:#}");
    assert_eq!(std::fs::read_to_string(&undone).unwrap(), "1\n", "once, by one process");
}

#[test]
fn a_rollout_and_a_run_keep_out_of_each_others_way() {
    let bench = Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n"));
    let process = bench.start();
    begin(&process, "slow");
    let rollout = || post(&process, "/v1/rollouts", json!({ "service": "shop", "to": "v2" }));
    let refused = rollout().unwrap_err().to_string();
    assert!(refused.contains("pointsman chaos stop 1"), "{refused}");
    post(&process, "/v1/chaos/stop", json!({})).unwrap();
    rollout().unwrap();
    let refused = post(&process, "/v1/chaos", json!({ "experiment": "slow" })).unwrap_err().to_string();
    assert!(refused.contains("being rolled out"), "{refused}");
    until(&process, 1, "as it was", |run| run["ended_by"] == "operator");
}
