//! Replicas that are none: they hold a lease, follow the shared state, and say that they have it, as a replica does, on
//! a thread each. What they cost etcd and the leader is what replicas do; they serve no one.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client;

/// Between two signs of life, as of a replica.
const BEAT: Duration = Duration::from_secs(3);

/// Some of them, until they are dropped.
pub(super) struct Simulated {
    stop: Arc<AtomicBool>,
    all: Vec<JoinHandle<()>>,
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for member in self.all.drain(..) {
            // One that has failed has said so, and the figures are wrong.
            let failed = member.join().is_err();
            assert!(!failed || std::thread::panicking(), "a simulated replica has failed");
        }
    }
}

impl Simulated {
    /// This number of them, below a prefix of the etcd at this port.
    pub(super) fn start(port: u16, prefix: &'static str, count: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let all = (0..count).map(|number| {
            let stop = Arc::clone(&stop);
            let etcd = (Ipv4Addr::LOCALHOST, port).into();
            spawn(move || Member { etcd, prefix, name: format!("sim-{number}"), lease: String::new() }.follow(&stop))
        });
        Self { all: all.collect(), stop }
    }
}

struct Member {
    etcd: SocketAddr,
    prefix: &'static str,
    name: String,
    lease: String,
}

impl Member {
    fn follow(mut self, stop: &AtomicBool) {
        self.lease = self.ask("lease/grant", &json!({ "TTL": "10" }))["ID"].as_str().unwrap().to_owned();
        let mut watch = self.watch();
        let mut known = self.report(0);
        let (state, mut seen, mut beat) = (encoded(&format!("{}/live/state", self.prefix)), Vec::new(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let mut buffer = [0; 65_536];
            match watch.read(&mut buffer) {
                Ok(0) => panic!("etcd has ended the watch of {}", self.name),
                Ok(count) => seen.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
            // What is cut off at the end is looked at again with what follows.
            if seen.windows(state.len()).any(|part| part == state.as_bytes()) {
                seen.clear();
                known = self.report(known);
            } else if seen.len() > state.len() {
                seen.drain(..seen.len() - state.len());
            }
            if beat.elapsed() >= BEAT {
                beat = Instant::now();
                self.ask("lease/keepalive", &json!({ "ID": self.lease }));
            }
        }
    }

    /// Follows all that replicas follow.
    fn watch(&self) -> TcpStream {
        let mut watch = TcpStream::connect(self.etcd).unwrap();
        let (key, end) = (format!("{}/live/", self.prefix), format!("{}/live0", self.prefix));
        let body = json!({ "create_request": { "key": encoded(&key), "range_end": encoded(&end) } });
        watch.write_all(self.request("watch", &body).as_bytes()).unwrap();
        watch.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        watch
    }

    /// Says which revision it has, if that is another one than is `known`.
    fn report(&self, known: u64) -> u64 {
        let state = self.ask("kv/range", &json!({ "key": encoded(&format!("{}/live/state", self.prefix)) }));
        let state = STANDARD.decode(state["kvs"][0]["value"].as_str().expect("a state")).unwrap();
        let state: Value = serde_json::from_slice(&state).unwrap();
        let revision = state["revision"].as_u64().unwrap();
        if revision != known {
            let own = json!({
                "name": self.name, "replica": self.name, "address": null, "version": "0", "started_ms": 0,
                "revision": revision, "generation": state["generation"], "config": "",
            });
            let key = encoded(&format!("{}/live/members/{}", self.prefix, self.name));
            self.ask("kv/put", &json!({ "key": key, "value": encoded(&own.to_string()), "lease": self.lease }));
        }
        revision
    }

    fn ask(&self, call: &str, body: &Value) -> Value {
        let answer = client::send(self.etcd, self.request(call, body));
        assert_eq!(answer.status, 200, "{call}: {}", answer.text());
        serde_json::from_str(&answer.text()).unwrap()
    }

    fn request(&self, call: &str, body: &Value) -> String {
        let (etcd, body) = (self.etcd, body.to_string());
        let length = body.len();
        format!(
            "POST /v3/{call} HTTP/1.1\r\nHost: {etcd}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}
