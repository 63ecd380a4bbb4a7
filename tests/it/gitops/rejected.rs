//! A commit whose weights were taken back: it is rejected, and no way but an operator who insists brings them again.

use http::Method;
use serde_json::json;

use crate::support::eventually;
use crate::support::git_place::{GitPlace, gitops, is, metrics, on_v2, pointsman, refusal};
use crate::support::process::{Process, is_running};

/// Takes the last change back.
fn roll_back(process: &Process, reason: &str) {
    process.send(Method::POST, "/v1/rollback", json!({"reason": reason})).unwrap();
}

/// Asks that the weights come all the same.
fn insist(process: &Process) {
    process.send(Method::POST, "/v1/gitops/sync", json!({"rejected": true})).unwrap();
}

/// All users are on v1, while a commit is in force that says what another one, which is rejected, said first.
fn is_back(process: &Process, in_force: &str, rejected: &str) -> bool {
    let gitops = gitops(process);
    let rejected = gitops["rejected"][0]["commit"] == rejected;
    gitops["state"] == "rejected" && gitops["commit"]["hash"] == in_force && rejected && on_v2(process).is_empty()
}

/// The rejected commit is told wherever one looks.
fn is_told(place: &GitPlace, process: &Process, commit: &str) {
    let short = &commit[..8];
    let because = format!("rejected: {short} because v2 loses orders (by ");
    let told = refusal(process);
    assert!(told.contains("409") && told.contains(&because) && told.contains("sync --rejected"), "{told}");
    let admin = process.admin_address.to_string();
    let status = pointsman(place.folder(), &["--admin", &admin, "status"]).1;
    assert!(status.contains("git rejected: file://") && status.contains(&because), "{status}");
    let (code, text) = pointsman(place.folder(), &["--admin", &admin, "sync"]);
    assert!(code != 0 && text.contains(&because), "{code} {text}");
    assert!(metrics(process).contains("pointsman_gitops_state{state=\"rejected\"} 1"));
    let rejected = &gitops(process)["rejected"][0];
    assert_eq!((&rejected["of"], &rejected["revision"]), (&json!(["shop"]), &json!(3)), "{rejected}");
    process.tells(&["the commit is rejected: its weights were taken back", commit]);
}

#[test]
fn a_commit_that_was_rolled_back_comes_again_by_no_way_but_insisting() {
    let place = GitPlace::new();
    let mut process = place.start("1s");
    let bad = place.commit(50, "Half");
    eventually("the commit is in force", || is(&process, "synced", &bad));
    assert!(!on_v2(&process).is_empty());
    roll_back(&process, "v2 loses orders");
    assert!(is_back(&process, &bad, &bad), "{}", gitops(&process));
    is_told(&place, &process, &bad);

    // Not by a signal, by a process that takes over, or by a start.
    let read_at = || process.get("/v1/status")["config"]["read_at"].clone();
    let before = read_at();
    process.signal("HUP");
    eventually("it has looked", || read_at() != before);
    assert!(is_back(&process, &bad, &bad), "{}", gitops(&process));
    process.upgrade().unwrap();
    eventually("the new process has asked", || is_back(&process, &bad, &bad));
    let upgraded = process.id();
    process.signal("TERM");
    eventually("the new process has ended", || !is_running(upgraded));
    let process = place.start("1s");
    eventually("it has asked", || is_back(&process, &bad, &bad));

    // Nor by the next commit, which says something else, or by one that takes it back.
    let other = place.commit_text(&(place.config(50) + "# Half of the users.\n"), "A comment");
    eventually("the next commit is in force", || is_back(&process, &other, &bad));
    place.git(&["revert", "--no-edit", &other, &bad]);
    let reverted = place.git(&["rev-parse", "HEAD"]);
    eventually("the revert is in force", || is(&process, "synced", &reverted));
    assert!(on_v2(&process).is_empty());

    // Nor when the branch is set back to it.
    place.git(&["reset", "--quiet", "--hard", &bad]);
    let told = process.send(Method::POST, "/v1/gitops/sync", json!({"rewritten": true})).unwrap_err().to_string();
    assert!(told.contains("409") && told.contains("because v2 loses orders"), "{told}");
    assert!(is(&process, "rejected", &reverted) && on_v2(&process).is_empty());
    place.git(&["reset", "--quiet", "--hard", &reverted]);

    // Another weight counts, and so does the same one in a commit of its own.
    let less = place.commit(20, "Less");
    eventually("the commit is in force", || is(&process, "synced", &less));
    let few = on_v2(&process);
    assert!(!few.is_empty());
    let again = place.commit(50, "Half again");
    eventually("the commit is in force", || is(&process, "synced", &again));
    assert!(on_v2(&process).len() > few.len());
    process.send(Method::POST, "/v1/rollback", json!({"to": 1, "reason": "no"})).unwrap();
    assert!(is_back(&process, &again, &again), "{}", gitops(&process));
    insist(&process);
    assert!(is(&process, "synced", &again), "{}", gitops(&process));
    assert!(!on_v2(&process).is_empty());
}
