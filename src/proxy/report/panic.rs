//! Rule 24: a panic in one request ends that request.
//!
//! The runtime would catch it too, but with the whole task: over HTTP/1.1 the client saw its connection close without a
//! word, over HTTP/2 a stream that was reset. Caught around the steps of the request, it is a local reply like any
//! other, in the client's manner, counted and logged. What it costs a request is one call that is not inlined for each
//! poll: on the way without a panic, catching has no instructions of its own.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use crate::proxy::request::early_response::EarlyResponse;
use crate::proxy::request::local_reply::LocalReply;
use crate::stats::RejectReason;

/// What `steps` come to; a local reply if they panic. The hook of the process has told the panic by then.
///
/// # Errors
/// The early response of a step, or that of a panic.
pub(crate) async fn catch_panic<T>(
    mut steps: Pin<&mut impl Future<Output = Result<T, EarlyResponse>>>,
) -> Result<T, EarlyResponse> {
    poll_fn(|cx| {
        // What the request owned is dropped on the way here, which counts it out. What it shares with others is as it
        // would be if the runtime caught the panic.
        let polled = catch_unwind(AssertUnwindSafe(|| steps.as_mut().poll(cx)));
        polled.unwrap_or_else(|_panic| {
            Poll::Ready(Err(LocalReply::new(RejectReason::Internal, "a bug of the proxy ended this request").into()))
        })
    })
    .await
}
