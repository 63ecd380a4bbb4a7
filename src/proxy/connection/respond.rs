//! A response of HTTP/1.1 on its way to the client: its head, the framing of its body, and the end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame};

use super::date::Date;
use super::transport::{Http1Transport, SharedTransport};
use crate::http1::encode::WrongLength;
use crate::http1::{Announced, BodyEncoder, write_response};
use crate::message::known_headers::{CONNECTION, CONTENT_LENGTH};
use crate::message::{Headers, Response};
use crate::proxy::body::response_body::ResponseBody;

/// What the request says about the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestTraits {
    /// Whether it was a `HEAD`.
    pub(crate) to_head: bool,
    /// Whether it came in HTTP/1.0, which knows no chunks.
    pub(crate) http10: bool,
    /// Whether its connection may have another one.
    pub(crate) keep_alive: bool,
}

/// How a response ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ResponseEnd {
    /// Whole. Another request may follow.
    Kept,
    /// Whole. The connection is over.
    Last,
    /// In the middle, by the upstream's fault or the client's. What came of it must not be taken for a whole one.
    Broken,
    /// The same, and its end would be that of the connection (docs/http-rules.md#rule-7): it has to be torn down.
    Cut,
}

/// What frames the body of a response, and what has to be said about it.
struct ResponseFraming {
    /// `None`: the response has no body, whatever its headers say.
    encoder: Option<BodyEncoder>,
    keep_alive: bool,
    lines: FramingLines,
}

/// Header lines that are not among the response's: at the most a length of 20 digits and a word on the connection.
struct FramingLines {
    bytes: [u8; 96],
    length: usize,
}

