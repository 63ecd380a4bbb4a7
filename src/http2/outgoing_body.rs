//! A body on its way out: an answer to a client, a request to an endpoint.
//!
//! Nothing is asked of the body before the part that it gave last has room: a side that reads slowly slows the sender
//! of the body down. A body that breaks resets its stream and never ends it (docs/http-rules.md#rule-7).
//!
//! The codec is given no more than the other side has room for. It would take a part whole, and what it has is out of
//! sight: a side that takes a little every second could not be told from one that takes nothing, and the body would be
//! over for us while most of it is still to go.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};
use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(crate) struct OutgoingBody<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// The code that the stream is reset with when the body breaks.
    on_fault: Reason,
    /// A part that waits for the other side to make room, and whether it is the last one.
    part: Option<(Bytes, bool)>,
    waiting_since: Option<Instant>,
    /// When there was room for some of a part that had waited, last.
    went_on: Option<Instant>,
    /// Bytes that are the codec's, and were not asked for yet.
    sent: usize,
    /// Whether all of it is the codec's.
    whole: bool,
}

impl<B: Body<Data = Bytes> + Unpin> OutgoingBody<B> {
    /// Sends `body` on `stream`, which is reset with the code `on_fault` if the body breaks.
    pub(crate) fn new(body: B, stream: SendStream<Bytes>, on_fault: Reason) -> Self {
        Self { body, stream, on_fault, part: None, waiting_since: None, went_on: None, sent: 0, whole: false }
    }

    /// Since when a part waits for the other side to make room.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// When the other side has last made room for some of a part that had waited for it; none if none has waited.
    pub(crate) fn went_on(&self) -> Option<Instant> {
        self.went_on
    }

    /// How many bytes the codec was given since this was asked last.
    pub(crate) fn take_sent(&mut self) -> usize {
        std::mem::take(&mut self.sent)
    }

    /// Whether the codec has all of it.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The body itself.
    pub(crate) fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// Ready when all of it is the codec's, or no more of it can be: the other side has reset the stream, or is gone.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some((data, last)) = self.part.take()
                && !ready!(self.poll_send(data, last, cx))
            {
                return Poll::Ready(());
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                // Nothing else would notice that the other side leaves while more of the body is waited for.
                Poll::Pending => return self.stream.poll_reset(cx).map(|_gone| ()),
                Poll::Ready(frame) => {
                    if self.take(frame.transpose()) {
                        return Poll::Ready(());
                    }
                }
            }
        }
    }

    /// Sends a part, as much at a time as there is room for. Whether more can follow.
    fn poll_send(&mut self, mut data: Bytes, last: bool, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let room = match self.poll_room(data.len(), cx) {
                Poll::Ready(Some(room)) => room,
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Pending => {
                    self.part = Some((data, last));
                    self.waiting_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            };
            if self.waiting_since.take().is_some() {
                self.went_on = Some(Instant::now());
            }
            let left = if room < data.len() { data.split_off(room) } else { Bytes::new() };
            let (count, over) = (data.len(), left.is_empty());
            // It fails when the stream is over.
            if self.stream.send_data(data, last && over).is_err() {
                return Poll::Ready(false);
            }
            self.sent += count;
            if over {
                self.whole = last;
                return Poll::Ready(!last);
            }
            data = left;
        }
    }

    /// Takes what the body has next. Whether it was the last.
    fn take(&mut self, frame: Result<Option<Frame<Bytes>>, B::Error>) -> bool {
        let ended = match frame {
            Ok(Some(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.part = Some((data, self.body.is_end_stream()));
                    return false;
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { return false };
                    self.stream.reserve_capacity(0);
                    self.stream.send_trailers(trailers)
                }
            },
            Ok(None) => self.stream.send_data(Bytes::new(), true),
            // The other side must not take what came for all of it.
            Err(_fault) => {
                self.stream.send_reset(self.on_fault);
                return true;
            }
        };
        self.whole = ended.is_ok();
        if !self.whole {
            // The stream is over, or the codec does not take the trailers: the other side must not wait for its end.
            self.stream.send_reset(self.on_fault);
        }
        true
    }

    /// Ready when some of a part of this length can be sent, and how much; none when nothing can be any more.
    fn poll_room(&mut self, length: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        if self.stream.capacity() >= length {
            return Poll::Ready(Some(length));
        }
        self.stream.reserve_capacity(length);
        loop {
            match self.stream.capacity() {
                0 => {}
                room => return Poll::Ready(Some(room.min(length))),
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}
