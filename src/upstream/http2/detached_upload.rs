//! An upload that goes on while its response is already there.
//!
//! Some endpoints respond before they have read the request: a refusal, or a stream in both directions. A proxy that
//! waits for the response's reader to push the upload on, and for the upload's reader to take the response, waits for
//! ever. So the upload gets a task of its own then. The stream is reset when the response is over before it.

use std::future::poll_fn;

use bytes::Bytes;
use http_body::Body;
use tokio::task::{AbortHandle, spawn_local};

use crate::http2::OutgoingBody;

/// Holds the task of an upload, which ends with it.
#[derive(Debug)]
pub(super) struct DetachedUpload(AbortHandle);

impl DetachedUpload {
    /// Sends the rest of `body` in a task of this thread.
    pub(super) fn begin<B: Body<Data = Bytes> + Unpin + 'static>(mut body: OutgoingBody<B>) -> Self {
        let task = spawn_local(async move { poll_fn(|cx| body.poll(cx)).await });
        Self(task.abort_handle())
    }
}

impl Drop for DetachedUpload {
    fn drop(&mut self) {
        self.0.abort();
    }
}
