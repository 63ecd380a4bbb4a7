//! A body on its way out: an answer to a client, a request to an endpoint.
//!
//! Nothing is asked of the body before the part that it gave last has room: a side that reads slowly slows the sender
//! of the body down. A body that breaks resets its stream and never ends it (docs/http-rules.md#rule-7).

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
}

impl<B: Body<Data = Bytes> + Unpin> OutgoingBody<B> {
    /// Sends `body` on `stream`, which is reset with the code `on_fault` if the body breaks.
    pub(crate) fn new(body: B, stream: SendStream<Bytes>, on_fault: Reason) -> Self {
        Self { body, stream, on_fault, part: None, waiting_since: None }
    }

    /// Since when a part waits for the other side to make room.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// Ready when all of it is the codec's, or no more of it can be: the other side has reset the stream, or is gone.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some((data, last)) = self.part.take() {
                match self.poll_room(data.is_empty(), cx) {
                    Poll::Ready(true) => self.waiting_since = None,
                    Poll::Ready(false) => return Poll::Ready(()),
                    Poll::Pending => {
                        self.part = Some((data, last));
                        self.waiting_since.get_or_insert_with(Instant::now);
                        return Poll::Pending;
                    }
                }
                // It fails when the stream is over.
                if self.stream.send_data(data, last).is_err() || last {
                    return Poll::Ready(());
                }
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

    /// Takes what the body has next. Whether it was the last.
    fn take(&mut self, frame: Result<Option<Frame<Bytes>>, B::Error>) -> bool {
        match frame {
            Ok(Some(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.part = Some((data, self.body.is_end_stream()));
                    false
                }
                Err(frame) => frame.into_trailers().is_ok_and(|trailers| {
                    self.stream.reserve_capacity(0);
                    let _sent = self.stream.send_trailers(trailers);
                    true
                }),
            },
            Ok(None) => {
                let _sent = self.stream.send_data(Bytes::new(), true);
                true
            }
            // The other side must not take what came for all of it.
            Err(_fault) => {
                self.stream.send_reset(self.on_fault);
                true
            }
        }
    }

    /// Ready when a part can be sent; false when none can be any more. A byte is asked for and not the whole part: what
    /// is asked for and not there yet is kept from the other streams, and the codec asks for the rest when it has the
    /// part.
    fn poll_room(&mut self, empty: bool, cx: &mut Context<'_>) -> Poll<bool> {
        if empty || self.stream.capacity() > 0 {
            return Poll::Ready(true);
        }
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }
}
