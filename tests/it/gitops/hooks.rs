//! Hooks of forges, signed by the libraries that they and their users sign with.

use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::support::external_tools::node;
use crate::support::git_place::{GitPlace, USERS, get_of, gitops, is, metrics, on_v2, sync};
use crate::support::process::Process;
use crate::support::{Answer, Client, client, eventually};

/// What is signed: nothing of it is read.
const BODY: &str = r#"{"ref":"refs/heads/main","commits":[{"message":"Grüße"}]}"#;

/// A secret that the forms of Standard Webhooks and of GitHub can both be signed with.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Hooks only: nothing is looked at by itself.
const SECTION: &str = "interval = \"24h\"\nhook_secret_file = \"hook.secret\"\n";

/// The headers that a library signs a body with, each on a line.
fn signed(arguments: &[&str]) -> Option<String> {
    let folder = node("signatures of hooks")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/hooks.cjs");
    let output = Command::new("node").arg(script).arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let headers: Value = serde_json::from_slice(&output.stdout).unwrap();
    let headers = headers.as_object().unwrap().iter();
    Some(headers.map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap())).collect())
}

fn github(secret: &str) -> Option<String> {
    signed(&["github", secret, BODY])
}

/// Signed this number of seconds from now.
fn standard(secret: &str, seconds: i64) -> Option<String> {
    let at = jiff::Timestamp::now().as_second() + seconds;
    signed(&["standard", secret, BODY, &at.to_string()])
}

