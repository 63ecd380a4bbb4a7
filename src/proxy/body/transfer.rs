//! Bodies on their way through: nothing is buffered, silence is bounded, trailers are filtered, and what happened is
//! noted where the exchange can see it.
//!
//! An error of a body never ends the other side cleanly (docs/http-rules.md#rule-7): whoever sends a body aborts its connection,
//! or resets its stream, when the body fails, so an error is passed on as an error.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::limits::BodyLimit;
use super::rewind::Rewindable;
use crate::http1::{Broken, coop};
use crate::proxy::connection::http2::body::Http2Body;
use crate::proxy::connection::transport::Http1RequestBody;
use crate::proxy::request::headers;
use crate::upstream::IncomingError;

/// How a body broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    /// Its framing made no sense.
    #[error("the framing of the body is broken")]
    Malformed,
    /// The sender went away in the middle.
    #[error("the sender of the body went away")]
    Gone,
    /// The sender fell silent.
    #[error("the sender of the body fell silent")]
    Silent,
    /// It is larger than its service takes.
    #[error("the body is too large")]
    TooLarge,
    /// It came too slowly.
    #[error("the sender of the body is too slow")]
    Slow,
    /// Nobody needs it any more.
    #[error("the exchange is over")]
    Over,
}

impl BodyFault {
    /// What an error of hyper's says about the sender. `is_parse` and `is_incomplete_message` are false for errors of
    /// bodies; the kind of the I/O error below tells.
    fn of(error: &hyper::Error) -> Self {
        let mut source: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(found) = source {
            if let Some(io) = found.downcast_ref::<io::Error>() {
                let malformed = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData].contains(&io.kind());
                return if malformed { Self::Malformed } else { Self::Gone };
            }
            source = found.source();
        }
        Self::Gone
    }
}

impl From<hyper::Error> for BodyFault {
    fn from(error: hyper::Error) -> Self {
        Self::of(&error)
    }
}

impl From<Broken> for BodyFault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Malformed => Self::Malformed,
            Broken::Short => Self::Gone,
        }
    }
}

impl From<IncomingError> for BodyFault {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Broken(broken) => broken.into(),
            IncomingError::Connection(_) => Self::Gone,
            IncomingError::Http2(error) => Self::of(&error),
        }
    }
}

/// What a client sends after the head of its request.
#[derive(Debug, Default)]
pub(crate) enum Inbound {
    /// Nothing.
    #[default]
    None,
    /// A body on its connection.
    Http1(Http1RequestBody),
    /// A body on its stream.
    Http2(Http2Body),
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::None => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// What became of a request's body; shared by the body, which whoever sends it has, and the exchange.
#[derive(Debug, Default)]
pub(crate) struct BodyState {
    ended: Cell<Option<Instant>>,
    moved: Cell<Option<Instant>>,
    fault: Cell<Option<BodyFault>>,
    over: Cell<bool>,
}

impl BodyState {
    /// The state of a request without a body.
    #[must_use]
    pub(crate) fn of_no_body(now: Instant) -> Self {
        Self { ended: Cell::new(Some(now)), ..Self::default() }
    }

    /// When the last byte was handed to whoever sends it.
    #[must_use]
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// When the upstream was given a part and asked for no more; `None` while it is the client's turn.
    #[must_use]
    pub(crate) fn untouched_since(&self) -> Option<Instant> {
        self.moved.get()
    }

    /// How it broke, if it did.
    #[must_use]
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// Notes that the exchange is over: what is left of the body is not worth sending.
    pub(crate) fn abandon(&self) {
        self.over.set(true);
    }
}

/// How many parts of a body are kept of which so many bytes may be: each part takes memory of its own, and a client can send
/// them by the byte. An eighth of the bytes, and 32 KiB.
#[must_use]
pub(crate) fn kept_parts_max(bytes_max: usize) -> usize {
    1024 + bytes_max / 256
}

/// A copy of a request's body, made while it passes, for a replay. The parts are shared with what is sent, not copied.
#[derive(Debug)]
pub(crate) struct Recording {
    parts: RefCell<VecDeque<Bytes>>,
    parts_max: usize,
    left: Cell<usize>,
    spoilt: Cell<bool>,
}

impl Recording {
    /// Keeps up to so many bytes.
    #[must_use]
    pub(crate) fn up_to(bytes_max: usize) -> Self {
        let parts_max = kept_parts_max(bytes_max);
        Self { parts: RefCell::default(), parts_max, left: Cell::new(bytes_max), spoilt: Cell::new(false) }
    }

    fn add(&self, frame: &Frame<Bytes>) {
        let room = |data: &Bytes| data.len() <= self.left.get() && self.parts.borrow().len() < self.parts_max;
        match frame.data_ref() {
            Some(data) if !self.spoilt.get() && room(data) => {
                self.left.set(self.left.get() - data.len());
                self.parts.borrow_mut().push_back(data.clone());
            }
            // Too long, in too many parts, or trailers, which are not worth the trouble.
            _ => {
                self.spoilt.set(true);
                self.parts.take();
            }
        }
    }

