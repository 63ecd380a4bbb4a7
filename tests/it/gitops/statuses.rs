//! What forges are told of commits, as a server in their place gets it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use crate::support::git_place::{GitPlace, is, metrics, refusal, sync};
use crate::support::{Origin, Reply, Seen, eventually};

/// A server in the place of a forge, and what it has got.
struct ForgeServer {
    origin: Origin,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl ForgeServer {
    /// One that answers the first posts with these, and then with 201.
    fn answering(first: &'static [&'static str]) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (noted, count) = (Arc::clone(&seen), AtomicUsize::new(0));
        let origin = Origin::with(move |request| {
            noted.lock().unwrap().push(request.clone());
            let answer = first.get(count.fetch_add(1, SeqCst)).copied();
            let head = answer.unwrap_or("201 Created\r\nContent-Length: 2\r\n\r\n{}");
            Reply::raw(format!("HTTP/1.1 {head}")).close()
        });
        Self { origin, seen }
    }

    /// The section that names it.
    fn section(&self, forge: &str, more: &str) -> String {
        format!(
            "interval = \"24h\"\n[gitops.status]\nforge = {forge:?}\napi = \"http://{}/api\"\nproject = \"shop/traffic\"\n\
             token_file = \"forge.token\"\n{more}",
            self.origin.address()
        )
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The post with this number, when it has come.
    #[track_caller]
    fn post(&self, number: usize) -> (Seen, Value) {
        eventually(&format!("post {number}"), || self.count() > number);
        let seen = self.seen.lock().unwrap()[number].clone();
        let body = serde_json::from_str(&seen.text());
        (seen.clone(), body.unwrap_or_else(|error| panic!("{error}: {}", seen.text())))
    }
}

fn place() -> GitPlace {
    let place = GitPlace::new();
    place.write("forge.token", "a-token-of-some-length-for-the-forge\n");
    place
}

#[test]
fn each_forge_is_told_in_its_own_words() {
    let secret = "a-token-of-some-length-for-the-forge";
    for (forge, path, header, failure, name) in [
        (
            "github",
            "/api/repos/shop/traffic/statuses/",
            ("authorization", format!("Bearer {secret}")),
            "failure",
            "context",
        ),
        (
            "gitea",
            "/api/repos/shop/traffic/statuses/",
            ("authorization", format!("token {secret}")),
            "failure",
            "context",
        ),
        ("gitlab", "/api/projects/shop%2Ftraffic/statuses/", ("private-token", secret.to_owned()), "failed", "name"),
    ] {
        let (place, server) = (place(), ForgeServer::answering(&[]));
        let first = place.git(&["rev-parse", "HEAD"]);
        let more = "context = \"pointsman/edge-1\"\ntarget_url = \"https://ops.example.com/\"\n";
        let process = place.start_with(&server.section(forge, more));
        let (seen, body) = server.post(0);
        assert_eq!(seen.line(), format!("POST {path}{first} HTTP/1.1"));
        assert_eq!(seen.header(header.0), Some(&*header.1), "{forge}");
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert!(seen.header("user-agent").is_some_and(|agent| agent.starts_with("pointsman")), "{}", seen.text());
        let mut wanted = json!({
            "state": "success", "description": "In force", "target_url": "https://ops.example.com/",
        });
        wanted[name] = "pointsman/edge-1".into();
        if forge == "gitlab" {
            wanted["ref"] = "main".into();
        }
        assert_eq!(body, wanted, "{forge}");

        let bad = place.commit_text(&place.config(60).replace("v2 = 60", "v2 = 61"), "Bad");
        refusal(&process);
        let (seen, body) = server.post(1);
        assert_eq!(seen.line(), format!("POST {path}{bad} HTTP/1.1"));
        let description = body["description"].as_str().unwrap();
        assert_eq!(body["state"], failure, "{body}");
        assert!(description.starts_with("pointsman.toml: line 6: services.shop.split: found"), "{description}");
    }
}

