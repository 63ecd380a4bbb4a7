//! The body of a request on its way to the upstream: nothing is buffered but what a replay or another attempt may need,
//! and what became of it is noted where the request can see it.
//!
//! The body is owned by the task that sends it, which may go on after the response has come. What the request has to
//! know of it is in a [`BodyState`] that both share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::body_fault::BodyFault;
use super::body_limit::BodyLimit;
use super::idle::{IdleTimeout, poll_filtered};
use super::inbound::Inbound;
use super::kept::KeptParts;
use super::rewind::Rewindable;
use crate::proxy::request::admit::BodyFraming;
use crate::table::spec::Policy;

/// What became of a request's body; shared by the body, which its sender has, and the request.
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

    /// When the last byte was handed to its sender.
    #[must_use]
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// When the upstream was given a part and asked for no more; `None` while it is the client's turn.
    #[must_use]
    pub(crate) fn untouched_since(&self) -> Option<Instant> {
        self.moved.get()
    }

    /// It is the upstream's turn from then on: an attempt begins.
    pub(crate) fn give(&self, now: Instant) {
        self.moved.set(Some(now));
    }

    /// How it broke, if it did.
    #[must_use]
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// Notes that the request is over: what is left of the body is not worth sending.
    pub(crate) fn abandon(&self) {
        self.over.set(true);
    }
}

/// A copy of a request's body, made while it passes, for a replay or a mirror.
#[derive(Debug)]
pub(crate) struct Recording(RefCell<KeptParts>);

impl Recording {
    fn add(&self, frame: &Frame<Bytes>) {
        let mut kept = self.0.borrow_mut();
        if !kept.is_cut() && !kept.keep(frame) {
            let count = kept.parts().len();
            kept.cut(count);
        }
    }

    /// The body, if all of it passed and is no longer than this: another one may keep more of it.
    #[must_use]
    pub(crate) fn whole(&self, state: &BodyState, bytes_max: usize) -> Option<RequestBody> {
        let kept = self.0.borrow();
        let fits = kept.parts().iter().map(Bytes::len).sum::<usize>() <= bytes_max;
        let whole = state.ended().is_some() && state.fault().is_none() && !kept.is_cut();
        (whole && fits).then(|| RequestBody::Kept(kept.parts().iter().cloned().collect()))
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
        limit: Option<Box<BodyLimit>>,
        /// What became of it, where the request looks.
        state: Rc<BodyState>,
        /// Keeps a copy, if the request may be replayed.
        copy: Option<Rc<Recording>>,
    },
    /// It was kept from an attempt before.
    Kept(VecDeque<Bytes>),
    /// It is one of the others, lent to an attempt that may not be the last.
    Rewindable(Rewindable<Self>),
}

impl RequestBody {
    /// The body that `incoming` brings, within the limits of its service, and its state.
    #[must_use]
    pub(crate) fn new(framing: BodyFraming, incoming: Inbound, policy: &Policy, now: Instant) -> (Self, Rc<BodyState>) {
        match framing {
            BodyFraming::None => (Self::Empty, Rc::new(BodyState::of_no_body(now))),
            BodyFraming::Length(_) | BodyFraming::Chunked => {
                let state = Rc::new(BodyState::default());
                let (idle, limit) = (IdleTimeout::new(policy.body_idle_timeout), BodyLimit::of(&policy.limits));
                (Self::Stream { incoming, idle, limit, state: Rc::clone(&state), copy: None }, state)
            }
        }
    }

    /// Lends the body to a first attempt, with what makes it whole again for the next one. `None` if there is none, or
    /// it has been lent already.
    pub(crate) fn lend(&mut self) -> Option<Rewindable<Self>> {
        match self {
            Self::Empty | Self::Rewindable(_) => None,
            Self::Stream { .. } | Self::Kept(_) => {
                let lent = Rewindable::of(std::mem::take(self));
                *self = Self::Rewindable(lent.again()?);
                Some(lent)
            }
        }
    }

    /// Puts a body that was `lent` back to its beginning, if there is one. Returns whether that could be done.
    pub(crate) fn rewind(&mut self, lent: Option<&Rewindable<Self>>) -> bool {
        match lent {
            Some(lent) => lent.again().map(|again| *self = Self::Rewindable(again)).is_some(),
            None => matches!(self, Self::Empty),
        }
    }

    /// Records a body from the client while it passes, up to this size. `None` if it is known to be larger, or is no
    /// such body. It is recorded once, also for two who ask for it.
    pub(crate) fn record(&mut self, bytes_max: usize) -> Option<Rc<Recording>> {
        match self {
            Self::Stream { incoming, copy, .. } if incoming.size_hint().lower() <= bytes_max as u64 => {
                let recording =
                    copy.get_or_insert_with(|| Rc::new(Recording(RefCell::new(KeptParts::up_to(bytes_max)))));
                recording.0.borrow_mut().widen(bytes_max);
                Some(Rc::clone(recording))
            }
            Self::Stream { .. } | Self::Empty | Self::Kept(_) | Self::Rewindable(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let (incoming, idle, limit, state, copy) = match &mut *self {
            Self::Empty => return Poll::Ready(None),
            Self::Kept(parts) => return Poll::Ready(parts.pop_front().map(|part| Ok(Frame::data(part)))),
            Self::Rewindable(body) => return Pin::new(body).poll_frame(cx),
            Self::Stream { incoming, idle, limit, state, copy } => (incoming, idle, limit, state, copy),
        };
        if state.over.get() {
            return Poll::Ready(Some(Err(BodyFault::Over)));
        }
        let polled = within_limit(limit.as_deref_mut(), poll_filtered(incoming, idle, cx), cx);
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
fn within_limit(
    limit: Option<&mut BodyLimit>,
    polled: Poll<Option<Result<Frame<Bytes>, BodyFault>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
    let Some(limit) = limit else { return polled };
    match &polled {
        Poll::Pending => limit.poll_waiting(cx).map(|fault| Some(Err(fault))),
        Poll::Ready(Some(Ok(frame))) => {
            let came = limit.came(frame.data_ref().map_or(0, Bytes::len));
            came.map_or_else(|fault| Poll::Ready(Some(Err(fault))), |()| polled)
        }
        Poll::Ready(Some(Err(_)) | None) => polled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_very_short_parts_is_not_kept() {
        for (bytes, parts) in [(1, 100_000), (1000, 1000)] {
            let recording = Recording(RefCell::new(KeptParts::up_to(1_000_000)));
            let frame = Frame::data(Bytes::from(vec![b'x'; bytes]));
            (0..parts).for_each(|_| recording.add(&frame));
            let whole = recording.whole(&BodyState::of_no_body(Instant::now()), 1_000_000);
            assert_eq!(whole.is_some(), bytes > 1, "{parts} parts of {bytes} bytes");
            assert!(bytes > 1 || recording.0.borrow().parts().is_empty());
        }
    }
}
