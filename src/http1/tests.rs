//! The parts put to the test together: what is read does not depend on how the bytes were cut, and what is written is
//! read as what it was.

use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::message::Headers;
use crate::message::known_headers::{CONTENT_LENGTH, DATE, TRAILER, VIA};

const LIMITS: HeadLimits = HeadLimits { bytes_max: 1024, headers_max: 10 };

/// What came of a body.
#[derive(Debug, PartialEq, Eq, Default)]
struct Read {
    data: Vec<u8>,
    trailers: HeaderMap,
    /// What follows it.
    rest: Vec<u8>,
}

/// Reads a body that comes in these parts.
fn read<'p>(length: BodyLength, parts: impl IntoIterator<Item = &'p [u8]>) -> Result<Read, Broken> {
    let (mut decoder, mut bytes, mut read) = (BodyDecoder::new(length), BytesMut::new(), Read::default());
    for part in parts {
        bytes.extend_from_slice(part);
        while !decoder.is_over() {
            match decoder.decode(&mut bytes)? {
                Piece::Data(data) => {
                    assert!(!data.is_empty());
                    read.data.extend_from_slice(&data);
                }
                Piece::Trailers(trailers) => read.trailers = trailers,
                Piece::Over => {}
                Piece::More => break,
            }
        }
    }
    if !decoder.is_over() {
        assert!(bytes.is_empty(), "{bytes:?} was left");
        decoder.end()?;
    }
    assert!(decoder.is_over() && decoder.size_hint().exact() == Some(0));
    assert!(matches!(decoder.decode(&mut BytesMut::from("x")), Ok(Piece::Over)), "nothing comes after the end");
    read.rest = bytes.to_vec();
    Ok(read)
}

/// The same whole, in two parts cut at every place, and in single bytes.
fn every_cut(length: BodyLength, bytes: &[u8]) -> Result<Read, Broken> {
    let whole = read(length, [bytes]);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(read(length, [first, second]), whole, "cut at {cut} of {:?}", bytes.escape_ascii().to_string());
    }
    assert_eq!(read(length, bytes.chunks(1)), whole, "{:?}", bytes.escape_ascii().to_string());
    whole
}

#[test]
fn a_length_ends_a_body() {
    for (length, bytes, data, rest) in
        [(0, "x", "", "x"), (5, "hello", "hello", ""), (5, "hello, you", "hello", ", you")]
    {
        let read = every_cut(BodyLength::Exact(length), bytes.as_bytes()).expect("a body");
        assert_eq!((read.data, read.rest), (data.into(), rest.into()));
    }
    assert_eq!(every_cut(BodyLength::Exact(6), b"hello"), Err(Broken::Short));
    assert_eq!(every_cut(BodyLength::UntilClose, b"hello").expect("a body").data, b"hello");
    assert_eq!(every_cut(BodyLength::UntilClose, b"").expect("a body").data, b"");
}

