//! The body of a request, on its way to the endpoint.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::http1::encode::WrongLength;
use crate::http1::{Announced, BodyEncoder, WriteBuf};
use crate::message::Headers;
use crate::message::known_headers::TRANSFER_ENCODING;

/// How far the body is.
#[derive(Debug)]
pub(crate) struct Upload {
    /// How the rest is framed; `None` when all of it was taken.
    rest: Option<BodyEncoder>,
    announced: Announced,
    /// Whether anything was taken.
    pub(crate) touched: bool,
    /// Whether all that was taken is on its way.
    flushed: bool,
}

/// Why a body cannot be sent to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UploadFault {
    /// It broke, or was not as long as the head said.
    Body,
    /// The connection takes no more.
    Connection,
}

impl From<WrongLength> for UploadFault {
    fn from(_: WrongLength) -> Self {
        Self::Body
    }
}

impl Upload {
    /// Sends a body under the framing that `headers` announce.
    pub(crate) fn of<B: Body<Data = Bytes>>(headers: &Headers, body: &B) -> Self {
        let length = body.size_hint().exact();
        let (rest, announced) = if headers.contains(TRANSFER_ENCODING) {
            (Some(BodyEncoder::Chunked), Announced::by(headers))
        } else {
            // A body of unknown length would have been announced as chunked: there is none then.
            (length.filter(|length| *length > 0).map(BodyEncoder::Length), Announced::default())
        };
        Self { rest, announced, touched: false, flushed: false }
    }

    /// Whether the endpoint has got all that the head announced, though the body may still have its end to tell.
    pub(crate) fn is_whole(&self) -> bool {
        self.flushed && matches!(self.rest, None | Some(BodyEncoder::Length(0)))
    }

    /// Takes as much as comes from `body`, and writes it behind what is in `write_buf`; ready when all is written.
    pub(crate) fn poll<B: Body<Data = Bytes> + Unpin, S: AsyncWrite + Unpin>(
        &mut self,
        body: &mut B,
        write_buf: &mut WriteBuf,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadFault>> {
        self.flushed = false;
        loop {
            let waiting = self.take(body, write_buf, cx)?;
            let flushed = ready!(write_buf.poll_flush(stream, cx));
            flushed.map_err(|_gone| UploadFault::Connection)?;
            if waiting || self.rest.is_none() {
                // TLS may have kept some of it.
                ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(|_gone| UploadFault::Connection)?;
                self.flushed = true;
                return if waiting { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
        }
    }

    /// Fills `write_buf` as far as it has room. Whether the body has to be waited for.
    fn take<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        body: &mut B,
        write_buf: &mut WriteBuf,
        cx: &mut Context<'_>,
    ) -> Result<bool, UploadFault> {
        while let Some(encoder) = self.rest.as_mut().filter(|_| write_buf.has_room()) {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { return Ok(true) };
            match frame.transpose().map_err(|_fault| UploadFault::Body)?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    self.touched = true;
                    encoder.data(write_buf, data)?;
                    // A large part takes the whole write buffer: the end of its body comes behind it.
                    if body.is_end_stream() && write_buf.has_room() {
                        self.end(write_buf, None)?;
                    }
                }
                Some(Err(last)) => {
                    self.touched = true;
                    let trailers = last.into_trailers().ok().map(|trailers| self.announced.of(trailers));
                    self.end(write_buf, trailers.as_ref())?;
                }
                None => self.end(write_buf, None)?,
            }
        }
        Ok(false)
    }

    fn end(&mut self, write_buf: &mut WriteBuf, trailers: Option<&HeaderMap>) -> Result<(), UploadFault> {
        if let Some(mut encoder) = self.rest.take() {
            encoder.end(write_buf, trailers)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::HeaderValue;
    use http_body_util::{BodyExt, Empty};

    use super::*;

    /// A connection that takes nothing.
    struct Gone;

    impl AsyncWrite for Gone {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_body_whose_trailers_were_taken_is_no_longer_whole() {
        let mut headers = Headers::default();
        headers.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        for (trailers, touched) in
            [(Some(HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("1"))])), true), (None, false)]
        {
            let mut body = Empty::<Bytes>::new().with_trailers(std::future::ready(trailers.map(Ok))).boxed_unsync();
            let mut upload = Upload::of(&headers, &body);
            let sent = upload.poll(
                &mut body,
                &mut WriteBuf::default(),
                &mut Gone,
                &mut Context::from_waker(std::task::Waker::noop()),
            );
            assert_eq!((sent, upload.touched), (Poll::Ready(Err(UploadFault::Connection)), touched));
        }
    }
}
