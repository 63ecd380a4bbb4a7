//! The binary as an operator meets it: refusals to start, signals, reloads, restarts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use http::Method;
use serde_json::json;

use crate::support::process::{Process, config};
use crate::support::{Origin, Reply, client, eventually, get};

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// A folder with a config in it.
fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Runs the binary to its end.
fn pointsman(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_pointsman")).args(arguments).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

fn run(path: &Path) -> (i32, String, String) {
    pointsman(&["run", "--config", path.to_str().unwrap()])
}

#[test]
fn a_bad_config_is_refused_whole_by_check_and_run() {
    let (_folder, path) =
        folder("[listeners.public]\naddress = 8080\n[services.shop]\nsplit = { v1 = 60, v2 = 50 }\nstiky = []\n");
    for command in ["check", "run"] {
        let (code, _, errors) = pointsman(&[command, "--config", path.to_str().unwrap()]);
        assert_eq!(code, 64, "{errors}");
        for line in ["line 2: listeners.public.address", "line 5: services.shop.stiky", "did you mean"] {
            assert!(errors.contains(line), "{command}: want {line:?} in\n{errors}");
        }
    }
    let (code, _, errors) = pointsman(&["check", "--config", "/nonexistent/pointsman.toml"]);
    assert_eq!(code, 64, "{errors}");
    assert_eq!(pointsman(&["shift", "shop"]).0, 64);
    assert_eq!(pointsman(&["--admin", "http://127.0.0.1:9", "status"]).0, 1);
}

#[test]
fn check_tells_programs_each_problem_field_by_field() {
    let text = config(nowhere(), nowhere(), "") + "[admin.tokens.ops]\nfile = \"missing\"\nrole = \"operate\"\n";
    let (_folder, path) = folder(&text.replacen("[services.shop]", "[services.shop]\nnonsense = 1", 1));
    let (code, output, _) = pointsman(&["--json", "check", "--config", path.to_str().unwrap()]);
    let report: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &report["good"]), (64, &json!(false)), "{report}");
    let [unknown, file] = &report["problems"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!(unknown["where"], "services.shop.nonsense");
    assert_eq!(unknown["found"], "the unknown key \"nonsense\"");
    assert!(unknown["line"].is_u64() && unknown["remedy"].is_string() && unknown["text"].is_null(), "{unknown}");
    assert_eq!(file["where"], "admin.tokens.ops.file");
    assert!(file["text"].as_str().unwrap().contains("missing") && file["found"].is_null(), "{file}");
    let (_, output, _) = pointsman(&["--json", "check", "--config", "/nonexistent/pointsman.toml"]);
    let report: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert!(report["problems"][0]["text"].as_str().unwrap().starts_with("cannot read the config"), "{report}");
}

