//! The body of a response, on its way to the client. It carries the request to its end, in two steps. When the
//! endpoint has sent all of it, the connection goes back to its pool, or is dropped. When the last part is in the hands
//! of who writes to the client, the request is counted: a client that does not take the last part has not got the
//! response.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::body_fault::BodyFault;
use super::event_body::EventBody;
use super::idle::{IdleTimeout, poll_filtered};
use super::request_body::BodyState;
use super::spoiler::{BodySpoiler, NextPart};
use crate::message::known_headers::GRPC_STATUS;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::finish::RequestOutcome;
use crate::proxy::request::forward::reply_to_fault;
use crate::proxy::request::upstream_connection::UpstreamConnection;
use crate::proxy::streams::long_lived::{StreamGuard, StreamKind};
use crate::stats::UpstreamFailure;
use crate::upstream::Incoming;

/// What a client gets.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// A response of our own.
    Own(Full<Bytes>),
    /// Events of our own, for as long as the client is there.
    Events(Box<EventBody>),
    /// The upstream's.
    Upstream {
        /// The upstream's side.
        incoming: Incoming,
        /// Bounds the silence.
        idle: IdleTimeout,
        /// Until the last part is with the writer.
        progress: Option<Box<ResponseInProgress>>,
    },
    /// The upstream's, to which a fault of our own does something.
    Spoilt(Box<SpoiltResponse>),
}

/// A body of an upstream's response, and what is done to it.
#[derive(Debug)]
pub(crate) struct SpoiltResponse {
    body: ResponseBody,
    spoiler: BodySpoiler,
}

/// What calls the cold ones is only worked into its callers if it does not call itself.
impl SpoiltResponse {
    #[cold]
    fn note_written(&mut self, count: usize) {
        self.body.note_written(count);
    }

    #[cold]
    fn finish(&mut self) {
        self.body.finish();
    }

    #[cold]
    fn is_end_stream(&self) -> bool {
        self.spoiler.is_empty() && self.body.is_end_stream()
    }

    #[cold]
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        loop {
            let now = Instant::now();
            if self.spoiler.has_cut() {
                return Poll::Ready(Some(Err(self.body.break_off())));
            }
            if self.body.has_outlived_fault(now) {
                return match self.spoiler.give_up() {
                    Some(waiting) => Poll::Ready(Some(Ok(waiting))),
                    None => Pin::new(&mut self.body).poll_frame(cx),
                };
            }
            let mut next = ready!(self.spoiler.poll_next(cx));
            if matches!(next, NextPart::Read) {
                next = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                    Some(Ok(frame)) => self.spoiler.came(frame, Instant::now()),
                    ended => return Poll::Ready(ended),
                };
            }
            match next {
                NextPart::Pass(frame) => return Poll::Ready(Some(Ok(frame))),
                NextPart::Break if self.body.is_end_stream() => return Poll::Ready(None),
                NextPart::Break => return Poll::Ready(Some(Err(self.body.break_off()))),
                NextPart::Read => {}
            }
        }
    }
}

/// A request whose response is under way.
#[derive(Debug)]
pub(crate) struct ResponseInProgress {
    /// The state of the request, which is finished with the response.
    context: RequestContext,
    source: ResponseSource,
    /// What became of the request's body.
    request_body: Rc<BodyState>,
    /// Holds the version's count of long connections, if it may be one.
    long_lived: Option<StreamGuard>,
}

/// Where a response comes from.
#[derive(Debug)]
enum ResponseSource {
    /// This connection.
    Open(UpstreamConnection),
    /// All of it had come at this moment.
    Ended(Instant),
}

impl ResponseInProgress {
    /// A response that comes on `connection`.
    pub(crate) fn new(
        context: RequestContext,
        connection: UpstreamConnection,
        request_body: Rc<BodyState>,
        long_lived: Option<StreamGuard>,
    ) -> Self {
        Self { context, source: ResponseSource::Open(connection), request_body, long_lived }
    }

