//! A third and a fourth reading of one connection: those of hyper and of httparse, which other proxies and servers use.
//! What the codec lets through must be read alike by both, or be refused by them for a reason that is known: two
//! programs that read the same bytes in two ways are what request smuggling lives on. What the codec refuses, they may
//! take.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::exchange::{Stream, stream};
use super::framing::{Served, connection};
use super::message::parts;
use super::{Verdict, run};

/// More than any response to a connection's requests.
const PIPE_BYTES: usize = 1 << 20;

/// What hyper made of a request.
#[derive(Debug)]
struct Read {
    method: String,
    target: String,
    /// `None` if it broke.
    body: Option<Vec<u8>>,
}

/// All that hyper serves of a connection that sends these bytes and ends.
fn read_by_hyper(bytes: &[u8]) -> Vec<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let seen = Rc::clone(&seen);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
                let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
                seen.borrow_mut().push(Read { method: head.method.to_string(), target, body });
                Ok::<_, Infallible>(hyper::Response::new(Empty::<bytes::Bytes>::new()))
            }
        });
        let (mut client, server) = duplex(PIPE_BYTES);
        let served = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        let client = async {
            // The server may have gone before the last byte.
            let _written = client.write_all(bytes).await;
            let _ended = client.shutdown().await;
            let _read = client.read_to_end(&mut Vec::new()).await;
        };
        let (_served, ()) = tokio::join!(served, client);
        seen.take()
    })
}

/// The method and the target of the first request, and how many lines its head has, as httparse reads them.
fn read_by_httparse(bytes: &[u8]) -> Option<(String, Vec<u8>, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    if !request.parse(bytes).ok()?.is_complete() {
        return None;
    }
    Some((request.method?.to_owned(), request.path?.as_bytes().to_vec(), request.headers.len()))
}

fn check(input: &Stream, served: &[Served]) -> Verdict {
    let bytes = &input.bytes.0;
    let hyper = read_by_hyper(bytes);
    for (index, one) in served.iter().enumerate() {
        let (None, Some(body)) = (one.refused, &one.body) else { return Ok(()) };
        if index == 0 {
            match read_by_httparse(bytes) {
                Some((method, target, lines)) => {
                    prop_assert_eq!((&method, lines), (&one.method, one.lines));
                    // The path of `http://a?b` is empty there, and is sent on as `/`.
                    let written = one.target.strip_prefix(b"/").filter(|rest| rest.first().is_none_or(|b| *b == b'?'));
                    let same = target.ends_with(written.unwrap_or(&one.target));
                    prop_assert!(same, "{:?} and {:?}", target, one);
                }
                // httparse hands a target on as text, and no other.
                None => prop_assert!(std::str::from_utf8(&one.target).is_err(), "httparse refuses {:?}", one),
            }
        }
        let Some(read) = hyper.get(index) else {
            // hyper hands on what `http::Uri` can hold, and no other target.
            let known = std::str::from_utf8(&one.target).map_or(true, |target| target.parse::<http::Uri>().is_err());
            prop_assert!(known, "hyper refuses what was served: {one:?}");
            return Ok(());
        };
        prop_assert_eq!(&read.method, &one.method);
        prop_assert_eq!(read.target.as_bytes(), &one.target[..]);
        prop_assert_eq!(read.body.as_ref(), Some(body));
    }
    Ok(())
}

#[test]
fn the_codec_and_the_libraries_read_alike() {
    run("framing beside hyper and httparse", 1500, &stream(), |input| {
        let served = connection(parts(&input.bytes.0, &input.cuts));
        check(&input, &served)
    });
}
