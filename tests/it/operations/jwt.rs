//! Tokens of users: verified by keys in a file or on a server, which change and go away while requests flow, and what
//! is said where nothing verifies them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use serde_json::{Value, json};

use crate::support::external_tools::{python, run};
use crate::support::issuer::{Issuer, now};
use crate::support::pki::{Ca, replace};
use crate::support::process::{Process, config};
use crate::support::tls::TlsFront;
use crate::support::{Origin, Proxy, Reply, Setup, client, eventually, pki, with};

/// What tokens have to be here.
const POLICY: &str = "issuer = \"https://id.example.com\"\naudience = \"shop\"\nleeway = \"0s\"\n";

/// A service whose users are known by their token, or else by one header that is the same for all.
fn setup(origins: &[Origin; 2], jwt: &str) -> Setup {
    Setup::to(&[&origins[0], &origins[1]])
        .top("[proxy]\nworkers = 1")
        .split(&[50, 50])
        .service("sticky = [\"jwt:sub\", \"header:x-all\"]")
        .bottom(jwt)
}

fn origins() -> [Origin; 2] {
    [Origin::saying("v1"), Origin::saying("v2")]
}

fn in_file(file: &Path) -> String {
    format!("[jwt]\nkeys = \"{}\"\n{POLICY}", file.display())
}

/// The version for a request with a token line; 200 whatever the token is.
fn version(proxy: &Proxy, token: &str) -> String {
    let answer = client::send(proxy.address, with(&[token, "X-All: 1"]));
    assert_eq!(answer.status, 200, "{token}: {answer:?}");
    answer.text()
}

/// A user who has another version than those whose token does not count.
fn telling_user(proxy: &Proxy, issuer: &Issuer) -> String {
    let others = version(proxy, "X-None: 1");
    let found = (0..64).map(|n| format!("user-{n}")).find(|user| version(proxy, &issuer.user(user)) != others);
    found.expect("one of 64 users is on the other version")
}

fn outcomes(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metric("pointsman_tokens_total", &[&format!("outcome=\"{outcome}\"")])
}

/// What `explain` says of a request with a token line.
fn explained(proxy: &Proxy, token: &str) -> Value {
    let (name, value) = token.split_once(": ").unwrap();
    let body = json!({ "host": "a", "headers": { name: value, "x-all": "1" } }).to_string();
    let request = format!(
        "POST /v1/explain HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        proxy.admin,
        body.len()
    );
    serde_json::from_str(&client::send(proxy.admin, request).text()).unwrap()
}

#[test]
fn a_token_that_is_not_good_counts_as_missing_and_a_good_one_is_verified_once() {
    let (issuer, stranger, origins) = (Issuer::new("a"), Issuer::new("a"), origins());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, Issuer::keys(&[&issuer])).unwrap();
    let proxy = setup(&origins, &in_file(&file)).start();
    let user = telling_user(&proxy, &issuer);
    let claims = |more: Value| {
        let mut claims = json!({ "sub": user, "exp": now() + 60, "iss": "https://id.example.com", "aud": "shop" });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    // Another one than those that have been sent.
    let good = issuer.bearer(&claims(json!({ "new": true })));
    let before = (outcomes(&proxy, "verified"), outcomes(&proxy, "known"));
    let (theirs, others) = (version(&proxy, &good), version(&proxy, "X-None: 1"));
    for _ in 0..10 {
        assert_eq!(version(&proxy, &good), theirs);
    }
    let counted = (outcomes(&proxy, "verified") - before.0, outcomes(&proxy, "known") - before.1);
    assert!((counted.0 - 1.0).abs() < 0.1 && (counted.1 - 10.0).abs() < 0.1, "it was looked at once: {counted:?}");
    let said = explained(&proxy, &good);
    assert_eq!(
        (&said["token"], &said["version"], &said["key_from"]),
        (&json!("verified"), &json!(theirs), &json!("jwt:sub"))
    );
    let none = format!("Authorization: Bearer eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    for (token, outcome) in [
        (stranger.user(&user), "bad_signature"),
        (Issuer::new("b").user(&user), "unknown_key"),
        (issuer.bearer(&claims(json!({ "exp": now() - 1 }))), "expired"),
        (issuer.bearer(&claims(json!({ "nbf": now() + 60 }))), "not_yet_valid"),
        (issuer.bearer(&claims(json!({ "iss": "https://evil.example" }))), "wrong_issuer"),
        (issuer.bearer(&claims(json!({ "aud": "other" }))), "wrong_audience"),
        (issuer.bearer(&claims(json!({ "exp": null }))), "no_expiry"),
        (issuer.bearer(&claims(json!({ "x": "y".repeat(5000) }))), "too_large"),
        (good[..good.len() - 30].to_owned(), "bad_signature"),
        (good[..60].to_owned(), "malformed"),
        (none, "bad_algorithm"),
    ] {
        let before = outcomes(&proxy, outcome);
        assert_eq!(version(&proxy, &token), others, "{outcome}");
        assert!((outcomes(&proxy, outcome) - before - 1.0).abs() < 0.1, "{outcome} is counted");
        let said = explained(&proxy, &token);
        let why = said["why"].as_str().unwrap();
        assert!(why.contains("its token is no good, and counts as missing: "), "{outcome}: {why}");
        assert_eq!(said["key_from"], "header:x-all", "{outcome}");
    }
    // A token that ends while it is known.
    let short = issuer.bearer(&claims(json!({ "exp": now() + 2 })));
    assert_eq!(version(&proxy, &short), theirs);
    eventually("it has expired", || version(&proxy, &short) == others);
}

