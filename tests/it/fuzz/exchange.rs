//! Random requests through a whole proxy: each arrives at the origin with the same method, target, body and end-to-end
//! headers, or is refused whole, with an error status and a small body.
//!
//! What a request means is a [`Message`]; how its client writes it is a renderer: [HTTP/1.1](super::http1), whose bytes
//! are also damaged, and [HTTP/2](super::http2), where requests have flaws instead. What must arrive is the same, at an
//! origin of either protocol ([`Upstream`]).

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::http1::{render, style};
use super::message::{Arrival, Message, cuts, message, parts};
use super::mutate::Changes;
use super::reading::{Reading, Request, requests};
use super::{Bytes, Verdict, run};
use crate::support::h2::H2Origin;
use crate::support::{Answer, Client, End, Origin, Proxy, Reply, Seen, Setup};

/// What a client sends on one connection.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) bytes: Bytes,
    /// Where it is cut into packets.
    pub(super) cuts: Vec<Index>,
    /// Whether nothing in it gives a reason to refuse.
    pub(super) lawful: bool,
}

const TOKENS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    ",",
    "#",
    "\0",
    "0",
    "0\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Length:\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Host: b\r\n",
    "Host: a,b\r\n",
    "chunked",
    ", chunked",
    "GET /s HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    "5\r\nhello\r\n",
    ";",
    ";x=\"\n\"",
    "f",
    "+",
    "-",
    "é",
    "\u{b}",
    "Connection: close\r\n",
    "Connection: host\r\n",
    "Expect: 100-continue\r\n",
    "http://b/",
    "@",
    " x\r\n",
    "\"",
    "Trailer: x\r\n",
    "CONNECT ",
];

/// One to three requests, a third of the time with damaged bytes.
pub(super) fn stream() -> impl Strategy<Value = Stream> {
    let changes = prop_oneof![1 => Just(None), 2 => Changes::upto(4, TOKENS).prop_map(Some)];
    (lawful(), changes).prop_map(|(mut stream, changes)| {
        if let Some(changes) = changes.filter(|changes| !changes.is_empty()) {
            let seeds = [stream.bytes.0.clone()];
            changes.apply(&mut stream.bytes.0, &seeds);
            stream.lawful = false;
        }
        stream
    })
}

fn lawful() -> impl Strategy<Value = Stream> {
    (vec((message(), style()), 1..4), cuts()).prop_map(|(messages, cuts)| {
        let lawful = messages.iter().all(|(message, _)| is_lawful(message));
        let bytes = messages.iter().flat_map(|(message, style)| render(message, style)).collect();
        Stream { bytes: Bytes(bytes), cuts, lawful }
    })
}

/// Ten tokens on `Connection` are too many.
fn is_lawful(message: &Message) -> bool {
    message.list("connection").len() < 10
}

/// What came of one request.
enum Came {
    Forwarded,
    /// Refused, and the connection goes on or not.
    Refused(Box<Answer>),
    /// The connection is over.
    Over(End),
}

