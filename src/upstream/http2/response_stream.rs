//! The body of a response on a stream.
//!
//! The window of a stream opens as its body is taken, so that a client that does not read stops its endpoint and no
//! other one. A reset before the end is a break whatever its code says: to some endpoints `NO_ERROR` means that they
//! have no more to say, and a response that was not ended must not look like one that was.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use super::detached_upload::DetachedUpload;
use crate::http1::Broken;
use crate::upstream::incoming_error::IncomingError;

/// See the module.
#[derive(Debug)]
pub(crate) struct ResponseStream {
    stream: RecvStream,
    /// What is to come, if the endpoint said it. The codec holds it to that.
    left: Option<u64>,
    /// The rest of the request, while it is being sent.
    upload: Option<DetachedUpload>,
}

impl ResponseStream {
    /// The body that follows a head with these headers, while `upload` goes on.
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap, upload: Option<DetachedUpload>) -> Self {
        let none = || stream.is_end_stream().then_some(0);
        Self { left: content_length(headers).or_else(none), stream, upload }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, h2::Error>> {
        match ready!(self.stream.poll_data(cx)) {
            Some(data) => {
                let data = data?;
                // There is nothing to give back when the stream is over, and that is seen at the next look.
                let _window = self.stream.flow_control().release_capacity(data.len());
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Ok(Some(Frame::data(data))))
            }
            None => Poll::Ready(Ok(ready!(self.stream.poll_trailers(cx))?.map(Frame::trailers))),
        }
    }
}

/// The length that a head tells; none if two of them differ.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|length| length.to_str().ok()?.parse().ok());
    let first = lengths.next()?;
    first.filter(|_| lengths.all(|other| other == first))
}

impl Body for ResponseStream {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let part = ready!(self.poll_part(cx));
        if self.stream.is_end_stream() {
            // What is left of the request has no reader any more.
            self.upload = None;
        }
        Poll::Ready(match part {
            Ok(part) => part.map(Ok),
            Err(error) if error.reason() == Some(Reason::NO_ERROR) => Some(Err(Broken::Short.into())),
            Err(error) => Some(Err(error.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
