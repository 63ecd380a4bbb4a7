//! The task of a connection: it reads and writes frames for as long as the connection has requests or a pool that keeps
//! it, and finds out when the endpoint is gone.
//!
//! An endpoint with a request under way that says nothing for a while is asked by a ping, and the connection of one
//! that does not answer is dropped: its requests would wait out their own limits otherwise, and a response without a
//! limit for ever. One timer a connection does that. It runs only when something is under way, and is moved when it
//! goes off too early: a request costs a look at it.
//!
//! A connection that no pool has any more and that has no request is closed, and what the codec has still to write has
//! a while for that: an endpoint that reads nothing could keep it otherwise for as long as it likes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::stream_load::StreamLoad;
use crate::http1::coop;
use crate::http2::{Liveness, LivenessVerdict, PingTimes};

/// How a connection ends that does not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionEnd {
    #[error("the connection broke")]
    Broken(#[from] h2::Error),
    #[error("the endpoint did not answer a ping within {0:?}")]
    Silent(Duration),
    #[error("the endpoint did not read the end of the connection within {0:?}")]
    Unread(Duration),
}

/// See the module.
pub(super) struct EndpointDriver<S> {
    connection: Connection<NotedStream<S>, Bytes>,
    pings: Option<PingPong>,
    times: PingTimes,
    load: Rc<StreamLoad>,
    liveness: Liveness,
    /// Once something was under way.
    timer: Option<Pin<Box<Sleep>>>,
    /// Once nothing is left but to close the connection.
    closing: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> EndpointDriver<S> {
    pub(super) fn new(
        mut connection: Connection<NotedStream<S>, Bytes>,
        load: Rc<StreamLoad>,
        times: PingTimes,
    ) -> Self {
        let pings = connection.ping_pong();
        Self { connection, pings, times, load, liveness: Liveness::Heard(Instant::now()), timer: None, closing: None }
    }

    /// Ready when the connection is to be closed for longer than that may take.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.load.is_over() {
            return Poll::Pending;
        }
        let due = || Box::pin(sleep_until(Instant::now() + self.times.timeout));
        coop::poll_unbudgeted(self.closing.get_or_insert_with(due).as_mut(), cx)
    }

    /// Ready when the endpoint is gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.load.heard.take() {
            self.liveness = Liveness::Heard(Instant::now());
        }
        // An answer that is due is waited for also when its request has been given up.
        while self.load.is_busy() || matches!(self.liveness, Liveness::Asked(_)) {
            let due = self.liveness.due(self.times);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(coop::poll_unbudgeted(timer.as_mut(), cx));
            match self.liveness.look(self.times, Instant::now(), false) {
                LivenessVerdict::Fine => {}
                LivenessVerdict::Ask => ask(self.pings.as_mut()),
                LivenessVerdict::Dead => return Poll::Ready(()),
            }
            timer.as_mut().reset(self.liveness.due(self.times));
        }
        Poll::Pending
    }
}

fn ask(pings: Option<&mut PingPong>) {
    let Some(pings) = pings else { return };
    // The answer to the last one is taken, so that there may be another one; that it came is known already.
    let _answered = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
    if let Err(error) = pings.send_ping(Ping::opaque()) {
        tracing::debug!(%error, "an endpoint could not be asked whether it is there");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for EndpointDriver<S> {
    type Output = Result<(), ConnectionEnd>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx) {
            return Poll::Ready(ended.map_err(ConnectionEnd::from));
        }
        if self.poll_unread(cx).is_ready() {
            return Poll::Ready(Err(ConnectionEnd::Unread(self.times.timeout)));
        }
        self.poll_gone(cx).map(|()| Err(ConnectionEnd::Silent(self.times.timeout)))
    }
}

/// A connection under the codec: what comes is noted, because the codec does not tell whether anything came, and taken
/// from the budget of the task's turn by what it brings. An endpoint may send frames of a few bytes without end, each
/// of which is kept by the codec until the task of its request has a turn.
#[derive(Debug)]
pub(super) struct NotedStream<S> {
    stream: S,
    load: Rc<StreamLoad>,
}

impl<S> NotedStream<S> {
    pub(super) fn new(stream: S, load: Rc<StreamLoad>) -> Self {
        Self { stream, load }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NotedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.load.heard.set(true);
            coop::consume_budget(buf.filled().len() - before, cx);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NotedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
