//! What changes at run time is written to the repository, by the real git, and comes back as the commit in force.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use http::Method;
use serde_json::json;

use crate::support::git_place::{GitPlace, gitops, is, metrics, on_v2, pointsman, sync};
use crate::support::process::Process;
use crate::support::shared_repository::SharedRepository;
use crate::support::{Origin, Reply, client, eventually};

/// Commits on the branch itself.
const COMMIT: &str = "write_back = \"commit\"\ncommitter = \"Pointsman <pointsman@example.com>\"\n";

/// Judged by failures, at once.
const ROLLOUT: &str = "rollout = { steps = [50, 100], judge = { warm_up = \"0s\", slower = false } }";

fn shift(process: &Process, v2: u32, reason: &str) {
    let split = json!({"v1": 100 - v2, "v2": v2, "reason": reason});
    process.send(Method::PUT, "/v1/services/shop/split", split).unwrap();
}

/// Waits for a commit of the proxy, and until it is the commit in force.
fn is_written(shared: &SharedRepository, process: &Process, subject: &str) -> String {
    eventually("the commit is there", || shared.subject() == subject);
    let written = shared.newest();
    eventually("it is in force", || is(process, "synced", &written));
    written
}

#[test]
fn a_shift_by_hand_is_a_commit_and_its_revert_moves_the_same_users_back() {
    let text = |place: &GitPlace| place.config(40).replace("v2 = 40 }", "v2 = 40 } # of the shop") + "# The end.\n";
    let shared = SharedRepository::new(text);
    let process = shared.start(&format!("interval = \"1s\"\n{COMMIT}"));
    eventually("the first commit is in force", || is(&process, "synced", &shared.newest()));
    let (before, text) = (on_v2(&process), shared.text());

    shift(&process, 70, "a load test");
    let more = on_v2(&process);
    assert!(more.is_superset(&before) && more.len() > before.len());
    let written = is_written(&shared, &process, "shop: v1=30 v2=70");
    assert_eq!(shared.text(), text.replace("v1 = 60, v2 = 40", "v1 = 30, v2 = 70"), "all else stays as it was");
    let who = shared.ask(&["log", "-1", "--format=%an, %cn <%ce>", "main"]);
    assert!(who.ends_with(", Pointsman <pointsman@example.com>"), "{who}");
    let trailers = shared.ask(&["log", "-1", "--format=%(trailers:unfold,separator=|)", "main"]);
    assert!(trailers.starts_with("Pointsman-Revision: 2|Pointsman-Action: shift|Pointsman-Author: "), "{trailers}");
    assert!(shared.ask(&["log", "-1", "--format=%b", "main"]).starts_with("a load test\n"));
    assert_eq!(
        (on_v2(&process), process.get("/v1/revisions?limit=1")["revisions"][0]["revision"].clone()),
        (more.clone(), json!(2))
    );
    assert_eq!(gitops(&process)["write_back"]["last"], json!({"commit": written, "branch": "main", "revision": 2}));

    shared.pull();
    shared.place.git(&["revert", "--no-edit", "HEAD"]);
    let reverted = shared.publish();
    eventually("the revert is in force", || is(&process, "synced", &reverted));
    assert_eq!(on_v2(&process), before, "the same users are where they were");

    // A rollback of that speaks against it, and is a commit too.
    process.send(Method::POST, "/v1/rollback", json!({"reason": "too few"})).unwrap();
    assert_eq!(on_v2(&process), more);
    is_written(&shared, &process, "shop: v1=30 v2=70");
    assert!(shared.ask(&["log", "-1", "--format=%b", "main"]).starts_with("too few\n"));
    process.tells(&["the commit is rejected", &reverted]);
    assert_eq!(gitops(&process)["rejected"], json!([]), "what the repository says now is in force");
    sync(&process).unwrap();
    assert_eq!(shared.count(), "5", "what is written once is not written again");
    assert!(metrics(&process).contains("pointsman_gitops_commits_written_total 2"));
}

#[test]
fn what_people_push_at_the_same_time_is_kept_and_their_word_on_the_same_key_counts() {
    let shared = SharedRepository::new(|place| place.config(40));
    let process = shared.start(&format!("interval = \"1h\"\n{COMMIT}"));
    eventually("the first commit is in force", || is(&process, "synced", &shared.newest()));
    let at_first = on_v2(&process);

    // Another key: both are in the file after it. It is pushed in the moment between our fetch and our push.
    let other = shared.place.config(40) + "body_idle_timeout = \"61s\"\n";
    shared.place.commit_text(&other, "Another key");
    shared.place.git(&["push", "--quiet", "origin", "main:refs/heads/other"]);
    let hook = shared.folder().join("hooks/update");
    let script = "#!/bin/sh\nif [ \"$1\" = refs/heads/main ] && [ ! -e raced ]; then touch raced; \
                  git update-ref refs/heads/main refs/heads/other; fi\n";
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, script).unwrap();
    Command::new("chmod").arg("+x").arg(&hook).status().unwrap();
    shift(&process, 70, "more");
    is_written(&shared, &process, "shop: v1=30 v2=70");
    assert!(shared.folder().join("raced").exists(), "the hook has moved the branch");
    assert_eq!(shared.text(), other.trim().replace("v1 = 60, v2 = 40", "v1 = 30, v2 = 70"));
    assert_eq!(shared.count(), "4");

    // The same key: theirs.
    shared.place.git(&["reset", "--quiet", "--hard"]);
    shared.pull();
    shared.place.commit_text(&shared.place.config(20), "Less");
    let theirs = shared.publish();
    shift(&process, 90, "more");
    eventually("theirs is in force", || is(&process, "synced", &theirs));
    assert!(on_v2(&process).len() < at_first.len());
    assert_eq!(shared.newest(), theirs);
}