#[test]
fn chunks_are_read_whatever_is_allowed_in_them() {
    for (bytes, data, rest) in [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /"),
        ("0005\r\nhello\r\n000\r\n\r\n\r\n", "hello", "\r\n"),
        ("a;x=y;z=\"1;2\"\r\n0123456789\r\n0;last\r\n\r\n0", "0123456789", "0"),
        ("1 \r\nx\r\n1\t;y\r\n\r\r\n0 \r\n\r\n", "x\r", ""),
        ("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n", ""),
    ] {
        let read = every_cut(BodyLength::Chunked, bytes.as_bytes()).expect(bytes);
        assert_eq!((read.data, read.rest, read.trailers.len()), (data.into(), rest.into(), 0), "{bytes:?}");
    }
    let read = every_cut(BodyLength::Chunked, b"1\r\nx\r\n0\r\na: 1\r\nB:2\r\na: 3 \r\n\r\nrest").expect("trailers");
    assert_eq!((read.data.as_slice(), read.rest.as_slice()), (&b"x"[..], &b"rest"[..]));
    assert_eq!(read.trailers.get_all("a").iter().collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(read.trailers["b"], "2");
}

#[test]
fn chunks_that_another_one_might_read_in_another_way_are_refused() {
    for bytes in [
        "\r\n",
        "\n0\r\n\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\nx\r\n",
        "0x1\r\n",
        " 1\r\nx\r\n",
        "1 1\r\n",
        ";x\r\n",
        "1\nx\r\n0\r\n\r\n",
        "1\rx\r\n",
        "1\r\rx\r\n",
        "1;x\n",
        "1;x\rx\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n",
        "1\r\nx0\r\n\r\n",
        "1\r\nx\rx",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\na: 1\n\r\n",
        "0\r\na: 1\n\n",
        "0\r\na: 1\rb: 2\r\n\r\n",
        "0\r\na : 1\r\n\r\n",
        "0\r\n a: 1\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\n: 1\r\n\r\n",
        "0\r\na: 1\r\n b\r\n\r\n",
    ] {
        assert_eq!(every_cut(BodyLength::Chunked, bytes.as_bytes()), Err(Broken::Malformed), "{bytes:?}");
    }
    for bytes in ["", "1", "1\r", "1\r\n", "2\r\nx", "1\r\nx", "1\r\nx\r\n", "0\r\n", "0\r\n\r", "0\r\na: 1\r\n", "1;x"]
    {
        assert_eq!(every_cut(BodyLength::Chunked, bytes.as_bytes()), Err(Broken::Short), "{bytes:?}");
    }
    let many =
        |line: &str, count: usize| read(BodyLength::Chunked, [format!("0\r\n{}\r\n", line.repeat(count)).as_bytes()]);
    assert_eq!(many("a: 1\r\n", 100).map(|read| read.trailers.len()), Ok(100));
    assert_eq!(many("a: 1\r\n", 101), Err(Broken::Malformed));
    assert_eq!(many(&format!("a: {}\r\n", "x".repeat(1020)), 17), Err(Broken::Malformed), "17 KiB");
    let sized = |size: String| read(BodyLength::Chunked, [format!("{size}\r\nx\r\n0\r\n\r\n").as_bytes()]).map(|_| ());
    assert_eq!(sized(format!("{:0>16}", 1)), Ok(()));
    assert_eq!(sized(format!("{:0>17}", 1)), Err(Broken::Malformed), "zeros have no end");
    assert_eq!(sized(format!("1{}", " ".repeat(16 * 1024))), Ok(()));
    assert_eq!(sized(format!("1{}", "\t".repeat(16 * 1024 + 1))), Err(Broken::Malformed), "nor has white space");
    let extended = format!("1;{}\r\nx\r\n", "x".repeat(600)).repeat(28) + "0\r\n\r\n";
    assert_eq!(read(BodyLength::Chunked, [extended.as_bytes()]), Err(Broken::Malformed), "16.4 KiB of extensions");
}

/// The head of a response that comes in these parts, and what follows it.
fn response<'p>(
    to_head: bool,
    parts: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Option<(ResponseHead, Vec<u8>)>, HeadError> {
    let mut read_buf = ReadBuf::default();
    let mut parts = parts.into_iter();
    for part in parts.by_ref() {
        read_buf.bytes().extend_from_slice(part);
        if let Some(head) = read_buf.response(to_head, LIMITS)? {
            parts.for_each(|part| read_buf.bytes().extend_from_slice(part));
            return Ok(Some((head, read_buf.into_bytes().to_vec())));
        }
    }
    Ok(None)
}

fn every_cut_of_response(to_head: bool, text: &str) -> Result<Option<(ResponseHead, Vec<u8>)>, HeadError> {
    let show = |read: &Result<Option<(ResponseHead, Vec<u8>)>, HeadError>| format!("{read:?}");
    let whole = response(to_head, [text.as_bytes()]);
    for cut in 0..=text.len() {
        let (first, second) = text.as_bytes().split_at(cut);
        assert_eq!(show(&response(to_head, [first, second])), show(&whole), "cut at {cut} of {text:?}");
    }
    assert_eq!(show(&response(to_head, text.as_bytes().chunks(1))), show(&whole), "{text:?}");
    whole
}

#[test]
fn the_body_of_an_answer_is_told_by_its_head() {
    use BodyLength::{Chunked, Exact, UntilClose};
    for (to_head, text, status, body, keep_alive, rest) in [
        (false, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, Exact(5), true, "hello"),
        (false, "HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 200, Exact(5), true, ""),
        (
            false,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n",
            200,
            Chunked,
            false,
            "",
        ),
        (false, "HTTP/1.1 200 OK\r\n\r\nx", 200, UntilClose, false, "x"),
        (false, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 200, Exact(1), false, ""),
        (false, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n", 200, Exact(1), true, ""),
        (
            false,
            "HTTP/1.1 200 OK\r\nConnection: x, close\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
            200,
            Exact(1),
            false,
            "",
        ),
        (true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Exact(0), true, ""),
        (false, "HTTP/1.1 204 None\r\n\r\nHTTP", 204, Exact(0), true, "HTTP"),
        (false, "HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", 304, Exact(0), true, ""),
        (
            false,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
            100,
            Exact(0),
            true,
            "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
        ),
        (false, "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\nbytes", 101, Exact(0), false, "bytes"),
    ] {
        let (head, left) = every_cut_of_response(to_head, text).expect(text).expect(text);
        assert_eq!((head.status.as_u16(), head.body, head.keep_alive), (status, body, keep_alive), "{text:?}");
        assert_eq!(left, rest.as_bytes(), "{text:?}");
    }
}

#[test]
fn what_is_no_answer_is_told_why() {
    for (text, why) in [
        ("HTTP/2 200 OK\r\n\r\n", HeadError::Version),
        ("HTTP/1.1 abc OK\r\n\r\n", HeadError::Status),
        ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", HeadError::Header),
        ("HTTP/1.1 200 OK\r\na : b\r\n\r\n", HeadError::Header),
        ("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", HeadError::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", HeadError::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", HeadError::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", HeadError::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", HeadError::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", HeadError::Length),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HeadError::Coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", HeadError::Coding),
    ] {
        assert_eq!(every_cut_of_response(false, text).expect_err(text), why, "{text:?}");
    }
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(LIMITS.bytes_max));
    assert_eq!(every_cut_of_response(false, &large).expect_err("too large"), HeadError::TooLarge);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(LIMITS.headers_max + 1));
    assert_eq!(response(false, [many.as_bytes()]).expect_err("too many"), HeadError::TooManyLines);
}

/// All bytes that wait in `write_buf`.
fn written(write_buf: &mut WriteBuf, into: &mut Vec<u8>) {
    struct Sink<'s>(&'s mut Vec<u8>);
    impl tokio::io::AsyncWrite for Sink<'_> {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            // Never more than a few at once, so that every place is cut at.
            let count = bytes.len().min(7);
            self.0.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (before, length) = (write_buf.written(), into.len());
    assert!(matches!(write_buf.poll_flush(&mut Sink(into), &mut cx), Poll::Ready(Ok(()))));
    assert!(write_buf.is_empty() && write_buf.written() - before == (into.len() - length) as u64);
}

