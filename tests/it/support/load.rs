//! Users who keep asking while something happens, and count every request that did not go as it must.
//!
//! A kind of user is a [`User`]: it makes one exchange after the other, each checked to its last byte. What a client is
//! allowed to do, these do: a connection that said `Connection: close`, or was closed while it was idle, is replaced; a
//! stream of HTTP/2 that the proxy said it did not begin is begun on another connection. Whatever else happens to an
//! exchange that was begun is a failure, and is not tried again. What is allowed to end a WebSocket, [`Tunnels`] says.

mod http2;
mod websocket;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use self::http2::Http2;
pub(crate) use self::websocket::Tunnels;
use self::websocket::{CONSENT, WebSocket};
use super::{Client, Origin, PATIENCE, Reply, Seen};

/// A client.
pub(crate) trait User: Send {
    /// Makes one exchange.
    fn ask(&mut self, number: u64) -> Result<(), String>;
}

/// An origin that echoes bodies and WebSockets, for the users here.
pub(crate) fn origin() -> Origin {
    Origin::forgetful(reply)
}

/// What it answers.
pub(crate) fn reply(seen: &Seen) -> Reply {
    match seen.header("upgrade") {
        Some("websocket") => Reply::raw(CONSENT).echo(),
        _ => Reply::ok(&seen.body.bytes),
    }
}

/// What an exchange carries: now and then more than one packet.
fn body(number: u64) -> String {
    let length = if number.is_multiple_of(16) { 40_000 } else { 20 };
    format!("{number:>length$}")
}

/// A request over HTTP/1.1, whose answer must be its own body.
fn exchange(client: &mut Client, number: u64) -> Result<bool, String> {
    let body = body(number);
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = client.write(head + &body).read(false).map_err(|(end, bytes)| {
        format!("no answer to request {number}: {end:?} after {:?}", String::from_utf8_lossy(&bytes))
    })?;
    if answer.status != 200 || !answer.is_whole() || answer.body.bytes != body.as_bytes() {
        return Err(format!("request {number} was answered with {:?}, broken {:?}", answer.head, answer.body.broken));
    }
    Ok(answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")))
}

pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| format!("cannot connect: {error}"))?;
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    Ok(stream)
}

/// HTTP/1.1, one connection for as long as it lasts.
pub(crate) struct KeptAlive {
    proxy: SocketAddr,
    client: Option<Client>,
}

impl User for KeptAlive {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        let mut client = match self.client.take().filter(|client| !client.is_over()) {
            Some(client) => client,
            None => Client::over(connect(self.proxy)?),
        };
        let keeps = exchange(&mut client, number)?;
        self.client = keeps.then_some(client);
        Ok(())
    }
}

/// HTTP/1.1, a new connection for each request.
pub(crate) struct Fresh(SocketAddr);

impl User for Fresh {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        exchange(&mut Client::over(connect(self.0)?), number).map(drop)
    }
}

/// A config whose listener also takes HTTP/2, which some users speak.
pub(crate) fn with_http2(config: &str) -> String {
    config.replacen("[admin]", "h2c = true\n[admin]", 1)
}

/// This many users of each kind, on a listener that takes HTTP/2 with prior knowledge.
pub(crate) fn users(proxy: SocketAddr, each: usize, tunnels: &Tunnels) -> Vec<Box<dyn User>> {
    let all = || -> [Box<dyn User>; 4] {
        [
            Box::new(KeptAlive { proxy, client: None }),
            Box::new(Fresh(proxy)),
            Box::new(Http2::new(proxy)),
            Box::new(WebSocket::new(proxy, tunnels)),
        ]
    };
    (0..each).flat_map(|_| all()).collect()
}

/// Ends the users when it is dropped, also by a test that fails: their proxy's port may be another test's next.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Users at work.
pub(crate) struct Load {
    stop: Stop,
    asked: Arc<AtomicU64>,
    users: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Lets them begin.
    pub(crate) fn start(users: Vec<Box<dyn User>>) -> Self {
        let (stop, asked) = (Stop::default(), Arc::new(AtomicU64::new(0)));
        let start = |mut user: Box<dyn User>| {
            let (stop, asked) = (Arc::clone(&stop.0), Arc::clone(&asked));
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    failures.extend(user.ask(number).err());
                }
                failures
            })
        };
        let users = users.into_iter().map(start).collect();
        Self { stop, asked, users }
    }

    /// How many requests were begun.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until this many more were begun: on a busy machine hundreds take longer than one would.
    pub(crate) fn await_more(&self, requests: u64) {
        let wanted = self.asked() + requests;
        super::eventually_within(4 * PATIENCE, "users go on asking", || self.asked() >= wanted);
    }

    /// Ends it: the number of requests, and what went wrong with some of them.
    pub(crate) fn end(self) -> (u64, Vec<String>) {
        self.stop.0.store(true, Ordering::Relaxed);
        let failures = self.users.into_iter().flat_map(|user| user.join().expect("a user does not panic"));
        (self.asked.load(Ordering::Relaxed), failures.collect())
    }

    /// Ends it; nothing may have gone wrong.
    #[track_caller]
    pub(crate) fn end_well(self) -> u64 {
        let (asked, failures) = self.end();
        assert!(
            failures.is_empty(),
            "{} of {asked} requests failed, the first: {:#?}",
            failures.len(),
            &failures[..failures.len().min(5)]
        );
        asked
    }
}
