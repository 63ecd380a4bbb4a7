//! One stream of a connection: a request on its way out, and the wait for the head of its response.
//!
//! The codec queues a stream that the endpoint does not allow yet. One at a time is queued there, and no byte of its
//! body is asked for until it is opened; the requests behind it wait here, where they are whole when the connection
//! ends, and can go elsewhere.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use super::detached_upload::DetachedUpload;
use super::response_stream::{ResponseStream, content_length};
use super::stream_load::StreamLoad;
use crate::http1::HeadLimits;
use crate::http2::{OutgoingBody, TunnelStream};

/// A stream of a shared connection; dropping it makes room for another one.
#[derive(Debug)]
pub(crate) struct UpstreamStream {
    sender: SendRequest<Bytes>,
    load: Rc<StreamLoad>,
    /// What the head of a response may have.
    heads: HeadLimits,
    /// Whether others wait until the codec has opened it.
    opening: bool,
}

/// Why there is no response on a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// Nothing of the request was written, nothing of its body was taken: it may go elsewhere.
    #[error("the connection was closed before the request was written")]
    Unsent(#[source] h2::Error),
    /// The endpoint has not looked at it, and says so (RFC 9113, 8.7): whatever it is, it may be sent again.
    #[error("the endpoint has not looked at the request")]
    Unprocessed(#[source] h2::Error),
    /// The connection broke.
    #[error("the connection broke before the answer came")]
    Broken(#[source] h2::Error),
    /// The stream was reset on a connection that goes on.
    #[error("the stream was reset before the answer came")]
    Reset(#[source] h2::Error),
    /// What came on the stream is no response.
    #[error("the answer breaks the rules of HTTP/2")]
    Malformed(#[source] h2::Error),
    /// It switched protocols, which does not exist in HTTP/2 (RFC 9113, 8.6).
    #[error("the endpoint switched protocols, which HTTP/2 cannot do")]
    Switched,
    /// The head of a response has more bytes than it may have.
    #[error("the head of an answer has too many bytes")]
    TooLarge,
    /// The head of a response has more lines than it may have.
    #[error("the head of an answer has too many lines")]
    TooManyLines,
}

/// A request that is being sent.
#[derive(Debug)]
pub(crate) struct StreamRequest<'s, B> {
    stream: &'s mut UpstreamStream,
    stage: SendStage<B>,
}

/// How far a request is.
#[derive(Debug)]
enum SendStage<B> {
    /// The codec has nothing of it.
    Waiting(Request<()>, B),
    /// The codec has its head.
    Sent(ResponseFuture, StreamUpload<B>),
    /// The connection was gone before.
    Unsent(B),
    /// It has failed.
    Over,
}

/// How far the body of a request is.
#[derive(Debug)]
enum StreamUpload<B> {
    /// It is on its way.
    Sending(OutgoingBody<B>),
    /// There is none: the stream stays open for what a tunnel carries.
    Tunnel(SendStream<Bytes>),
    /// All of it is sent, or the endpoint takes no more of it. The time is that of [`OutgoingBody::went_on`].
    Done(Option<Instant>),
}

/// What comes back on a stream.
#[derive(Debug)]
pub(crate) enum StreamResponse {
    /// The head of an interim response: another one follows.
    Interim(Response<()>),
    /// The head of the response.
    Final(Response<RecvStream>),
}

/// What follows the head of a response.
#[derive(Debug)]
pub(crate) enum StreamContent {
    /// A body.
    Body(ResponseStream),
    /// What the other end of a tunnel says.
    Tunnel(Box<TunnelStream>),
}

impl UpstreamStream {
    /// A stream that was counted in.
    pub(super) fn new(sender: SendRequest<Bytes>, load: Rc<StreamLoad>, heads: HeadLimits) -> Self {
        Self { sender, load, heads, opening: false }
    }

    /// Begins a request. Its head is in the form of HTTP/2; a `CONNECT` asks for a tunnel and has no body.
    pub(crate) fn begin<B>(&mut self, head: Request<()>, body: B) -> StreamRequest<'_, B> {
        StreamRequest { stream: self, stage: SendStage::Waiting(head, body) }
    }

    /// Whether the connection takes no more streams.
    fn is_closed(&mut self) -> bool {
        matches!(self.sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }

    /// Waits until the codec has opened the stream. A connection that is gone says so where the response is waited for.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.opening {
            let _gone = ready!(self.sender.poll_ready(cx));
            self.opened();
        }
        Poll::Ready(())
    }

    /// Notes that nothing is queued in the codec any more, if it was this stream.
    fn opened(&mut self) {
        if std::mem::take(&mut self.opening) {
            self.load.queue.end();
        }
    }

    /// What an error says that came instead of a response.
    fn failed(&self, error: h2::Error) -> StreamError {
        // The codec says this to streams above the last one that the endpoint may have looked at, and to no others.
        if error.is_remote() && error.is_go_away() {
            self.load.leave();
            StreamError::Unprocessed(error)
        } else if error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM) {
            self.load.refused();
            StreamError::Unprocessed(error)
        } else if error.is_library() && error.is_reset() {
            StreamError::Malformed(error)
        } else if error.is_reset() {
            StreamError::Reset(error)
        } else {
            StreamError::Broken(error)
        }
    }

    /// Whether a head has no more than it may have.
    fn look_at(&self, headers: &HeaderMap) -> Result<(), StreamError> {
        if headers.len() > self.heads.headers_max {
            return Err(StreamError::TooManyLines);
        }
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > self.heads.bytes_max { Err(StreamError::TooLarge) } else { Ok(()) }
    }
}

