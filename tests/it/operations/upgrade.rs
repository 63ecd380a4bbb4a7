//! Upgrades in place: the new process is there before the old one stops, and a new one that does not come to serve
//! changes nothing. `UPGRADES=1000` makes the first test a long one.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Method;
use pointsman::cli::client::{AdminClient, Call, CallError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::load::{self, Load, Tunnels};
use crate::support::process::{Process, config, is_running};
use crate::support::{Client, Origin, Reply, client, eventually, get};

/// How many upgrades under load there are unless `UPGRADES` says otherwise: half a second each, most of it the quiet
/// after the save.
const UPGRADES: u32 = 100;

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// A folder with a config and a link to the binary, as a deployment has it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(text: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write(text);
        place.install(Path::new(env!("CARGO_BIN_EXE_pointsman")));
        place
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("pointsman.toml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.config(), text).unwrap();
    }

    /// Links the binary to another file, in one step.
    fn install(&self, binary: &Path) {
        let new = self.folder.path().join("new");
        symlink(binary, &new).unwrap();
        std::fs::rename(new, self.folder.path().join("pointsman")).unwrap();
    }

    /// Puts a script in the place of the binary.
    fn install_script(&self, script: &str) {
        let path = self.folder.path().join("script");
        std::fs::remove_file(&path).ok();
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.install(&path);
    }

    fn start(&self) -> Process {
        let mut command = Command::new(self.folder.path().join("pointsman"));
        command.arg("run").arg("--config").arg(self.config());
        Process::start_command(command)
    }
}

fn shift(process: &Process, percent: u32) -> Result<u64, String> {
    let body = json!({ "v1": 100 - percent, "v2": percent });
    let answer = process.send(Method::PUT, "/v1/services/shop/split", body).map_err(|error| error.to_string())?;
    Ok(answer["revision"].as_u64().unwrap())
}

fn in_force(process: &Process) -> (u64, f64) {
    let weight = process.get("/v1/services/shop")["versions"][1]["weight"].as_f64().unwrap();
    (process.get("/v1/status")["revision"].as_u64().unwrap(), weight)
}

#[test]
fn soak_upgrades_under_load_fail_nothing_and_forget_nothing() {
    let upgrades = std::env::var("UPGRADES").ok().and_then(|text| text.parse().ok()).unwrap_or(UPGRADES);
    let (first, second) = (load::origin(), load::origin());
    // A process waits for what is to be kept; so the WebSockets of an old one are closed, and opened on the new one.
    let text = load::with_http2(&config(first.address(), second.address(), "on_shift = \"close\"\n"));
    let place = Place::new(&text);
    let mut process = place.start();
    let tunnels = Tunnels::closed();
    let load = Load::start(load::users(process.listener, 3, &tunnels));
    load.await_more(100);
    let (started, mut processes) = (Instant::now(), vec![process.id()]);
    for round in 0..upgrades {
        let percent = round % 100 + 1;
        let revision = shift(&process, percent).unwrap();
        // More workers than sockets, and fewer: no queue may be left alone.
        place.write(&text.replace("workers = 2", &format!("workers = {}", [3, 1, 2][round as usize % 3])));
        processes.push(process.upgrade().unwrap());
        assert_eq!(in_force(&process), (revision, f64::from(percent)), "after {} upgrades", round + 1);
        // All kinds of users have met the new process.
        load.await_more(50);
    }
    let passed = started.elapsed();
    let asked = load.end_well();
    let (opened, ended) = (tunnels.opened(), tunnels.ended());
    println!("{upgrades} upgrades in {passed:?}, {asked} exchanges, none failed, {ended} WebSockets closed");
    // Each at most once for a process that left, and once for each time that v1 lost its share.
    assert!(ended >= 3 && ended <= 3 * u64::from(upgrades + upgrades / 100), "{ended} WebSockets ended");
    assert_eq!(opened, ended + 3, "each that was closed was opened again");
    assert!(process.wait_for_first().success());
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), upgrades as usize + 1, "each time another process");
    eventually("the others have ended", || processes.iter().filter(|id| is_running(**id)).eq([&process.id()]));
    assert_eq!(client::send(process.listener, get("/")).status, 200);
}

#[test]
fn requests_of_the_old_process_end_there() {
    let slow = Origin::with(|_| Reply::raw("").pause(6_000).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"));
    let place = Place::new(&config(slow.address(), nowhere(), ""));
    let mut process = place.start();
    let mut client = Client::to(process.listener);
    client.write(get("/"));
    eventually("the request is in flight", || slow.connections() == 1);
    process.upgrade().unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str(), answer.header("connection")), (200, "late", Some("close")));
    assert!(process.wait_for_first().success());
    assert_eq!(client::send(process.listener, get("/")).status, 200);
}

