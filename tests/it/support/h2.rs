//! HTTP/2 on both sides: a client that asks by hand, an origin that remembers.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::invariants::{FORBIDDEN_TRAILERS, lawful_anywhere};
use super::wire::{Body, Head};
use super::{PATIENCE, Seen};

/// A runtime on the thread that uses it.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What came back on a stream.
#[derive(Debug)]
pub(crate) struct H2Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl H2Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, word: &str) {
        assert!(self.status == status && self.text().contains(word), "want {status} {word}, got {self:?}");
    }
}

/// An interim answer on a stream.
#[derive(Debug)]
pub(crate) struct Hint {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

/// A connection with prior knowledge.
pub(crate) struct H2Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A request of HTTP/2: an absolute target and headers.
pub(crate) fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(uri).version(http::Version::HTTP_2).body(()).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

impl H2Client {
    /// Connects, with a window of `window` bytes for each answer.
    pub(crate) fn with_window(address: SocketAddr, window: u32) -> Self {
        let runtime = runtime();
        let (sender, connection) = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(window).max_concurrent_reset_streams(10_000);
            let (sender, connection) = builder.handshake(stream).await.unwrap();
            (sender, tokio::spawn(connection))
        });
        Self { runtime, sender, connection }
    }

    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::with_window(address, 65_535)
    }

    /// Sends a request with its body in parts, and trailers if there are any; waits for the whole answer.
    pub(crate) fn try_ask(
        &mut self,
        request: Request<()>,
        parts: &[&[u8]],
        trailers: Option<HeaderMap>,
    ) -> Result<H2Answer, h2::Error> {
        let asked = async {
            let mut sender = self.sender.clone().ready().await?;
            let ends = parts.is_empty() && trailers.is_none();
            let (answer, mut stream) = sender.send_request(request, ends)?;
            for (index, part) in parts.iter().enumerate() {
                let last = trailers.is_none() && index + 1 == parts.len();
                stream.send_data(Bytes::copy_from_slice(part), last)?;
            }
            if let Some(trailers) = trailers {
                stream.send_trailers(trailers)?;
            }
            whole(answer).await
        };
        self.runtime.block_on(async { timeout(PATIENCE, asked).await.expect("an answer in time") })
    }

    /// Sends a request without a body and does not wait for its answer.
    pub(crate) fn begin(&mut self, request: Request<()>) -> ResponseFuture {
        let mut sender = self.runtime.block_on(self.sender.clone().ready()).unwrap();
        let (answer, _stream) = sender.send_request(request, true).unwrap();
        self.turn();
        answer
    }

    /// The same without a turn, for those who send many at once and then take one.
    pub(crate) fn begin_many(&mut self, request: Request<()>) -> ResponseFuture {
        let mut sender = self.runtime.block_on(self.sender.clone().ready()).unwrap();
        sender.send_request(request, true).unwrap().0
    }

    /// Waits for the answer of a request that was begun.
    pub(crate) fn finish(&mut self, answer: ResponseFuture) -> H2Answer {
        self.try_finish(answer).unwrap()
    }

    /// The same, if it may break.
    pub(crate) fn try_finish(&mut self, answer: ResponseFuture) -> Result<H2Answer, h2::Error> {
        self.runtime.block_on(async { timeout(PATIENCE, whole(answer)).await.expect("an answer in time") })
    }

    /// Lets the connection write what it has to, and read what came.
    pub(crate) fn turn(&mut self) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, request: Request<()>) -> H2Answer {
        self.try_ask(request, &[], None).unwrap()
    }

    /// Sends a request and takes it back at once.
    pub(crate) fn take_back(&mut self, request: Request<()>) -> Result<(), h2::Error> {
        let sender = self.sender.clone();
        self.runtime.block_on(async {
            let (_answer, mut stream) = sender.ready().await?.send_request(request, true)?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.send_reset(h2::Reason::CANCEL);
            Ok(())
        })
    }

    /// Begins a request with a part of its body, and takes it back when its endpoint may have got that.
    pub(crate) fn take_upload_back(&mut self, request: Request<()>, part: &'static [u8]) -> Result<(), h2::Error> {
        let sender = self.sender.clone();
        self.runtime.block_on(async {
            let (_answer, mut stream) = sender.ready().await?.send_request(request, false)?;
            stream.send_data(Bytes::from_static(part), false)?;
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.send_reset(h2::Reason::CANCEL);
            Ok(())
        })
    }

    /// Sends a request and reads nothing of its answer's body; how the stream ended.
    pub(crate) fn ask_and_not_read(&mut self, request: Request<()>) -> Result<u16, h2::Error> {
        let sender = self.sender.clone();
        let asked = async {
            let (answer, _stream) = sender.ready().await?.send_request(request, true)?;
            let (head, mut incoming) = answer.await?.into_parts();
            while let Some(data) = incoming.data().await {
                // The window is never given back.
                data?;
            }
            Ok(head.status.as_u16())
        };
        self.runtime.block_on(async { timeout(PATIENCE, asked).await.expect("an end in time") })
    }

    /// Opens a WebSocket, sends `bytes`, and says that nothing more comes once they are back; everything that came, or
    /// the status if there was no consent.
    pub(crate) fn tunnel(&mut self, uri: &str, bytes: &[u8]) -> Result<String, u16> {
        let sender = self.sender.clone();
        let asked = async {
            let mut sender = sender.ready().await.unwrap();
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut request = request("CONNECT", uri, &[("sec-websocket-version", "13")]);
            request.extensions_mut().insert(h2::ext::Protocol::from("websocket"));
            let (answer, mut stream) = sender.send_request(request, false).unwrap();
            let (head, mut incoming) = answer.await.unwrap().into_parts();
            if head.status != 200 {
                return Err(head.status.as_u16());
            }
            stream.send_data(Bytes::copy_from_slice(bytes), false).unwrap();
            let mut back = Vec::new();
            while let Some(data) = incoming.data().await {
                back.extend_from_slice(&data.unwrap());
                if back.ends_with(bytes) {
                    stream.send_data(Bytes::new(), true).unwrap();
                }
            }
            Ok(String::from_utf8(back).unwrap())
        };
        self.runtime.block_on(async { timeout(PATIENCE, asked).await.expect("an end in time") })
    }

    /// Sends a request that waits with its body until it is told to go on, if `body` is one; the interim answers, and
    /// the answer.
    pub(crate) fn ask_for_hints(&mut self, request: Request<()>, body: Option<&[u8]>) -> (Vec<Hint>, H2Answer) {
        self.ask_and_hear(request, body, || {})
    }

    /// The same, and `heard` is called at each of the interim answers, before anything more is read.
    pub(crate) fn ask_and_hear(
        &mut self,
        request: Request<()>,
        body: Option<&[u8]>,
        heard: impl Fn(),
    ) -> (Vec<Hint>, H2Answer) {
        let sender = self.sender.clone();
        let asked = async {
            let (mut answer, mut stream) = sender.ready().await?.send_request(request, body.is_none())?;
            let mut hints = Vec::new();
            let head = poll_fn(|cx| {
                while let Poll::Ready(Some(hint)) = answer.poll_informational(cx) {
                    let (head, ()) = hint?.into_parts();
                    if let Some(body) = body.filter(|_| head.status == 100) {
                        stream.send_data(Bytes::copy_from_slice(body), true)?;
                    }
                    hints.push(Hint { status: head.status.as_u16(), headers: head.headers });
                    heard();
                }
                Pin::new(&mut answer).poll(cx)
            });
            let (head, mut incoming) = head.await?.into_parts();
            let (body, trailers) = rest(&mut incoming).await?;
            Ok::<_, h2::Error>((
                hints,
                H2Answer { status: head.status.as_u16(), headers: head.headers, body, trailers },
            ))
        };
        self.runtime.block_on(async { timeout(PATIENCE, asked).await.expect("an answer in time") }).unwrap()
    }

    /// Opens a WebSocket, reads `bytes` of it and then to its end, which is one in order or a reset.
    pub(crate) fn tunnel_to_its_end(&mut self, uri: &str, bytes: &[u8]) -> Result<(), h2::Error> {
        let sender = self.sender.clone();
        let asked = async {
            let mut request = request("CONNECT", uri, &[("sec-websocket-version", "13")]);
            request.extensions_mut().insert(h2::ext::Protocol::from("websocket"));
            let mut sender = sender.ready().await?;
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let (answer, _stream) = sender.send_request(request, false)?;
            let mut incoming = answer.await?.into_body();
            let mut came = Vec::new();
            while let Some(data) = incoming.data().await {
                came.extend_from_slice(&data?);
                assert!(bytes.starts_with(&came), "{came:?}");
            }
            Ok(())
        };
        self.runtime.block_on(async { timeout(PATIENCE, asked).await.expect("an end in time") })
    }

    /// Waits for the end of the connection.
    pub(crate) fn end(self) -> Result<(), h2::Error> {
        let Self { runtime, sender, connection } = self;
        runtime.block_on(async {
            let ended = timeout(PATIENCE, connection).await.expect("an end in time").unwrap();
            drop(sender);
            ended
        })
    }
}

