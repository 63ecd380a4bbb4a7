//! Ten thousand flips and shifts under load: no request fails, none sees half of a change, and none that is sent after
//! the answer of a flip sees the old version.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::support::process::Process;

/// Changes of the traffic.
const CHANGES: u64 = 10_000;

/// Connections that send requests all the time.
const CLIENTS: u64 = 6;

const SERVICES: [&str; 2] = ["web", "cart"];

/// An origin that answers with its name and the revision that the request carries.
async fn origin(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
                let revision = request.headers()["x-pointsman-revision"].to_str().unwrap().to_owned();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{name} {revision}")))))
            });
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    address
}

/// A runtime that runs on a thread of its own until the process ends.
fn background() -> Handle {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// What a request saw.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Seen {
    service: usize,
    version: u64,
    revision: u64,
}

struct Client(SendRequest<Empty<Bytes>>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends one request; anything but a good answer fails the test.
    async fn ask(&mut self, service: usize, user: u64) -> Seen {
        self.0.ready().await.expect("the connection stays");
        let request = Request::get("/")
            .header("host", format!("{}.example", SERVICES[service]))
            .header("x-user-id", format!("user-{user}"))
            .body(Empty::new())
            .unwrap();
        let answer = self.0.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 200, "a failed request");
        let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
        let text = std::str::from_utf8(&body).unwrap();
        let (name, revision) = text.split_once(' ').unwrap();
        let (origin, version) = name.rsplit_once("-v").unwrap();
        assert_eq!(origin, SERVICES[service], "a request of the other service");
        Seen { service, version: version.parse().unwrap(), revision: revision.parse().unwrap() }
    }
}

/// What a revision says: the version that has everything, for each service; 0 where the split is shared.
type Law = Mutex<HashMap<u64, [u64; 2]>>;

fn split(v2: u32) -> Value {
    json!({ "v1": 100 - v2, "v2": v2 })
}

/// One change; returns what it makes of the services.
fn change(process: &Process, random: &mut StdRng, now: [u64; 2]) -> (u64, [u64; 2], bool) {
    let service = random.random_range(0..2_usize);
    let kind = random.random_range(0..4);
    let (answer, next, flipped) = match kind {
        0 | 1 => {
            let version = if now[service] == 2 { 1 } else { 2 };
            let path = format!("/v1/services/{}/flip", SERVICES[service]);
            let answer = process.send(Method::POST, &path, json!({ "to": format!("v{version}") }));
            let mut next = now;
            next[service] = version;
            (answer, next, true)
        }
        2 => {
            let path = format!("/v1/services/{}/split", SERVICES[service]);
            let mut next = now;
            next[service] = 0;
            (process.send(Method::PUT, &path, split(random.random_range(1..100))), next, false)
        }
        _ => {
            let version = if now == [2, 2] { 1 } else { 2 };
            let both = split(if version == 2 { 100 } else { 0 });
            let answer = process.send(Method::PUT, "/v1/splits", json!({ "web": both, "cart": both }));
            (answer, [version; 2], true)
        }
    };
    (answer.unwrap()["revision"].as_u64().unwrap(), next, flipped)
}

#[test]
fn ten_thousand_changes_under_load_lose_and_mix_nothing() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let runtime = background();
    let names = ["web-v1", "web-v2", "cart-v1", "cart-v2"];
    let [web1, web2, cart1, cart2] = names.map(|name| runtime.block_on(origin(name)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let service = |name: &str, v1: SocketAddr, v2: SocketAddr| {
        format!(
            "[services.{name}]\nhosts = [\"{name}.example\"]\nsticky = [\"header:x-user-id\"]\nsplit = {{ v1 = 100 , v2 = 0 }}\n\
             versions.v1.endpoints = [\"{v1}\"]\nversions.v2.endpoints = [\"{v2}\"]\n"
        )
    };
    let head =
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 2\n";
    std::fs::write(&path, format!("{head}{}{}", service("web", web1, web2), service("cart", cart1, cart2))).unwrap();
    let process = Process::start(&path);

    let law: Arc<Law> = Arc::new(Mutex::new(HashMap::from([(1, [1, 1])])));
    let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (stop, requests, listener) = (Arc::clone(&stop), Arc::clone(&requests), process.listener);
            runtime.spawn(async move {
                let mut client = Client::connect(listener).await;
                let mut random = StdRng::seed_from_u64(seed ^ number);
                let mut seen = std::collections::HashSet::new();
                while !stop.load(Ordering::Relaxed) {
                    seen.insert(client.ask(random.random_range(0..2), random.random_range(0..500)).await);
                    requests.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();

    let mut random = StdRng::seed_from_u64(seed);
    let mut own: Vec<Client> = (0..4).map(|_| runtime.block_on(Client::connect(process.listener))).collect();
    let mut now = [1, 1];
    for _ in 0..CHANGES {
        let (revision, next, flipped) = change(&process, &mut random, now);
        now = next;
        law.lock().unwrap().insert(revision, next);
        // After the answer of a flip, on whatever worker a connection is.
        for client in own.iter_mut().filter(|_| flipped) {
            for service in (0..2).filter(|service| next[*service] != 0) {
                let seen = runtime.block_on(client.ask(service, random.random_range(0..500)));
                assert_eq!((seen.version, seen.revision), (next[service], revision), "after the answer of {revision}");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let law = law.lock().unwrap();
    for task in load {
        for seen in runtime.block_on(task).expect("no request failed") {
            let holder = law.get(&seen.revision).expect("a revision that was answered")[seen.service];
            assert!(holder == 0 || holder == seen.version, "{seen:?} against {holder}: half of a change");
        }
    }
    println!("{CHANGES} changes, {} requests under load, none failed", requests.load(Ordering::Relaxed));
    assert!(requests.load(Ordering::Relaxed) > CHANGES, "the load must be a load");
}
