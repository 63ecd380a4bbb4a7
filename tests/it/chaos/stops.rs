//! What ends a run before its time because of how its service is, and refuses the next start for the same reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pointsman::cli::client::Call;
use serde_json::{Value, json};

use super::bench::{Bench, begin, post, slow, until};
use crate::support::process::Process;
use crate::support::{Origin, Reply, client, eventually};

/// A service `shop` with an objective whose origin fails once the flag is up.
struct Failing {
    bench: Bench,
    fails: Arc<AtomicBool>,
    _origin: Origin,
}

impl Failing {
    /// Its experiment `slow` has this `stop_when`.
    fn new(stop_when: &str) -> Self {
        let fails = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&fails);
        let origin = Origin::forgetful(move |_| match flag.load(SeqCst) {
            true => Reply::raw("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
            false => Reply::ok("well"),
        });
        let service = format!(
            "[services.till]\npaths = [\"/till\"]\nsticky = [\"header:x-user-id\"]\nversions.v1.endpoints = [\"{}\"]\n\
             [services.till.slo]\navailability = 99\n",
            origin.address()
        );
        let chaos = slow(&format!("baseline = \"0s\"\nduration = \"10m\"\nstop_when = {stop_when}\n{service}"));
        let bench = Bench::new(&chaos.replace("\"shop\"", "\"till\""));
        Self { bench, fails, _origin: origin }
    }

    /// This many requests of different users.
    fn ask(process: &Process, count: u32) {
        for user in 0..count {
            let lines = format!("Host: a\r\nx-user-id: {user}\r\nConnection: close");
            client::send(process.listener, format!("GET /till HTTP/1.1\r\n{lines}\r\n\r\n"));
        }
    }

    /// Well at first, then not: what ends the run.
    fn run(&self, process: &Process) -> Value {
        Self::ask(process, 30);
        // What the store has of the budget is read soon after the start.
        eventually("the budget is known", || process.admin.call(Call::get("/v1/services/till/budget")).is_ok());
        let run = begin(process, "slow");
        Self::ask(process, 10);
        assert_eq!(process.get("/v1/chaos/1")["state"], "injecting", "{run:#}");
        self.fails.store(true, SeqCst);
        Self::ask(process, 40);
        until(process, 1, "ended and restored", |run| {
            let is_over = run["restored_at"].is_string();
            // Users go on asking: what is steady is a matter of the last seconds.
            Self::ask(process, if is_over { 0 } else { 10 });
            is_over
        })
    }
}

fn refused(process: &Process) -> String {
    post(process, "/v1/chaos", json!({ "experiment": "slow" })).expect_err("it is refused").to_string()
}

#[test]
fn less_of_the_budget_than_it_wants_ends_it_and_a_budget_that_is_spent_refuses_the_next() {
    let failing = Failing::new("{ budget_left_below = 20 }");
    let process = failing.bench.start();
    let run = failing.run(&process);
    // Others may have spent it: that says nothing of the hypothesis.
    assert_eq!((&run["ended_by"], &run["ending"]), (&json!("budget"), &json!("not_enough_data")), "{run:#}");
    assert!(run["sentence"].as_str().unwrap().contains("want 20 %"), "{run:#}");
    // 40 of 80 failed where one of a hundred may.
    eventually("all is counted", || process.get("/v1/services/till/budget")["left_percent"].as_f64() < Some(-1000.0));
    let told = refused(&process);
    let words = ["error budget of till left: it is spent", "a budget to spend of", "GET /v1/services/till/budget"];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(process.get("/v1/chaos")["runs"].as_array().map(Vec::len), Some(1), "nothing was begun");
}

#[test]
fn a_service_that_is_not_steady_any_more_ends_it_and_refuses_the_next() {
    let failing = Failing::new("{ steady = true }");
    let process = failing.bench.start();
    let run = failing.run(&process);
    assert_eq!((&run["ended_by"], &run["ending"]), (&json!("steady"), &json!("broken")), "{run:#}");
    assert!(run["sentence"].as_str().unwrap().contains("requests failed in the last 10 s"), "{run:#}");
    eventually("the next is refused as long as that is so", || {
        Failing::ask(&process, 30);
        let told = refused(&process);
        told.contains("till not steady: ") && told.contains("wait until it is steady (GET /v1/steady)")
    });
}

#[test]
fn what_is_wrong_with_a_definition_hides_nothing_that_speaks_against_it_now() {
    let bench = Bench::new(&slow("baseline = \"1m\"\nduration = \"10m\"\n"));
    let process = bench.start();
    begin(&process, "slow");
    let definition = json!({
        "target": { "service": "shop", "share": 30, "version": "v9" },
        "fault": { "command": { "run": ["/bin/true"] } },
        "hypothesis": { "errors": {} },
    });
    let told = post(&process, "/v1/chaos", json!({ "name": "try", "definition": definition, "reson": "x" }));
    let told = told.expect_err("it is refused").to_string();
    let words = [
        "reson",
        "definition.target.share",
        "definition.target.version",
        "definition.fault.command",
        "definition.duration",
        "pointsman chaos stop 1",
    ];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}
