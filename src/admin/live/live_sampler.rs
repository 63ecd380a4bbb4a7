//! Looks at the proxy while someone reads what is found.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::live_board::LiveBoard;
use crate::admin::AdminApi;
use crate::admin::revisions::timestamp;
use crate::admin::status;
use crate::document::live_document;
use crate::release::view::RolloutView;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Rollouts that are over and still shown.
const FINISHED_MAX: usize = 3;

/// Looks until `shutdown` ends; then the streams end.
pub(crate) async fn run(admin: &Arc<AdminApi>, shutdown: impl Future<Output = ()>) {
    let looking = async {
        loop {
            admin.board.wanted().await;
            let begun = Instant::now();
            if let Some((revision, document)) = look(admin).await {
                admin.board.put(revision, document);
            }
            // A look that takes long, at thousands of services, leaves as much time to all others.
            sleep(LOOK_INTERVAL.max(begun.elapsed())).await;
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = looking => {}
    }
    LiveBoard::close(&admin.board);
}

/// The revision and the document; `None`: the writer is gone, the process ends.
async fn look(admin: &AdminApi) -> Option<(u64, Value)> {
    let (revision, status) = status::of(admin).await.ok()?;
    let rollouts = admin.rollouts.list(FINISHED_MAX).await.ok()?;
    let mut status = serde_json::to_value(status).unwrap_or_default();
    if let Value::Object(status) = &mut status {
        without_clock(status, admin);
        status.insert("rollouts".to_owned(), shown(&rollouts));
        let chaos = admin.chaos.shown().live();
        if !chaos.is_null() {
            status.insert("chaos".to_owned(), chaos);
        }
    }
    Some((revision, live_document::of_status(status)))
}

/// Replaces what changes with every look although nothing happens.
fn without_clock(status: &mut Map<String, Value>, admin: &AdminApi) {
    status.remove("uptime_seconds");
    status.get_mut("gitops").and_then(Value::as_object_mut).into_iter().for_each(without_ages);
    status.get_mut("fleet").and_then(Value::as_object_mut).into_iter().for_each(without_beats);
    status.insert("started_at".to_owned(), json!(timestamp(admin.board.since_ms())));
    let services = status.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten();
    for version in services.filter_map(|service| service["versions"].as_array_mut()).flatten() {
        if let Some(recent) = version["recent"].as_object_mut() {
            recent.remove("seconds");
        }
    }
}

/// The same of the repository: the times themselves are there.
fn without_ages(gitops: &mut Map<String, Value>) {
    gitops.remove("fetched_seconds");
    for name in ["commit", "newest"] {
        gitops.get_mut(name).and_then(Value::as_object_mut).map(|commit| commit.remove("age_seconds"));
    }
}

/// The same of the fleet: while all is well etcd is heard of every few seconds, which is no news.
fn without_beats(fleet: &mut Map<String, Value>) {
    fleet.remove("heard_seconds");
    if fleet.get("state").is_some_and(|state| state == "together") {
        fleet.remove("heard_at");
    }
}

fn shown(rollouts: &[RolloutView]) -> Value {
    rollouts.iter().map(|rollout| serde_json::to_value(rollout).unwrap_or_default()).collect()
}