#[test]
fn a_body_is_as_long_as_its_head_says_or_broken() {
    let mut write_buf = WriteBuf::default();
    let mut encoder = BodyEncoder::Length(5);
    assert_eq!(encoder.data(&mut write_buf, Bytes::from_static(b"hell")), Ok(()));
    assert_eq!(encoder.end(&mut write_buf, None), Err(encode::WrongLength));
    assert_eq!(encoder.data(&mut write_buf, Bytes::from_static(b"lo")), Err(encode::WrongLength));
    let mut bytes = Vec::new();
    written(&mut write_buf, &mut bytes);
    assert_eq!(bytes, b"hell");
}

#[test]
fn trailers_that_nobody_announced_are_not_sent() {
    let mut headers = Headers::default();
    for line in [&b"X-A, ,x-b,no name"[..], b"x-c, \xff", b"x-d"] {
        headers.append(TRAILER, line);
    }
    let trailers =
        || ["x-a", "x-b", "x-c", "x-d", "x-e"].map(|name| (name.parse().expect("a name"), HeaderValue::from(1)));
    let sent = Announced::by(&headers).of(HeaderMap::from_iter(trailers()));
    assert_eq!(sent.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-a", "x-b", "x-d"]);
    assert!(Announced::by(&Headers::default()).of(HeaderMap::from_iter(trailers())).is_empty());
}

#[test]
fn a_head_is_read_as_it_was_written() {
    let mut headers = Headers::default();
    headers.append(VIA, "1");
    headers.append(VIA, b"\xff two");
    headers.insert(CONTENT_LENGTH, "3");
    let (mut write_buf, mut bytes) = (WriteBuf::default(), Vec::new());
    write_request(&mut write_buf, &Method::PUT, b"/x?y", &headers);
    written(&mut write_buf, &mut bytes);
    let head = head::request(&mut BytesMut::from(&bytes[..]), LIMITS).expect("a head").expect("a whole one");
    assert_eq!(head.body, BodyLength::Exact(3));
    let head = head.head;
    assert_eq!((head.method, head.target.path_and_query(), &head.headers), (Method::PUT, &b"/x?y"[..], &headers));

    bytes.clear();
    write_request(&mut write_buf, &Method::GET, b"?y", &Headers::default());
    written(&mut write_buf, &mut bytes);
    assert_eq!(bytes, b"GET /?y HTTP/1.1\r\n\r\n");

    bytes.clear();
    const NOW: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    write_response(&mut write_buf, StatusCode::NOT_FOUND, &headers, b"connection: close\r\n", || *NOW);
    written(&mut write_buf, &mut bytes);
    let (head, _) = response(false, [&bytes[..]]).expect("a head").expect("a whole one");
    assert!(head.status == StatusCode::NOT_FOUND && !head.keep_alive && head.headers.get(DATE) == Some(&NOW[..]));
    assert!(bytes.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What is encoded in parts of any size is decoded to the same, however the bytes are cut on the way.
    #[test]
    fn any_cut_of_any_body_is_the_same_body(
        parts in proptest::collection::vec(0_usize..6000, 0..8),
        cuts in proptest::collection::vec(1_usize..5000, 1..40),
        trailer in proptest::option::of("[a-z]{1,9}"),
        chunked: bool,
    ) {
        let mut source = (0..=u8::MAX).cycle();
        let bodies: Vec<Vec<u8>> = parts.iter().map(|length| source.by_ref().take(*length).collect()).collect();
        let all = bodies.concat();
        let length = if chunked { BodyLength::Chunked } else { BodyLength::Exact(all.len() as u64) };
        let mut encoder = if chunked { BodyEncoder::Chunked } else { BodyEncoder::Length(all.len() as u64) };
        let trailers = trailer.filter(|_| chunked).map(|value| {
            let value = HeaderValue::from_str(&value).expect("a value");
            HeaderMap::from_iter([(http::HeaderName::from_static("sum"), value)])
        });
        let (mut write_buf, mut bytes) = (WriteBuf::default(), Vec::new());
        for body in bodies {
            if !write_buf.has_room() {
                written(&mut write_buf, &mut bytes);
            }
            encoder.data(&mut write_buf, Bytes::from(body)).expect("the right length");
        }
        written(&mut write_buf, &mut bytes);
        encoder.end(&mut write_buf, trailers.as_ref()).expect("the right length");
        written(&mut write_buf, &mut bytes);
        bytes.extend_from_slice(b"rest");

        let mut left = &bytes[..];
        let cut = cuts.iter().cycle().map_while(|count| {
            let part = left.split_off(..(*count).min(left.len()))?;
            (!part.is_empty()).then_some(part)
        });
        let read = read(length, cut).expect("a body");
        prop_assert_eq!((read.data, read.rest), (all, b"rest".to_vec()));
        prop_assert_eq!(read.trailers, trailers.unwrap_or_default());
    }

    /// Whatever comes, reading it ends, and is the same in single bytes.
    #[test]
    fn any_bytes_are_a_body_or_none(bytes in "[0-9a-f\r\n;: x]{0,40}") {
        let _same = every_cut(BodyLength::Chunked, bytes.as_bytes());
    }
}

#[test]
fn what_follows_a_broken_chunk_is_not_read() {
    for broken in ["5\r\nhelloX\r\n0\r\n\r\n", "Z0\r\n\r\n", "0\r\nx: y\n\r\n\r\n"] {
        let mut bytes = BytesMut::from(broken);
        let mut decoder = BodyDecoder::new(BodyLength::Chunked);
        let first = std::iter::repeat_with(|| decoder.decode(&mut bytes)).take(3).find(Result::is_err);
        assert!(first.is_some(), "{broken:?}");
        assert!((0..5).all(|_| decoder.decode(&mut bytes).is_err()) && !decoder.is_over(), "{broken:?}");
    }
}

#[test]
fn a_coding_in_http_1_0_ends_the_connection() {
    let text = "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    let limits = HeadLimits { bytes_max: 1024, headers_max: 10 };
    let head = head::request(&mut BytesMut::from(text), limits).expect("a head").expect("all of it");
    assert!(!head.keep_alive && head.body == BodyLength::Chunked);
}
