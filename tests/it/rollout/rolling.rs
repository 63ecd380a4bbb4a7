//! Rolling releases over real processes that the hook ends and starts: no user notices, also when it goes wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::Socket;

use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, visitors};
use crate::support::{Client, Origin, Proxy, Reply, eventually_within, fault, get};

/// What the endpoints run.
const ENDPOINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/endpoint.py");

/// How long a process may take to start on a busy machine.
const SLOW_START: Duration = Duration::from_secs(30);

/// Four endpoints, each a process of its own, and the hook that restarts one of them.
struct Machines {
    folder: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
    /// They keep the ports while none of them listens.
    _reserved: Vec<Socket>,
}

impl Machines {
    fn running(version: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (addresses, reserved) = (0..4).map(|_| fault::reserved()).unzip();
        // With the word `broken-PORT` in the folder, the new version does not start there.
        let script = format!(
            "cd \"$(dirname \"$0\")\"\n\
             [ \"$2\" = v2 ] && [ -e \"broken-$1\" ] && echo 'no such package' >&2 && exit 3\n\
             [ -e \"$1.pid\" ] && kill \"$(cat \"$1.pid\")\" && while kill -0 \"$(cat \"$1.pid\")\" 2>/dev/null; do sleep 0.02; done\n\
             setsid python3 {ENDPOINT} \"$1\" \"$2\" >/dev/null 2>&1 &\n\
             echo $! > \"$1.pid\"\n"
        );
        std::fs::write(folder.path().join("restart.sh"), script).unwrap();
        let machines = Self { folder, addresses, _reserved: reserved };
        for address in &machines.addresses {
            let port = address.port().to_string();
            let started = Command::new("sh").arg(machines.hook()).args([&port, version]).stdin(Stdio::null()).status();
            assert!(started.unwrap().success());
        }
        for address in &machines.addresses {
            eventually_within(SLOW_START, "the endpoint listens", || std::net::TcpStream::connect(address).is_ok());
        }
        machines
    }

    fn hook(&self) -> PathBuf {
        self.folder.path().join("restart.sh")
    }

    /// The new version will not start on the endpoint with this number.
    fn break_one(&self, number: usize) {
        std::fs::write(self.folder.path().join(format!("broken-{}", self.addresses[number].port())), "").unwrap();
    }

    /// What each of them runs.
    fn versions(&self) -> Vec<String> {
        self.addresses.iter().map(|address| Client::to(*address).ask(get("/")).text()).collect()
    }

    fn proxy(&self, more: &str) -> Proxy {
        let hook = self.hook();
        let hook =
            format!("{{ command = [\"sh\", \"{}\", \"{{port}}\", \"{{to}}\"], timeout = \"20s\" }}", hook.display());
        self.proxy_with(&hook, more)
    }

    /// With another hook. Latency is not judged: without a warm-up a process that has just begun is slower than the
    /// others, and says so.
    fn proxy_with(&self, upgrade: &str, more: &str) -> Proxy {
        let endpoints: Vec<_> = self.addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let endpoints = endpoints.join(", ");
        Proxy::start(&format!(
            "[listeners.public]\naddress = \"127.0.0.1:0\"\n[services.site]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
             versions.v1.endpoints = [{endpoints}]\nversions.v2.endpoints = [{endpoints}]\n\
             [services.site.rollout]\nstrategy = \"rolling\"\nwatch = \"300ms\"\n\
             upgrade = {upgrade}\n\
             smoke = [{{ path = \"/\" }}]\njudge = {{ warm_up = \"0s\", requests_min = 20, slower = false }}\n{more}"
        ))
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for address in &self.addresses {
            let file = self.folder.path().join(format!("{}.pid", address.port()));
            if let Ok(process) = std::fs::read_to_string(Path::new(&file)) {
                let _ended = Command::new("kill").arg(process.trim()).stderr(Stdio::null()).status();
            }
        }
    }
}

/// A receiver of notifications.
struct ReadBuf {
    origin: Origin,
    said: Arc<Mutex<Vec<Value>>>,
}

impl ReadBuf {
    fn open() -> Self {
        let said = Arc::<Mutex<Vec<Value>>>::default();
        let noted = Arc::clone(&said);
        let origin = Origin::forgetful(move |seen| {
            noted.lock().unwrap().push(serde_json::from_str(&seen.text()).unwrap());
            Reply::ok("")
        });
        Self { origin, said }
    }

    fn messages(&self) -> Vec<Value> {
        self.said.lock().unwrap().clone()
    }

    fn words(&self) -> Vec<String> {
        self.messages().iter().map(|message| message["event"].as_str().unwrap().to_owned()).collect()
    }
}

/// The weights of the new version, as the rollout went through them.
fn weights(rollout: &Value) -> Vec<f64> {
    let mut weights: Vec<f64> =
        rollout["events"].as_array().unwrap().iter().filter_map(|event| event["weight"].as_f64()).collect();
    weights.dedup();
    weights
}

fn start(operator: &Operator) -> u64 {
    id(&operator.start(json!({"service": "site", "to": "v2"})))
}

#[test]
fn four_processes_are_upgraded_under_load_and_nobody_notices() {
    let machines = Machines::running("v1");
    let proxy = machines.proxy("");
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    load.await_more(200);
    let over = operator.until_ended(start(&operator), "completed");
    assert_eq!(weights(&over), [0.0, 25.0, 50.0, 75.0, 100.0], "{over:#}");
    assert_eq!(machines.versions(), ["v2"; 4]);
    // And the next release goes the other way.
    let back = operator.start(json!({"service": "site", "to": "v1"}));
    operator.until_ended(id(&back), "completed");
    assert_eq!(machines.versions(), ["v1"; 4]);
    println!("{} requests through two rolling releases, none failed", load.end_well());
}

