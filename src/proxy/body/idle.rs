//! The time for which a body may be silent.
//!
//! A timer inside the body and not one around the whole transfer: a download may take hours, as long as it goes on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::body_fault::BodyFault;
use crate::http1::coop;
use crate::proxy::request::header_edits;

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
                header_edits::trailers(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }),
        Err(error) => Err(error.into()),
    }))
}