fn read(client: &mut Client, to_head: bool) -> Result<Came, TestCaseError> {
    match client.read(to_head) {
        Ok(answer) if answer.status == 200 => {
            let body = if to_head { "" } else { "ok" };
            prop_assert!(answer.is_whole() && answer.text() == body, "{answer:?}");
            Ok(Came::Forwarded)
        }
        Ok(answer) => {
            prop_assert!((400..=505).contains(&answer.status) && answer.is_whole(), "{answer:?}");
            prop_assert!(answer.body.bytes.len() <= 512, "a large refusal: {answer:?}");
            prop_assert!(!answer.body.bytes.is_empty() || to_head, "no reason: {answer:?}");
            Ok(Came::Refused(Box::new(answer)))
        }
        Err((End::Silent | End::Malformed, bytes)) => {
            Err(TestCaseError::fail(format!("no answer, after {}", bytes.escape_ascii())))
        }
        Err((end, bytes)) => {
            // What an h2c listener says to what is neither of its protocols: GOAWAY.
            let goaway = bytes.starts_with(b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07") && bytes.len() == 26;
            prop_assert!(bytes.is_empty() || goaway, "half an answer: {}", bytes.escape_ascii());
            Ok(Came::Over(end))
        }
    }
}

/// Sends a stream and holds what comes back against its reading; the requests that were forwarded.
fn talk(client: &mut Client, stream: &Stream) -> Result<Vec<Request>, TestCaseError> {
    for (index, part) in parts(&stream.bytes.0, &stream.cuts).iter().enumerate() {
        if index > 0 {
            // So that the parts are read apart; if they are not, the case is another one and as good.
            std::thread::sleep(Duration::from_micros(300));
        }
        client.write(part);
    }
    let mut forwarded = Vec::new();
    // A head that the HTTP library refuses is answered in words, also if it may have begun with `HEAD`; that connection
    // ends.
    let mut to_head = false;
    for reading in requests(&stream.bytes.0) {
        to_head = match &reading {
            Reading::Good(request) => request.message.method == "HEAD",
            Reading::Bad(_, to_head) | Reading::Cut(to_head) => *to_head,
            Reading::Nothing => false,
        };
        let goes_on = match reading {
            Reading::Good(request) => {
                let (passed, goes_on) = good(client, stream.lawful, &request)?;
                forwarded.extend(passed.then_some(*request));
                goes_on
            }
            // The proxy may wait for the end of a head that is bad already; it gets no more.
            Reading::Bad(why, to_head) => bad(client.finish(), why, to_head)?,
            Reading::Cut(to_head) => bad(client.finish(), "cut off", to_head)?,
            Reading::Nothing => false,
        };
        if !goes_on {
            break;
        }
    }
    let (end, rest) = client.finish().end();
    prop_assert!(end != End::Silent, "the connection stays open");
    prop_assert!(
        rest.is_empty() || (to_head && rest.starts_with(b"4")),
        "more than was asked for: {}",
        rest.escape_ascii()
    );
    Ok(forwarded)
}

/// The answer to a good request: whether it was forwarded, and whether the connection goes on.
fn good(client: &mut Client, lawful: bool, request: &Request) -> Result<(bool, bool), TestCaseError> {
    if request.open_end {
        // The proxy may wait for another end of the trailers; it gets no more.
        client.finish();
    }
    match read(client, request.message.method == "HEAD")? {
        Came::Forwarded => {
            prop_assert_eq!(request.unlawful, None, "forwarded {:?}", request);
            Ok((true, !request.last))
        }
        Came::Refused(answer) => {
            prop_assert!(!lawful, "refused the lawful {request:?}: {answer:?}");
            let closes = answer.head.all("connection").contains(&"close");
            Ok((false, !closes && !request.last))
        }
        // It is not known whether it was whole before the client was gone; see `compare`.
        Came::Over(_) if request.open_end => Ok((true, false)),
        Came::Over(end) => Err(TestCaseError::fail(format!("{end:?} instead of an answer to {request:?}"))),
    }
}

/// What is no request gets no answer of an origin; and then the connection is over.
fn bad(client: &mut Client, why: &str, to_head: bool) -> Result<bool, TestCaseError> {
    match read(client, to_head)? {
        Came::Forwarded => Err(TestCaseError::fail(format!("forwarded what is no request: {why}"))),
        Came::Refused(_) | Came::Over(_) => Ok(false),
    }
}

/// What the origin saw is what was forwarded, one to one.
fn compare(forwarded: &[Request], upstream: &Upstream) -> Verdict {
    let (seen, crimes) = upstream.forget();
    prop_assert!(crimes.is_empty(), "the origin saw what no origin may see: {}", crimes.join("; "));
    // A request whose body broke was begun at the origin, and broken off there too.
    let whole: Vec<_> = seen.iter().filter(|seen| seen.whole).collect();
    let doubtful = forwarded.last().is_some_and(|request| request.open_end) && whole.len() + 1 == forwarded.len();
    let forwarded = &forwarded[..forwarded.len() - usize::from(doubtful)];
    prop_assert_eq!(whole.len(), forwarded.len(), "answered 200 to {:?}, the origin saw {:?}", forwarded, whole);
    for (request, seen) in forwarded.iter().zip(whole) {
        let message = &request.message;
        let found = Arrival::of(seen, message.authority.is_some());
        if request.open_end {
            prop_assert_eq!(found.without_trailers(), message.arrives(upstream.is_http2()).without_trailers());
        } else {
            prop_assert_eq!(found, message.arrives(upstream.is_http2()));
        }
    }
    Ok(())
}

/// An origin that says `ok`.
pub(super) enum Upstream {
    Http1(Origin),
    Http2(H2Origin),
}

impl Upstream {
    pub(super) fn http1() -> Self {
        Self::Http1(Origin::with(|seen| match seen.line().starts_with("HEAD ") {
            true => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
            false => Reply::ok("ok"),
        }))
    }

    pub(super) fn http2() -> Self {
        Self::Http2(H2Origin::saying("ok"))
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// A proxy in front of it, for clients of both protocols.
    pub(super) fn proxy(&self) -> Proxy {
        let setup = match self {
            Self::Http1(origin) => Setup::to(&[origin]),
            Self::Http2(origin) => Setup::endpoints(&[&[origin.address()]]).version("protocol = \"h2\""),
        };
        setup.top("[proxy]\nworkers = 1").listener("h2c = true").start()
    }

    /// What it saw, and what of it no origin may see; forgets it.
    pub(super) fn forget(&self) -> (Vec<Seen>, Vec<String>) {
        match self {
            Self::Http1(origin) => origin.forget(),
            Self::Http2(origin) => origin.forget(),
        }
    }
}

fn exchange(target: &str, cases: u32, upstream: &Upstream, inputs: &impl Strategy<Value = Stream>) {
    let proxy = upstream.proxy();
    run(target, cases, inputs, |stream| {
        upstream.forget();
        let forwarded = talk(&mut proxy.client(), &stream)?;
        compare(&forwarded, upstream)
    });
}

#[test]
fn lawful_requests_arrive_as_they_are() {
    exchange("exchange, lawful", 300, &Upstream::http1(), &lawful());
}

#[test]
fn damaged_requests_arrive_as_they_are_or_are_refused_whole() {
    exchange("exchange, mutated", 400, &Upstream::http1(), &stream());
}

#[test]
fn lawful_requests_arrive_as_they_are_over_http2() {
    exchange("exchange to HTTP/2, lawful", 300, &Upstream::http2(), &lawful());
}

#[test]
fn damaged_requests_arrive_as_they_are_over_http2_or_are_refused_whole() {
    exchange("exchange to HTTP/2, mutated", 400, &Upstream::http2(), &stream());
}
