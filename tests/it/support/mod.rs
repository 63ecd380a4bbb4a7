//! The harness: an origin that sees every byte, a whole proxy, a client that writes raw bytes, faults of the network,
//! and tables of cases. Nothing here uses the HTTP library of the proxy, so that both cannot be wrong together.

pub(crate) mod attack_target;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod conformance;
pub(crate) mod conformance_case;
pub(crate) mod control;
pub(crate) mod dns;
pub(crate) mod event_stream;
pub(crate) mod external_tools;
pub(crate) mod fault;
pub(crate) mod frame_endpoint;
pub(crate) mod frames;
pub(crate) mod git_place;
pub(crate) mod h2;
pub(crate) mod h2_endpoint;
mod invariants;
pub(crate) mod issuer;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod peers;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod release;
pub(crate) mod reply;
pub(crate) mod shared_repository;
pub(crate) mod small_disk;
pub mod spec;
pub(crate) mod tls;
mod turnstile;
pub(crate) mod wire;

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::client::{Answer, Client, End};
pub(crate) use self::conformance::Section;
pub(crate) use self::conformance_case::{After, Case, Table};
pub(crate) use self::origin::{Origin, Seen};
pub(crate) use self::proxy::{Proxy, Setup};
pub(crate) use self::reply::Reply;
pub(crate) use self::turnstile::Turnstile;

/// The longest that any single wait of a test may take: a machine may stand still for seconds. It is less than what the
/// proxy itself waits for those who say nothing, ten seconds mostly, so what only such a limit ends is seen to hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(9);

/// A `GET` of `path` as a well-behaved client sends it.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A `POST` of `body` with its length.
pub(crate) fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A request with these header lines (each without its line end) and no body; `Host: a` is added.
pub(crate) fn with(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// Waits until `holds`; fails with `what` when it does not in time.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, holds);
}

/// The same for what takes its time.
pub(crate) fn eventually_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "still not so after {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lets bytes that are on their way arrive, so that those before and those after are read apart. It proves nothing: a
/// test that something does *not* happen counts, or waits for what must come later.
pub(crate) fn apart() {
    std::thread::sleep(Duration::from_millis(60));
}