    fn is_left_behind(&self, cx: &mut Context<'_>) -> bool {
        self.long_lived.as_ref().is_some_and(|long| long.poll_closed(cx).is_ready())
    }

    /// The version was left behind: the response ends here, in the way that its client takes for an interruption. What
    /// is left of the exchange is dropped.
    fn cut(mut self: Box<Self>) -> Option<Frame<Bytes>> {
        self.request_body.abandon();
        let call = self.long_lived.as_ref().is_some_and(|long| long.kind() == StreamKind::Call);
        self.context.finish(RequestOutcome::Complete(Instant::now()));
        // Server-sent events have no end of their own: a client that sees one asks again.
        call.then(|| Frame::trailers(grpc_left_behind()))
    }

    /// The response broke. An upstream that hangs up on a body that broke is not to blame: that is the client's doing.
    fn broke(&mut self, fault: BodyFault) {
        self.request_body.abandon();
        self.context.finish(match self.request_body.fault().and_then(reply_to_fault) {
            Some(reply) => RequestOutcome::ClientBroke(reply.reason),
            None => RequestOutcome::UpstreamBroke(match fault {
                BodyFault::Silent => UpstreamFailure::BodyTimeout,
                BodyFault::Malformed | BodyFault::Gone | BodyFault::TooLarge | BodyFault::Slow | BodyFault::Over => {
                    UpstreamFailure::ShortBody
                }
            }),
        });
    }

    /// The response came to its end, if that is not known yet. The connection is used again only if the request's body
    /// did as well (docs/http-rules.md#rule-26).
    fn end(&mut self, incoming: &mut Incoming) {
        let ResponseSource::Open(connection) = &self.source else { return };
        let now = Instant::now();
        let idle = incoming.take_idle();
        if idle.is_none() && matches!(incoming, Incoming::Over) {
            // A connection of its own that the endpoint does not keep.
            self.context.worker.pools.closed(connection.endpoint());
        }
        if self.request_body.ended().is_none() || self.request_body.fault().is_some() {
            self.request_body.abandon();
        } else if let Some(idle) = idle {
            let RequestContext { worker, private, .. } = &self.context;
            connection.give_back(worker, private.as_deref(), idle, now);
        }
        (self.source, self.long_lived) = (ResponseSource::Ended(now), None);
    }

    /// The response came to its end, and all of it is with the writer.
    fn finish(mut self: Box<Self>, incoming: &mut Incoming) {
        self.end(incoming);
        if let ResponseSource::Ended(at) = self.source {
            self.context.finish(RequestOutcome::Complete(at));
        }
    }
}

/// How a call ends whose version was left behind: its client may try again.
fn grpc_left_behind() -> HeaderMap {
    let message = HeaderValue::from_static("the version that answered was left behind by a shift");
    let unavailable = HeaderValue::from_static("14");
    HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), unavailable),
        (HeaderName::from_static("grpc-message"), message),
    ])
}

/// What trailers say of how a call ended.
fn grpc_status(trailers: &HeaderMap) -> Option<&[u8]> {
    trailers.get(GRPC_STATUS.as_str()).map(HeaderValue::as_bytes)
}

impl ResponseBody {
    /// The body of an upstream's response, which has none by definition if it is `bodiless`.
    #[must_use]
    pub(crate) fn upstream(
        mut incoming: Incoming,
        bodiless: bool,
        idle: IdleTimeout,
        progress: ResponseInProgress,
    ) -> Self {
        // A body that says it has ended is not polled: the request ends here.
        let mut progress = Box::new(progress);
        if incoming.is_end_stream() {
            progress.finish(&mut incoming);
            return Self::Upstream { incoming, idle, progress: None };
        }
        if bodiless {
            // The head is all of it, but its stream of HTTP/2 may end in a frame of its own, and no client asks for
            // that: a stream that is dropped before is reset, and endpoints close connections with many of those.
            progress.finish(&mut incoming);
            drop(spawn_local(read_end(incoming, idle)));
            return Self::Own(Full::default());
        }
        let spoiler = progress.context.take_spoiler();
        let body = Self::Upstream { incoming, idle, progress: Some(progress) };
        if let Some(spoiler) = spoiler { body.spoilt(spoiler) } else { body }
    }