/// All of a body, and its trailers.
async fn rest(incoming: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = incoming.trailers().await?;
    Ok((body, trailers))
}

async fn whole(answer: ResponseFuture) -> Result<H2Answer, h2::Error> {
    let (head, mut incoming) = answer.await?.into_parts();
    let (body, trailers) = rest(&mut incoming).await?;
    Ok(H2Answer { status: head.status.as_u16(), headers: head.headers, body, trailers })
}

/// What an origin saw of a request.
#[derive(Clone, Debug)]
pub(crate) struct H2Seen {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// What belongs to a connection of HTTP/1.1 and has no place in HTTP/2 (RFC 9113, 8.2.2).
const CONNECTION_SPECIFIC: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"];

impl H2Seen {
    /// The same request as if it had come over HTTP/1.1 and without framing, to be compared with one that did.
    pub(crate) fn as_http1(&self) -> Seen {
        let uri: http::Uri = self.uri.parse().unwrap();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let line = format!("{} {target} HTTP/1.1", self.method);
        let mut headers = fields(&self.headers);
        headers.extend(uri.authority().map(|authority| ("host".to_owned(), authority.to_string())));
        let trailers = self.trailers.as_ref().map(fields).unwrap_or_default();
        let body = Body { bytes: self.body.clone(), trailers, broken: None };
        Seen { connection: 0, head: Head { line, headers }, body, whole: true }
    }

