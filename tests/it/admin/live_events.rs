//! The stream of the proxy's state, by the real binary: what it says, who may read it, and when it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::event_stream::{EventStream, StreamEvent};
use crate::support::process::{Process, config};
use crate::support::{Origin, PATIENCE, client, fault, with};

const PATH: &str = "/v1/events";

/// A proxy before two origins, whose config has these lines below its service.
struct Watched {
    process: Process,
    folder: TempDir,
    _origins: [Origin; 2],
}

impl Watched {
    fn start(more: &str) -> Self {
        Self::at("127.0.0.1:0", more)
    }

    /// The same with the admin API at this address.
    fn at(admin: &str, more: &str) -> Self {
        let origins = [Origin::saying("v1"), Origin::saying("v2")];
        let folder = tempfile::tempdir().unwrap();
        let text = config(origins[0].address(), origins[1].address(), more);
        let text = text.replace("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\naddress = \"{admin}\""));
        fs::write(Self::config_in(folder.path()), text).unwrap();
        Self { process: Process::start(&Self::config_in(folder.path())), folder, _origins: origins }
    }

    fn config_in(folder: &Path) -> PathBuf {
        folder.join("pointsman.toml")
    }

    fn admin(&self) -> SocketAddr {
        self.process.admin_address
    }

    fn events(&self) -> EventStream {
        EventStream::open(self.admin(), PATH, &[])
    }

    fn shift(&self, v2: u32) {
        let body = json!({ "v1": 100 - v2, "v2": v2 });
        self.process.send(Method::PUT, "/v1/services/shop/split", body).expect("a shift");
    }
}

/// What a patch of RFC 7396 makes of a document, by the words of the standard.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Reads until the document is as `wanted`; the last event, and what changes said.
fn read_until(
    stream: &mut EventStream,
    document: &mut Value,
    wanted: impl Fn(&Value) -> bool,
) -> (StreamEvent, Vec<Value>) {
    let mut changes = Vec::new();
    for _ in 0..200 {
        let event = stream.event().expect("a stream without an end");
        match event.name.as_str() {
            "snapshot" => *document = event.data.clone(),
            "change" => {
                merge(document, &event.data);
                changes.push(event.data.clone());
            }
            other => panic!("{other}"),
        }
        if wanted(document) {
            return (event, changes);
        }
    }
    panic!("not within 200 events: {document}");
}

fn weight(document: &Value, version: &str) -> f64 {
    document["services"]["shop"]["versions"][version]["weight"].as_f64().unwrap_or(-1.0)
}

#[test]
fn a_stream_says_what_is_and_then_what_changes() {
    let watched = Watched::start("[flags.dark]\nrules = [{ serve = { on = 10, off = 90 } }]\n");
    let mut stream = watched.events();
    assert_eq!(stream.status, 200);
    for line in ["content-type: text/event-stream", "cache-control: no-store", "transfer-encoding: chunked"] {
        assert!(stream.head.contains(line), "{}", stream.head);
    }
    assert_eq!(stream.part().as_deref(), Some("retry: 1000\n\n"));
    let mut document = Value::Null;
    let (first, _) = read_until(&mut stream, &mut document, |_| true);
    assert_eq!(first.name, "snapshot");
    let shop = &document["services"]["shop"];
    assert_eq!((weight(&document, "v1"), &shop["versions"]["v2"]["effective_weight"]), (100.0, &json!(0.0)));
    assert!(shop["versions"]["v1"]["endpoints"].as_object().is_some_and(|endpoints| endpoints.len() == 1), "{shop}");
    assert_eq!(document["flags"]["dark"]["enabled"], true);
    watched.shift(30);
    let (event, changes) = read_until(&mut stream, &mut document, |document| weight(document, "v2") == 30.0);
    let revision = watched.process.get("/v1/status")["revision"].clone();
    assert_eq!((&document["revision"], event.id.split('-').next()), (&revision, Some(revision.to_string().as_str())));
    let of_shift = changes.last().unwrap();
    assert!(of_shift.get("flags").is_none() && of_shift["services"]["shop"].get("hosts").is_none(), "{of_shift}");
    // Traffic is in it as well.
    for user in 0..50 {
        client::send(watched.process.listener, with(&[&format!("X-User-Id: user-{user}")]));
    }
    let requests = |document: &Value| {
        let versions = &document["services"]["shop"]["versions"];
        ["v1", "v2"].map(|version| versions[version]["requests"].as_u64().unwrap()).iter().sum::<u64>()
    };
    read_until(&mut stream, &mut document, |document| requests(document) == 50);
    assert!(document["services"]["shop"]["versions"]["v1"]["recent"]["p99_ms"].is_number(), "{document}");
}

