//! Chaos Toolkit drives the proxy by the experiments of `examples/chaos`, as they are. Nothing of it knows of
//! Pointsman.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::external_tools::python;
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::release::{Operator, version, visitors};

/// A run of `chaos`: how it ended, and its journal.
struct Journal {
    good: bool,
    journal: Value,
}

/// Runs an experiment of `examples/chaos` as `docs/chaos.md` says.
fn chaos(python: &Path, experiment: &str, folder: &Path, environment: &[(&str, String)]) -> Journal {
    let path = folder.join(format!("{experiment}-journal.json"));
    let mut command = Command::new(python.with_file_name("chaos"));
    command.arg("--no-version-check").arg("--log-file").arg(folder.join("log")).arg("run");
    command.args(["--hypothesis-strategy", "continuously", "--hypothesis-frequency", "0.2", "--fail-fast"]);
    command.args(["--rollback-strategy", "always", "--journal-path"]).arg(&path);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/chaos").join(format!("{experiment}.json")));
    command.envs(environment.iter().map(|(name, value)| (name, value.as_str())));
    let output = command.stdin(Stdio::null()).current_dir(folder).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("no journal: {error}\n{said}"));
    let journal: Value = serde_json::from_str(&text).expect("JSON");
    println!("{experiment}: {} {}, deviated {}", output.status, journal["status"], journal["deviated"]);
    Journal { good: output.status.success(), journal }
}

/// A service `pay` with this response timeout, and a fault of this latency.
fn config(v1: SocketAddr, v2: SocketAddr, timeout: &str, latency: &str) -> String {
    format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [services.pay]\nsticky = [\"header:x-user-id\"]\nsplit = {{ v1 = 100, v2 = 0 }}\nresponse_timeout = \"{timeout}\"\n\
         versions.v1.endpoints = [\"{v1}\"]\nversions.v2.endpoints = [\"{v2}\"]\n\
         [services.pay.slo]\navailability = 99.9\n\
         [chaos]\nenabled = true\nshare_max = 50\n\
         [chaos.experiments.slow-payments]\ntarget = {{ service = \"pay\", version = \"v1\", share = 50 }}\n\
         fault = {{ latency = {{ fixed = \"{latency}\" }} }}\nbaseline = \"1s\"\nduration = \"10m\"\n\
         hypothesis = {{ errors = {{ ratio_max = 1.5 }} }}\n"
    )
}

#[test]
fn chaos_toolkit_begins_watches_and_ends_an_experiment_that_does_no_harm() {
    let Some(python) = python("Chaos Toolkit") else { return };
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, config(v1.address(), v2.address(), "10s", "2ms")).unwrap();
    let process = Process::start(&path);
    let load = Load::start(visitors(process.listener, &["/"], 100, false));
    load.await_more(50);
    let environment = [
        ("POINTSMAN_ADMIN", format!("http://{}", process.admin_address)),
        ("ENDPOINT", v1.address().to_string()),
        ("SECONDS_OF_FAULT", "3".to_owned()),
    ];
    for experiment in ["slow-payments", "dead-endpoint"] {
        let Journal { good, journal } = chaos(&python, experiment, folder.path(), &environment);
        // Whether a twentieth of the users notice depends on who comes.
        if experiment == "slow-payments" {
            assert_eq!((good, &journal["deviated"]), (true, &json!(false)), "{journal:#}");
        }
        assert_eq!(journal["rollbacks"][0]["output"]["status"], 200, "{journal:#}");
    }
    let runs = process.get("/v1/chaos")["runs"].clone();
    assert!(runs.as_array().is_some_and(|runs| runs.iter().all(|run| run["state"] == "ended")), "{runs:#}");
    let first = process.get("/v1/chaos/1");
    assert_eq!((&first["ended_by"], &first["reason"]), (&json!("operator"), &json!("Chaos Toolkit")), "{first:#}");
    load.end();
}

#[test]
fn chaos_toolkit_sees_that_the_only_endpoint_is_missed() {
    let Some(python) = python("Chaos Toolkit and an endpoint that is missed") else { return };
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, config(v1.address(), v2.address(), "10s", "2ms")).unwrap();
    let process = Process::start(&path);
    let load = Load::start(visitors(process.listener, &["/"], 100, false));
    load.await_more(50);
    let environment = [
        ("POINTSMAN_ADMIN", format!("http://{}", process.admin_address)),
        ("ENDPOINT", v1.address().to_string()),
        ("SHARE", "50".to_owned()),
        ("SECONDS_OF_FAULT", "8".to_owned()),
    ];
    let Journal { good, journal } = chaos(&python, "dead-endpoint", folder.path(), &environment);
    // Half of the users are refused, and v1 has no other endpoint for them: what looks all the time sees it.
    assert_eq!((good, &journal["deviated"]), (false, &json!(true)), "{journal:#}");
    assert_eq!(journal["rollbacks"][0]["output"]["status"], 200, "{journal:#}");
    let run = process.get("/v1/chaos/1");
    assert_eq!(
        (&run["name"], &run["state"], &run["ending"]),
        (&json!("dead-endpoint"), &json!("ended"), &json!("broken"))
    );
    assert_eq!(run["target"]["share"], json!(50.0), "{run:#}");
    assert!(run["restored_at"].is_string() && run["fault_slice"]["failed"].as_u64() > Some(0), "{run:#}");
    load.end();
}

#[test]
fn chaos_toolkit_sees_harm_and_rolls_back_what_has_ended_by_itself() {
    let Some(python) = python("Chaos Toolkit and a fault that hurts") else { return };
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, config(v1.address(), v2.address(), "500ms", "1s")).unwrap();
    let process = Process::start(&path);
    let load = Load::start(visitors(process.listener, &["/"], 100, false));
    load.await_more(50);
    let admin = format!("http://{}", process.admin_address);
    let environment = [("POINTSMAN_ADMIN", admin), ("SECONDS_OF_FAULT", "12".to_owned())];
    let Journal { good, journal } = chaos(&python, "slow-payments", folder.path(), &environment);
    assert_eq!((good, &journal["deviated"]), (false, &json!(true)), "{journal:#}");
    // What looks all the time has seen it: the rest of the method was not begun.
    let looks = journal["steady_states"]["during"].as_array().expect("it looked meanwhile");
    assert!(looks.iter().any(|look| look["steady_state_met"] == false), "{journal:#}");
    assert_eq!(journal["run"].as_array().map(Vec::len), Some(1), "{journal:#}");
    assert_eq!(journal["rollbacks"][0]["output"]["status"], 200, "{journal:#}");
    let operator = Operator::at(process.admin_address);
    eventually("all is as before", || {
        let run = operator.0.call(pointsman::cli::client::Call::get("/v1/chaos/1")).expect("it is known");
        run["restored_at"].is_string()
    });
    load.end();
}