#[test]
fn keys_in_a_file_change_under_load_and_bad_ones_change_nothing() {
    let (old, new, origins) = (Issuer::new("old"), Issuer::new("new"), origins());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, Issuer::keys(&[&old])).unwrap();
    let proxy = Arc::new(setup(&origins, &in_file(&file)).start());
    let user = telling_user(&proxy, &old);
    let (by_old, by_new) = (old.user(&user), new.user(&user));
    let (theirs, others) = (version(&proxy, &by_old), version(&proxy, &by_new));
    assert_ne!(theirs, others, "the new key is not known");
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let both_known = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..2)
        .map(|_| {
            let (proxy, stop, asked) = (Arc::clone(&proxy), Arc::clone(&stop), Arc::clone(&asked));
            let (lines, theirs, both_known) =
                ([by_old.clone(), by_new.clone()], theirs.clone(), Arc::clone(&both_known));
            std::thread::spawn(move || {
                let mut client = proxy.client();
                while !stop.load(SeqCst) {
                    let sure = both_known.load(SeqCst);
                    let versions = lines.each_ref().map(|line| {
                        let answer = client.ask(with(&[line, "X-All: 1"]));
                        assert_eq!(answer.status, 200);
                        asked.fetch_add(1, SeqCst);
                        answer.text()
                    });
                    assert!(!(sure && both_known.load(SeqCst)) || versions.iter().all(|version| *version == theirs));
                }
            })
        })
        .collect();
    replace(&file, &Issuer::keys(&[&old, &new]));
    eventually("both keys are known", || version(&proxy, &by_new) == theirs);
    both_known.store(true, SeqCst);
    // What is no set of keys changes nothing, and is said.
    replace(&file, "{\"keys\": []}");
    eventually("it is said", || proxy.metric("pointsman_token_keys_last_reload_successful", &[]) < 0.5);
    assert_eq!((version(&proxy, &by_old), version(&proxy, &by_new)), (theirs.clone(), theirs.clone()));
    assert!((proxy.metric("pointsman_token_keys", &[]) - 2.0).abs() < 0.1);
    both_known.store(false, SeqCst);
    replace(&file, &Issuer::keys(&[&new]));
    eventually("the old key is gone", || version(&proxy, &by_old) == others);
    assert_eq!(version(&proxy, &by_new), theirs);
    assert!(proxy.metric("pointsman_token_keys_last_reload_successful", &[]) > 0.5);
    stop.store(true, SeqCst);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(asked.load(SeqCst) > 20);
}

/// A server of keys that says what it is told to.
fn key_server(keys: String) -> (Origin, Arc<AtomicUsize>) {
    let (mood, told) = (Arc::new(AtomicUsize::new(0)), Arc::<AtomicUsize>::default());
    let said = Arc::clone(&mood);
    let origin = Origin::with(move |seen| {
        assert_eq!((seen.target(), seen.header("accept").is_some()), ("/jwks?x=1", true));
        told.fetch_add(1, SeqCst);
        match said.load(SeqCst) {
            0 => Reply::ok(&keys),
            1 => Reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
            2 => Reply::ok("<html>not keys</html>"),
            3 => Reply::ok("x".repeat(300 * 1024)),
            _ => Reply::raw("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"),
        }
    });
    (origin, mood)
}

#[test]
fn keys_of_a_server_that_fails_and_goes_away_stay_in_use() {
    let (issuer, origins) = (Issuer::new("a"), origins());
    let (server, mood) = key_server(Issuer::keys(&[&issuer]));
    let jwt = format!("[jwt]\nkeys = \"http://{}/jwks?x=1\"\nrefresh = \"1s\"\n{POLICY}", server.address());
    let proxy = setup(&origins, &jwt).start();
    // The first ones were fetched before the first request.
    let user = telling_user(&proxy, &issuer);
    let token = issuer.user(&user);
    let theirs = version(&proxy, &token);
    let good = || proxy.metric("pointsman_token_keys_last_reload_successful", &[]) > 0.5;
    assert!(good());
    for bad in 1..=4 {
        mood.store(bad, SeqCst);
        let before = proxy.metric("pointsman_token_keys_failures_total", &[]);
        eventually("a failure is counted", || proxy.metric("pointsman_token_keys_failures_total", &[]) > before);
        assert!(!good() && version(&proxy, &token) == theirs, "{bad}");
        let fresh = issuer.user(&user);
        assert_eq!(version(&proxy, &fresh), theirs, "{bad}: the keys themselves are still there");
    }
    mood.store(0, SeqCst);
    eventually("it is well again", good);
    server.stop();
    eventually("it is gone", || !good());
    assert_eq!(
        version(
            &proxy,
            &issuer.bearer(&json!({ "sub": user, "exp": now() + 9, "iss": "https://id.example.com", "aud": "shop" }))
        ),
        theirs
    );
    // Requests of our own are not those of users, which the harness looks at.
    drop(server.forget());
}

