//! A response that is a stream of events (SSE). The next event is made when the connection takes bytes again: a stream
//! has no queue, so a client that reads nothing costs no memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

use super::AdminApi;
use super::admission::Admission;
use super::problem::ProblemDetails;
use super::visit::Visit;

/// Where the events of a stream come from.
pub(crate) trait EventSource: Send + 'static {
    /// Waits for the next event, whole, with the empty line at its end; `None` ends the stream.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// A call that may be answered by a stream.
pub(crate) struct StreamCall {
    /// Its connection; none in a test without one.
    visit: Option<Arc<Visit>>,
    admission: Admission,
}

/// Of the API's own calls, and of those that the one who starts the process adds, which have another state.
impl<S: Sync> FromRequestParts<S> for StreamCall {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ProblemDetails> {
        let visit = parts.extensions.get::<Arc<Visit>>().cloned();
        let admin = parts.extensions.get::<Arc<AdminApi>>().cloned();
        let admin = admin.expect("the router notes the API at every request");
        Ok(Self { visit, admission: Admission::from_request_parts(parts, &admin).await? })
    }
}

impl StreamCall {
    /// Answers with the events of `source`. From now on the connection has the deadlines of a stream.
    #[must_use]
    pub(crate) fn respond(self, source: impl EventSource) -> Response {
        let Self { visit, admission } = self;
        visit.iter().for_each(|visit| visit.streams());
        let body = Body::new(StreamedEvents { reading: read(source), visit, admission });
        ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
    }
}

/// A read that is under way, with the source for the next one.
type Reading<S> = Pin<Box<dyn Future<Output = Option<(Bytes, S)>> + Send>>;

fn read<S: EventSource>(mut source: S) -> Reading<S> {
    Box::pin(async move { source.next().await.map(|event| (event, source)) })
}

/// The events as the body of a response.
struct StreamedEvents<S> {
    reading: Reading<S>,
    visit: Option<Arc<Visit>>,
    admission: Admission,
}

impl<S: EventSource> http_body::Body for StreamedEvents<S> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.reading.as_mut().poll(cx).map(|event| {
            // A token that was taken back reads nothing more; its owner is told so at the next call.
            let (event, source) = event.filter(|_| self.admission.holds())?;
            self.reading = read(source);
            // From now on the client has its time to take it.
            self.visit.iter().for_each(|visit| visit.responded(Instant::now()));
            Some(Ok(Frame::data(event)))
        })
    }
}