#[test]
fn a_new_process_that_does_not_come_to_serve_changes_nothing() {
    let origin = load::origin();
    let text =
        config(origin.address(), origin.address(), "").replace("workers = 2", "workers = 2\nupgrade_timeout = \"15s\"");
    let text = load::with_http2(&text);
    let place = Place::new(&text);
    let mut process = place.start();
    let old = process.id();
    let load = Load::start(load::users(process.listener, 1, &Tunnels::kept()));
    let channel = "fd=$((2 + LISTEN_FDS)); eval \"exec 9<&$fd 8>&$fd\"";
    let cases = [
        ("exit 3", "exit status: 3"),
        ("echo 'no such library' >&2; exit 127", "no such library"),
        ("[ $1 = check ] && exit 0; exit 7", "exit status: 7"),
        ("[ $1 = check ] && exit 0; sleep 60", "nothing within proxy.upgrade_timeout"),
        ("[ $1 = check ] && exit 0; echo hello", "it ended before it served"),
    ];
    let mut percent = 1;
    let mut refused = |process: &mut Process, script: &str, want: &str| {
        place.install_script(script);
        let error = process.upgrade().expect_err(script).to_string();
        assert!(error.contains(want) && error.contains("this one goes on"), "{script}: {error}");
        // It is the writer as before.
        percent += 1;
        let revision = shift(process, percent).unwrap();
        assert_eq!(in_force(process), (revision, f64::from(percent)));
    };
    for (script, want) in cases {
        refused(&mut process, script, want);
    }
    let after_release = format!("[ $1 = check ] && exit 0; {channel}; echo prepared >&8; read word <&9; exit 9");
    refused(&mut process, &after_release, "exit status: 9");
    let says_why = format!("[ $1 = check ] && exit 0; {channel}; echo 'failed out of luck' >&8; exit 1");
    refused(&mut process, &says_why, "out of luck");

    // A config with problems: they are told, all of them.
    place.install(Path::new(env!("CARGO_BIN_EXE_pointsman")));
    place.write(&text.replace("workers = 2", "workers = 0\nnonsense = 1"));
    let error = process.upgrade().unwrap_err().to_string();
    assert!(error.contains("proxy.workers") && error.contains("proxy.nonsense"), "{error}");
    place.write(&text);

    assert_eq!(process.id(), old);
    process.upgrade().unwrap();
    assert_ne!(process.id(), old);
    load.end_well();
}

#[test]
fn changes_wait_while_the_store_is_lent() {
    let place = Place::new(&config(nowhere(), nowhere(), ""));
    let process = place.start();
    let revision = shift(&process, 10).unwrap();
    let go = place.folder.path().join("go");
    place.install_script(&format!(
        "[ $1 = check ] && exit 0; fd=$((2 + LISTEN_FDS)); eval \"exec 9<&$fd 8>&$fd\"; echo prepared >&8; read word <&9; \
         while [ ! -e {} ]; do sleep 0.05; done; exit 9",
        go.display()
    ));
    let admin = process.admin.clone();
    let upgrading = std::thread::spawn(move || {
        let call = Call { method: Method::POST, path: "/v1/upgrade", body: Some(json!({})), if_match: None };
        admin.call(call).unwrap_err().to_string()
    });
    let mut refused = String::new();
    eventually("changes are refused", || shift(&process, 11).map_err(|error| refused = error).is_err());
    assert!(refused.contains("503") && refused.contains("an upgrade in place is going on"), "{refused}");
    let second = process.send(Method::POST, "/v1/upgrade", json!({})).unwrap_err().to_string();
    assert!(second.contains("409") && second.contains("another upgrade"), "{second}");
    std::fs::write(go, "").unwrap();
    assert!(upgrading.join().unwrap().contains("exit status: 9"));
    assert!(shift(&process, 12).unwrap() > revision);
}

#[test]
fn a_signal_asks_for_it_too() {
    let origin = Origin::saying("hello");
    let place = Place::new(&config(origin.address(), nowhere(), ""));
    let mut process = place.start();
    // Its address is not told; the process that takes over is found by its config.
    process.signal("USR2");
    assert!(process.wait_for_first().success());
    let id = Command::new("pgrep").args(["-f", place.config().to_str().unwrap()]).output().unwrap().stdout;
    process.succeed(String::from_utf8(id).unwrap().trim().parse().unwrap());
    assert_eq!(client::send(process.listener, get("/")).status, 200);
    assert!(process.get("/v1/status")["ready"].as_bool().unwrap());
}

