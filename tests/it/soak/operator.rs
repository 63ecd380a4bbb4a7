//! An operator who changes everything that can be changed while traffic flows, as fast as a script would.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::pki::{Ca, replace};
use crate::support::process::Process;

/// Time between two changes.
const EVERY: Duration = Duration::from_millis(500);

/// What was done.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Changes {
    shifts: u64,
    flips: u64,
    rollbacks: u64,
    reloads: u64,
    certificates: u64,
    drains: u64,
    reads: u64,
}

/// See the module.
pub(super) struct Operator {
    process: Arc<Process>,
    ca: Ca,
    config: PathBuf,
    variants: [String; 2],
}

impl Operator {
    pub(super) fn new(process: Arc<Process>, ca: Ca, config: PathBuf, variants: [String; 2]) -> Self {
        Self { process, ca, config, variants }
    }

    /// Works until `deadline`. Every call must be answered well.
    pub(super) fn work(&self, seed: u64, endpoints: [SocketAddr; 4], deadline: Instant) -> Changes {
        let mut random = StdRng::seed_from_u64(seed);
        let mut done = Changes::default();
        while Instant::now() < deadline {
            thread::sleep(EVERY);
            match random.random_range(0..7) {
                0 => {
                    let v2 = random.random_range(0..=100);
                    self.put("/v1/services/shop/split", &json!({ "v1": 100 - v2, "v2": v2 }));
                    done.shifts += 1;
                }
                1 => {
                    let to = ["v1", "v2"][random.random_range(0..2)];
                    // On a busy machine a request may take longer than that; the flip happens all the same.
                    let hold = json!({ "max": "500ms", "requests": 1_000, "otherwise": "go_on" });
                    self.post("/v1/services/shop/flip", &json!({ "to": to, "hold": hold }));
                    done.flips += 1;
                }
                2 => {
                    // After a change of our own there is something to take back. At times v2 is known to be dead.
                    self.put("/v1/services/moody/split", &json!({ "v1": 80, "v2": 20, "force": true }));
                    self.put("/v1/services/moody/split", &json!({ "v1": 50, "v2": 50, "force": true }));
                    self.post("/v1/rollback", &json!({ "force": true }));
                    done.rollbacks += 1;
                }
                3 => {
                    replace(&self.config, &self.variants[random.random_range(0..2)]);
                    self.process.signal("HUP");
                    done.reloads += 1;
                }
                4 => {
                    self.ca.issue("site", "site", &["a"]);
                    done.certificates += 1;
                }
                5 => {
                    self.drain(endpoints, &mut random);
                    done.drains += 1;
                }
                _ => {
                    self.read();
                    done.reads += 1;
                }
            }
        }
        done
    }

    fn drain(&self, endpoints: [SocketAddr; 4], random: &mut StdRng) {
        let number = random.random_range(0..endpoints.len());
        let version = ["v1", "v1", "v2", "v2"][number];
        let path = format!("/v1/services/shop/versions/{version}/endpoints/{}", endpoints[number]);
        self.put(&path, &json!({ "state": "drain" }));
        thread::sleep(EVERY / 2);
        self.put(&path, &json!({ "state": "ready" }));
    }

    fn read(&self) {
        for path in ["/v1/status", "/v1/services", "/v1/revisions", "/v1/services/shop"] {
            assert!(self.process.get(path).is_object() || self.process.get(path).is_array(), "{path}");
        }
        let admin = self.process.admin_address;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        assert_eq!(crate::support::client::send(admin, request).status, 200);
        let asked = json!({ "method": "GET", "host": "a", "path": "/", "headers": {} });
        self.post("/v1/explain", &asked);
    }

    fn put(&self, path: &str, body: &Value) {
        self.call(&Method::PUT, path, body);
    }

    fn post(&self, path: &str, body: &Value) {
        self.call(&Method::POST, path, body);
    }

    fn call(&self, method: &Method, path: &str, body: &Value) {
        if let Err(error) = self.process.send(method.clone(), path, body.clone()) {
            panic!("{method} {path} {body}: {error}");
        }
    }
}