    /// What it breaks of what holds for every request that a proxy sends.
    fn crimes(&self) -> Vec<String> {
        let seen = self.as_http1();
        let mut crimes = lawful_anywhere(&seen.head);
        let specific = CONNECTION_SPECIFIC.iter().filter(|name| seen.has(name));
        crimes.extend(specific.map(|name| format!("a {name} header in HTTP/2")));
        let lengths = seen.head.all("content-length");
        if lengths.len() > 1 || lengths.iter().any(|length| *length != self.body.len().to_string()) {
            crimes.push(format!("the lengths {lengths:?} of {} bytes", self.body.len()));
        }
        let bad = seen.body.trailers.iter().filter(|(name, _)| FORBIDDEN_TRAILERS.contains(&name.as_str()));
        crimes.extend(bad.map(|(name, _)| format!("the trailer {name}")));
        crimes.into_iter().map(|crime| format!("{crime}: {self:?}")).collect()
    }
}

/// As the harness reads those of HTTP/1.1.
fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// An origin that speaks HTTP/2 with prior knowledge and answers `text` with the trailer `grpc-status: 0`; `HEAD` gets
/// a head.
pub(crate) struct H2Origin {
    address: SocketAddr,
    served: Arc<Served>,
    /// Dropping it stops the origin.
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// What an origin's connections have in common.
#[derive(Default)]
struct Served {
    text: &'static str,
    seen: Mutex<Vec<H2Seen>>,
    connections: AtomicUsize,
    /// Answers to `HEAD /late-end` whose streams have ended, and those that were reset before.
    ended: AtomicUsize,
    resets: AtomicUsize,
    sick: AtomicBool,
}

impl H2Origin {
    pub(crate) fn saying(text: &'static str) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::new(Served { text, ..Served::default() });
        let serves = Arc::clone(&served);
        let (stop, mut stopping) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            serves.connections.fetch_add(1, SeqCst);
                            tokio::spawn(serve(accepted.unwrap().0, Arc::clone(&serves)));
                        }
                        _ = &mut stopping => break,
                    }
                }
            });
        });
        Self { address, served, _stop: stop }
    }

    /// Whether it answers 500 from now on.
    pub(crate) fn set_sick(&self, sick: bool) {
        self.served.sick.store(sick, SeqCst);
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.served.connections.load(SeqCst)
    }

    /// Streams of answers to `HEAD /late-end` that have ended in order.
    pub(crate) fn ended(&self) -> usize {
        self.served.ended.load(SeqCst)
    }

    /// Streams of answers to `HEAD /late-end` that were reset before their end.
    pub(crate) fn resets(&self) -> usize {
        self.served.resets.load(SeqCst)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn seen(&self) -> Vec<H2Seen> {
        self.served.seen.lock().unwrap().clone()
    }

    /// Forgets what was seen, as an origin of HTTP/1.1 would have seen it, and gives the crimes.
    pub(crate) fn forget(&self) -> (Vec<Seen>, Vec<String>) {
        let seen = std::mem::take(&mut *self.served.seen.lock().unwrap());
        (seen.iter().map(H2Seen::as_http1).collect(), seen.iter().flat_map(H2Seen::crimes).collect())
    }
}

