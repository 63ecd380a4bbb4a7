//! The end of a worker, which takes no response away from a client.
//!
//! Closing at the first word would lose requests in two places. Connections that the kernel has let in and the process
//! has not accepted are reset when their socket is closed, so the queue is emptied first ([`AcceptQueue`]). And a
//! request may be on its way on a connection that looks idle, also on one that was just accepted: to end in order what
//! a codec knows of would close both at once. So the end has two parts: for [`LAST_REQUEST_GRACE`] connections are left
//! as they are, except that each response says `Connection: close`, and those of HTTP/2 say GOAWAY and take what its
//! clients had begun; a client that keeps asking learns of it in order. Only then are idle connections closed.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::worker::Worker;
use crate::message::Response;
use crate::message::known_headers::CONNECTION;

/// How long an idle connection may still begin a request: longer than packets travel and a busy client thinks, short
/// enough for an operator who waits after Ctrl-C.
pub const LAST_REQUEST_GRACE: Duration = Duration::from_millis(500);

/// How often a leaving worker looks whether its connections are gone.
const POLL: Duration = Duration::from_millis(10);

/// The most connections that are taken from a queue at the end: what a queue can hold, so that a socket that
/// another process goes on with cannot keep us.
const LAST_ACCEPTS_MAX: u32 = 4096;

/// Says on a response that its connection ends, if the worker is leaving. HTTP/1 only; a tunnel that begins is no end.
pub(crate) fn mark<B>(worker: &Worker, response: &mut Response<B>) {
    if worker.closing() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        response.headers.insert(CONNECTION, "close");
    }
}

/// Ends the worker's connections, in order until `deadline`. `accepting` are the tasks that empty the queues.
pub(crate) async fn drain(worker: &Rc<Worker>, mut accepting: JoinSet<()>, deadline: Instant) {
    worker.begin_close();
    let grace = (Instant::now() + LAST_REQUEST_GRACE).min(deadline);
    let accepted = async { while accepting.join_next().await.is_some() {} };
    let mut accepted = pin!(accepted);
    let in_time = timeout_at(grace, accepted.as_mut()).await.is_ok();
    await_empty(worker, grace).await;
    worker.begin_drain();
    // At the limit of connections, those that wait at a socket get in only when others have gone.
    if !in_time && timeout_at(deadline, accepted).await.is_err() {
        tracing::warn!("connections that nobody had accepted in time are lost");
    }
    await_empty(worker, deadline).await;
}

/// What comes of `beginning`, which is all that happens before a connection's first request is read; nothing if the
/// worker drains and it takes longer than [`LAST_REQUEST_GRACE`] then. A client that has said nothing by then, or half
/// of a handshake, is not waited for.
pub(crate) async fn with_drain_deadline<T>(worker: &Worker, beginning: impl Future<Output = T>) -> Option<T> {
    let late = async {
        worker.drained().await;
        sleep(LAST_REQUEST_GRACE).await;
    };
    tokio::select! {
        biased;
        begun = beginning => Some(begun),
        () = late => None,
    }
}

/// Waits until a connection that begins now should end with the request it has. One that begins in the drain has a
/// moment for its first request: it was let in, so it is owed a response.
pub(crate) async fn until_drained(worker: &Worker) {
    if worker.draining() {
        sleep(LAST_REQUEST_GRACE).await;
    } else {
        worker.drained().await;
    }
}

async fn await_empty(worker: &Worker, deadline: Instant) {
    while worker.stats.connections() > 0 && Instant::now() < deadline {
        sleep(POLL).await;
    }
}

/// The connections that wait at a socket.
#[derive(Debug)]
pub(crate) enum AcceptQueue {
    /// More may come.
    Open(TcpListener),
    /// Only what is there already, and this many of it.
    Last(std::net::TcpListener, u32),
    /// Nothing any more; the socket is closed.
    Empty,
}

impl AcceptQueue {
    /// The next connection; none when there will be none. Once `stop` is true, that is as soon as none waits.
    ///
    /// # Errors
    /// When the kernel does not give one.
    pub(crate) async fn next(
        &mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        if let Self::Open(socket) = self {
            tokio::select! {
                accepted = socket.accept() => return accepted.map(Some),
                _told_or_gone = stop.wait_for(|stop| *stop) => {}
            }
            if let Self::Open(socket) = std::mem::replace(self, Self::Empty) {
                // tokio knows of a connection only after its next look at the kernel; this asks the kernel itself.
                *self = Self::Last(socket.into_std()?, LAST_ACCEPTS_MAX);
            }
        }
        if let Self::Last(socket, left) = self
            && *left > 0
        {
            *left -= 1;
            match socket.accept() {
                Ok((stream, address)) => {
                    stream.set_nonblocking(true)?;
                    return Ok(Some((TcpStream::from_std(stream)?, address)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        *self = Self::Empty;
        Ok(None)
    }
}