fn request(process: &Process, headers: &str, body: &str) -> String {
    let (host, length) = (process.admin_address, body.len());
    format!(
        "POST /v1/gitops/hook HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn hook(process: &Process, headers: &str) -> Answer {
    Client::to(process.admin_address).ask(request(process, headers, BODY))
}

/// A commit that only a hook can put in force, and which this one does.
fn moves(place: &GitPlace, process: &Process, v2: u32, headers: &str) {
    let moved = place.commit(v2, "More");
    assert_eq!(hook(process, headers).status, 202);
    process.tells(&["the commit is in force", &moved[..8]]);
}

#[test]
fn a_hook_of_each_forge_puts_the_commit_in_force() {
    let Some(from_github) = github(SECRET) else { return };
    let place = GitPlace::new();
    place.write("hook.secret", &format!("{SECRET}\n"));
    place.write("ops.token", "a-token-of-some-length-for-ops");
    let tokens = format!("{SECTION}[admin.tokens]\nops = {{ role = \"operate\", file = \"ops.token\" }}\n");
    let process = place.start_with(&tokens);
    assert_eq!(client::send(process.admin_address, get_of(process.admin_address, "/v1/gitops")).status, 401);
    eventually("the repository was asked", || metrics(&process).contains("pointsman_gitops_state{state=\"synced\"} 1"));

    moves(&place, &process, 10, &from_github);
    // Gitea and Forgejo write the same digits without what says how they were made.
    let digits = from_github.split_once('=').unwrap().1;
    moves(&place, &process, 20, &format!("X-Gitea-Signature: {digits}"));
    moves(&place, &process, 30, &format!("X-Forgejo-Signature: {digits}"));
    moves(&place, &process, 40, &format!("X-Gitlab-Token: {SECRET}\r\n"));
    moves(&place, &process, 100, &standard(SECRET, 0).unwrap());
    assert_eq!(on_v2(&process).len(), USERS as usize);
    assert!(metrics(&process).contains("pointsman_gitops_hooks_total{result=\"believed\"} 5"));
}

#[test]
fn what_is_not_signed_well_is_refused_counted_and_told() {
    let Some(from_github) = github(SECRET) else { return };
    let place = GitPlace::new();
    place.write("hook.secret", SECRET);
    let process = place.start_with(SECTION);
    let first = place.git(&["rev-parse", "HEAD"]);
    eventually("the repository was asked", || is(&process, "synced", &first));
    place.commit(100, "All to v2");

    let another = "whsec_YW5vdGhlcnNlY3JldGFub3RoZXJzZWNyZXQ=";
    let headers = standard(SECRET, 0).unwrap();
    let wrong = [
        (github(another).unwrap(), "with another secret"),
        (from_github.replace("sha256=", "sha256=0"), "with another secret"),
        (standard(another, 0).unwrap(), "with another secret"),
        (headers.replace("msg_1", "msg_2"), "with another secret"),
        // One that was seen on its way, and is sent again later.
        (standard(SECRET, -3600).unwrap(), "another time"),
        (standard(SECRET, 3600).unwrap(), "another time"),
        (format!("X-Gitlab-Token: {another}\r\n"), "with another secret"),
        (String::new(), "found no signature"),
    ];
    for (headers, words) in &wrong {
        let answer = hook(&process, headers);
        assert!(answer.status == 401 && answer.text().contains(words), "{headers}: {}", answer.text());
    }
    assert_eq!(Client::to(process.admin_address).ask(request(&process, &from_github, "{}")).status, 401);
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(client::send(process.admin_address, request(&process, &from_github, &large)).status, 413);
    assert!(metrics(&process).contains("pointsman_gitops_hooks_total{result=\"refused\"} 9"));
    process.tells(&["a hook of a forge is refused", "another time"]);

    // A caller without the secret learns nothing of where it should be.
    std::fs::remove_file(place.folder().join("hook.secret")).unwrap();
    let answer = hook(&process, &from_github);
    assert!(answer.status == 503 && !answer.text().contains("hook.secret"), "{}", answer.text());
    process.tells(&["a hook of a forge is refused", "hook.secret"]);
    assert!(is(&process, "synced", &first) && on_v2(&process).is_empty(), "{}", gitops(&process));
}

/// A git that stands before the real one, notes each fetch, and has it wait while there is no file `open`.
fn watched_git(place: &GitPlace) -> String {
    let folder = place.folder().display();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' fetch '*)\necho fetch >> '{folder}/fetches'\n\
         while [ ! -e '{folder}/open' ]; do sleep 0.05; done;;\nesac\nPATH=${{PATH#*:}} exec git \"$@\"\n"
    );
    std::fs::create_dir(place.folder().join("bin")).unwrap();
    let git = place.write("bin/git", &script);
    assert!(Command::new("chmod").arg("700").arg(git).status().unwrap().success());
    format!("{folder}/bin:{}", std::env::var("PATH").unwrap())
}

#[test]
fn a_thousand_hooks_are_one_fetch_and_the_one_after_it() {
    let place = GitPlace::new();
    place.write("hook.secret", SECRET);
    let path = watched_git(&place);
    let gate = place.write("open", "");
    let process = place.start_in(SECTION, &[("PATH", &path)]);
    let first = place.git(&["rev-parse", "HEAD"]);
    eventually("the repository was asked", || is(&process, "synced", &first));
    let fetches = || std::fs::read_to_string(place.folder().join("fetches")).unwrap().lines().count();
    let before = fetches();

    std::fs::remove_file(&gate).unwrap();
    let token = format!("X-Gitlab-Token: {SECRET}\r\n");
    assert_eq!(hook(&process, &token).status, 202);
    eventually("a fetch has begun", || fetches() == before + 1);
    // It does not end before all of the others have come.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::to(process.admin_address);
                let asked = request(&process, &token, BODY);
                assert!((0..250).all(|_| client.ask(&asked).status == 202));
            });
        }
        // Nor does anything else wait for it.
        assert_eq!(process.get("/v1/status")["services"][0]["name"], "shop");
    });
    assert_eq!(fetches(), before + 1);
    let moved = place.commit(100, "All to v2");
    place.write("open", "");
    process.tells(&["the commit is in force", &moved[..8]]);
    eventually("the one after it has begun", || fetches() == before + 2);
    assert!(metrics(&process).contains("pointsman_gitops_hooks_total{result=\"believed\"} 1001"));
    // What is asked for by a call comes when all that was asked for before is done.
    sync(&process).unwrap();
    assert_eq!(fetches(), before + 3);
}