#[test]
fn a_proposal_is_a_branch_of_its_own_that_a_person_merges() {
    let shared = SharedRepository::new(|place| place.config(40));
    let first = shared.newest();
    let process = shared.start("interval = \"1s\"\nwrite_back = \"branch\"\n");
    eventually("the first commit is in force", || is(&process, "synced", &first));
    shift(&process, 70, "a load test");
    let branches = || shared.ask(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    eventually("it is proposed", || branches() == "main\npointsman/shop-2");
    assert!(is(&process, "overridden", &first), "{}", gitops(&process));
    sync(&process).unwrap();
    assert_eq!((branches(), shared.newest()), ("main\npointsman/shop-2".to_owned(), first));
    shared.place.git(&["fetch", "--quiet", "origin"]);
    shared.place.git(&["merge", "--quiet", "--no-edit", "--no-ff", "origin/pointsman/shop-2"]);
    let merged = shared.publish();
    eventually("it is merged", || is(&process, "synced", &merged));
}

#[test]
fn a_flag_that_is_launched_and_switched_off_is_a_commit_each_and_a_revert_switches_it_on() {
    let flag = "[flags.dark]\nrules = [\n  { name = \"launch\", serve = { on = 10, off = 90 } }, # slowly\n]\n";
    let shared = SharedRepository::new(|place| place.config(40) + flag);
    let process = shared.start(&format!("interval = \"1s\"\n{COMMIT}"));
    eventually("the first commit is in force", || is(&process, "synced", &shared.newest()));
    let put = |body: serde_json::Value| process.send(Method::PUT, "/v1/flags/dark", body).unwrap();
    put(json!({"rule": "launch", "serve": {"on": 50, "off": 50}, "reason": "half of all"}));
    is_written(&shared, &process, "flag dark: enabled, launch off=50 on=50");
    let launched = shared.text();
    assert!(launched.ends_with(&flag.trim().replace("on = 10, off = 90", "on = 50, off = 50")), "{launched}");
    put(json!({"enabled": false}));
    is_written(&shared, &process, "flag dark: disabled");
    assert_eq!(shared.text(), format!("{launched}\nenabled = false"));
    shared.pull();
    shared.place.git(&["revert", "--no-edit", "HEAD"]);
    let reverted = shared.publish();
    eventually("the revert is in force", || is(&process, "synced", &reverted));
    assert_eq!((shared.text(), &process.get("/v1/flags/dark")["enabled"]), (launched, &json!(true)));
}

/// Sends a request of each of some users who were not there before.
fn traffic(process: &Process, round: u32) {
    for user in round * 100..(round + 1) * 100 {
        client::send(process.listener, format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: u{user}\r\n\r\n"));
    }
}

#[test]
fn a_canary_that_is_turned_back_rejects_its_commit_and_is_written_with_what_was_found() {
    let fails = Arc::new(AtomicBool::new(false));
    let v2 = Origin::with({
        let fails = Arc::clone(&fails);
        let failure = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
        move |_| if fails.load(Relaxed) { Reply::raw(failure) } else { Reply::ok("v2") }
    });
    let with_canary = |place: &GitPlace, share| {
        let text = place.config(share);
        let old = text.lines().last().unwrap().to_owned();
        text.replace(&old, &format!("versions.v2.endpoints = [\"{}\"]\n{ROLLOUT}", v2.address()))
    };
    let shared = SharedRepository::new(|place| with_canary(place, 0));
    let process = shared.start(&format!("interval = \"1s\"\n{COMMIT}"));
    eventually("the first commit is in force", || is(&process, "synced", &shared.newest()));
    process.send(Method::POST, "/v1/rollouts", json!({"service": "shop", "to": "v2"})).unwrap();
    let rollout = || process.get("/v1/rollouts/1");

    // A person gives v2 more, and has the rollout go on.
    shared.place.commit_text(&with_canary(&shared.place, 60), "Give v2 more");
    let canary = shared.publish();
    eventually("the canary is in force", || is(&process, "synced", &canary));
    eventually("the rollout is paused", || !rollout()["paused_because"].is_null());
    process.send(Method::POST, "/v1/rollouts/1/resume", json!({})).unwrap();
    fails.store(true, Relaxed);
    let mut rounds = 0..;
    eventually("v2 is turned back", || {
        traffic(&process, rounds.next().unwrap());
        !rollout()["finished_at_ms"].is_null()
    });
    is_written(&shared, &process, "shop: v1=100 v2=0");
    process.tells(&["the commit is rejected", &canary]);
    let told = rollout()["events"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap().to_owned();
    let body = shared.ask(&["log", "-1", "--format=%b", "main"]);
    assert!(body.starts_with(&told) && body.ends_with("Pointsman-Rollout: 1"), "{told}\n{body}");
    assert_eq!(shared.count(), "4", "only its end is written");
    let admin = process.admin_address.to_string();
    let status = pointsman(shared.place.folder(), &["--admin", &admin, "status"]).1;
    assert!(status.contains("git synced: file://") && status.contains("written back: "), "{status}");
}
