//! The config from a repository, by the real git: a commit moves users and a revert moves the same ones back, and
//! whatever happens to the repository, what is in force stays in force.

use std::os::unix::fs::symlink;

use http::Method;
use serde_json::json;

use crate::support::eventually;
use crate::support::git_place::{GitPlace, USERS, gitops, is, metrics, on_v2, pointsman, refusal};
use crate::support::process::{Process, is_running};

/// Commits that have no config of their own.
fn refuses_odd_commits(place: &GitPlace, process: &Process) {
    for (section, at) in [("[state]\npath = \"x.db\"\n", "state"), ("[admin]\n", "admin"), ("[gitops]\n", "gitops")] {
        place.commit_text(&(place.config(60) + section), "What is of one machine");
        let told = refusal(process);
        assert!(told.contains(&format!("line 10: {at}: found")), "{told}");
    }
    place.commit_text(&(place.config(60) + "salt = \"${PATH}\"\n"), "What is in the environment");
    let told = refusal(process);
    let wanted = "services.shop.salt: found ${PATH}, want no variable: the file of this machine lets commits use none";
    assert!(told.contains(wanted) && !told.contains("/bin"), "{told}");
    let file = place.work().join("pointsman.toml");
    std::fs::remove_file(&file).unwrap();
    symlink("/etc/passwd", &file).unwrap();
    place.commit_all("A link");
    assert!(refusal(process).contains("found a symbolic link"));
    std::fs::remove_file(&file).unwrap();
    place.commit_all("Gone");
    assert!(refusal(process).contains("found no file \"pointsman.toml\""));
    let other = format!("160000,{},pointsman.toml", place.git(&["rev-parse", "HEAD"]));
    place.git(&["update-index", "--add", "--cacheinfo", &other]);
    place.git(&["commit", "--quiet", "--message", "Another repository"]);
    assert!(refusal(process).contains("found a submodule, want a plain file"));
}

