//! Requests as streams of HTTP/2, to origins of both protocols: good ones arrive, those with a flaw are refused whole.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;

use super::exchange::Upstream;
use super::message::{Arrival, Message, Payload, message};
use super::{Verdict, run};
use crate::support::h2::{H2Answer, H2Client};

/// A request, and how it is written.
#[derive(Clone, Debug)]
struct Stream {
    message: Message,
    /// Whether a `content-length` tells the length of a body that has no trailers.
    told: bool,
    flaw: Option<Flaw>,
}

/// Why a request must be refused.
#[derive(Clone, Debug)]
enum Flaw {
    /// `content-length` says this many bytes more than there are.
    Longer(usize),
    /// `content-length` says a byte less than there are.
    Shorter,
    Length(&'static str),
    /// Twice the right one.
    TwoLengths,
    Host(&'static str),
    TwoHosts,
    Authority(&'static str),
    Method(&'static str),
}

fn stream() -> impl Strategy<Value = Stream> {
    (message(), any::<bool>()).prop_map(|(message, told)| Stream { message: message.for_http2(), told, flaw: None })
}

fn flawed() -> impl Strategy<Value = Stream> {
    let lengths = vec!["+1", "-1", "", "1,1", "0x1", "1 1", "99999999999999999999999", "one"];
    let hosts = vec!["b", "a:81", "a.b", "a@a", "a,a", ""];
    let authorities = vec!["u@a", "a:99999", "a,b", "u:p@a:80"];
    let flaw = prop_oneof![
        (1..1000_usize).prop_map(Flaw::Longer),
        Just(Flaw::Shorter),
        select(lengths).prop_map(Flaw::Length),
        Just(Flaw::TwoLengths),
        select(hosts).prop_map(Flaw::Host),
        Just(Flaw::TwoHosts),
        select(authorities).prop_map(Flaw::Authority),
        select(vec!["TRACE", "CONNECT"]).prop_map(Flaw::Method),
    ];
    (stream(), flaw).prop_map(|(mut stream, flaw)| {
        match &flaw {
            // Of a body in parts, all but the last one may be sent on before the lie is out.
            Flaw::Shorter => stream.message.body = Payload::Whole(super::Bytes(b"two".to_vec())),
            Flaw::Host(_) => stream.message.authority = Some("a".to_owned()),
            Flaw::Authority(authority) => stream.message.authority = Some((*authority).to_owned()),
            Flaw::Method(method) => stream.message.method = (*method).to_owned(),
            Flaw::Longer(_) | Flaw::Length(_) | Flaw::TwoLengths | Flaw::TwoHosts => {}
        }
        Stream { flaw: Some(flaw), ..stream }
    })
}

/// An origin of HTTP/1.1 gets none behind a body whose length was told.
fn has_trailers(message: &Message) -> bool {
    matches!(&message.body, Payload::Pieces(_, trailers) if !trailers.is_empty())
}

/// What `content-length` says, line by line.
fn lengths(stream: &Stream, body: usize) -> Vec<String> {
    let right = body.to_string();
    match stream.flaw {
        Some(Flaw::Longer(more)) => vec![(body + more).to_string()],
        Some(Flaw::Shorter) => vec![(body - 1).to_string()],
        Some(Flaw::Length(text)) => vec![text.to_owned()],
        Some(Flaw::TwoLengths) => vec![right.clone(), right],
        _ if stream.told && body > 0 && !has_trailers(&stream.message) => vec![right],
        _ => Vec::new(),
    }
}

/// Sends it; `Err` if it is reset or the connection is closed.
fn send(client: &mut H2Client, stream: &Stream) -> Result<H2Answer, h2::Error> {
    let Message { method, authority, target, fields, body } = &stream.message;
    let authority = authority.as_deref().unwrap();
    let uri = format!("http://{authority}{}", String::from_utf8_lossy(&target.0));
    let mut request = http::Request::builder().method(method.as_str()).uri(uri).version(http::Version::HTTP_2);
    if method == "CONNECT" {
        request = request.uri(authority);
    }
    let mut request = request.body(()).unwrap();
    let append = |headers: &mut HeaderMap, name: &str, value: &[u8]| {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
    };
    for (name, value) in fields {
        append(request.headers_mut(), name, &value.0);
    }
    let (parts, trailers): (Vec<&[u8]>, _) = match body {
        Payload::None => (Vec::new(), None),
        Payload::Whole(body) => (vec![&body.0], None),
        Payload::Pieces(pieces, trailers) => (pieces.iter().map(|piece| piece.0.as_slice()).collect(), Some(trailers)),
    };
    for length in lengths(stream, parts.iter().map(|part| part.len()).sum()) {
        append(request.headers_mut(), "content-length", length.as_bytes());
    }
    match stream.flaw {
        Some(Flaw::Host(host)) => append(request.headers_mut(), "host", host.as_bytes()),
        Some(Flaw::TwoHosts) => (0..2).for_each(|_| append(request.headers_mut(), "host", authority.as_bytes())),
        _ => {}
    }
    let trailers = trailers.filter(|trailers| !trailers.is_empty()).map(|trailers| {
        let mut map = HeaderMap::new();
        trailers.iter().for_each(|(name, value)| append(&mut map, name, &value.0));
        map
    });
    client.try_ask(request, &parts, trailers)
}

fn check(answer: Result<H2Answer, h2::Error>, stream: &Stream, upstream: &Upstream) -> Verdict {
    let (mut seen, crimes) = upstream.forget();
    prop_assert!(crimes.is_empty(), "the origin saw what no origin may see: {}", crimes.join("; "));
    // A request whose body broke was begun at the origin, and broken off there too.
    seen.retain(|seen| seen.whole);
    let to_head = stream.message.method == "HEAD";
    match answer {
        Ok(answer) if answer.status == 200 => {
            prop_assert!(stream.flaw.is_none(), "forwarded: {seen:?}");
            prop_assert_eq!(answer.text(), if to_head { "" } else { "ok" });
            prop_assert_eq!(seen.len(), 1, "{:?}", seen);
            let found = Arrival::of(&seen[0], true).with_cookies_joined();
            prop_assert_eq!(found, stream.message.arrives(upstream.is_http2()).with_cookies_joined());
        }
        Ok(answer) => {
            prop_assert!(stream.flaw.is_some(), "refused the lawful: {answer:?}");
            prop_assert!(seen.is_empty(), "refused, and the origin saw {seen:?}");
            let reason = to_head || !answer.body.is_empty() || answer.headers.contains_key("grpc-message");
            prop_assert!((400..=505).contains(&answer.status) && reason, "{answer:?}");
        }
        Err(error) => {
            // hyper ends the connection at a CONNECT with a length.
            let reset = error.is_reset() || stream.message.method == "CONNECT";
            prop_assert!(stream.flaw.is_some() && reset, "{error}");
            prop_assert!(seen.is_empty(), "refused, and the origin saw {seen:?}");
        }
    }
    Ok(())
}

fn exchange(target: &str, cases: u32, upstream: &Upstream, inputs: &impl Strategy<Value = Stream>) {
    let proxy = upstream.proxy();
    // A connection for many streams, until the proxy has enough of flaws (it counts what it resets) or ends it.
    let client = RefCell::new((H2Client::to(proxy.address), 0));
    run(target, cases, inputs, |stream| {
        upstream.forget();
        let mut client = client.borrow_mut();
        let answer = send(&mut client.0, &stream);
        client.1 += 1;
        let ended = answer.as_ref().is_err_and(|error| !error.is_reset());
        let verdict = check(answer, &stream, upstream);
        if ended || verdict.is_err() || client.1 % 50 == 0 {
            client.0 = H2Client::to(proxy.address);
        }
        verdict
    });
}

#[test]
fn lawful_streams_arrive_as_they_are() {
    exchange("streams, lawful", 200, &Upstream::http1(), &stream());
    exchange("streams to HTTP/2, lawful", 200, &Upstream::http2(), &stream());
}

#[test]
fn flawed_streams_are_refused_whole() {
    exchange("streams, flawed", 200, &Upstream::http1(), &flawed());
    exchange("streams to HTTP/2, flawed", 200, &Upstream::http2(), &flawed());
}
