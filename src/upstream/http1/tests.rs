//! Exchanges with endpoints of all kinds, over real sockets.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::http1::Broken;
use crate::message::KnownHeader;
use crate::message::known_headers::{CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING};
use crate::stats::EndpointStats;
use crate::upstream::budget::{Budget, PermitClaim};

/// What heads may have.
const HEADS: HeadLimits = HeadLimits { bytes_max: 64 * 1024, headers_max: 100 };

/// A body that a test feeds part by part; the default is none.
#[derive(Debug, Default)]
struct Feed {
    parts: Option<UnboundedReceiver<Result<Frame<Bytes>, io::Error>>>,
    length: Option<u64>,
}

type Feeder = UnboundedSender<Result<Frame<Bytes>, io::Error>>;

impl Feed {
    fn new(length: Option<u64>) -> (Feeder, Self) {
        let (feeder, parts) = unbounded_channel();
        (feeder, Self { parts: Some(parts), length })
    }
}

impl Body for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.parts.as_mut().map_or(Poll::Ready(None), |parts| parts.poll_recv(cx))
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.parts, self.length) {
            (None, _) => SizeHint::with_exact(0),
            (_, Some(length)) => SizeHint::with_exact(length),
            (_, None) => SizeHint::default(),
        }
    }
}

fn part(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// An endpoint, and a new connection to it.
struct Pair {
    far: TcpStream,
    near: Box<Http1>,
    stats: Arc<EndpointStats>,
}

async fn pair() -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let stats = Arc::new(EndpointStats::new(1, address));
    let place = Budget::new(1).take(PermitClaim::First).unwrap();
    Pair {
        far: accepted.unwrap().0,
        near: Http1::new(EndpointStream::plain(stream.unwrap(), &stats, place), HEADS),
        stats,
    }
}

/// Runs a test on one thread, and not for ever.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { timeout(Duration::from_secs(20), test).await.expect("an end") });
}

fn headers(lines: &[(KnownHeader, &str)]) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in [(HOST, "a")].iter().chain(lines) {
        headers.append(*name, value);
    }
    headers
}

type Answered = Result<(ResponseHead, Box<Http1>), Http1SendError>;

/// Sends a request and waits for its response's head.
async fn send(near: Box<Http1>, method: Method, headers: &Headers, body: &mut Feed) -> Answered {
    let mut near = near;
    let lines = RequestLines { method: &method, target: b"/x?y", headers };
    let mut sending = near.begin(lines, body)?;
    let mut head = poll_fn(|cx| near.poll_response(&mut sending, body, cx)).await?;
    while head.is_interim() {
        head = poll_fn(|cx| near.poll_response(&mut sending, body, cx)).await?;
    }
    let near = near.into_response(&head, sending, body);
    Ok((head, near))
}

async fn get(near: Box<Http1>) -> Answered {
    send(near, Method::GET, &headers(&[]), &mut Feed::default()).await
}

async fn chunked(near: Box<Http1>, body: &mut Feed) -> Answered {
    send(near, Method::POST, &headers(&[(TRANSFER_ENCODING, "chunked")]), body).await
}

