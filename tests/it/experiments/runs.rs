//! Experiments that are started, stopped and shipped while the binary runs: by the command line and by the API, over
//! reloads and restarts.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::process::{Process, config};
use crate::support::{Origin, client, eventually};

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

const METRIC: &str = "metrics = [{ name = \"purchase\", kind = \"conversion\", when = { path = \"/orders\" } }]";

fn experiments() -> String {
    format!(
        r#"
[flags.look]
rules = [{{ name = "launch", serve = "off" }}]
[experiments.button]
service = "shop"
layer = "checkout"
share = 40
arms = {{ control = "v1", treatment = "v2" }}
{METRIC}
[experiments.banner]
service = "shop"
layer = "checkout"
share = 60
arms = {{ control = "v1", treatment = "v2" }}
{METRIC}
[experiments.look]
flag = "look"
arms = {{ control = "off", treatment = "on" }}
{METRIC}
"#
    )
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    write(&path, &experiments());
    (folder, path)
}

fn write(path: &Path, experiments: &str) {
    std::fs::write(path, config(nowhere(), nowhere(), experiments)).unwrap();
}

/// Exit code, standard output and standard error of a command against a process.
fn run(process: &Process, words: &[&str]) -> (i32, String, String) {
    let admin = process.admin.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["--admin", &admin]).args(words).env("NO_COLOR", "1").env_remove("POINTSMAN_TOKEN");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

#[track_caller]
fn says(process: &Process, words: &[&str]) -> String {
    let (code, output, errors) = run(process, words);
    assert_eq!(code, 0, "{words:?}: {errors}");
    output
}

#[track_caller]
fn refuses(process: &Process, words: &[&str]) -> String {
    let (code, output, errors) = run(process, words);
    assert!(code != 0, "{words:?}: {output}");
    errors
}

#[test]
fn an_experiment_is_started_grown_shipped_and_rolled_back_on_the_command_line() {
    let (_folder, path) = folder();
    let mut process = Process::start(&path);
    let line = "  experiment button: runs with 40 % of the users; 20 % of all users move\n";
    assert_eq!(
        says(&process, &["experiment", "start", "button", "--dry-run", "--force"]),
        format!("dry run, nothing was changed: revision 1 is in force\n{line}")
    );
    let start = ["experiment", "start", "button", "--if-revision", "1", "--reason", "week 23", "--force"];
    assert_eq!(says(&process, &start), format!("revision 2 is in force\n{line}"));
    assert!(refuses(&process, &start).contains("412"));
    let again = says(&process, &["experiment", "start", "button"]);
    assert_eq!(again, "nothing to change: revision 2 is in force\n");
    let full = refuses(&process, &["experiment", "start", "banner", "--share", "60.5"]);
    assert!(full.contains("in which button has 40 %"), "{full}");
    let grown = says(&process, &["experiment", "start", "button", "--share", "50%"]);
    assert_eq!(grown, "revision 3 is in force\n  experiment button: 40 -> 50 % of the users; 5 % of all users move\n");
    let shipped = "revision 4 is in force\n  shop: v1 100 -> 0 %, v2 0 -> 100 %, 100 % of the users move\n  \
                   experiment button: ended, treatment is shipped; it had 50 % of the users; 75 % of all users move\n";
    assert_eq!(says(&process, &["experiment", "ship", "button", "v2", "--force"]), shipped);
    let back = says(&process, &["rollback", "--experiment", "button"]);
    let runs = "experiment button: runs with 50 % of the users";
    assert!(back.starts_with("revision 5 is in force\n  the experiments of revision 3 are restored\n"), "{back}");
    assert!(back.contains(runs), "{back}");
    let stopped = says(&process, &["experiment", "stop", "button"]);
    assert!(stopped.contains("  experiment button: stopped; it had 50 % of the users"), "{stopped}");
    assert_eq!(says(&process, &["experiment", "stop", "button"]), "nothing to change: revision 6 is in force\n");
    assert!(process.end().success());

    let process = Process::start(&path);
    let history = says(&process, &["history", "--limit", "6"]);
    for words in [
        "6  ",
        "  stop  by ",
        "  rollback to 3  by ",
        "  ship  by ",
        "  start  by ",
        ": week 23\n  experiment button: runs with 40 % of the users; 20 % of all users move\n",
        "ended, treatment is shipped",
        "40 -> 50 % of the users",
    ] {
        assert!(history.contains(words), "{words:?} in {history}");
    }
    let json: Value = serde_json::from_str(&says(&process, &["history", "2", "--json"])).unwrap();
    let wanted = json!([{
        "experiment": "button", "was_running": false, "running": true, "since": 2,
        "share_before": 0.0, "share": 40.0, "moved_ratio": 0.2,
    }]);
    assert_eq!((&json["action"], &json["experiments"]), (&json!("start"), &wanted));
}

#[test]
fn a_reload_ends_what_it_redefines_and_a_restart_what_it_leaves_out() {
    let (_folder, path) = folder();
    let mut process = Process::start(&path);
    for experiment in ["button", "look"] {
        says(&process, &["experiment", "start", experiment, "--force"]);
    }
    write(&path, &experiments().replacen("/orders", "/order", 1));
    let action = |process: &Process, revision: u64| process.get(&format!("/v1/revisions/{revision}"))["action"].clone();
    eventually("the file is in force", || process.get("/v1/status")["revision"] == 4);
    assert_eq!(action(&process, 4), "file");
    let ended = &process.get("/v1/revisions/4")["experiments"];
    assert_eq!((&ended[0]["experiment"], &ended[0]["end"]), (&json!("button"), &json!("redefined")));
    let told = says(&process, &["history", "4"]);
    assert!(
        told.contains("ended, for the config says something else of what it compares; 20 % of all users move"),
        "{told}"
    );
    assert!(process.end().success());
    let (kept, _) =
        experiments().split_once("[experiments.look]").map(|(kept, rest)| (kept.to_owned(), rest.len())).unwrap();
    write(&path, &kept);
    let process = Process::start(&path);
    let ended = &process.get("/v1/revisions/5")["experiments"];
    assert_eq!((&ended[0]["experiment"], &ended[0]["end"]), (&json!("look"), &json!("removed")));
    let told = says(&process, &["history", "5"]);
    assert!(told.contains("experiment look: ended, for the config does not have it any more\n"), "{told}");
}

