//! What sends a request, whatever the connection speaks.
//!
//! An HTTP/1.1 connection carries one exchange at a time and is owned by it. An HTTP/2 connection carries many: it stays
//! in the pool, and an exchange owns a [`Stream`] of it, which is a place in its count of open streams.

use std::cell::Cell;
use std::rc::Rc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use tokio::time::Instant;

use super::http1::Http1;

/// Streams that we open on one connection at the most, whatever the origin allows: what one broken connection can take
/// with it.
pub(super) const STREAMS_MAX: u32 = 100;

/// Sends the request of one exchange.
#[derive(Debug)]
pub enum Sender<B> {
    /// A connection of its own.
    Http1(Box<Http1>),
    /// A stream on a shared one.
    Http2(Stream<B>),
    /// Nothing any more: the connection is with the answer, or gone.
    Spent,
}

impl<B> Sender<B> {
    /// Whether requests are sent as HTTP/2 wants them.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// The connection, if it is one of its own.
    #[must_use]
    pub fn take_http1(&mut self) -> Option<Box<Http1>> {
        match std::mem::replace(self, Self::Spent) {
            Self::Http1(connection) => Some(connection),
            other @ (Self::Http2(_) | Self::Spent) => {
                *self = other;
                None
            }
        }
    }
}

/// A stream of a shared connection; dropping it makes room for another one.
#[derive(Debug)]
pub struct Stream<B> {
    sender: http2::SendRequest<B>,
    load: Rc<Load>,
}

impl<B: Body + 'static> Stream<B> {
    /// Sends, and waits for the head of the answer.
    ///
    /// # Errors
    /// The request comes back with the error if nothing of it was written.
    pub async fn try_send(&mut self, request: Request<B>) -> Result<Response<Incoming>, TrySendError<Request<B>>> {
        self.sender.try_send_request(request).await
    }
}

impl<B> Drop for Stream<B> {
    fn drop(&mut self) {
        self.load.open.set(self.load.open.get() - 1);
        self.load.quiet_since.set(Instant::now());
    }
}

/// A connection whose streams are shared out.
#[derive(Debug)]
pub struct Shared<B> {
    sender: http2::SendRequest<B>,
    load: Rc<Load>,
}

impl<B> Shared<B> {
    /// Shares `sender`, whose load is known to the task that drives its connection.
    pub(super) fn new(sender: http2::SendRequest<B>, load: Rc<Load>) -> Self {
        Self { sender, load }
    }

    /// A stream, if there is room for one.
    #[must_use]
    pub fn stream(&self) -> Option<Stream<B>> {
        let load = &self.load;
        if self.sender.is_closed() || load.open.get() >= load.most.get().min(STREAMS_MAX as usize) {
            return None;
        }
        load.open.set(load.open.get() + 1);
        Some(Stream { sender: self.sender.clone(), load: Rc::clone(load) })
    }

    /// Since when it has had no streams; `None` while it has some.
    #[must_use]
    pub fn quiet_since(&self) -> Option<Instant> {
        (self.load.open.get() == 0).then(|| self.load.quiet_since.get())
    }

    /// Whether it takes no more streams.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// How many streams a connection has and may have.
#[derive(Debug)]
pub(super) struct Load {
    open: Cell<usize>,
    /// What the origin allows.
    pub(super) most: Cell<usize>,
    quiet_since: Cell<Instant>,
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        Self { open: Cell::new(0), most: Cell::new(STREAMS_MAX as usize), quiet_since: Cell::new(now) }
    }
}