#[test]
fn a_reader_that_comes_back_goes_on_and_one_with_a_strange_id_gets_everything() {
    let watched = Watched::start("");
    let mut stream = watched.events();
    let mut document = Value::Null;
    let (first, _) = read_until(&mut stream, &mut document, |_| true);
    watched.shift(20);
    read_until(&mut stream, &mut document.clone(), |document| weight(document, "v2") == 20.0);
    let mut back = EventStream::resume(watched.admin(), PATH, &first.id);
    let (_, changes) = read_until(&mut back, &mut document, |document| weight(document, "v2") == 20.0);
    assert_eq!(changes.len(), 1, "it is told of the change only");
    for strange in ["7", "1-0.1", "999999-abc.77", "%00", "\u{e9}"] {
        let mut stream = EventStream::resume(watched.admin(), PATH, strange);
        assert_eq!(stream.event().expect("an event").name, "snapshot", "{strange:?}");
    }
}

#[test]
fn streams_end_with_the_process_and_do_not_keep_it() {
    let mut watched = Watched::start("");
    let mut streams: Vec<_> = (0..3).map(|_| watched.events()).collect();
    for stream in &mut streams {
        stream.event().expect("a snapshot");
    }
    assert!(watched.process.end().success());
    for stream in &mut streams {
        while stream.event().is_some() {}
    }
    assert!(!watched.process.told(&["ended early"]) && !watched.process.told(&["panic"]));
}

#[test]
fn a_token_that_may_read_is_wanted_and_a_call_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "looks-only").unwrap();
    let tokens = format!("[admin.tokens.board]\nrole = \"read\"\nfile = \"{}\"\n", token.display());
    let watched = Watched::start(&tokens);
    assert_eq!(watched.events().status, 401);
    let with = |line: &str| EventStream::open(watched.admin(), PATH, &[line.to_owned()]).status;
    assert_eq!(with("Authorization: Bearer wrong"), 401);
    assert_eq!(with("Authorization: Bearer looks-only"), 200);
    let authorized = ["Authorization: Bearer looks-only".to_owned()];
    assert_eq!(EventStream::open(watched.admin(), "/v1/events?since=3", &authorized).status, 422);
}

#[test]
fn a_token_that_is_taken_back_reads_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "looks-only-until-then").unwrap();
    let tokens = format!("[admin.tokens.board]\nrole = \"read\"\nfile = \"{}\"\n", token.display());
    let watched = Watched::start(&tokens);
    let with = |secret: &str| EventStream::open(watched.admin(), PATH, &[format!("Authorization: Bearer {secret}")]);
    let mut stream = with("looks-only-until-then");
    assert_eq!(stream.event().unwrap().name, "snapshot");
    fs::write(&token, "another-one-from-now-on").unwrap();
    watched.process.signal("HUP");
    // It ends by itself, with the next change or the next sign of life.
    while stream.event().is_some() {}
    assert_eq!(with("looks-only-until-then").status, 401);
    let mut new = with("another-one-from-now-on");
    assert_eq!(new.event().unwrap().name, "snapshot");
}

/// `pointsman status --watch`, by its lines.
struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watching {
    fn start(address: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["status", "--watch", "--admin", &format!("http://{address}")]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self { child, lines }
    }

    /// Reads until a line is as `wanted`.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let mut seen = String::new();
        while !seen.lines().last().is_some_and(&wanted) {
            let line = self.lines.recv_timeout(PATIENCE);
            seen.push_str(&line.unwrap_or_else(|_| panic!("no line with {what}:\n{seen}")));
            seen.push('\n');
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn status_watch_shows_changes_and_outlives_a_restart_of_the_proxy() {
    // The next process has the address too, and meanwhile no other program.
    let (address, _reserved) = fault::reserved();
    let mut watched = Watched::at(&address.to_string(), "");
    let json = Watching::start(address, &["shop", "--json"]);
    let text = Watching::start(address, &[]);
    let v2 = |line: &str| {
        let service: Value = serde_json::from_str(line).unwrap_or_default();
        service["versions"]["v2"]["weight"].as_f64()
    };
    json.until("v2 at 0 %", |line| v2(line) == Some(0.0));
    text.until("the service", |line| line.starts_with("shop  any host /"));
    watched.shift(40);
    json.until("v2 at 40 %", |line| v2(line) == Some(40.0));
    text.until("v2 at 40 %", |line| line.trim_start().starts_with("v2") && line.contains(" 40 "));
    assert!(watched.process.end().success());
    text.until("word of the loss", |line| line.contains("the connection to the proxy is lost"));
    watched.process = Process::start(&Watched::config_in(watched.folder.path()));
    watched.shift(70);
    json.until("v2 at 70 %", |line| v2(line) == Some(70.0));
    text.until("v2 at 70 %", |line| line.trim_start().starts_with("v2") && line.contains(" 70 "));
    let mut unknown = Watching::start(address, &["shoop"]);
    assert_eq!(unknown.child.wait().unwrap().code(), Some(1), "there is no such service");
    let mut nothing = Watching::start(([127, 0, 0, 1], 1).into(), &[]);
    assert_eq!(nothing.child.wait().unwrap().code(), Some(1), "there is no proxy");
}