#[test]
fn a_commit_moves_users_and_its_revert_moves_the_same_ones_back() {
    let place = GitPlace::new();
    let first = place.git(&["rev-parse", "HEAD"]);
    let mut process = place.start("1s");
    eventually("the first commit is in force", || is(&process, "synced", &first));
    assert_eq!(gitops(&process)["commit"]["author"], "Ada <ada@example.com>");
    assert!(on_v2(&process).is_empty());

    // In the interval, without a call.
    let moved = place.commit(40, "Give v2 a part");
    eventually("the commit is in force", || is(&process, "synced", &moved));
    let users = on_v2(&process);
    assert!(!users.is_empty() && users.len() < USERS as usize, "{users:?}");
    let revision = &process.get("/v1/revisions?limit=1")["revisions"][0];
    assert_eq!(revision["author"], "git: Ada <ada@example.com>", "{revision}");
    assert_eq!(revision["reason"], format!("Give v2 a part ({})", &moved[..8]), "{revision}");
    let metrics = metrics(&process);
    for line in ["pointsman_gitops_state{state=\"synced\"} 1", "pointsman_gitops_state{state=\"refused\"} 0"] {
        assert!(metrics.contains(line), "{line}");
    }

    let more = place.commit(70, "Give v2 more");
    eventually("the commit is in force", || is(&process, "synced", &more));
    let grown = on_v2(&process);
    assert!(grown.is_superset(&users) && grown.len() > users.len(), "{grown:?}");
    place.git(&["revert", "--no-edit", "HEAD"]);
    let reverted = place.git(&["rev-parse", "HEAD"]);
    eventually("the revert is in force", || is(&process, "synced", &reverted));
    assert_eq!(on_v2(&process), users, "the same users are where they were");

    // One who asks all the time what would happen does not keep it from happening.
    let back = place.commit_text(&(place.config(40) + "# As it was.\n"), "A comment");
    eventually("the commit is in force", || {
        process.send(Method::POST, "/v1/gitops/sync?dry_run=true", json!({})).unwrap();
        is(&process, "synced", &back)
    });

    // A shift by hand is seen, and stays over a commit that says nothing new of the split.
    process.send(Method::PUT, "/v1/services/shop/split", json!({"v1": 0, "v2": 100})).unwrap();
    assert!(is(&process, "overridden", &back), "{}", gitops(&process));
    assert_eq!(gitops(&process)["overridden"], json!(["shop"]));
    let other = place.commit_text(&(place.config(40) + "body_idle_timeout = \"61s\"\n"), "Another key");
    eventually("the commit is in force", || is(&process, "overridden", &other));
    assert_eq!(on_v2(&process).len(), USERS as usize);
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn what_is_wrong_with_a_commit_or_its_repository_changes_nothing_and_is_told() {
    let place = GitPlace::new();
    let good = place.commit(40, "Good");
    let mut process = place.start("1h");
    eventually("the commit is in force", || is(&process, "synced", &good));
    let users = on_v2(&process);
    let unchanged = |process: &Process, state: &str| {
        assert!(is(process, state, &good), "{}", gitops(process));
        assert_eq!(on_v2(process), users);
    };

    // What a commit would do, before it does.
    let next = place.commit(60, "More");
    let dry = process.send(Method::POST, "/v1/gitops/sync?dry_run=true", json!({})).unwrap();
    assert_eq!((&dry["commit"]["hash"], &dry["change"]["dry_run"]), (&json!(next), &json!(true)), "{dry}");
    assert_eq!(dry["change"]["difference"][0]["moved_ratio"], 0.2, "{dry}");
    unchanged(&process, "pending");
    let admin = process.admin_address.to_string();
    let (code, text) = pointsman(place.folder(), &["--admin", &admin, "sync", "--dry-run"]);
    let line = format!("commit {} by Ada <ada@example.com>: More\ndry run, nothing was changed", &next[..8]);
    assert!(code == 0 && text.starts_with(&line) && text.contains("20 %"), "{code} {text}");

    let bad = place.commit_text(&place.config(60).replace("v2 = 60", "v2 = 61"), "Bad");
    let told = refusal(&process);
    let at = format!("{}:pointsman.toml: line 6: services.shop.split", &bad[..8]);
    assert!(told.contains("422") && told.contains(&at), "{told}");
    unchanged(&process, "refused");
    process.tells(&["the commit is refused, nothing changed", &at]);
    let status = pointsman(place.folder(), &["--admin", &admin, "status"]).1;
    assert!(status.contains("git refused: file://") && status.contains(&format!("refused: {at}")), "{status}");

    refuses_odd_commits(&place, &process);
    unchanged(&process, "refused");

    // The history is rewritten: nothing moves until an operator takes it.
    place.git(&["reset", "--quiet", "--hard", &good]);
    place.git(&["commit", "--quiet", "--amend", "--message", "Rewritten"]);
    let rewritten = place.git(&["rev-parse", "HEAD"]);
    assert!(refusal(&process).contains("which does not have"), "{}", gitops(&process));
    unchanged(&process, "refused");
    place.commit(60, "On top of it");
    assert!(refusal(&process).contains("it was rewritten"));
    place.git(&["reset", "--quiet", "--hard", &rewritten]);
    process.send(Method::POST, "/v1/gitops/sync", json!({"rewritten": true})).unwrap();
    assert!(is(&process, "synced", &rewritten), "{}", gitops(&process));

    place.git(&["branch", "--move", "main", "other"]);
    let told = refusal(&process);
    assert!(told.contains("502") && told.contains("couldn't find remote ref refs/heads/main"), "{told}");
    assert!(is(&process, "unreachable", &rewritten), "{}", gitops(&process));

    // Neither an upgrade nor a start needs the repository.
    std::fs::rename(place.work(), place.folder().join("away")).unwrap();
    process.upgrade().unwrap();
    eventually("the new process has asked", || is(&process, "unreachable", &rewritten));
    let upgraded = process.id();
    process.signal("TERM");
    eventually("the new process has ended", || !is_running(upgraded));
    let process = place.start("1s");
    eventually("it has asked", || is(&process, "unreachable", &rewritten));
    assert_eq!(on_v2(&process), users);
    std::fs::rename(place.folder().join("away"), place.work()).unwrap();
    place.git(&["branch", "--move", "other", "main"]);
    eventually("it answers again", || is(&process, "synced", &rewritten));
}

#[test]
fn a_start_that_cannot_be_says_what_is_missing() {
    let place = GitPlace::new();
    let folder = place.folder();
    let run = |arguments: &[&str]| pointsman(folder, &[&["run"], arguments].concat());
    let (code, text) = run(&[]);
    assert!(code == 64 && text.contains("--config <FILE>"), "{code} {text}");
    let (code, text) = run(&["--gitops", "http://git.example.com/a.git"]);
    assert!(code == 64 && text.contains("gitops.repository: found") && text.contains("write https://"), "{text}");
    let (code, text) = run(&["--gitops", "file:///nonexistent/a.git"]);
    assert!(code == 1 && text.contains("want the repository at the first start"), "{code} {text}");

    let bad = place.commit_text("[listeners.public]\naddress = 8080\n", "Bad");
    let (code, text) = run(&["--gitops", &place.url()]);
    let at = format!("{}:pointsman.toml: line 2: listeners.public.address", &bad[..8]);
    assert!(code == 64 && text.contains(&at), "{code} {text}");
    let whole = format!("[gitops]\nrepository = {:?}\n{}", place.url(), place.config(0));
    std::fs::write(place.local(), whole).unwrap();
    for command in ["run", "check"] {
        let (code, text) = pointsman(folder, &[command, "--config", "local.toml"]);
        assert!(code == 64 && text.contains("line 3: listeners: found"), "{code} {text}");
    }

    let check = || pointsman(folder, &["check", "--gitops", &place.url()]);
    let (code, text) = check();
    let what =
        format!("--gitops: good: the config is pointsman.toml on main of {}; it was not fetched yet", place.url());
    assert!(code == 0 && text.contains(&what), "{code} {text}");
}