impl FramingLines {
    fn add(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
            self.length += part.len();
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl ResponseFraming {
    /// RFC 9112, 6.3, from the sender's side.
    fn of(status: StatusCode, headers: &Headers, body: &ResponseBody, request: RequestTraits, may_stay: bool) -> Self {
        let mut lines = FramingLines { bytes: [0; 96], length: 0 };
        let mut keep_alive = request.keep_alive && may_stay;
        let said = headers.get(CONNECTION);
        // What a response says here is ours: an upstream's was taken away.
        keep_alive &= said.is_none_or(|said| said != b"close");
        let bodiless = request.to_head || is_bodiless(status);
        let encoder = if bodiless {
            None
        } else if let Some(length) = body.size_hint().exact() {
            if !headers.contains(CONTENT_LENGTH) {
                lines.add(&[b"content-length: ", decimal(length, &mut [0; 20]), b"\r\n"]);
            }
            Some(BodyEncoder::Length(length))
        } else if request.http10 {
            keep_alive = false;
            Some(BodyEncoder::UntilClose)
        } else {
            lines.add(&[b"transfer-encoding: chunked\r\n"]);
            Some(BodyEncoder::Chunked)
        };
        if said.is_none() {
            match (keep_alive, request.http10) {
                (false, _) => lines.add(&[b"connection: close\r\n"]),
                (true, true) => lines.add(&[b"connection: keep-alive\r\n"]),
                (true, false) => {}
            }
        }
        Self { encoder, keep_alive, lines }
    }
}

/// Whether a response with this status has no body by definition (RFC 9110, 6.4.1).
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// A number in `room`.
pub(super) fn decimal(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut start = room.len();
    loop {
        start -= 1;
        // A remainder of ten.
        room[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[start..];
        }
    }
}

/// Writes a response.
pub(crate) async fn respond(
    transport: &SharedTransport,
    response: Response<ResponseBody>,
    request: RequestTraits,
    may_stay: bool,
    date: &Date,
) -> ResponseEnd {
    let Response { status, headers, body, .. } = response;
    let framing = ResponseFraming::of(status, &headers, &body, request, may_stay);
    transport.with(|transport| {
        transport.responding();
        write_response(&mut transport.write_buf, status, &headers, framing.lines.as_bytes(), || date.now());
    });
    let chunked = framing.encoder == Some(BodyEncoder::Chunked);
    let announced = if chunked { Announced::by(&headers) } else { Announced::default() };
    drop(headers);
    let ended = if framing.keep_alive { ResponseEnd::Kept } else { ResponseEnd::Last };
    let mut sending = BodyWriter { body, encoder: framing.encoder, announced, over: false };
    if framing.encoder.is_none() {
        sending.over = true;
    }
    let sent = poll_fn(|cx| sending.poll(transport, cx)).await;
    match sent {
        Ok(()) => ended,
        Err(SendBroken) if framing.encoder == Some(BodyEncoder::UntilClose) => ResponseEnd::Cut,
        Err(SendBroken) => ResponseEnd::Broken,
    }
}

/// The connection or the body broke.
struct SendBroken;

impl From<WrongLength> for SendBroken {
    fn from(_: WrongLength) -> Self {
        Self
    }
}

/// A body on its way.
struct BodyWriter {
    body: ResponseBody,
    encoder: Option<BodyEncoder>,
    /// Which trailers the head announced.
    announced: Announced,
    /// Whether all of it is in the write buffer.
    over: bool,
}

impl BodyWriter {
    fn poll(&mut self, transport: &SharedTransport, cx: &mut Context<'_>) -> Poll<Result<(), SendBroken>> {
        loop {
            let waits = match self.fill(transport, cx) {
                Ok(filled) => !self.over && filled.is_pending(),
                Err(broken) => {
                    // What came of it is the client's all the same: without it, it would look as if there had been no
                    // response.
                    let _last = transport.with(|transport| transport.poll_flush(cx));
                    return Poll::Ready(Err(broken));
                }
            };
            // Not while the body is polled: it may read what the client sends.
            let flushed = transport.with(|transport| {
                let flushed = transport.poll_flush(cx).map_err(|_gone| SendBroken);
                // Nothing else would notice that a client leaves which waits for more.
                let gone = waits && flushed.is_ready() && transport.poll_gone(cx).is_ready();
                if gone { Poll::Ready(Err(SendBroken)) } else { flushed }
            });
            match flushed.unwrap_or(Poll::Ready(Err(SendBroken))) {
                Poll::Ready(Ok(())) if self.over => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if !waits => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
            }
        }
    }

    /// Moves parts of the body into the write buffer while there is room; pending when the body has none now.
    fn fill(&mut self, transport: &SharedTransport, cx: &mut Context<'_>) -> Result<Poll<()>, SendBroken> {
        while !self.over && transport.with(|transport| transport.write_buf.has_room()).ok_or(SendBroken)? {
            if self.body.is_end_stream() {
                self.end(transport, None)?;
                break;
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(None) => self.end(transport, None)?,
                Poll::Ready(Some(Ok(frame))) => self.take(transport, frame)?,
                Poll::Ready(Some(Err(_fault))) => return Err(SendBroken),
            }
        }
        Ok(Poll::Ready(()))
    }

    fn take(&mut self, transport: &SharedTransport, frame: Frame<Bytes>) -> Result<(), SendBroken> {
        match frame.into_data() {
            Ok(data) => {
                self.body.note_written(data.len());
                self.encode(transport, |encoder, transport| encoder.data(&mut transport.write_buf, data))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().ok().map(|trailers| self.announced.of(trailers));
                self.end(transport, trailers.as_ref())
            }
        }
    }

    #[inline]
    fn end(&mut self, transport: &SharedTransport, trailers: Option<&HeaderMap>) -> Result<(), SendBroken> {
        self.over = true;
        self.body.finish();
        self.encode(transport, |encoder, transport| encoder.end(&mut transport.write_buf, trailers))
    }

    fn encode(
        &mut self,
        transport: &SharedTransport,
        encode: impl FnOnce(&mut BodyEncoder, &mut Http1Transport) -> Result<(), WrongLength>,
    ) -> Result<(), SendBroken> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        Ok(transport.with(|transport| encode(encoder, transport)).unwrap_or(Err(WrongLength))?)
    }
}