#[test]
fn a_status_is_sent_when_it_changes_and_again_when_it_was_not_taken() {
    // The first is lost on its way, the second meets a forge that is busy.
    const BUSY: &str = "503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let (place, server) = (place(), ForgeServer::answering(&[BUSY]));
    let first = place.git(&["rev-parse", "HEAD"]);
    let process = place.start_with(&server.section("gitea", ""));
    assert!(server.post(1).0.line().contains(&first), "it is sent again");
    eventually("the repository was asked", || is(&process, "synced", &first));

    let bad = place.commit_text("[listeners", "Bad");
    refusal(&process);
    refusal(&process);
    let good = place.commit(40, "Good");
    sync(&process).unwrap();
    sync(&process).unwrap();
    // Another problem is another status, and the same one is none.
    assert!(server.post(2).0.line().contains(&bad));
    let (seen, body) = server.post(3);
    assert!(seen.line().contains(&good) && body["state"] == "success", "{body}");
    eventually("all were taken", || metrics(&process).contains("pointsman_gitops_statuses_total{result=\"sent\"} 3"));
    assert_eq!(server.count(), 4);
    assert!(metrics(&process).contains("pointsman_gitops_statuses_total{result=\"failed\"} 0"));
}

#[test]
fn a_commit_that_was_taken_back_fails_until_an_operator_insists() {
    let (place, server) = (place(), ForgeServer::answering(&[]));
    let process = place.start_with(&server.section("github", ""));
    server.post(0);
    let half = place.commit(50, "Half");
    sync(&process).unwrap();
    let (seen, body) = server.post(1);
    assert!(seen.line().contains(&half) && body["state"] == "success", "{body}");
    process.send(Method::POST, "/v1/rollback", json!({ "reason": "v2 loses orders" })).unwrap();
    let (seen, body) = server.post(2);
    assert!(seen.line().contains(&half) && body["state"] == "failure", "{body}");
    let description = body["description"].as_str().unwrap();
    assert!(description.starts_with("Taken back by ") && description.ends_with(": v2 loses orders"), "{description}");
    // It says so once, however often it is looked at.
    refusal(&process);
    process.send(Method::POST, "/v1/gitops/sync", json!({ "rejected": true })).unwrap();
    let (seen, body) = server.post(3);
    assert!(seen.line().contains(&half) && body["state"] == "success", "{body}");
}

#[test]
fn a_forge_that_takes_nothing_is_told_of_once_and_nothing_waits_for_it() {
    const NO: &str = "401 Unauthorized\r\nContent-Length: 29\r\n\r\n{\"message\":\"Bad credentials\"}";
    let (place, server) = (place(), ForgeServer::answering(&[NO, NO]));
    let process = place.start_with(&server.section("github", ""));
    process.tells(&["the forge was not told of the commit", "status 401", "Bad credentials"]);
    let second = place.commit(40, "Good");
    sync(&process).unwrap();
    assert!(is(&process, "synced", &second));
    let failed = || metrics(&process).contains("pointsman_gitops_statuses_total{result=\"failed\"} 2");
    eventually("it is counted", failed);
    assert_eq!(process.count(&["the forge was not told of the commit"]), 1);
    assert!(!process.told(&["a-token-of-some-length"]));
    place.commit(50, "Better");
    sync(&process).unwrap();
    process.tells(&["the forge takes statuses of commits again"]);
}

#[test]
fn what_gitlab_knows_already_is_as_good_as_told() {
    const KNOWN: &str = "400 Bad Request\r\nContent-Length: 74\r\n\r\n\
        {\"message\":{\"state\":[\"Cannot transition status via :run from :running\"]}}\n";
    let (place, server) = (place(), ForgeServer::answering(&[KNOWN]));
    let process = place.start_with(&server.section("gitlab", ""));
    server.post(0);
    eventually("it counts as told", || {
        metrics(&process).contains("pointsman_gitops_statuses_total{result=\"sent\"} 1")
    });
}