#[test]
fn scripts_get_errors_as_json_too() {
    let (_folder, path) = folder(&config(nowhere(), nowhere(), ""));
    let process = Process::start(&path);
    let admin = format!("http://{}", process.admin_address);
    let told = |arguments: &[&str]| {
        let (code, output, errors) = pointsman(arguments);
        assert!(code == 1 && errors.starts_with("pointsman: "), "{code} {errors}");
        serde_json::from_str::<serde_json::Value>(&output).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let refused = told(&["--json", "--admin", &admin, "flip", "shop", "v9"]);
    assert!(refused["type"].is_string() && refused["title"].is_string(), "{refused}");
    let nobody = told(&["--json", "--admin", "http://127.0.0.1:9", "status"]);
    assert!(nobody["detail"].as_str().unwrap().contains("127.0.0.1:9"), "{nobody}");
    // TLS to a port without it.
    let (_, _, errors) = pointsman(&["--admin", &format!("https://{}", process.admin_address), "status"]);
    assert!(errors.contains("no answer") || errors.contains("TLS"), "{errors}");
}

#[test]
fn a_plan_is_simulated_and_repeated_by_its_seed() {
    let simulate = |more: &[&str]| pointsman(&[&["simulate", "--runs", "40", "--seed", "7"], more].concat());
    let (code, text, _) = simulate(&["--candidate-errors", "5%"]);
    assert!(code == 0 && text.contains("rolled back: errors      100.00"), "{code} {text}");
    let json = |more: &[&str]| {
        let (code, text, errors) = simulate(&[&["--json"], more].concat());
        assert_eq!(code, 0, "{errors}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let healthy = json(&["--bake", "1m"]);
    assert_eq!((&healthy["endings"]["completed"], &healthy["false_rollback_ratio"]), (&json!(1.0), &json!(0.0)));
    assert!(healthy["seconds"]["median"].as_f64().unwrap() >= 240.0, "{healthy}");
    assert_eq!(json(&["--slower", "2"]), json(&["--slower", "2"]));
    let (code, _, errors) = simulate(&["--steps", "10,5,0"]);
    assert!(
        code == 64 && errors.contains("--steps[2]: found 5 after 10") && errors.contains("--steps[3]: found 0"),
        "{code} {errors}"
    );
    assert_eq!(simulate(&["--candidate-errors", "200%"]).0, 64);
}

#[test]
fn the_plan_of_a_config_is_simulated() {
    let more = "[services.shop.rollout]\nsteps = [{ weight = 20, bake = \"1m\" }, 100]\nbake = \"2m\"\n\
                [services.shop.rollout.judge]\nslower = false\n\
                [services.cart]\npaths = [\"/cart\"]\nsplit = { v1 = 100 }\n\
                [services.cart.versions]\nv1.endpoints = [\"127.0.0.1:1\"]\nv2.endpoints = [\"127.0.0.1:2\"]\n\
                [groups.both]\nservices = [\"shop\", \"cart\"]\n\
                [groups.both.rollout]\nstrategy = \"blue_green\"\nwatch = \"1m\"\nkeep = \"3m\"\n";
    let (_folder, path) = folder(&config(nowhere(), nowhere(), more));
    let base = ["simulate", "--runs", "20", "--seed", "7", "--config", path.to_str().unwrap()];
    let simulate = |more: &[&str]| pointsman(&[&base[..], more].concat());
    let json = |more: &[&str]| {
        let (code, text, errors) = simulate(&[&["--json"], more].concat());
        assert_eq!(code, 0, "{errors}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    // Of simulated time.
    let seconds = |found: &serde_json::Value| found["seconds"]["median"].as_f64().unwrap();
    let (slow, shorter) = (json(&["--service", "shop", "--slower", "3"]), json(&["--service", "shop", "--bake", "5s"]));
    assert_eq!(slow["endings"], json!({ "completed": 1.0 }), "latency is not judged: {slow}");
    assert!((180.0..240.0).contains(&seconds(&slow)), "{slow}");
    // The step with a bake of its own keeps it.
    assert!((65.0..150.0).contains(&seconds(&shorter)), "{shorter}");
    let group = json(&["--group", "both"]);
    assert!((240.0..300.0).contains(&seconds(&group)), "{group}");
    for (more, wanted) in [
        (&["--service", "shpo"][..], "found \"shpo\", want one of cart, shop"),
        (&["--group", "shop"], "found \"shop\", want one of both"),
        (&[], "--service, --group or --flag"),
        (&["--group", "both", "--steps", "10"], "--steps: found it in a release by blue_green"),
        (&["--service", "shop", "--alpha", "0"], "--alpha: found 0"),
    ] {
        let (code, _, errors) = simulate(more);
        assert!(code == 64 && errors.contains(wanted), "{more:?}: {code} {errors}");
    }
}

#[test]
fn a_good_config_is_told_so() {
    let (_folder, path) = folder(&config(nowhere(), nowhere(), ""));
    let (code, output, _) = pointsman(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 0);
    assert!(output.ends_with("good: 1 service on 1 listener\n"), "{output}");
}

#[test]
fn flags_are_counted_and_a_claim_that_decides_on_one_is_told_of() {
    let flags = "flags = [\"a\"]\n[attributes]\nplan = \"jwt:plan\"\n[flags.a]\n\
                 rules = [{ when = { attribute = { plan = \"pro\" } }, serve = \"on\" }]\n[flags.b]\n";
    let (_folder, path) = folder(&config(nowhere(), nowhere(), flags));
    let (code, output, errors) = pointsman(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 0);
    assert!(output.ends_with("good: 1 service on 1 listener, and 2 flags\n"), "{output}");
    assert!(errors.contains("tokens are not verified") && errors.contains("in shop"), "{errors}");
}

#[test]
fn a_port_in_use_and_a_store_in_use_stop_a_second_start() {
    let (_folder, path) = folder(&config(nowhere(), nowhere(), ""));
    let first = Process::start(&path);
    let (code, _, errors) = run(&path);
    assert_eq!(code, 1, "the store is in use: {errors}");
    assert!(errors.contains("pointsman.db"), "{errors}");
    for (key, port) in
        [("listeners.public.address", first.listener.port()), ("admin.address", first.admin_address.port())]
    {
        let text = config(nowhere(), nowhere(), "");
        let section = if key.starts_with("admin") { "[admin]" } else { "[listeners.public]" };
        let text = text.replace(
            &format!("{section}\naddress = \"127.0.0.1:0\""),
            &format!("{section}\naddress = \"127.0.0.1:{port}\""),
        );
        let (_second, path) = folder(&text);
        let (code, _, errors) = run(&path);
        assert_eq!(code, 1, "{errors}");
        assert!(errors.contains(key) && errors.contains("127.0.0.1"), "{errors}");
    }
}

#[test]
fn sigterm_lets_requests_end() {
    let slow = Origin::with(|_| Reply::raw("").pause(400).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"));
    let (_folder, path) = folder(&config(slow.address(), nowhere(), ""));
    let mut process = Process::start(&path);
    let listener = process.listener;
    let asking = std::thread::spawn(move || client::send(listener, get("/")));
    eventually("the request is in flight", || slow.connections() == 1);
    assert!(process.end().success());
    let answer = asking.join().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
}

/// The weights of v1 and v2, and whether they differ from the file.
fn weights(process: &Process) -> (f64, f64, bool) {
    let shop = process.get("/v1/services/shop");
    let weight = |index: usize| shop["versions"][index]["weight"].as_f64().unwrap();
    (weight(0), weight(1), shop["differs_from_file"].as_bool().unwrap())
}

#[test]
fn the_file_is_intent_and_run_time_weights_survive() {
    let text = config(nowhere(), nowhere(), "");
    let (_folder, path) = folder(&text);
    let process = Process::start(&path);
    process.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": 70, "v2": 30 })).unwrap();
    assert_eq!(weights(&process), (70.0, 30.0, true));

    // Another change of the file leaves them; so does a bad file, which is told.
    std::fs::write(&path, text.replace("sticky = [", "connect_timeout = \"1s\"\nsticky = [")).unwrap();
    std::fs::write(&path, text.replace("v1 = 100", "v1 = 10")).unwrap();
    eventually("the bad file is told", || process.get("/v1/status")["config"]["good"] == false);
    let problems = process.get("/v1/status")["config"]["problems"].to_string();
    assert!(problems.contains("weights that sum to 10"), "{problems}");
    assert_eq!(weights(&process), (70.0, 30.0, true));
    process.kill();

    // A restart too, with the same file.
    std::fs::write(&path, &text).unwrap();
    let process = Process::start(&path);
    assert_eq!(weights(&process), (70.0, 30.0, true));

    // A weight that changes in the file is applied, by SIGHUP or by itself.
    std::fs::write(&path, text.replace("v1 = 100, v2 = 0", "v1 = 80, v2 = 20")).unwrap();
    Command::new("kill").args(["-HUP", &process.id().to_string()]).status().unwrap();
    eventually("the file's weights are in force", || weights(&process) == (80.0, 20.0, false));
    let last = process.get("/v1/revisions?limit=1");
    assert_eq!((&last["revisions"][0]["author"], &last["revisions"][0]["action"]), (&json!("file"), &json!("file")));
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let origin = Origin::saying("hello");
    let (folder, path) =
        folder(&config(origin.address(), nowhere(), "[access_log]\nformat = \"json\"\npath = \"access.log\"\n"));
    let mut process = Process::start(&path);
    client::send(process.listener, get("/a?b=1"));
    client::send(process.listener, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n");
    assert!(process.end().success());
    let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!(
        (&lines[0]["status"], &lines[0]["target"], &lines[0]["version"]),
        (&json!(200), &json!("/a?b=1"), &json!("v1"))
    );
    assert_eq!((&lines[0]["bytes"], &lines[0]["revision"], &lines[0]["reason"]), (&json!(5), &json!(1), &json!(null)));
    assert_eq!((&lines[1]["status"], &lines[1]["reason"]), (&json!(400), &json!("bad_host")));
}

#[test]
fn the_admin_api_on_a_unix_socket() {
    let text = config(nowhere(), nowhere(), "");
    let text = text.replace("[admin]\naddress = \"127.0.0.1:0\"", "[admin]\naddress = \"unix:admin.sock\"");
    let (folder, path) = folder(&text);
    let socket = folder.path().join("admin.sock");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["run", "--config", path.to_str().unwrap()])
        .env("RUST_LOG", "off")
        .spawn()
        .unwrap();
    let admin = format!("unix:{}", socket.display());
    eventually("the socket answers", || pointsman(&["--admin", &admin, "status"]).0 == 0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (code, output, _) = pointsman(&["--admin", &admin, "shift", "shop", "v1=75", "v2=25", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(output.contains("25 % of the users move"), "{output}");
    let (_, output, _) = pointsman(&["--admin", &admin, "--json", "flip", "shop", "v2"]);
    let answer: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&answer["revision"], &answer["changed"]), (&json!(2), &json!(true)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_log_names_the_service_of_a_paused_endpoint_and_of_a_hold_that_was_not_kept() {
    let hanging = Origin::with(|_| Reply::raw("").hang());
    let (_folder, path) = folder(&config(hanging.address(), nowhere(), ""));
    let process = Process::start(&path);
    let mut asking = std::net::TcpStream::connect(process.listener).unwrap();
    std::io::Write::write_all(&mut asking, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the request is in flight", || hanging.connections() == 1);
    let flip = |body: serde_json::Value| process.send(Method::POST, "/v1/services/shop/flip", body);
    let refused = flip(json!({ "to": "v2", "hold": { "max": "20ms" } })).unwrap_err().to_string();
    assert!(refused.contains("in flight"), "{refused}");
    eventually("the hold is told", || process.told(&["INFO", "the hold was not kept", "shop", "1 requests in flight"]));
    flip(json!({ "to": "v2" })).unwrap();
    client::send(process.listener, get("/")).assert_refused(502, "connect_failed");
    eventually("the endpoint is told", || process.told(&["the endpoint is paused", "shop", "v2", "127.0.0.1:9"]));
}

#[test]
fn a_change_warns_of_a_version_that_cannot_answer() {
    let origin = Origin::saying("hello");
    let (_folder, path) = folder(&config(origin.address(), nowhere(), ""));
    let process = Process::start(&path);
    let flip = |dry: &str| {
        process
            .send(Method::POST, &format!("/v1/services/shop/flip{dry}"), json!({ "to": "v2", "force": true }))
            .unwrap()
    };
    assert_eq!(flip("?dry_run=true")["warnings"], json!(null), "nobody knows yet that v2 is dead");
    flip("");
    client::send(process.listener, get("/")).assert_refused(502, "connect_failed");
    process.send(Method::POST, "/v1/services/shop/flip", json!({ "to": "v1" })).unwrap();
    assert_eq!(flip("?dry_run=true")["warnings"], json!(["shop v2 has 100 % and no usable endpoint now"]));
    let endpoint = format!("/v1/services/shop/versions/v1/endpoints/{}", origin.address());
    let drained = process
        .send(Method::PUT, &format!("{endpoint}?dry_run=true"), json!({ "state": "drain", "force": true }))
        .unwrap();
    assert_eq!(drained["warnings"], json!(["shop v1 has 100 % and no usable endpoint now"]));
    // A refusal is on the account of the version that could not answer.
    process.send(Method::PUT, &endpoint, json!({ "state": "drain", "force": true })).unwrap();
    client::send(process.listener, get("/")).assert_refused(503, "no_endpoint");
    let shop = process.get("/v1/services/shop");
    assert_eq!((&shop["versions"][0]["codes"]["5xx"], &shop["versions"][1]["codes"]["5xx"]), (&json!(1), &json!(1)));
}

#[test]
fn what_callers_wrote_cannot_turn_a_line_round() {
    let (_folder, path) = folder(&config(nowhere(), nowhere(), ""));
    let process = Process::start(&path);
    let admin = format!("http://{}", process.admin_address);
    // "shift of 5 %" that reads as another one, a line of its own, and a sequence of the terminal's in one character.
    let reason = "canary \u{202e}% 001\u{202c}\u{2066}x\u{2069}\n41  2026  by ada\u{9b}2J";
    let acts = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |arguments: &[&str]| {
        let (_, output, errors) = pointsman(&[&["--admin", &admin], arguments].concat());
        let text = output + &errors;
        assert!(!text.chars().any(acts), "{arguments:?}: {text:?}");
        text
    };
    shown(&["shift", "shop", "v1=60", "v2=40", "--reason", reason]);
    let text = shown(&["history"]);
    assert!(text.contains("canary \\u{202e}% 001") && !text.lines().any(|line| line.starts_with("41")), "{text}");
    let json: serde_json::Value = serde_json::from_str(&shown(&["--json", "history"])).unwrap();
    assert_eq!(json["revisions"][0]["reason"], reason, "the value is what it was");
    shown(&["flip", "shop", "v1"]);
    shown(&["rollout", "start", "shop", "--to", "v2", "--reason", reason]);
    for words in [
        &["rollout", "status"][..],
        &["rollout", "status", "shop"],
        &["--json", "rollout", "status", "shop"],
        &["rollout", "pause", "shop", "--reason", reason],
        &["rollout", "abort", "shop", "--reason", reason],
        &["--json", "history", "2"],
        &["status"],
        &["--json", "status"],
        // What is refused repeats what was sent.
        &["flip", "shop", "v1", "--reason", reason, "--hold", reason],
        &["--json", "flip", "shop", reason],
        &["rollout", "start", "shop", "--to", reason],
        &["rollout", "start", "shop", "--set", &format!("bake={reason}")],
        &["drain", "shop", reason, "10.0.0.1:1"],
    ] {
        assert!(!shown(words).is_empty(), "{words:?}");
    }
}

#[test]
fn the_command_line_is_a_client_of_the_admin_api() {
    let (_folder, path) = folder(&config(nowhere(), nowhere(), ""));
    let process = Process::start(&path);
    let admin = process.admin.to_string();
    let say = |words: &[&str]| {
        let (code, output, errors) = pointsman(&[&["--admin", &admin], words].concat());
        assert!(code == 0, "{words:?}: {errors}");
        output
    };
    assert!(
        say(&["shift", "shop", "v1=90", "v2=10", "--reason", "a\u{1b}[31mred\ncanary"])
            .contains("v2 0 -> 10 %, 10 % of the users move")
    );
    assert!(say(&["flip", "shop", "v2", "--if-revision", "2"]).contains("revision 3 is in force"));
    assert!(say(&["flip", "shop", "v2"]).contains("nothing to change: revision 3"));
    let (code, _, errors) = pointsman(&["--admin", &admin, "flip", "shop", "v1", "--if-revision", "2"]);
    assert!(code == 1 && errors.contains("412"), "{errors}");
    let back = say(&["rollback"]);
    assert!(back.contains("the split of revision 2 is restored") && back.contains("v2 100 -> 10 %"), "{back}");
    assert!(say(&["rollback", "--to", "3", "--service", "shop"]).contains("v2 10 -> 100 %"));
    let endpoint = nowhere().to_string();
    assert!(say(&["drain", "shop", "v1", &endpoint]).contains("drained"));
    assert!(say(&["status", "shop"]).contains("127.0.0.1:9 (drained)"));
    assert!(say(&["ready", "shop", "v1", &endpoint]).contains("ready"));
    let history = say(&["history"]);
    let heads: Vec<&str> = history.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(heads.len(), 7, "{history}");
    assert!(!history.contains('\u{1b}') && heads[5].contains("a\\u{1b}[31mred\\ncanary"), "{history}");
    assert!(say(&["history", "4"]).contains("rollback to 2"));
    assert!(say(&["explain", "http://any/cart", "-H", "x-user-id: 42"]).contains("shop v2"));
    let explained: serde_json::Value = serde_json::from_str(&say(&["--json", "explain", "http://any/"])).unwrap();
    assert_eq!((&explained["service"], &explained["chances"]["v2"]), (&json!("shop"), &json!(100.0)));
}