#[test]
fn an_end_in_the_middle_of_an_upgrade_ends_both() {
    let place = Place::new(&config(nowhere(), nowhere(), ""));
    let mut process = place.start();
    let marker = place.folder.path().join("started");
    place.install_script(&format!("[ $1 = check ] && exit 0; echo $$ > {}; exec sleep 60", marker.display()));
    process.signal("USR2");
    let mut new = 0;
    eventually("the new process is there", || {
        new = std::fs::read_to_string(&marker).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        new != 0
    });
    process.signal("TERM");
    assert!(process.wait_for_first().success());
    eventually("the new process is gone", || !is_running(new));
}

#[test]
fn the_command_upgrades_over_a_unix_socket() {
    let text = config(nowhere(), nowhere(), "");
    let place =
        Place::new(&text.replace("[admin]\naddress = \"127.0.0.1:0\"", "[admin]\naddress = \"unix:admin.sock\""));
    let pointsman = place.folder.path().join("pointsman");
    let socket = place.folder.path().join("admin.sock");
    let mut child = Command::new(&pointsman)
        .args(["run", "--config", place.config().to_str().unwrap()])
        .env("RUST_LOG", "off")
        .spawn()
        .unwrap();
    let say = |words: &[&str]| {
        let mut command = Command::new(&pointsman);
        let output = command
            .arg("--admin")
            .arg(format!("unix:{}", socket.display()))
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    eventually("it answers", || say(&["status"]).0);
    let mut process = None;
    for _ in 0..3 {
        let (done, said) = say(&["--json", "upgrade", "--reason", "a test"]);
        assert!(done, "{said}");
        process = serde_json::from_str::<serde_json::Value>(&said).unwrap()["process"].as_u64();
        let (done, said) = say(&["status"]);
        assert!(done, "{said}");
    }
    assert!(child.wait().unwrap().success());
    // The last of the old processes has not taken the socket's file away.
    std::thread::sleep(Duration::from_millis(300));
    assert!(say(&["shift", "shop", "v1=75", "v2=25"]).0);
    Command::new("kill").arg(process.unwrap().to_string()).status().unwrap();
}

/// A config of two services on one origin, and how much of it is a good config without the second one.
fn two_services(origin: SocketAddr, more: &str) -> (String, usize) {
    let text = config(nowhere(), nowhere(), "").replace("workers = 2", &format!("workers = 2\n{more}"));
    let other = format!("[services.other]\npaths = [\"/other\"]\nversions.v1.endpoints = [\"{origin}\"]\n");
    (text.clone() + &other, text.len())
}

/// Begins to save a file in place, and has written so much of it.
fn half_saved(path: &Path, text: &str) -> File {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Whether a process is told by the kernel of what happens to a file. What began before that is not seen.
fn watches(process: u32, path: &Path) -> bool {
    let inode = format!(" ino:{:x} ", path.metadata().unwrap().ino());
    let watched = |text: String| text.lines().any(|line| line.starts_with("inotify ") && line.contains(&inode));
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap().flatten();
    descriptors.into_iter().any(|entry| std::fs::read_to_string(entry.path()).is_ok_and(watched))
}

/// The refusal of an upgrade: its status and its document.
fn refusal(process: &mut Process) -> (u16, Value) {
    match process.upgrade() {
        Err(CallError::Refused { status, problem }) => (status.as_u16(), problem),
        other => panic!("want a refusal, found {other:?}"),
    }
}

#[test]
fn half_a_saved_config_is_waited_for() {
    for by_signal in [false, true] {
        let origin = Origin::saying("other");
        let (text, half) = two_services(origin.address(), "");
        let place = Place::new(&text);
        let mut process = place.start();
        eventually("it watches the file", || watches(process.id(), &place.config()));
        let mut file = half_saved(&place.config(), &text[..half]);
        let admin = process.admin.clone();
        let upgrading = std::thread::spawn(move || {
            let call = Call { method: Method::POST, path: "/v1/upgrade", body: Some(json!({})), if_match: None };
            (!by_signal).then(|| admin.call(call).unwrap()["process"].as_u64().unwrap())
        });
        if by_signal {
            process.signal("USR2");
        }
        eventually("it is asked to", || process.told(&["upgrading in place"]));
        let known = || client::send(process.listener, get("/other")).status;
        // For longer than it takes a file that is whole to be taken, and less than one that stays open is waited for.
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(1) {
            assert_eq!(known(), 200, "the service is known");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!process.told(&["has taken over"]));
        file.write_all(&text.as_bytes()[half..]).unwrap();
        drop(file);
        eventually("it is replaced", || process.told(&["the new process has taken over"]));
        assert_eq!(known(), 200, "the service is known to the next process");
        let found = process.find_in_log("the new process has taken over process=");
        let next = upgrading.join().unwrap().map_or(found, |id| u32::try_from(id).unwrap());
        process.succeed(next);
    }
}

#[test]
fn files_that_are_not_whole_in_time_refuse_an_upgrade() {
    // Well below the time after which a file counts as whole although its writer has it open still.
    let (text, half) = two_services(nowhere(), "upgrade_timeout = \"6s\"");
    let place = Place::new(&text);
    let token = place.folder.path().join("token");
    std::fs::write(&token, "the-first-token").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = text + "[admin.tokens.ops]\nfile = \"token\"\nrole = \"operate\"\n";
    place.write(&text);
    let mut process = place.start();
    process.admin = AdminClient::new(&process.admin_address.to_string(), Some("the-first-token".to_owned())).unwrap();
    for (path, first, whole, what) in [
        (place.config(), &text[..half], &*text, "the config file: not whole within proxy.upgrade_timeout, 6s"),
        (token, "the-second", "the-first-token", "certificates and tokens: not whole within"),
    ] {
        let old = process.id();
        eventually("it watches the file", || watches(old, &path));
        let mut file = half_saved(&path, first);
        let (status, problem) = refusal(&mut process);
        assert_eq!((status, &problem["type"]), (409, &json!("urn:pointsman:problem:files_unsettled")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(what), "{problem}");
        // Before it is closed: half of it would be taken as the whole by a process that is quicker than this one.
        file.rewind().unwrap();
        file.write_all(whole.as_bytes()).unwrap();
        drop(file);
        process.upgrade().unwrap();
        assert_ne!(process.id(), old);
    }
}

#[test]
fn a_config_that_changes_under_the_new_process_refuses_it() {
    let (text, _) = two_services(nowhere(), "");
    let place = Place::new(&text);
    let mut process = place.start();
    let binary = env!("CARGO_BIN_EXE_pointsman");
    let touch = format!("echo '# more' >> {}", place.config().display());
    place.install_script(&format!("[ $1 = check ] || {touch}; exec {binary} \"$@\""));
    let (status, problem) = refusal(&mut process);
    assert_eq!((status, &problem["type"]), (409, &json!("urn:pointsman:problem:files_unsettled")), "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("the config file: written while the new process started"),
        "{problem}"
    );
    shift(&process, 5).unwrap();
    place.install(Path::new(binary));
    process.upgrade().unwrap();
}

#[test]
fn a_config_that_the_new_binary_refuses_is_the_callers_to_mend() {
    let (text, _) = two_services(nowhere(), "");
    let place = Place::new(&text);
    let mut process = place.start();
    place.write(&text.replace("workers = 2", "workers = 0\nnonsense = 1"));
    let (status, problem) = refusal(&mut process);
    assert_eq!((status, &problem["type"]), (422, &json!("urn:pointsman:problem:config_refused")), "{problem}");
    let problems = problem["problems"].as_array().unwrap();
    let [workers, nonsense] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(
        (&workers["where"], &workers["line"], &workers["found"]),
        (&json!("proxy.workers"), &json!(6), &json!("0"))
    );
    assert!(workers["wanted"].as_str().unwrap().starts_with("1 to "), "{workers}");
    let found = (&nonsense["where"], &nonsense["line"], &nonsense["found"]);
    assert_eq!(found, (&json!("proxy.nonsense"), &json!(7), &json!("the unknown key \"nonsense\"")));
    assert!(nonsense["wanted"].as_str().unwrap().starts_with("one of "), "{nonsense}");
    assert_eq!(nonsense["remedy"], "rename or remove it");
}

#[test]
fn what_another_binary_says_of_the_config_is_passed_on() {
    let (text, _) = two_services(nowhere(), "");
    let place = Place::new(&text);
    let mut process = place.start();
    let problems = r#"["line 6: proxy.x: odd", {"where": "admin.tls.cert", "line": 3, "text": "a.pem is empty"}]"#;
    let report = format!("{{\"good\": false, \"problems\": {problems}, \"warnings\": []}}");
    place.install_script(&format!("echo '{report}'; exit 64"));
    let (status, problem) = refusal(&mut process);
    assert_eq!(status, 422, "{problem}");
    let told = |index: usize| ["where", "line", "found"].map(|part| problem["problems"][index][part].clone());
    assert_eq!(told(0), [json!("config"), json!(null), json!("line 6: proxy.x: odd")]);
    assert_eq!(told(1), [json!("admin.tls.cert"), json!(3), json!("a.pem is empty")]);
    assert!(problem["problems"][0]["wanted"].as_str().unwrap().starts_with("what /"), "{problem}");
}