/// The rest of a response, with its trailers.
async fn rest(near: &mut Http1) -> Result<(String, HeaderMap), IncomingError> {
    let (mut text, mut trailers) = (String::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| near.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    Ok((text, trailers))
}

/// Reads until what came ends like this, and not a byte more.
async fn read_to(far: &mut TcpStream, end: &str) -> String {
    let mut came = Vec::new();
    while !came.ends_with(end.as_bytes()) {
        came.push(far.read_u8().await.unwrap());
    }
    String::from_utf8(came).unwrap()
}

/// One exchange of a GET with an endpoint that answers so, and then ends the connection if it shall.
async fn exchange(method: Method, answer: &[u8], close: bool) -> (Answered, TcpStream) {
    let Pair { mut far, near, .. } = pair().await;
    let answering = async {
        read_to(&mut far, "\r\n\r\n").await;
        far.write_all(answer).await.unwrap();
        if close {
            far.shutdown().await.unwrap();
        }
        far
    };
    let headers = headers(&[]);
    let mut body = Feed::default();
    tokio::join!(send(near, method, &headers, &mut body), answering)
}

async fn no_more_quiet(near: &mut Http1) {
    while near.is_quiet() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_connection_has_one_exchange_after_the_other() {
    run(async {
        let Pair { mut far, mut near, stats } = pair().await;
        for _ in 0..3 {
            let answering = async {
                assert_eq!(read_to(&mut far, "\r\n\r\n").await, "GET /x?y HTTP/1.1\r\nhost: a\r\n\r\n");
                far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            };
            let (answered, ()) = tokio::join!(get(near), answering);
            let (head, mut answer) = answered.unwrap();
            assert_eq!((head.status, answer.size_hint().exact()), (StatusCode::OK, Some(2)));
            assert_eq!(rest(&mut answer).await.unwrap().0, "ok");
            near = answer.into_idle().expect("a connection that can be used again");
            assert!(near.is_quiet());
            assert_eq!(stats.connections(), 1);
        }
        drop(near);
        assert_eq!(stats.connections(), 0);
    });
}

#[test]
fn an_answer_in_single_bytes_is_the_same_answer() {
    run(async {
        let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                      HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nsum: 1\r\n\r\n";
        let Pair { mut far, near, .. } = pair().await;
        far.set_nodelay(true).unwrap();
        let answering = async {
            read_to(&mut far, "\r\n\r\n").await;
            for byte in answer.as_bytes() {
                far.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            let (head, mut near) = get(near).await.unwrap();
            assert!(head.headers.contains(TRANSFER_ENCODING) && head.headers.iter().all(|(name, _)| name != b"link"));
            let (text, trailers) = rest(&mut near).await.unwrap();
            assert_eq!((text.as_str(), &trailers["sum"]), ("abcde", &HeaderValue::from_static("1")));
            assert!(near.is_over() && near.into_idle().is_some());
        };
        tokio::join!(answering, reading);
    });
}

#[test]
fn some_answers_have_no_body_whatever_they_say() {
    run(async {
        for (method, answer) in [
            (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
            (Method::HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
            (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        ] {
            let (answered, _far) = exchange(method, answer.as_bytes(), false).await;
            let (_, near) = answered.unwrap();
            assert!(near.is_over() && near.into_idle().is_some(), "{answer:?}");
        }
    });
}

#[test]
fn what_ends_with_its_connection_or_asks_for_its_end_is_the_last() {
    run(async {
        for (answer, close) in [
            ("HTTP/1.1 200 OK\r\n\r\nhello", true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
            ("HTTP/1.1 200 OK\r\nConnection: Keep-Alive, CLOSE\r\nContent-Length: 5\r\n\r\nhello", false),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                false,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nx", false),
        ] {
            let (answered, _far) = exchange(Method::GET, answer.as_bytes(), close).await;
            let (_, mut near) = answered.unwrap();
            assert_eq!(rest(&mut near).await.unwrap().0, "hello", "{answer:?}");
            assert!(near.into_idle().is_none(), "{answer:?}");
        }
    });
}

#[test]
fn a_body_that_breaks_never_ends_cleanly() {
    run(async {
        for (answer, wanted) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Broken::Short),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n", Broken::Short),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n", Broken::Short),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhellx", Broken::Malformed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno", Broken::Malformed),
        ] {
            let (answered, _far) = exchange(Method::GET, answer.as_bytes(), true).await;
            let (_, mut near) = answered.unwrap();
            let error = rest(&mut near).await.expect_err(answer);
            assert!(matches!(error, IncomingError::Broken(found) if found == wanted), "{answer:?}: {error:?}");
            assert!(near.into_idle().is_none());
        }
    });
}

#[test]
fn who_passes_an_answer_on_can_pause_before_it_breaks() {
    run(async {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell";
        let (answered, far) = exchange(Method::GET, answer, true).await;
        let (_, mut near) = answered.unwrap();
        drop(far);
        no_more_quiet(&mut near).await;
        let mut polled = Vec::new();
        while polled.last() != Some(&"error") {
            polled.push(
                poll_fn(|cx| {
                    Poll::Ready(match near.poll_frame(cx) {
                        Poll::Pending => "pause",
                        Poll::Ready(Some(Ok(_))) => "part",
                        Poll::Ready(Some(Err(_))) => "error",
                        Poll::Ready(None) => "end",
                    })
                })
                .await,
            );
            tokio::task::yield_now().await;
        }
        assert!(polled.ends_with(&["pause", "error"]) && polled.contains(&"part"), "{polled:?}");
    });
}

#[test]
fn no_http_is_told_from_no_answer() {
    run(async {
        let large = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(70_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(HEADS.headers_max + 1));
        for (answer, wanted) in [
            ("SSH-2.0-OpenSSH_9.6\r\n", Http1SendError::Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", Http1SendError::Malformed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", Http1SendError::Malformed),
            (large.as_str(), Http1SendError::TooLarge),
            (many.as_str(), Http1SendError::TooManyLines),
            ("HTTP/1.1 200 OK\r\nContent-Len", Http1SendError::Broken),
            ("HTTP/1.1 100 Continue\r\n\r\n", Http1SendError::Broken),
            ("", Http1SendError::Broken),
        ] {
            let (answered, _far) = exchange(Method::GET, answer.as_bytes(), true).await;
            assert_eq!(answered.expect_err("no answer"), wanted, "{:?}", &answer[..answer.len().min(60)]);
        }
    });
}

#[test]
fn what_the_endpoint_does_between_two_exchanges_is_seen() {
    run(async {
        let Pair { far, mut near, .. } = pair().await;
        assert!(near.is_quiet());
        drop(far);
        no_more_quiet(&mut near).await;
        let (_feeder, mut body) = Feed::new(Some(4));
        let unsent = send(near, Method::POST, &headers(&[(CONTENT_LENGTH, "4")]), &mut body).await;
        assert_eq!(unsent.expect_err("a closed connection"), Http1SendError::Unsent);
        assert!(body.parts.is_some(), "the body is still there");

        let (answered, mut far) = exchange(Method::GET, b"HTTP/1.1 204 No Content\r\n\r\n", false).await;
        let mut near = answered.unwrap().1.into_idle().expect("an idle connection");
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        no_more_quiet(&mut near).await;
    });
}

#[test]
fn a_body_is_framed_as_its_head_says() {
    run(async {
        let Pair { mut far, near, .. } = pair().await;
        let (feeder, mut body) = Feed::new(None);
        let mut sum = HeaderMap::new();
        sum.insert("sum", HeaderValue::from_static("7"));
        sum.insert("other", HeaderValue::from_static("8"));
        let large = Bytes::from(vec![b'x'; 100_000]);
        for frame in [part("hello").unwrap(), Frame::data(large), Frame::data(Bytes::new()), Frame::trailers(sum)] {
            feeder.send(Ok(frame)).unwrap();
        }
        let answering = async {
            let came = read_to(&mut far, "0\r\nsum: 7\r\n\r\n").await;
            far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            came
        };
        let announced = headers(&[(TRANSFER_ENCODING, "chunked"), (TRAILER, "x, Sum")]);
        let (answered, came) = tokio::join!(send(near, Method::POST, &announced, &mut body), answering);
        let wanted = format!("\r\n\r\n5\r\nhello\r\n186a0\r\n{}\r\n0\r\nsum: 7\r\n\r\n", "x".repeat(100_000));
        assert!(came.ends_with(&wanted));
        let near = answered.unwrap().1.into_idle().expect("an idle connection");

        let (feeder, mut body) = Feed::new(Some(10));
        feeder.send(part("hello")).unwrap();
        feeder.send(part("world")).unwrap();
        let answering = async {
            read_to(&mut far, "\r\n\r\nhelloworld").await;
            far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        };
        // All of it was sent, though its end has not been told: nothing is left to be sent by itself.
        let announced = headers(&[(CONTENT_LENGTH, "10")]);
        let (answered, ()) = tokio::join!(send(near, Method::POST, &announced, &mut body), answering);
        assert!(answered.unwrap().1.into_idle().is_some());
        drop(feeder);
    });
}

#[test]
fn a_body_of_another_length_than_announced_is_not_sent_as_one() {
    run(async {
        for text in ["four", "a longer one"] {
            let Pair { mut far, near, .. } = pair().await;
            let (feeder, mut body) = Feed::new(Some(5));
            feeder.send(part(text)).unwrap();
            drop(feeder);
            let announced = headers(&[(CONTENT_LENGTH, "5")]);
            let broken = send(near, Method::POST, &announced, &mut body).await;
            assert_eq!(broken.expect_err("a wrong length"), Http1SendError::Broken);
            let mut came = String::new();
            far.read_to_string(&mut came).await.unwrap();
            assert!(!came.contains("a longer one"), "{came}");
        }
    });
}

#[test]
fn an_upload_goes_on_behind_an_early_answer_that_nobody_reads() {
    run(async {
        let Pair { mut far, near, .. } = pair().await;
        let (feeder, mut body) = Feed::new(None);
        let early = async {
            read_to(&mut far, "\r\n\r\n").await;
            far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly").await.unwrap();
        };
        let (answered, ()) = tokio::join!(chunked(near, &mut body), early);
        let (_, mut near) = answered.unwrap();
        // The response is not polled here.
        feeder.send(part("one")).unwrap();
        assert_eq!(read_to(&mut far, "\r\n").await, "3\r\n");
        assert_eq!(read_to(&mut far, "\r\n").await, "one\r\n");
        feeder.send(part("two")).unwrap();
        drop(feeder);
        read_to(&mut far, "0\r\n\r\n").await;
        assert_eq!(rest(&mut near).await.unwrap().0, "early");
        let near = near.into_idle().expect("a connection on which both bodies ended");
        let answering = async {
            read_to(&mut far, "\r\n\r\n").await;
            far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await.unwrap();
        };
        let (answered, ()) = tokio::join!(get(near), answering);
        assert_eq!(rest(&mut answered.unwrap().1).await.unwrap().0, "next");
    });
}

#[test]
fn an_upload_ends_when_its_answer_does_before_it() {
    run(async {
        let Pair { mut far, near, stats } = pair().await;
        let (feeder, mut body) = Feed::new(None);
        let early = async {
            read_to(&mut far, "\r\n\r\n").await;
            far.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        };
        let (answered, ()) = tokio::join!(chunked(near, &mut body), early);
        let (head, near) = answered.unwrap();
        assert!(head.status == StatusCode::PAYLOAD_TOO_LARGE && near.is_over());
        assert!(near.into_idle().is_none(), "its upload is under way");
        feeder.closed().await;
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(stats.connections(), 0);
    });
}

#[test]
fn an_upload_that_breaks_behind_an_early_answer_breaks_the_answer() {
    run(async {
        let Pair { mut far, near, .. } = pair().await;
        let (feeder, mut body) = Feed::new(None);
        let early = async {
            read_to(&mut far, "\r\n\r\n").await;
            far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ne").await.unwrap();
        };
        let (answered, ()) = tokio::join!(chunked(near, &mut body), early);
        let (_, mut near) = answered.unwrap();
        let breaking = async {
            feeder.send(Err(io::ErrorKind::UnexpectedEof.into())).unwrap();
            let mut came = String::new();
            far.read_to_string(&mut came).await.unwrap();
            assert_eq!(came, "", "no last chunk");
        };
        let (broken, ()) = tokio::join!(rest(&mut near), breaking);
        assert!(matches!(broken, Err(IncomingError::Connection(_))), "{broken:?}");
        assert!(near.into_idle().is_none());
    });
}

#[test]
fn what_was_answered_before_the_endpoint_hung_up_on_an_upload_arrives() {
    run(async {
        let Pair { mut far, near, .. } = pair().await;
        let (feeder, mut body) = Feed::new(Some(64 << 20));
        let large = Bytes::from(vec![b'x'; 1 << 20]);
        (0..64).for_each(|_| feeder.send(Ok(Frame::data(large.clone()))).unwrap());
        let early = async {
            read_to(&mut far, "\r\n\r\n").await;
            far.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge").await.unwrap();
            // With unread bytes this is a reset.
            drop(far);
        };
        let announced = headers(&[(CONTENT_LENGTH, "67108864")]);
        let (answered, ()) = tokio::join!(send(near, Method::POST, &announced, &mut body), early);
        let (head, mut near) = answered.unwrap();
        assert_eq!(head.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(rest(&mut near).await.unwrap().0, "large");
        assert!(near.into_idle().is_none());
    });
}

#[test]
fn a_switch_of_protocols_hands_over_the_bytes_behind_it() {
    run(async {
        let (answered, mut far) =
            exchange(Method::GET, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nfirst", false).await;
        let (head, near) = answered.unwrap();
        assert_eq!(head.status, StatusCode::SWITCHING_PROTOCOLS);
        let (mut stream, unread) = near.into_stream().expect("the bytes");
        assert_eq!(unread, "first");
        stream.write_all(b"second").await.unwrap();
        assert_eq!(read_to(&mut far, "second").await, "second");
    });
    run(async {
        let (answered, _far) = exchange(Method::GET, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", false).await;
        assert!(answered.unwrap().1.into_idle().is_none());
    });
}

#[test]
fn a_timer_serves_many_exchanges() {
    run(async {
        let Pair { far: _far, mut near, .. } = pair().await;
        let mut start = Instant::now();
        for (armed_for, wanted) in [(1, 40), (1, 20), (60_000, 30)] {
            // Armed before for an exchange that has ended since, be it too early for this one or too late.
            let (armed_for, wanted) = (start + Duration::from_millis(armed_for), start + Duration::from_millis(wanted));
            poll_fn(|cx| Poll::Ready(near.poll_until(armed_for, cx).is_pending())).await;
            let over = poll_fn(|cx| near.poll_until(wanted, cx).map(|()| Instant::now())).await;
            assert!(over >= wanted, "{:?} too early", wanted - over);
            start = over;
        }
    });
}