/// Ends the stream of an answer that has no body a moment after its head.
async fn end_late(mut sending: h2::SendStream<Bytes>, served: &Served) -> Result<(), h2::Error> {
    let pause = Duration::from_millis(20);
    if tokio::time::timeout(pause, poll_fn(|cx| sending.poll_reset(cx))).await.is_ok() {
        served.resets.fetch_add(1, SeqCst);
        return Ok(());
    }
    sending.send_data(Bytes::new(), true)?;
    served.ended.fetch_add(1, SeqCst);
    Ok(())
}

async fn serve(stream: TcpStream, served: Arc<Served>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let (head, mut incoming) = request.into_parts();
            let (body, trailers) = rest(&mut incoming).await?;
            let (method, uri) = (head.method.to_string(), head.uri.to_string());
            let (to_head, late) = (method == "HEAD", uri.ends_with("/late-end"));
            let ends_at_once = uri.ends_with("/trailers-only");
            served.seen.lock().unwrap().push(H2Seen { method, uri, headers: head.headers, body, trailers });
            let mut answer = Response::new(());
            if served.sick.load(SeqCst) {
                *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            }
            if ends_at_once {
                let lines = [("content-type", "application/grpc"), ("grpc-status", "5")];
                answer.headers_mut().extend(
                    lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
                );
                respond.send_response(answer, true)?;
                return Ok(());
            }
            let mut sending = respond.send_response(answer, to_head && !late)?;
            if to_head && late {
                return end_late(sending, &served).await;
            }
            if to_head {
                return Ok(());
            }
            sending.send_data(Bytes::from_static(served.text.as_bytes()), false)?;
            sending.send_trailers(HeaderMap::from_iter([(
                HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("0"),
            )]))
        });
    }
    Ok(())
}