    /// Notes bytes that are with the writer.
    pub(crate) fn note_written(&mut self, count: usize) {
        match self {
            Self::Upstream { progress: Some(progress), .. } => progress.context.note_bytes(count),
            Self::Spoilt(spoilt) => spoilt.note_written(count),
            Self::Upstream { progress: None, .. } | Self::Own(_) | Self::Events(_) => {}
        }
    }

    /// The same body with something done to it.
    #[cold]
    fn spoilt(mut self, spoiler: BodySpoiler) -> Self {
        if let Self::Upstream { progress: Some(progress), .. } = &mut self
            && spoiler.acts_at_once()
        {
            progress.context.note_faulted();
        }
        Self::Spoilt(Box::new(SpoiltResponse { body: self, spoiler }))
    }

    /// Whether the fault that is done to it has ended before it.
    fn has_outlived_fault(&self, now: Instant) -> bool {
        match self {
            Self::Upstream { progress: Some(progress), .. } => !progress.context.is_fault_in_force(now),
            Self::Upstream { progress: None, .. } | Self::Own(_) | Self::Events(_) | Self::Spoilt(_) => true,
        }
    }

    /// Ends it as if the upstream had gone away.
    fn break_off(&mut self) -> BodyFault {
        let fault = BodyFault::Gone;
        if let Self::Upstream { progress, .. } = self
            && let Some(mut progress) = progress.take()
        {
            progress.context.note_faulted();
            progress.broke(fault);
        }
        fault
    }

    /// The last part is with the writer.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Upstream { progress, incoming, .. } => {
                if let Some(progress) = progress.take() {
                    progress.finish(incoming);
                }
            }
            Self::Spoilt(spoilt) => spoilt.finish(),
            Self::Own(_) | Self::Events(_) => {}
        }
    }
}

/// Waits for the end of a stream that has nothing to say any more. One that goes on all the same is reset.
async fn read_end(mut incoming: Incoming, mut idle: IdleTimeout) {
    let ended = poll_fn(|cx| poll_filtered(&mut incoming, &mut idle, cx));
    if let Some(Err(fault)) = ended.await {
        tracing::debug!(%fault, "an answer without a body did not end its stream");
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let (incoming, idle, progress) = match &mut *self {
            Self::Own(body) => {
                return Pin::new(body).poll_frame(cx).map_err(|never| match never {});
            }
            Self::Events(body) => return body.poll_part(cx).map(|part| part.map(|part| Ok(Frame::data(part)))),
            Self::Spoilt(spoilt) => return spoilt.poll_part(cx),
            Self::Upstream { incoming, idle, progress } => (incoming, idle, progress),
        };
        if let Some(over) = progress.take_if(|progress| progress.is_left_behind(cx)) {
            let last = over.cut();
            *self = Self::Own(Full::default());
            return Poll::Ready(last.map(Ok));
        }
        let polled = poll_filtered(incoming, idle, cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(progress) = progress {
                    if frame.data_ref().is_none() {
                        progress.context.note_grpc_status(frame.trailers_ref().and_then(grpc_status));
                    }
                    if incoming.is_end_stream() {
                        progress.end(incoming);
                    }
                }
            }
            Poll::Ready(None) => {
                if let Some(progress) = progress {
                    progress.end(incoming);
                }
            }
            Poll::Ready(Some(Err(fault))) => {
                if let Some(mut progress) = progress.take() {
                    progress.broke(*fault);
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Events(_) => false,
            Self::Spoilt(spoilt) => spoilt.is_end_stream(),
            Self::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
            Self::Spoilt(spoilt) => spoilt.size_hint(),
            Self::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}
