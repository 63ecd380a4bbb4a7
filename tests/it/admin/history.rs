//! The last quarter of an hour of a service, by the API. The looks are made by the test, at moments of its own.

use std::time::Duration;

use pointsman::testing::stats::CodeClass;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::control::Control;

const LISTS: [&str; 6] = ["requests_per_second", "error_ratio", "p50_ms", "p90_ms", "p99_ms", "weight"];

fn answer(control: &Control, version: &str, class: CodeClass, count: usize) {
    let table = control.table();
    let version = table.service_named("shop").unwrap().version_named(version).unwrap();
    (0..count).for_each(|_| version.stats.cell(0).answered(class, 2_000));
}

/// Looks once a second, from one second to another.
fn look(control: &Control, begun: Instant, seconds: std::ops::RangeInclusive<u64>) {
    seconds.for_each(|second| control.admin.live.look(&control.table(), begun + Duration::from_secs(second)));
}

/// The last two points of a list.
fn last_two(versions: &Value, version: &str, list: &str) -> Value {
    let points = versions[version][list].as_array().unwrap();
    assert_eq!(points.len(), 180, "{version} {list}");
    json!(points[178..])
}

#[tokio::test]
async fn the_history_of_a_service_shows_what_each_version_did() {
    let control = Control::start();
    let path = "/v1/services/shop/history";
    let empty = control.get(path).await.json();
    assert_eq!((&empty["interval_seconds"], &empty["versions"]["v2"]["weight"][0]), (&json!(5), &Value::Null));
    let begun = Instant::now();
    look(&control, begun, 0..=2);
    answer(&control, "v1", CodeClass::Success, 27);
    answer(&control, "v1", CodeClass::ServerError, 3);
    look(&control, begun, 3..=5);
    let shifted = control.send("PUT /v1/services/shop/split", r#"{"v1": 66.667, "v2": 33.333}"#).await;
    assert_eq!(shifted.status, 200, "{shifted:?}");
    look(&control, begun, 6..=10);

    let reply = control.get(path).await;
    let (history, tag) = (reply.json(), reply.header("etag").map(str::to_owned));
    assert_eq!(tag.as_deref(), Some("\"2\""));
    assert!(history["until"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{history}");
    let versions = &history["versions"];
    assert_eq!(versions.as_object().unwrap().keys().collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!(last_two(versions, "v1", "requests_per_second"), json!([6.0, 0.0]));
    assert_eq!(last_two(versions, "v1", "error_ratio"), json!([0.1, null]));
    assert_eq!(last_two(versions, "v1", "weight"), json!([95.0, 66.667]));
    for list in ["p50_ms", "p90_ms", "p99_ms"] {
        let points = last_two(versions, "v1", list);
        assert!(points[0].as_f64().is_some_and(|ms| (1.9..2.1).contains(&ms)) && points[1].is_null(), "{points}");
    }
    for list in LISTS {
        assert_eq!(last_two(versions, "v2", list), json!([null, null]), "it has had no requests");
    }
}

#[tokio::test]
async fn the_history_of_what_there_is_not_is_refused() {
    let control = Control::start();
    assert_eq!(control.get("/v1/services/shpo/history").await.refusal(404), ["service: unknown service \"shpo\""]);
    assert_eq!(control.get("/v1/services/shop/history?points=5").await.refusal(422).len(), 1);
    let wrong = control.send("POST /v1/services/shop/history", "{}").await;
    assert_eq!(wrong.status, 405, "{wrong:?}");
}
