//! What an origin does with a request, as a test writes it down.

use std::time::Duration;

use super::Turnstile;

/// One thing that it does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Bytes(Vec<u8>),
    Pause(Duration),
    Wait(Turnstile),
    Close,
    Reset,
    Hang,
    Echo,
}

/// What an origin does with a request, step by step; then it waits for the next one.
#[derive(Clone, Default, Debug)]
pub(crate) struct Reply(pub(super) Vec<Step>);

impl Reply {
    /// Bytes, as they are.
    pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self::default().then(bytes)
    }

    /// A 200 with this body, in one write.
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.as_ref().len());
        Self::raw([head.as_bytes(), body.as_ref()].concat())
    }

    /// Further bytes.
    pub(crate) fn then(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.push(Step::Bytes(bytes.as_ref().to_vec()));
        self
    }

    /// A pause of this many milliseconds.
    pub(crate) fn pause(mut self, milliseconds: u64) -> Self {
        self.0.push(Step::Pause(Duration::from_millis(milliseconds)));
        self
    }

    /// Nothing happens until it is its turn.
    pub(crate) fn wait(mut self, turnstile: &Turnstile) -> Self {
        self.0.push(Step::Wait(turnstile.clone()));
        self
    }

    /// The connection is closed in order.
    pub(crate) fn close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }

    /// The connection is reset.
    pub(crate) fn reset(mut self) -> Self {
        self.0.push(Step::Reset);
        self
    }

    /// Everything that comes is sent back, as long as anything comes: what a WebSocket is to the proxy.
    pub(crate) fn echo(mut self) -> Self {
        self.0.push(Step::Echo);
        self
    }

    /// Nothing happens until the proxy gives up.
    pub(crate) fn hang(mut self) -> Self {
        self.0.push(Step::Hang);
        self
    }
}