    /// The body, if all of it passed.
    #[must_use]
    pub(crate) fn whole(&self, state: &BodyState) -> Option<RequestBody> {
        let whole = state.ended().is_some() && state.fault().is_none() && !self.spoilt.get();
        whole.then(|| RequestBody::Kept(self.parts.take()))
    }
}

/// The body of a request, on its way to the upstream.
#[derive(Debug, Default)]
pub(crate) enum RequestBody {
    /// There is none.
    #[default]
    Empty,
    /// It comes from the client.
    Stream {
        /// The client's side.
        incoming: Inbound,
        /// Bounds the silence.
        idle: IdleTimeout,
        /// Bounds its size and its slowness, where they are.
        meter: Option<Box<BodyLimit>>,
        /// Where the exchange looks.
        state: Rc<BodyState>,
        /// Keeps a copy, if the exchange may be replayed.
        copy: Option<Rc<Recording>>,
    },
    /// It was kept from an attempt before.
    Kept(VecDeque<Bytes>),
    /// It is one of the others, lent to an attempt that may not be the last.
    Rewindable(Rewindable),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let (incoming, idle, meter, state, copy) = match &mut *self {
            Self::Empty => return Poll::Ready(None),
            Self::Kept(parts) => return Poll::Ready(parts.pop_front().map(|part| Ok(Frame::data(part)))),
            Self::Rewindable(body) => return Pin::new(body).poll_frame(cx),
            Self::Stream { incoming, idle, meter, state, copy } => (incoming, idle, meter, state, copy),
        };
        if state.over.get() {
            return Poll::Ready(Some(Err(BodyFault::Over)));
        }
        let polled = metered(meter.as_deref_mut(), poll_filtered(incoming, idle, cx), cx);
        state.moved.set(polled.is_ready().then(Instant::now));
        if let (Some(copy), Poll::Ready(Some(Ok(frame)))) = (copy, &polled) {
            copy.add(frame);
        }
        match &polled {
            Poll::Ready(Some(Err(fault))) => state.fault.set(Some(*fault)),
            Poll::Ready(None) => state.ended.set(Some(Instant::now())),
            Poll::Ready(Some(Ok(_))) if incoming.is_end_stream() => state.ended.set(Some(Instant::now())),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Kept(parts) => parts.is_empty(),
            Self::Rewindable(body) => body.is_end_stream(),
            Self::Stream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Kept(parts) => SizeHint::with_exact(parts.iter().map(|part| part.len() as u64).sum()),
            Self::Stream { incoming, .. } => incoming.size_hint(),
            Self::Rewindable(body) => body.size_hint(),
        }
    }
}

/// Holds a part of a body, or the wait for it, against its limits.
fn metered(
    meter: Option<&mut BodyLimit>,
    polled: Poll<Option<Result<Frame<Bytes>, BodyFault>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
    let Some(meter) = meter else { return polled };
    match &polled {
        Poll::Pending => meter.poll_waiting(cx).map(|fault| Some(Err(fault))),
        Poll::Ready(Some(Ok(frame))) => {
            let came = meter.came(frame.data_ref().map_or(0, Bytes::len));
            came.map_or_else(|fault| Poll::Ready(Some(Err(fault))), |()| polled)
        }
        Poll::Ready(Some(Err(_)) | None) => polled,
    }
}

/// Polls a body: its trailers filtered, its errors told apart, its silence bounded.
pub(crate) fn poll_filtered<B>(
    incoming: &mut B,
    idle: &mut IdleTimeout,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>>
where
    B: Body<Data = Bytes> + Unpin,
    BodyFault: From<B::Error>,
{
    let Poll::Ready(polled) = Pin::new(incoming).poll_frame(cx) else {
        ready!(idle.poll(cx));
        return Poll::Ready(Some(Err(BodyFault::Silent)));
    };
    idle.reset();
    Poll::Ready(polled.map(|frame| match frame {
        Ok(frame) => Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
                headers::trailers(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }),
        Err(error) => Err(error.into()),
    }))
}

/// The longest silence that a body may have. The timer is made when the body is first waited for: most bodies are there
/// when they are asked for.
#[derive(Debug)]
pub(crate) struct IdleTimeout {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl IdleTimeout {
    /// Silence up to `limit`.
    #[must_use]
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: None, running: false }
    }

    fn reset(&mut self) {
        self.running = false;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.running {
            timer.as_mut().reset(Instant::now() + limit);
            self.running = true;
        }
        coop::poll_unbudgeted(timer.as_mut(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_very_short_parts_is_not_kept() {
        for (bytes, parts) in [(1, 100_000), (1000, 1000)] {
            let recording = Recording::up_to(1_000_000);
            let frame = Frame::data(Bytes::from(vec![b'x'; bytes]));
            (0..parts).for_each(|_| recording.add(&frame));
            let whole = recording.whole(&BodyState::of_no_body(Instant::now()));
            assert_eq!(whole.is_some(), bytes > 1, "{parts} parts of {bytes} bytes");
            assert!(bytes > 1 || recording.parts.borrow().is_empty());
        }
    }
}
