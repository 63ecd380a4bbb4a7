//! An upload that goes on while its response is already there.
//!
//! Some endpoints respond before they have read the request: a refusal, or a stream in both directions. A proxy that
//! waits for the response's reader to push the upload on, and for the upload's reader to take the response, waits for
//! ever. So the upload gets a task of its own then, and shares the connection with the response; in all other exchanges
//! nothing is shared.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_local;

use super::upload::{Upload, UploadFault};
use crate::http1::WriteBuf;
use crate::upstream::endpoint_stream::EndpointStream;

/// What both directions share.
#[derive(Debug)]
struct JointStream {
    stream: RefCell<EndpointStream>,
    upload: Cell<Progress>,
    /// The response is read to its end, or is not read any more.
    read: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

/// How far the upload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    Running,
    Done,
    /// The endpoint takes no more of it; its response may be whole.
    Refused,
    /// The body broke: the exchange is over.
    Broken,
}

/// The response's half of a shared connection. Dropping it ends the upload.
#[derive(Debug)]
pub(crate) struct ResponseReader(Rc<JointStream>);

/// Sends the rest of `body` in a task of this thread.
pub(crate) fn detach<B: Body<Data = Bytes> + Unpin + 'static>(
    stream: EndpointStream,
    mut upload: Upload,
    mut body: B,
    mut write_buf: WriteBuf,
) -> ResponseReader {
    let joint = Rc::new(JointStream {
        stream: RefCell::new(stream),
        upload: Cell::new(Progress::Running),
        read: Cell::new(false),
        reader: RefCell::default(),
        writer: RefCell::default(),
    });
    let writer = Rc::clone(&joint);
    spawn_local(async move {
        let sending = poll_fn(|cx| {
            writer.writer.replace(Some(cx.waker().clone()));
            if writer.read.get() {
                return Poll::Ready(Ok(()));
            }
            upload.poll(&mut body, &mut write_buf, &mut *writer.stream.borrow_mut(), cx)
        });
        let sent = sending.await;
        writer.end(sent);
    });
    ResponseReader(joint)
}

impl JointStream {
    fn end(&self, sent: Result<(), UploadFault>) {
        self.upload.set(match sent {
            Ok(()) if self.read.get() => Progress::Refused,
            Ok(()) => Progress::Done,
            Err(UploadFault::Connection) => Progress::Refused,
            Err(UploadFault::Body) => {
                // Without the end that was announced, the end of the connection tells the endpoint that it broke.
                // Whether it can be told at once does not matter: the reader drops the connection next.
                let mut cx = Context::from_waker(Waker::noop());
                let _told = Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(&mut cx);
                Progress::Broken
            }
        });
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl ResponseReader {
    /// The connection, if the upload came to its end.
    pub(crate) fn reunite(self) -> Option<EndpointStream> {
        let joint = Rc::clone(&self.0);
        drop(self);
        let done = joint.upload.get() == Progress::Done;
        Rc::try_unwrap(joint).ok().filter(|_| done).map(|joint| joint.stream.into_inner())
    }
}

impl Drop for ResponseReader {
    fn drop(&mut self) {
        self.0.read.set(true);
        if let Some(writer) = self.0.writer.take() {
            writer.wake();
        }
    }
}

impl AsyncRead for ResponseReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.upload.get() == Progress::Broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.0.reader.replace(Some(cx.waker().clone()));
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(cx, buf)
    }
}