#[test]
fn keys_of_a_server_behind_tls_are_believed_for_its_certificate_only() {
    let (issuer, ca, other) = (Issuer::new("a"), Ca::new("ca"), Ca::new("other"));
    let (server, _mood) = key_server(Issuer::keys(&[&issuer]));
    let front = TlsFront::new(server.address(), &ca.issue("keys", "keys", &["127.0.0.1"]), None);
    for (ca, count) in [(&ca, 1.0), (&other, 0.0)] {
        let origins = origins();
        let jwt =
            format!("[jwt]\nkeys = \"https://{}/jwks?x=1\"\nca = \"{}\"\n{POLICY}", front.address, ca.file().display());
        let proxy = setup(&origins, &jwt).start();
        let keys = proxy.metric("pointsman_token_keys", &[]);
        assert!((keys - count).abs() < 0.1, "{keys} keys");
        let said = explained(&proxy, &issuer.user("u"));
        assert_eq!(said["token"] == "verified", count > 0.5, "{said}");
    }
    // Requests of our own are not those of users, which the harness looks at.
    drop(server.forget());
}

#[test]
fn tokens_of_a_library_are_good_by_every_algorithm_and_forged_ones_are_not() {
    let Some(python) = python("tokens of a library") else { return };
    let said = run(&python, "jwt_issuer.py", &["https://id.example.com", "shop"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, said[0]["keys"].to_string()).unwrap();
    let origins = origins();
    let proxy = setup(&origins, &in_file(&file)).start();
    let tokens = |kind: &str| said[0][kind].as_object().unwrap().clone();
    for (name, token) in tokens("good") {
        let said = explained(&proxy, &format!("Authorization: Bearer {}", token.as_str().unwrap()));
        assert_eq!((&said["token"], &said["key_from"]), (&json!("verified"), &json!("jwt:sub")), "{name}: {said}");
    }
    for (name, token) in tokens("forged") {
        let said = explained(&proxy, &format!("Authorization: Bearer {}", token.as_str().unwrap()));
        assert_eq!(said["key_from"], "header:x-all", "{name}: {said}");
    }
    assert!(tokens("good").len() == 3 && tokens("forged").len() >= 6);
}

#[test]
fn what_nothing_verifies_is_said_by_check_status_and_explain() {
    let text = |jwt: &str| {
        config(([127, 0, 0, 1], 9).into(), ([127, 0, 0, 1], 10).into(), jwt).replacen("header:x-user-id", "jwt:sub", 1)
    };
    let folder = tempfile::tempdir().unwrap();
    let (path, keys) = (folder.path().join("pointsman.toml"), folder.path().join("keys.json"));
    let issuer = Issuer::new("a");
    fs::write(&keys, Issuer::keys(&[&issuer])).unwrap();
    let check = || pki::run(env!("CARGO_BIN_EXE_pointsman"), &["check", "--config", path.to_str().unwrap()]);
    fs::write(&path, text("")).unwrap();
    let found = check();
    let line = "services.shop: tokens are not verified";
    assert!(found.good && found.err.matches(line).count() == 1, "{} {}", found.out, found.err);
    fs::write(&path, text("[jwt]\nkeys = \"keys.json\"\n")).unwrap();
    assert!(check().good && !check().err.contains("not verified"), "{}", check().err);
    fs::write(&keys, "{\"keys\": []}").unwrap();
    assert!(!check().good && check().err.contains("jwt.keys: "), "{}", check().err);
    fs::write(&keys, Issuer::keys(&[&issuer])).unwrap();
    for (jwt, place, said) in
        [("", json!(null), 1), ("[jwt]\nkeys = \"keys.json\"\n", json!(keys.display().to_string()), 0)]
    {
        fs::write(&path, text(jwt)).unwrap();
        let process = Process::start(&path);
        let status = process.get("/v1/status");
        assert_eq!(status["jwt"]["place"], place, "{}", status["jwt"]);
        assert_eq!(status["jwt"]["warnings"].as_array().unwrap().len(), said, "{}", status["jwt"]);
        assert_eq!(status["jwt"]["keys"].as_array().unwrap().len(), 1 - said, "{}", status["jwt"]);
    }
    let origins = origins();
    let proxy = setup(&origins, "").start();
    let token = Issuer::new("anybody").user("forged");
    let said = explained(&proxy, &token);
    assert_eq!(said["key_from"], "jwt:sub");
    assert!(said["why"].as_str().unwrap().contains("its token is not verified"), "{said}");
    assert!(!proxy.metrics().contains("pointsman_tokens_total{"), "nothing is counted where nothing is verified");
}
