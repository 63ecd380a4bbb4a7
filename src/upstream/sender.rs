//! What sends a request, whatever the connection speaks.
//!
//! An HTTP/1.1 connection carries one exchange at a time and is owned by it. An HTTP/2 connection carries many: it
//! stays in the pool, and an exchange owns a [`UpstreamStream`] of it, which counts as one of its open streams.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use h2::Reason;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use tokio::time::Instant;

use super::http1::Http1;

/// Streams that we open on one connection at the most, whatever the origin allows: what one broken connection can take
/// with it.
pub(crate) const STREAMS_MAX: u32 = 100;

/// After this many responses for each of the streams that a connection may have, it may have one more: of the requests
/// to an endpoint that refuses streams about one in this many is sent twice.
const ANSWERS_A_PLACE: usize = 20;

/// Sends the request of one exchange.
#[derive(Debug)]
pub(crate) enum RequestSender<B> {
    /// A connection of its own.
    Http1(Box<Http1>),
    /// A stream on a shared one.
    Http2(UpstreamStream<B>),
    /// Nothing any more: the connection is with the response, or gone.
    Spent,
}

impl<B> RequestSender<B> {
    /// Whether requests are sent as HTTP/2 wants them.
    #[must_use]
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

/// A stream of a shared connection; dropping it makes room for another one.
#[derive(Debug)]
pub(crate) struct UpstreamStream<B> {
    sender: http2::SendRequest<B>,
    load: Rc<StreamLoad>,
}

impl<B: Body + 'static> UpstreamStream<B> {
    /// Sends, and waits for the head of the response.
    ///
    /// # Errors
    /// [`StreamError`] when there is none. The connection takes no new streams, or fewer, if that is what it says.
    pub(crate) async fn try_send(&mut self, request: Request<B>) -> Result<Response<Incoming>, StreamError<B>> {
        match self.sender.try_send_request(request).await {
            Ok(response) => {
                self.load.responded();
                Ok(response)
            }
            Err(mut error) => Err(match error.take_message() {
                Some(request) => StreamError::Unsent(Box::new(request)),
                None => self.failed(error.error()),
            }),
        }
    }

    fn failed(&self, error: &hyper::Error) -> StreamError<B> {
        let remote =
            error.source().and_then(|cause| cause.downcast_ref::<h2::Error>()).filter(|cause| cause.is_remote());
        match remote {
            // The codec says this to streams above the last one that the endpoint may have looked at, and to no others.
            Some(cause) if cause.is_go_away() => self.load.leaving.set(true),
            Some(cause) if cause.is_reset() && cause.reason() == Some(Reason::REFUSED_STREAM) => self.load.refused(),
            Some(_) | None if error.is_parse() => return StreamError::Malformed,
            Some(_) | None => return StreamError::Broken,
        }
        StreamError::Unprocessed
    }
}

/// Why there is no response on a stream.
#[derive(Debug)]
pub(crate) enum StreamError<B> {
    /// Nothing of the request was written.
    Unsent(Box<Request<B>>),
    /// The endpoint has not looked at it, and says so (RFC 9113, 8.7): whatever it is, it may be sent again.
    Unprocessed,
    /// What came was not HTTP.
    Malformed,
    /// The stream or its connection broke.
    Broken,
}

impl<B> Drop for UpstreamStream<B> {
    fn drop(&mut self) {
        self.load.open.set(self.load.open.get() - 1);
        self.load.quiet_since.set(Instant::now());
    }
}

/// A connection whose streams are shared out.
#[derive(Debug)]
pub(crate) struct SharedConnection<B> {
    sender: http2::SendRequest<B>,
    load: Rc<StreamLoad>,
}

impl<B> SharedConnection<B> {
    /// Shares `sender`, whose load is known to the task that drives its connection.
    pub(crate) fn new(sender: http2::SendRequest<B>, load: Rc<StreamLoad>) -> Self {
        Self { sender, load }
    }

    /// A stream, if there is room for one.
    #[must_use]
    pub(crate) fn stream(&self) -> Option<UpstreamStream<B>> {
        let load = &self.load;
        if self.is_closed() || load.open.get() >= load.most.get().min(load.room.get()) {
            return None;
        }
        load.open.set(load.open.get() + 1);
        Some(UpstreamStream { sender: self.sender.clone(), load: Rc::clone(load) })
    }

    /// Since when it has had no streams; `None` while it has some.
    #[must_use]
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        (self.load.open.get() == 0).then(|| self.load.quiet_since.get())
    }

    /// Whether it takes no more streams.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.load.leaving.get()
    }
}

/// How many streams a connection has and may have.
#[derive(Debug)]
pub(crate) struct StreamLoad {
    open: Cell<usize>,
    /// What the origin allows.
    pub(crate) most: Cell<usize>,
    /// What it has taken: less than it allows, if it refused one.
    room: Cell<usize>,
    /// Responses since `room` has changed.
    responses: Cell<usize>,
    /// Whether it has said that it takes no more.
    leaving: Cell<bool>,
    quiet_since: Cell<Instant>,
}

impl StreamLoad {
    pub(crate) fn new(now: Instant) -> Self {
        let most = STREAMS_MAX as usize;
        Self {
            open: Cell::new(0),
            most: Cell::new(most),
            room: Cell::new(most),
            responses: Cell::new(0),
            leaving: Cell::new(false),
            quiet_since: Cell::new(now),
        }
    }

    /// Notes the head of a response: some responses later there may be room for one stream more.
    fn responded(&self) {
        let room = self.room.get();
        if room >= STREAMS_MAX as usize {
            return;
        }
        self.responses.set(self.responses.get() + 1);
        if self.responses.get() >= ANSWERS_A_PLACE * room {
            self.room.set(room + 1);
            self.responses.set(0);
        }
    }

    /// Notes that a stream was refused: there is room for those beside it. An endpoint may count more of them as open
    /// than we do, or fewer than it allows.
    fn refused(&self) {
        let others = self.open.get().saturating_sub(1);
        self.room.set(self.room.get().min(others).max(1));
        self.responses.set(0);
        if others == 0 {
            self.leaving.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_refuses_a_stream_gets_fewer_and_more_again_little_by_little() {
        let load = StreamLoad::new(Instant::now());
        load.open.set(12);
        load.refused();
        load.open.set(11);
        load.refused();
        assert_eq!(load.room.get(), 10);
        (0..ANSWERS_A_PLACE * 10).for_each(|_| load.responded());
        assert_eq!(load.room.get(), 11);
        load.open.set(30);
        load.refused();
        assert_eq!((load.room.get(), load.leaving.get()), (11, false), "one that was sent before it was known");
        load.open.set(1);
        load.refused();
        assert!(load.leaving.get(), "it takes none at all");
    }
}
