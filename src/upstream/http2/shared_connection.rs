//! A connection whose streams are shared out.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::Instant;

use super::stream_load::StreamLoad;
use super::upstream_stream::UpstreamStream;
use crate::http1::HeadLimits;

/// A connection whose streams are shared out.
#[derive(Debug)]
pub(crate) struct SharedConnection {
    sender: SendRequest<Bytes>,
    load: Rc<StreamLoad>,
    /// What the head of a response may have.
    heads: HeadLimits,
}

impl SharedConnection {
    /// Shares `sender`, whose load is known to the task that drives its connection.
    pub(super) fn new(sender: SendRequest<Bytes>, load: Rc<StreamLoad>, heads: HeadLimits) -> Self {
        Self { sender, load, heads }
    }

    /// A stream, if there is room for one.
    #[must_use]
    pub(crate) fn stream(&mut self) -> Option<UpstreamStream> {
        let room = !self.is_closed() && self.load.enter(self.sender.current_max_send_streams());
        room.then(|| UpstreamStream::new(self.sender.clone(), Rc::clone(&self.load), self.heads))
    }

    /// Whether there is room for a stream, or the endpoint has said that it takes no more.
    #[must_use]
    pub(crate) fn is_open_or_left(&self) -> bool {
        self.load.is_leaving() || self.load.has_room(self.sender.current_max_send_streams())
    }

    /// Since when it has had no streams; `None` while it has some.
    #[must_use]
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        (!self.load.is_busy()).then(|| self.load.quiet_since())
    }

    /// Whether it takes no more streams: it is gone, or the endpoint is about to leave it.
    #[must_use]
    pub(crate) fn is_closed(&mut self) -> bool {
        // What is waited for there is never this sender's: each stream has its own.
        let ready = self.sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        self.load.is_leaving() || matches!(ready, Poll::Ready(Err(_)))
    }
}

impl Drop for SharedConnection {
    fn drop(&mut self) {
        // The driver looks at it when the codec tells it that the last one who could use the connection is gone.
        self.load.give_up();
    }
}
