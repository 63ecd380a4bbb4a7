//! The way back on a stream of HTTP/2, while the steps of its request, its body and the connection share it.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use http::StatusCode;
use tokio::time::Instant;

use crate::message::Headers;
use crate::proxy::request::interim::InterimSink;

/// What goes back on a stream, as the stages of its request, its body and the connection share it.
#[derive(Debug)]
pub(crate) struct Responder {
    /// Until the head of the answer is sent.
    pub(super) respond: RefCell<Option<SendResponse<Bytes>>>,
    /// Whether the client waits to be told to send its body.
    pub(super) expects_continue: Cell<bool>,
    /// Since when a part of the answer waits for the client to make room.
    pub(super) waiting_since: Cell<Option<Instant>>,
}

impl Responder {
    pub(super) fn new(respond: SendResponse<Bytes>) -> Self {
        let (respond, expects_continue) = (RefCell::new(Some(respond)), Cell::new(false));
        Self { respond, expects_continue, waiting_since: Cell::new(None) }
    }

    /// Since when it is the client's turn.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since.get()
    }

    /// Tells a client that waits for it to send its body (RFC 9110, 10.1.1).
    pub(super) fn go_on(&self) {
        self.send(StatusCode::CONTINUE, &Headers::default());
    }

    /// Ready when the client has taken its request back, or is gone.
    pub(super) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.respond.borrow_mut().as_mut() {
            Some(respond) => respond.poll_reset(cx).map(|reason| {
                tracing::debug!(?reason, "a request was taken back");
            }),
            None => Poll::Pending,
        }
    }
}

impl InterimSink for Responder {
    fn send(&self, status: StatusCode, headers: &Headers) {
        // It is not borrowed while the steps run. If it were, a response that is optional would be missing.
        let Ok(mut respond) = self.respond.try_borrow_mut() else { return };
        let Some(respond) = respond.as_mut() else { return };
        // Only a client that waits is told to go on, and once.
        if status == StatusCode::CONTINUE && !self.expects_continue.take() {
            return;
        }
        let mut head = http::Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers.clone().into_map();
        if let Err(error) = respond.send_informational(head) {
            tracing::debug!(%error, "an interim answer did not go out");
        }
    }
}
