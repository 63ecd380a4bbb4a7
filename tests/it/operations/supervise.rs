//! What must live: each thread and task is killed once, in a whole process, and is told, begun again, and not missed.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::process::{Process, config, is_running};
use crate::support::{Answer, Client, Origin, client, eventually, eventually_within, get};

/// A process whose parts can be killed.
struct Patient {
    process: Process,
    folder: tempfile::TempDir,
}

const ACCESS_LOG: &str = "[access_log]\nformat = \"json\"\npath = \"access.log\"\n";

impl Patient {
    fn start(origin: &Origin) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pointsman.toml");
        std::fs::write(&path, config(origin.address(), origin.address(), ACCESS_LOG)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.arg("run").arg("--config").arg(&path).env("POINTSMAN_TEST_FAULTS", folder.path().join("kill"));
        Self { process: Process::start_command(command), folder }
    }

    /// Ends these parts in a panic when they turn next.
    fn kill(&self, parts: &[&str]) {
        let file = |name: &str| -> PathBuf { self.folder.path().join(name) };
        std::fs::write(file("kill.new"), parts.join("\n")).unwrap();
        std::fs::rename(file("kill.new"), file("kill")).unwrap();
    }

    fn readyz(&self) -> Answer {
        let address = self.process.admin_address;
        client::send(address, format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
    }

    fn parts(&self) -> Vec<Value> {
        let status = self.process.get("/v1/status");
        status["parts"].as_array().unwrap().clone()
    }

    /// How often a part has ended, if it runs now.
    fn ends(&self, name: &str) -> Option<u64> {
        let part = self.parts().into_iter().find(|part| part["name"] == name).unwrap();
        (part["state"] == "running").then(|| part["ends"].as_u64().unwrap())
    }

    /// The parts were told to have ended, and run again.
    fn assert_back(&self, parts: &[&str]) {
        eventually("it is ready again", || self.readyz().status == 200);
        for part in parts {
            let quoted = format!("part=\"{part}\"");
            eventually(&format!("{part} runs again"), || self.process.told(&["the part runs again", &quoted]));
            let told = self.process.told(&["ERROR", "a part of the proxy has ended", &quoted, "killed by a test"]);
            assert!(told, "{part}");
            assert_eq!(self.ends(part), Some(1), "{part}");
        }
    }

    fn shift(&self, v1: u32) -> Value {
        self.process.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": v1, "v2": 100 - v1 })).unwrap()
    }
}

#[test]
fn a_task_of_the_control_plane_that_dies_is_told_and_begun_again_and_no_request_fails() {
    let origin = Origin::forgetful(|_| crate::support::Reply::ok(b"hello"));
    let patient = Patient::start(&origin);
    let (asked, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let all = patient.parts();
    let names: Vec<&str> = all.iter().map(|part| part["name"].as_str().unwrap()).collect();
    // The others have a test of their own.
    let threads = ["log", "access log", "worker-0", "worker-1", "writer", "ledger", "control"];
    let tasks: Vec<&str> = names.iter().copied().filter(|name| !threads.contains(name)).collect();
    assert_eq!((names.len(), tasks.len()), (23, 16), "{names:?}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut kept = Client::to(patient.process.listener);
            while !stop.load(Relaxed) {
                assert_eq!(kept.ask(get("/")).status, 200);
                assert_eq!(client::send(patient.process.listener, get("/")).status, 200);
                asked.fetch_add(2, Relaxed);
            }
        });
        let (admin, others): (Vec<&str>, Vec<&str>) = tasks.iter().partition(|name| **name == "admin API");
        patient.kill(&others);
        eventually("it is not ready", || {
            let answer = patient.readyz();
            answer.status == 503 && others.iter().any(|name| answer.text().contains(&format!("{name} is down: it pan")))
        });
        patient.assert_back(&others);
        // Its socket stays, so who comes meanwhile waits.
        patient.kill(&admin);
        eventually("it is told", || patient.process.told(&["a part of the proxy has ended", "admin API"]));
        patient.assert_back(&admin);
        eventually("there were requests all the while", || asked.load(Relaxed) > 100);
        stop.store(true, Relaxed);
    });
    // All of them do what they did: a change of the file is seen, metrics are there, the access log is opened again.
    let path = patient.folder.path().join("pointsman.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("v1 = 100, v2 = 0", "v1 = 80, v2 = 20")).unwrap();
    eventually("the new file is in force", || {
        patient.process.get("/v1/services/shop")["versions"][0]["weight"] == 80.0
    });
    std::fs::remove_file(patient.folder.path().join("access.log")).unwrap();
    patient.process.signal("HUP");
    eventually("the access log is there again", || patient.folder.path().join("access.log").exists());
    let address = patient.process.admin_address;
    let metrics =
        client::send(address, format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    for line in ["pointsman_part_running{part=\"resolver\"} 1", "pointsman_part_ends_total{part=\"resolver\"} 1"] {
        assert!(metrics.text().contains(line), "{line}");
    }
}

#[test]
fn a_writer_that_dies_begins_again_with_its_store() {
    let origin = Origin::saying("hello");
    let mut patient = Patient::start(&origin);
    patient.shift(70);
    patient.kill(&["writer"]);
    // The look at its files is a call as well, and the one that it dies with.
    eventually("it is not ready", || {
        let answer = patient.readyz();
        answer.status == 503 && answer.text().contains("writer is down: it panicked")
    });
    // A call that comes meanwhile waits for it.
    patient.process.send(Method::POST, "/v1/services/shop/flip", json!({ "to": "v1" })).unwrap();
    assert_eq!(client::send(patient.process.listener, get("/")).status, 200);
    patient.assert_back(&["writer"]);
    let revision = patient.process.get("/v1/status")["revision"].as_u64().unwrap();
    let shifted = patient.shift(40);
    assert_eq!(shifted["revision"].as_u64().unwrap(), revision + 1);
    patient.process.send(Method::POST, "/v1/rollback", json!({})).unwrap();
    let weights = |process: &Process| process.get("/v1/services/shop")["versions"][0]["weight"].as_f64().unwrap();
    let before = weights(&patient.process);
    assert!(patient.process.end().success());
    patient.process = Process::start(&patient.folder.path().join("pointsman.toml"));
    assert!((weights(&patient.process) - before).abs() < 1e-9, "what was answered is in the store");
}

#[test]
fn a_rollout_goes_on_when_its_director_dies() {
    let origin = Origin::saying("hello");
    let patient = Patient::start(&origin);
    let plan = json!({ "service": "shop", "to": "v2" });
    let started = patient.process.send(Method::POST, "/v1/rollouts", plan).unwrap();
    let path = format!("/v1/rollouts/{}", started["rollout"]["id"]);
    assert_eq!(patient.process.get(&path)["phase"], "going");
    patient.kill(&["rollouts"]);
    eventually("it is told", || patient.process.told(&["a part of the proxy has ended", "rollouts"]));
    patient.assert_back(&["rollouts"]);
    assert_eq!(patient.process.get(&path)["phase"], "going");
    patient.process.send(Method::POST, &format!("{path}/abort"), json!({})).unwrap();
    eventually("it is told to end", || patient.process.get(&path)["phase"] != "going");
}

#[test]
fn a_worker_that_dies_costs_its_own_connections_and_begins_again_on_its_sockets() {
    let origin = Origin::forgetful(|_| crate::support::Reply::ok(b"hello"));
    let patient = Patient::start(&origin);
    // More connections than one worker: some are cut, and those of the other are not.
    let mut kept: Vec<Client> = (0..40).map(|_| Client::to(patient.process.listener)).collect();
    kept.iter_mut().for_each(|client| assert_eq!(client.ask(get("/")).status, 200));
    patient.kill(&["worker-0"]);
    eventually("it is not ready", || patient.readyz().text().contains("worker-0 is down"));
    let cut = kept.iter_mut().filter(|client| client.is_over()).count();
    assert!((1..40).contains(&cut), "{cut} of 40");
    // Whom the kernel lets in meanwhile is served by the next one: all of these are answered.
    for _ in 0..40 {
        assert_eq!(client::send(patient.process.listener, get("/")).status, 200);
    }
    kept.iter_mut().filter(|client| !client.is_over()).for_each(|client| assert_eq!(client.ask(get("/")).status, 200));
    patient.assert_back(&["worker-0"]);
    for _ in 0..40 {
        assert_eq!(client::send(patient.process.listener, get("/")).status, 200);
    }
    // What is counted of connections stays true.
    drop(kept);
    eventually("no connection is counted that is gone", || patient.process.get("/v1/status")["connections"] == 0);
    // The next process takes the sockets over, and ends with the test.
    let mut patient = patient;
    let next = patient.process.upgrade().unwrap();
    patient.process.wait();
    drop(patient);
    eventually("nothing is left behind", || !is_running(next));
}

#[test]
fn a_log_that_dies_goes_on_and_leaves_the_process_ready() {
    let origin = Origin::saying("hello");
    let patient = Patient::start(&origin);
    patient.kill(&["log", "access log"]);
    let mut v1 = 10;
    eventually_within(Duration::from_secs(10), "both have died and are back", || {
        // Each line is a chance to die.
        assert_eq!(client::send(patient.process.listener, get("/")).status, 200);
        v1 = if v1 == 10 { 20 } else { 10 };
        patient.shift(v1);
        assert_eq!(patient.readyz().status, 200);
        patient.ends("log") == Some(1) && patient.ends("access log") == Some(1)
    });
    patient.shift(55);
    eventually("it is told", || {
        patient.process.told(&["a part of the proxy has ended", "\"log\""])
            && patient.process.told(&["a part of the proxy has ended", "access log"])
    });
    client::send(patient.process.listener, get("/after"));
    let log = patient.folder.path().join("access.log");
    eventually("the access log goes on", || std::fs::read_to_string(&log).unwrap().contains("\"/after\""));
}

#[test]
fn a_worker_that_makes_no_progress_is_told_until_it_goes_on() {
    let origin = Origin::saying("hello");
    let patient = Patient::start(&origin);
    patient.kill(&["stall worker-1", "stall access log"]);
    let patience = Duration::from_secs(30);
    eventually_within(patience, "it is not ready", || {
        // A log that has nothing to write is not stalled. The other worker answers.
        Client::to(patient.process.listener).write(get("/"));
        let answer = patient.readyz();
        answer.status == 503 && answer.text().contains("worker-1 makes no progress")
    });
    patient.process.tells(&["ERROR", "makes no progress", "worker-1"]);
    eventually_within(patience, "it is ready again", || patient.readyz().status == 200);
    patient.process.tells(&["the part goes on", "worker-1"]);
    patient.process.tells(&["ERROR", "makes no progress", "access log"]);
    assert_eq!(patient.ends("worker-1"), Some(0), "nothing was ended for it");
    assert_eq!(client::send(patient.process.listener, get("/")).status, 200);
}

#[test]
fn a_process_that_was_stopped_is_not_taken_for_one_that_stalls() {
    let origin = Origin::saying("hello");
    let patient = Patient::start(&origin);
    patient.process.signal("STOP");
    std::thread::sleep(Duration::from_secs(13));
    patient.process.signal("CONT");
    for _ in 0..15 {
        assert_eq!(patient.readyz().status, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!patient.process.told(&["makes no progress"]));
}

#[test]
fn a_part_that_ends_again_and_again_ends_the_process_in_order() {
    let origin = Origin::saying("hello");
    let mut patient = Patient::start(&origin);
    let file = patient.folder.path().join("kill");
    let given_up = ["ERROR", "given up", "part=\"health\""];
    eventually_within(Duration::from_secs(60), "it is given up", || {
        if !file.exists() {
            patient.kill(&["health"]);
        }
        patient.process.told(&given_up)
    });
    assert_eq!(patient.process.wait().code(), Some(1));
    eventually("it is told", || patient.process.told(&["stopped: the part health of the proxy does not come back"]));
}

#[test]
fn a_control_plane_that_dies_ends_the_process_in_order() {
    let slow = Origin::with(|_| {
        crate::support::Reply::raw("").pause(4_000).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
    });
    let mut patient = Patient::start(&slow);
    let mut client = Client::to(patient.process.listener);
    client.write(get("/"));
    eventually("it is under way", || slow.connections() == 1);
    patient.kill(&["control"]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"), "a request under way may end");
    assert_eq!(patient.process.wait().code(), Some(1), "so that whoever started it starts it again");
    eventually("it is told", || {
        patient.process.told(&["ERROR", "given up", "part=\"control\""])
            && patient.process.told(&["stopped: the part control of the proxy does not come back"])
    });
}