#[test]
fn a_rolling_release_tells_of_each_endpoint_once_and_of_its_parts_who_wants_them() {
    let (usual, all) = (ReadBuf::open(), ReadBuf::open());
    let machines = Machines::running("v1");
    let words = "[\"progress\", \"finished\"]";
    let notify = format!(
        "[notify.usual]\nurl = \"http://{}/\"\n[notify.all]\nurl = \"http://{}/\"\nevents = {words}\n",
        usual.origin.address(),
        all.origin.address()
    );
    let proxy = machines.proxy(&notify);
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    load.await_more(200);
    operator.until_ended(start(&operator), "completed");
    crate::support::eventually("the end is told", || usual.words().last().is_some_and(|word| word == "finished"));
    crate::support::eventually("the end is told", || all.words().last().is_some_and(|word| word == "finished"));
    assert_eq!(usual.words(), ["started", "advanced", "advanced", "advanced", "advanced", "finished"]);
    for (message, address) in usual.messages()[1..5].iter().zip(&machines.addresses) {
        assert_eq!(message["endpoints"], json!([format!("site {address}")]), "{message:#}");
        assert!(message["text"].as_str().unwrap().contains(&address.to_string()), "{message:#}");
    }
    assert!(all.words().iter().all(|word| word == "progress" || word == "finished"), "{:?}", all.words());
    let parts: Vec<_> = all.messages().into_iter().filter(|message| message["event"] == "progress").collect();
    assert!(parts.len() >= 12, "drain, upgrade and verification of each: {parts:#?}");
    assert!(parts.iter().all(|message| message["endpoints"][0].is_string()), "{parts:#?}");
    load.end_well();
}

#[test]
fn a_hook_that_fails_on_the_third_is_undone_on_all() {
    let machines = Machines::running("v1");
    machines.break_one(2);
    let proxy = machines.proxy("");
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    load.await_more(200);
    let over = operator.until_ended(start(&operator), "task_failed");
    assert_eq!(machines.versions(), ["v1"; 4]);
    assert_eq!(over["weight"], 0.0, "{over:#}");
    assert!(over.to_string().contains("no such package"), "what the hook said is kept: {over:#}");
    assert!(last_words(&over).contains("failed: upgrade"), "{over:#}");
    let endpoints = proxy.status()["versions"][0]["endpoints"].clone();
    assert!(!endpoints.to_string().contains("\"drained\":true"), "all of v1 is back: {endpoints:#}");
    println!("{} requests through a release that failed, none of them did", load.end_well());
}

#[test]
fn hooks_that_hang_or_print_for_ever_are_answers_too() {
    for (command, timeout, says) in [
        ("sleep 100", "500ms", "was not done within"),
        ("yes; exit 1", "500ms", "was not done within"),
        ("head -c 20000000 /dev/zero; echo 'that was much' >&2; exit 7", "1m", "that was much"),
        ("kill -9 $$", "1m", "ended by signal 9"),
    ] {
        let machines = Machines::running("v1");
        let hook = format!("{{ command = [\"sh\", \"-c\", \"{command}\"], timeout = \"{timeout}\" }}");
        // The way back has a hook that works: nothing was changed.
        let proxy = machines.proxy_with(&hook, "undo = { command = [\"true\"] }\n");
        let operator = Operator::at(proxy.admin);
        let over = operator.until_ended(start(&operator), "task_failed");
        let events = over["events"].to_string();
        assert!(events.contains(says), "{command}: want {says:?} in {events}");
        assert_eq!(machines.versions(), ["v1"; 4]);
    }
}

#[test]
fn somebody_can_do_the_upgrade_by_hand() {
    let machines = Machines::running("v1");
    let proxy = machines.proxy_with("\"acknowledge\"", "batch = 2\n");
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    let rollout = start(&operator);
    assert!(operator.try_start(json!({"service": "site", "to": "v2"})).is_err(), "one at a time");
    for batch in [&machines.addresses[..2], &machines.addresses[2..]] {
        let waits = operator.until(rollout, "waiting", |rollout| rollout["task"] == "upgrade");
        let how = [&waits["phase"], &waits["waits_for"], &waits["command"]];
        assert_eq!(how, ["waiting", "acknowledgement", "pointsman rollout acknowledge site"], "{waits:#}");
        let last = waits["events"].as_array().unwrap().last().unwrap();
        assert_eq!(last["word"], "waiting", "{waits:#}");
        let list = format!("{}, {}", batch[0], batch[1]);
        assert!(last["text"].as_str().unwrap().contains(&format!("the upgrade of {list} by hand")), "{last:#}");
        let named: Vec<_> = batch.iter().map(|address| json!(format!("site {address}"))).collect();
        assert_eq!(waits["endpoints"], json!(named), "in the order of the config, and it says which");
        for address in batch {
            let port = address.port().to_string();
            assert!(Command::new("sh").arg(machines.hook()).args([&port, "v2"]).status().unwrap().success());
        }
        operator.order(rollout, "acknowledge").unwrap();
        assert!(operator.order(rollout, "acknowledge").is_err(), "once is enough");
    }
    operator.until_ended(rollout, "completed");
    load.end_well();
}
