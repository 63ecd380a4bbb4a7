//! The process ends, or another one takes over, while a fault is done to requests: users are unharmed after it, what a
//! command did is undone, and the record says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pointsman::testing::stats::FaultSlice;
use serde_json::json;

use super::bench::{Bench, FAILING, begin, command, metric, post, until_file, until_restored};
use super::injected::users;
use crate::support::load::{Load, User, connect};
use crate::support::process::Process;
use crate::support::{Client, eventually};

/// A user of a slice of run 1, who asks again and again.
struct Asking {
    proxy: SocketAddr,
    user: String,
    client: Option<Client>,
    /// Whether the fault may be met.
    may_fail: Arc<AtomicBool>,
}

impl User for Asking {
    fn ask(&mut self, _number: u64) -> Result<(), String> {
        let may_fail = self.may_fail.load(SeqCst);
        let mut client = match self.client.take().filter(|client| !client.is_over()) {
            Some(client) => client,
            None => Client::over(connect(self.proxy)?),
        };
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: {}\r\n\r\n", self.user);
        let answer = client.write(request).read(false).map_err(|(end, _)| format!("{}: {end:?}", self.user))?;
        let good = answer.status == 200 || answer.status == 503 && may_fail;
        self.client = answer.header("connection").is_none().then_some(client);
        if good { Ok(()) } else { Err(format!("{}: {}", self.user, answer.status)) }
    }
}

/// Two users of each slice at work; those of the fault slice may meet it as long as the flag is up.
fn load(proxy: SocketAddr, fault: &Arc<AtomicBool>) -> Load {
    let asking = |slice: FaultSlice| {
        let flag = if slice == FaultSlice::Fault { Arc::clone(fault) } else { Arc::default() };
        users(slice).take(2).map(move |user| -> Box<dyn User> {
            Box::new(Asking { proxy, user, client: None, may_fail: Arc::clone(&flag) })
        })
    };
    Load::start(asking(FaultSlice::Fault).chain(asking(FaultSlice::Control)).collect())
}

/// The status that a user gets.
fn visit(process: &Process, user: &str) -> u16 {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\nConnection: close\r\n\r\n");
    crate::support::client::send(process.listener, request).status
}

/// A fault that is done to requests of `shop`, and a command about another service.
fn bench() -> Bench {
    let bench = Bench::new("");
    let (begun, undone) = (bench.file("begun"), bench.file("undone"));
    let command = command(&format!("touch {}", begun.display()), &format!("touch {}", undone.display()));
    let command = command.replacen("enabled = true\n", "", 1).replace("\"shop\"", "\"disks\"");
    let disks = "[services.disks]\npaths = [\"/disks\"]\nversions.v1.endpoints = [\"127.0.0.1:9\"]\n";
    bench.write(&format!("{FAILING}{command}{disks}"));
    bench
}

/// Begins both, and waits until they do what they do.
fn begin_both(bench: &Bench, process: &Process) {
    let run = begin(process, "failing");
    assert_eq!((&run["id"], &run["state"]), (&json!(1), &json!("injecting")), "{run:#}");
    // A run is known when its start is answered.
    assert_eq!(process.get("/v1/chaos/1")["state"], "injecting");
    begin(process, "disk");
    until_file(&bench.file("begun"));
    assert!(users(FaultSlice::Fault).take(5).all(|user| visit(process, &user) == 503));
    assert!(users(FaultSlice::Control).take(5).all(|user| visit(process, &user) == 200));
}

/// That all is as before, and that this is known.
fn check(bench: &Bench, process: &Process) {
    assert!(users(FaultSlice::Fault).take(10).all(|user| visit(process, &user) == 200), "the fault is gone");
    for (id, undo) in [(1, json!(null)), (2, json!({ "state": "done", "tries": 1, "error": null }))] {
        let run = until_restored(process, id);
        assert_eq!((&run["state"], &run["ended_by"]), (&json!("ended"), &json!("restart")), "{run:#}");
        assert_eq!((&run["ending"], &run["undo"]), (&json!("not_enough_data"), &undo), "{run:#}");
        // Without the letter of the zone: a time may have fewer digits than a later one.
        let time = |name: &str| run[name].as_str().map(|time| time.trim_end_matches('Z'));
        assert!(time("restored_at") >= time("ended_at") && time("ended_at").is_some(), "{run:#}");
        assert!(run["sentence"].as_str().unwrap().contains("the process ended"), "{run:#}");
    }
    assert!(bench.file("undone").exists());
    let explained = json!({ "host": "a", "headers": { "x-user-id": users(FaultSlice::Fault).next() } });
    assert_eq!(post(process, "/v1/explain", explained).unwrap()["chaos"], json!(null));
}

#[test]
fn a_power_cut_in_the_middle_of_a_fault_leaves_users_unharmed() {
    let bench = bench();
    let process = bench.start();
    begin_both(&bench, &process);
    let load = load(process.listener, &Arc::new(AtomicBool::new(true)));
    load.await_more(50);
    process.kill();
    // Those that were under way are lost with the process.
    load.end();
    let process = bench.start();
    // What the store has of it is known to the first who ask.
    let run = process.get("/v1/chaos/1");
    assert_eq!((&run["name"], &run["state"]), (&json!("failing"), &json!("ended")), "{run:#}");
    assert_eq!(process.get("/v1/chaos")["runs"].as_array().map(Vec::len), Some(2));
    check(&bench, &process);
    // It may be begun again: as another run, with other users.
    assert_eq!(begin(&process, "failing")["id"], 3);
}

#[test]
fn an_upgrade_in_the_middle_of_a_fault_ends_it_without_a_request_lost() {
    let bench = bench();
    let mut process = bench.start();
    begin_both(&bench, &process);
    let fault = Arc::new(AtomicBool::new(true));
    let load = load(process.listener, &fault);
    load.await_more(50);
    process.upgrade().unwrap();
    // Not a moment later: it went before the new process was let in.
    fault.store(false, SeqCst);
    assert!(users(FaultSlice::Fault).take(10).all(|user| visit(&process, &user) == 200), "the fault is gone");
    load.await_more(50);
    process.wait_for_first();
    load.await_more(50);
    check(&bench, &process);
    load.end_well();
}

#[test]
fn an_upgrade_lets_go_of_what_a_fault_keeps_waiting() {
    let bench = Bench::new(&FAILING.replace("abort = 503", "latency = { fixed = \"5m\" }"));
    let mut process = bench.start();
    begin(&process, "failing");
    let user = users(FaultSlice::Fault).next().unwrap();
    let mut waiting = Client::to(process.listener);
    waiting.write(format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n\r\n"));
    let in_flight = || metric(&process, "pointsman_requests_in_flight{service=\"shop\"}");
    eventually("it waits", || in_flight().as_deref() == Some("1"));
    process.upgrade().unwrap();
    // The process that is about to end has no fault any more: the request is sent after all.
    assert_eq!(waiting.read(false).map(|answer| answer.status).ok(), Some(200));
    let run = until_restored(&process, 1);
    assert_eq!((&run["ended_by"], &run["undo"]), (&json!("restart"), &json!(null)), "{run:#}");
}
