//! The commands that talk to a proxy, as their caller meets them: usage, exit codes, silence, Ctrl-C.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Origin, Proxy};

/// The command, for the admin API at `admin`.
fn command(admin: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(arguments).env("POINTSMAN_ADMIN", format!("http://{admin}")).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Its exit code, standard output and standard error.
fn run(admin: SocketAddr, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(admin, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

/// An admin API that answers every call in the same way.
fn api(answer: &Value) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, body) = (listener.local_addr().unwrap(), answer.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(1_000) {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines();
            assert!(lines.map(Result::unwrap).any(|line| line.is_empty()), "a head");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // The caller may be gone already.
            stream.write_all((head + &body).as_bytes()).ok();
        }
    });
    address
}

#[test]
fn usage_names_what_is_missing_also_if_the_address_is_in_the_environment() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let (code, _, errors) = run(nowhere, &["flip", "shop"]);
    assert_eq!(code, 64);
    assert!(errors.contains("Usage: pointsman flip <SERVICE> <VERSION>"), "{errors}");
    let (code, _, errors) = run(nowhere, &["rollout", "start", "shop", "v2"]);
    assert!(code == 64 && errors.contains("want the version as an option: --to v2"), "{errors}");
    let (_, help, _) = run(nowhere, &["rollout", "start", "--help"]);
    assert!(help.contains("Usage: pointsman rollout start [OPTIONS] <SERVICE>\n"), "{help}");
    let (code, _, errors) = run(nowhere, &["explain"]);
    assert!(code == 64 && errors.contains("Usage: pointsman explain <URL>"), "{errors}");
    let (_, help, _) = run(nowhere, &["explain", "--help"]);
    assert!(help.contains("--admin <ADDRESS>") && help.contains("[env: POINTSMAN_ADMIN]"), "{help}");
    let (code, _, errors) = run(nowhere, &["status"]);
    assert!(code == 1 && errors.contains("http://127.0.0.1:9"), "the address is that of the environment: {errors}");
}

#[test]
fn a_proxy_that_hangs_is_given_up_soon_and_in_words_that_fit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let (code, _, errors) = run(silent.local_addr().unwrap(), &["status"]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("within 5 s; does the process hang") && !errors.contains("TLS"), "{errors}");
    assert!(!errors.contains("waiting"), "that is for terminals: {errors}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn what_is_not_there_is_1_and_a_problem_for_scripts_and_wrong_usage_is_64() {
    let none = api(&json!({ "rollouts": [] }));
    for arguments in [&["rollout", "status", "nope"], &["rollout", "pause", "shop"], &["rollout", "abort", "shop"]] {
        let (code, output, errors) = run(none, arguments);
        assert_eq!((code, output.as_str()), (1, ""), "{errors}");
        assert!(errors.starts_with("pointsman: found no rollout of "), "{errors}");
        let (code, output, _) = run(none, &[&["--json"], &arguments[..]].concat());
        let problem: Value = serde_json::from_str(&output).unwrap();
        assert_eq!((code, &problem["title"]), (1, &json!("not found")), "{problem}");
    }
    for arguments in [&["shift", "shop", "v1=abc"][..], &["explain", "nope"], &["flip", "a/b", "v2"]] {
        let (code, output, _) = run(none, &[&["--json"], arguments].concat());
        let problem: Value = serde_json::from_str(&output).unwrap();
        assert_eq!((code, &problem["title"]), (64, &json!("wrong usage")), "{problem}");
    }
}

#[test]
fn who_stops_to_follow_a_rollout_is_told_that_it_goes_on() {
    let api = api(&json!({
        "id": 3, "services": ["shop"], "from": "v1", "to": "v2", "phase": "going", "weight": 10.0, "evidence": [],
        "events": [{ "at_ms": 0, "text": "shop v2: started (by local)" }],
    }));
    let mut follow = command(api, &["rollout", "status", "3", "--follow"]);
    let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "shop v2: started (by local)");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{errors}");
    for words in ["rollout 3 goes on", "pointsman rollout status 3", "pointsman rollout abort 3"] {
        assert!(errors.contains(words), "{errors}");
    }
}

/// What a command says of a call that is refused, at a proxy with a group of two services.
#[test]
fn refusals_speak_of_options_and_commands_and_not_of_the_api() {
    let origin = Origin::saying("");
    let mut text = "[listeners.public]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for name in ["web", "cart"] {
        text += &format!(
            "[services.{name}]\npaths = [\"/{name}\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
             versions.v1.endpoints = [\"{0}\"]\nversions.v2.endpoints = [\"{0}\"]\n",
            origin.address()
        );
    }
    text += "[groups.both]\nservices = [\"web\", \"cart\"]\n";
    let proxy = Proxy::start(&text);
    for (arguments, wanted) in [
        (&["flip", "web", "v2", "--hold", "soon"][..], "--hold: found \"soon\""),
        (&["flip", "web", "v9"], "VERSION: found "),
        (&["rollback"], "(name one with --to)"),
        (&["rollback", "--service", "nope"], "--service: found "),
        (&["rollback", "--to", "x"], "want the number of a revision, see `pointsman history`"),
        (&["history", "--limit", "x"], "want a whole number, such as 20"),
        (&["history", "--limit", "0"], "--limit: found \"0\""),
        (&["rollout", "status", "77"], "`pointsman rollout status` lists them"),
        (&["rollout", "start", "web", "--steps", "50,10"], "--steps"),
        (&["rollout", "start", "web", "--set", "judge.alpha=7"], "--set judge.alpha: found 7"),
        (&["rollout", "start", "nope"], "SERVICE: found "),
    ] {
        let (code, _, errors) = run(proxy.admin, arguments);
        assert!(code != 0 && errors.contains(wanted), "{arguments:?}: {errors}");
        for word in ["GET /v1", "\"to\"", "plan.", "?limit", "hold.max", "services["] {
            assert!(!errors.contains(word), "{arguments:?}: {word} in {errors}");
        }
    }
    // Scripts read what the API said.
    let (_, json, _) = run(proxy.admin, &["--json", "history", "--limit", "0"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["problems"][0]["where"], "?limit", "{json:#}");
    // One problem of two services is told once.
    let (_, _, errors) = run(proxy.admin, &["rollout", "start", "both", "--group", "--to", "v1"]);
    assert_eq!(errors.matches("which has everything already").count(), 1, "{errors}");
    let (_, started, _) = run(proxy.admin, &["rollout", "start", "both", "--group", "--to", "v2", "--dry-run"]);
    assert!(started.contains("1 % for 10 min, 10 % for 10 min"), "{started}");
    assert!(started.contains("web (likewise cart) at 1 %: 0.0 requests/s"), "{started}");
    assert_eq!(started.matches("warning: ").count(), 3, "one for each step that compares: {started}");
}