impl Drop for UpstreamStream {
    fn drop(&mut self) {
        self.opened();
        self.load.left();
    }
}

impl<B: Body<Data = Bytes> + Unpin> StreamRequest<'_, B> {
    /// Sends what is left of the request, and looks for the head of its response, or of an interim one before it: then
    /// the next poll looks for the next one.
    ///
    /// # Errors
    /// [`StreamError`] when there is none. The connection takes no new streams, or fewer, if that is what it says.
    pub(crate) fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamResponse, StreamError>> {
        if matches!(self.stage, SendStage::Waiting(..)) {
            ready!(self.stream.load.queue.poll_turn(cx));
            self.send_head()?;
        }
        let SendStage::Sent(response, upload) = &mut self.stage else { return Poll::Pending };
        ready!(self.stream.poll_opened(cx));
        if let StreamUpload::Sending(body) = upload
            && body.poll(cx).is_ready()
        {
            *upload = StreamUpload::Done(body.went_on());
        }
        match ready!(response.poll_informational(cx)) {
            Some(Ok(head)) => Poll::Ready(self.interim(head)),
            Some(Err(error)) => Poll::Ready(Err(self.stream.failed(error))),
            None => {
                let head = ready!(Pin::new(response).poll(cx)).map_err(|error| self.stream.failed(error))?;
                self.stream.load.responded();
                self.stream.look_at(head.headers())?;
                Poll::Ready(Ok(StreamResponse::Final(head)))
            }
        }
    }

    /// Gives the head to the codec, which queues it if the endpoint allows no more streams at the moment.
    fn send_head(&mut self) -> Result<(), StreamError> {
        let SendStage::Waiting(head, body) = std::mem::replace(&mut self.stage, SendStage::Over) else { return Ok(()) };
        let connect = head.method() == Method::CONNECT;
        let ends = !connect && body.is_end_stream();
        let (response, outgoing) = match self.stream.sender.send_request(head, ends) {
            Ok(sent) => sent,
            Err(error) if self.stream.is_closed() => {
                self.stage = SendStage::Unsent(body);
                return Err(StreamError::Unsent(error));
            }
            Err(error) => return Err(StreamError::Broken(error)),
        };
        self.stream.opening = true;
        self.stream.load.queue.begin();
        let upload = if connect {
            StreamUpload::Tunnel(outgoing)
        } else if ends {
            StreamUpload::Done(None)
        } else {
            StreamUpload::Sending(OutgoingBody::new(body, outgoing, Reason::CANCEL))
        };
        self.stage = SendStage::Sent(response, upload);
        Ok(())
    }

    /// Looks at the head of an interim response.
    fn interim(&mut self, head: Response<()>) -> Result<StreamResponse, StreamError> {
        let switched = head.status() == StatusCode::SWITCHING_PROTOCOLS;
        let looked = if switched { Err(StreamError::Switched) } else { self.stream.look_at(head.headers()) };
        if looked.is_err() {
            self.stage = SendStage::Over;
        }
        looked.map(|()| StreamResponse::Interim(head))
    }

    /// When the endpoint has last taken some of the body that had waited for it.
    #[must_use]
    pub(crate) fn went_on(&self) -> Option<Instant> {
        match &self.stage {
            SendStage::Sent(_, StreamUpload::Sending(body)) => body.went_on(),
            SendStage::Sent(_, StreamUpload::Done(went_on)) => *went_on,
            SendStage::Sent(_, StreamUpload::Tunnel(_))
            | SendStage::Waiting(..)
            | SendStage::Unsent(_)
            | SendStage::Over => None,
        }
    }

    /// The body of a request that is [`Unsent`](StreamError::Unsent).
    #[must_use]
    pub(crate) fn into_body(self) -> Option<B> {
        match self.stage {
            SendStage::Unsent(body) => Some(body),
            SendStage::Waiting(..) | SendStage::Sent(..) | SendStage::Over => None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin + 'static> StreamRequest<'_, B> {
    /// Goes on with what follows the head of the response; the rest of the request's body, if it has not been sent yet,
    /// by itself.
    ///
    /// # Errors
    /// When the endpoint consents to a tunnel and announces a body.
    pub(crate) fn into_response(self, head: Response<RecvStream>) -> Result<Response<StreamContent>, StreamError> {
        let (parts, incoming) = head.into_parts();
        let upload = match self.stage {
            SendStage::Sent(_, StreamUpload::Tunnel(mut outgoing)) if parts.status == StatusCode::OK => {
                if content_length(&parts.headers).is_some_and(|length| length > 0) {
                    outgoing.send_reset(Reason::INTERNAL_ERROR);
                    return Err(StreamError::Reset(Reason::INTERNAL_ERROR.into()));
                }
                let tunnel = StreamContent::Tunnel(Box::new(TunnelStream::new(incoming, outgoing)));
                return Ok(Response::from_parts(parts, tunnel));
            }
            SendStage::Sent(_, StreamUpload::Sending(body)) if !incoming.is_end_stream() => {
                Some(DetachedUpload::begin(body))
            }
            SendStage::Sent(..) | SendStage::Waiting(..) | SendStage::Unsent(_) | SendStage::Over => None,
        };
        let body = StreamContent::Body(ResponseStream::new(incoming, &parts.headers, upload));
        Ok(Response::from_parts(parts, body))
    }
}
