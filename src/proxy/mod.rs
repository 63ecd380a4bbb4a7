//! The data plane: the life of a request, in nine folders.
//!
//! 1. [`accept`] takes a connection at its listener, within the limits of connections, through the PROXY protocol and
//!    TLS.
//! 2. [`connection`] reads requests from it, over HTTP/1.1 or HTTP/2, and writes the responses.
//! 3. [`request`] is what happens to one request: admit, acquire, route, dial, edit, forward, deliver, finish.
//! 4. [`body`] is how bodies pass through, in both directions.
//! 5. [`limits`] says how many requests run at a time, how fast they may come, and when they wait for a hold.
//! 6. [`streams`] are what lasts longer than a request: tunnels, WebSockets, long responses.
//! 7. [`report`] is what a request leaves behind: counts, outlier reports, samples for a rollout's judge.
//! 8. [`mirror`] sends copies of requests to a version that no user waits for, and has the responses compared.
//! 9. [`worker`] is what a thread owns, [`access_log`] what it writes, [`drain`] how it ends.
//!
//! One thread runs per core, with its own runtime, listening socket and upstream connections. A request never leaves
//! its thread, so what it touches needs no locks. A work-stealing runtime would even out the threads, and would cost
//! synchronised pools and reference counts in each request.

pub(crate) mod accept;
pub(crate) mod access_log;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod drain;
pub(crate) mod limits;
pub(crate) mod mirror;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod streams;
pub(crate) mod worker;