/// Who opens a file that is leased waits until it is given back, as for a disk that does not answer: by the kernel, for
/// 45 seconds.
struct SilentFile(Child);

impl SilentFile {
    fn new(path: &Path) -> Self {
        let script = "import fcntl, os, signal, sys\n\
            signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
            file = os.open(sys.argv[1], os.O_RDWR)\n\
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
            print('leased', flush=True)\n\
            sys.stdin.read()\n";
        let mut command = Command::new("python3");
        let command = command.args(["-c", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "leased\n");
        Self(child)
    }
}

impl Drop for SilentFile {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

#[test]
fn a_ledger_whose_disk_does_not_answer_keeps_nobody_from_being_served() {
    let (folder, path) = folder();
    let [v1, v2] = ["v1", "v2"].map(Origin::saying);
    std::fs::write(&path, config(v1.address(), v2.address(), &experiments())).unwrap();
    let mut process = Process::start(&path);
    says(&process, &["experiment", "start", "button"]);
    // It is told where it has answered within a second, which a busy disk may keep it from.
    let mut ledger = String::new();
    eventually("the ledger answers", || {
        ledger = process.get("/v1/status")["ledger"]["path"].as_str().unwrap_or_default().to_owned();
        !ledger.is_empty()
    });
    assert!(Path::new(&ledger).starts_with(folder.path()), "{ledger}");
    assert!(process.end().success());
    let silent = SilentFile::new(Path::new(&ledger));
    let begun = Instant::now();
    let process = Process::start(&path);
    let status = process.get("/v1/status");
    let took = begun.elapsed();
    assert!(took.as_secs() < 30, "the start has waited for the disk: {took:?}");
    assert!(status["ledger"]["problem"].as_str().unwrap().contains("has not answered in time"), "{status}");
    for user in 0..20 {
        let visit = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User-Id: user-{user}\r\n\r\n");
        assert_eq!(client::send(process.listener, visit).status, 200);
    }
    drop(silent);
    eventually("the ledger is open, and has those whom the experiment takes in", || {
        let ledger = &process.get("/v1/status")["ledger"];
        ledger["problem"].is_null() && ledger["users"].as_u64() > Some(0)
    });
}

#[test]
fn each_wrong_call_is_refused_with_what_helps_and_changes_nothing() {
    let (_folder, path) = folder();
    let process = Process::start(&path);
    says(&process, &["experiment", "start", "button", "--force"]);
    let post = |path: &str, body: Value| {
        let error = process.send(Method::POST, path, body).expect_err("it is wrong");
        error.to_string()
    };
    let start = |body: Value| post("/v1/experiments/banner/start", body);
    for (found, wanted) in [
        (start(json!({ "share": 0 })), "more than 0 and at most 100"),
        (start(json!({ "share": 101 })), "share"),
        (start(json!({ "share": -5 })), "share"),
        (start(json!({ "share": 12.3456 })), "share"),
        (start(json!({ "share": "half" })), "share"),
        (start(json!({ "shares": 5 })), "shares"),
        (start(json!({ "share": 5, "reason": "x".repeat(1025) })), "at most 1024 bytes"),
        (start(json!({ "share": 61 })), "at most 60 %, which are free"),
        (start(json!([1])), "an object"),
        (post("/v1/experiments/buton/start", json!({})), "did you mean \"button\"?"),
        (post("/v1/experiments/%2e%2e/start", json!({})), "unknown experiment"),
        (post("/v1/experiments/button/start", json!({ "share": 10 })), "experiment stop button"),
        (post("/v1/experiments/button/stop", json!({ "share": 10 })), "share"),
        (post("/v1/experiments/nothing/stop", json!({})), "unknown experiment"),
        (post("/v1/experiments/button/ship", json!({})), "add control or treatment"),
        (post("/v1/experiments/button/ship", json!({ "arm": "v3" })), "unknown arm"),
        (post("/v1/experiments/button/ship", json!({ "arm": 2 })), "arm"),
        (post("/v1/experiments/banner/ship", json!({ "arm": "v2" })), "never ran"),
        (post("/v1/experiments/button/pause", json!({})), "there is nothing at"),
        (post("/v1/rollback", json!({ "experiments": [] })), "at least one name"),
        (post("/v1/rollback", json!({ "experiments": ["no name"] })), "no name"),
        (post("/v1/rollback", json!({ "experiments": ["buton"] })), "did you mean \"button\"?"),
    ] {
        assert!(found.contains(wanted), "{wanted:?} in {found}");
    }
    assert_eq!(process.get("/v1/status")["revision"], 2, "nothing has changed");
    for (words, wanted) in [
        (&["experiment", "start", "button", "--share", "half"][..], "such as --share 40"),
        (&["experiment", "start", "but/ton"], "want a name"),
        (&["experiment", "ship", "button"], "<ARM>"),
        (&["experiment", "ship", "button", "v2", "--if-revision", "1"], "412"),
    ] {
        let errors = refuses(&process, words);
        assert!(errors.contains(wanted), "{wanted:?} in {errors}");
    }
    assert_eq!(process.get("/v1/status")["revision"], 2, "nothing has changed");
}
