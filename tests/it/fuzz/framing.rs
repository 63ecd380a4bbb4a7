//! Three readings of one connection: hyper's, the tracker's that looks over its shoulder, and the plain one of
//! [`reading`](super::reading). Whatever admission lets through, all three must have read alike; and nothing lawful may
//! be refused. All of it in memory, so that the bytes arrive exactly in the parts that were drawn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pointsman::proxy::admit::{AdmitSettings, BodyFraming, Seen, admit};
use pointsman::proxy::framing::HeadFraming;
use pointsman::proxy::watched::Watched;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::{Stream, stream};
use super::message::{Payload, parts};
use super::reading::{Reading, requests};
use super::run;

/// A connection whose inbound bytes come in parts, and then end.
struct Parts(VecDeque<Vec<u8>>);

impl AsyncRead for Parts {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut part) = self.0.pop_front() {
            let rest = part.split_off(part.len().min(buf.remaining()));
            buf.put_slice(&part);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Parts {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What hyper made of a request, and the tracker of its head.
#[derive(Debug)]
struct Served {
    method: String,
    target: String,
    framing: Option<HeadFraming>,
    /// Why it is not admitted.
    refused: Option<&'static str>,
    /// `None` if it broke.
    body: Option<Vec<u8>>,
}

async fn serve(request: Request<Incoming>, framing: Option<HeadFraming>) -> (Served, Response<Empty<&'static [u8]>>) {
    let (head, body) = request.into_parts();
    let announced = match body.size_hint().exact() {
        Some(0) => BodyFraming::None,
        Some(length) => BodyFraming::Length(length),
        None => BodyFraming::Chunked,
    };
    let settings =
        AdmitSettings { target_bytes_max: 8192, trusted_proxies: Vec::new(), https: false, redirect_https: None };
    let refusal = admit(&head, Seen::Http1(framing), announced, [127, 0, 0, 1].into(), &settings).err();
    let mut response = Response::new(Empty::new());
    if refusal.as_ref().is_some_and(|refusal| refusal.closes()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let body = match refusal {
        Some(_) => None,
        None => body.collect().await.ok().map(|body| body.to_bytes().to_vec()),
    };
    let target = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let refused = refusal.map(|refusal| refusal.detail);
    (Served { method: head.method.to_string(), target, framing, refused, body }, response)
}

/// Everything that hyper serves of a connection.
async fn connection(parts: Vec<Vec<u8>>) -> Vec<Served> {
    let served = Rc::new(RefCell::new(Vec::new()));
    let (watched, tap) = Watched::new(Parts(parts.into()));
    let service = service_fn(|request| {
        let framing = tap.next_head();
        let served = Rc::clone(&served);
        async move {
            let (one, response) = serve(request, framing).await;
            served.borrow_mut().push(one);
            Ok::<_, Infallible>(response)
        }
    });
    // However it ends: what was served is what counts.
    http1::Builder::new().half_close(true).serve_connection(TokioIo::new(watched), service).await.ok();
    served.take()
}

fn check(input: &Stream, served: &[Served]) -> super::Verdict {
    let readings = requests(&input.bytes.0);
    for (index, one) in served.iter().enumerate() {
        let reading = readings.get(index);
        let Some(framing) = one.framing.filter(|_| one.refused.is_none()) else {
            prop_assert!(!input.lawful, "refused something lawful: {one:?}");
            match reading {
                // A refusal may leave the connection open, and the next one must be read alike as well.
                Some(Reading::Good(_)) => continue,
                _ => return Ok(()),
            }
        };
        let Some(body) = &one.body else {
            prop_assert!(!input.lawful, "broke a lawful body: {one:?}");
            return Ok(());
        };
        let Some(Reading::Good(read)) = reading else {
            return Err(TestCaseError::fail(format!("served {one:?}, which reads as {reading:?}")));
        };
        prop_assert_eq!(read.unlawful, None, "served {:?}", one);
        prop_assert_eq!(&one.method, &read.message.method);
        prop_assert_eq!(&one.target, &String::from_utf8_lossy(&read.message.target.0));
        let whole = match &read.message.body {
            Payload::None => Vec::new(),
            Payload::Whole(bytes) => bytes.0.clone(),
            Payload::Pieces(pieces, _) => pieces.iter().flat_map(|piece| piece.0.clone()).collect(),
        };
        prop_assert_eq!(body, &whole);
        let (lengths, codings) = (framing.content_lengths, framing.transfer_encodings);
        prop_assert_eq!((lengths, codings, framing.fragment), (read.lengths, read.codings, false));
    }
    let good = readings.iter().take_while(|reading| matches!(reading, Reading::Good(read) if !read.last)).count();
    let wanted = good + usize::from(matches!(readings.get(good), Some(Reading::Good(_))));
    prop_assert!(
        !input.lawful || served.len() == wanted,
        "{} of {wanted} lawful requests served: {served:?}",
        served.len()
    );
    Ok(())
}

#[test]
fn the_tracker_and_the_library_read_heads_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    run("framing", 2500, &stream(), |input| {
        let served = runtime.block_on(connection(parts(&input.bytes.0, &input.cuts)));
        check(&input, &served)
    });
}
