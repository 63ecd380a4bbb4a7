//! Receivers on loopback that act as they are told, well or badly.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum ServerAct {
    /// Sends this; hangs up after it, or not.
    Raw { text: String, close: bool },
    /// Nothing.
    Hang,
    /// A head with this status, and a body without end.
    Endless(&'static str),
}

impl ServerAct {
    pub(crate) fn answer(status: &str, body: &str) -> Self {
        Self::raw(&format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    pub(crate) fn raw(text: &str) -> Self {
        Self::Raw { text: text.to_owned(), close: true }
    }

    pub(crate) fn raw_open(text: &str) -> Self {
        Self::Raw { text: text.to_owned(), close: false }
    }
}

/// A request that came.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A receiver; connection number n gets act number n, and those after the last one are hung up on.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Server {
    pub(crate) async fn new(acts: impl IntoIterator<Item = ServerAct>) -> Self {
        Self::start(acts, None).await
    }

    /// One with a certificate for `host`, and the file of its authority.
    pub(crate) async fn secure(host: &str, acts: impl IntoIterator<Item = ServerAct>) -> (Self, NamedTempFile) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        let ca = NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        (Self::start(acts, Some(TlsAcceptor::from(Arc::new(config)))).await, ca)
    }

    async fn start(acts: impl IntoIterator<Item = ServerAct>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, seen) = mpsc::unbounded_channel();
        let mut acts: std::collections::VecDeque<_> = acts.into_iter().collect();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(act) = acts.pop_front() {
                    tokio::spawn(serve(stream, tls.clone(), act, told.clone()));
                }
            }
        });
        Self { address, seen }
    }

    /// The next request.
    pub(crate) async fn seen(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// An address without a listener.
    pub(crate) fn nobody() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, act: ServerAct, told: mpsc::UnboundedSender<Seen>) {
    match tls {
        None => play(stream, act, &told).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                play(stream, act, &told).await;
            }
        }
    }
}

async fn play(mut stream: impl AsyncRead + AsyncWrite + Unpin, act: ServerAct, told: &mpsc::UnboundedSender<Seen>) {
    let Some(seen) = request(&mut stream).await else { return };
    // A test that does not look at what came has dropped the other end.
    let _looked_at_or_not = told.send(seen);
    match act {
        ServerAct::Raw { text, close: true } => {
            let _heard_or_not = stream.write_all(text.as_bytes()).await;
            let _heard_or_not = stream.shutdown().await;
        }
        ServerAct::Raw { text, close: false } => {
            let _heard_or_not = stream.write_all(text.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        ServerAct::Hang => std::future::pending().await,
        ServerAct::Endless(status) => {
            let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(b"10\r\n0123456789abcdef\r\n").await;
            }
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next()?.to_owned();
            let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
            let seen = Seen { line, headers: lines.filter_map(header).collect(), body: body.to_owned() };
            let wanted = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= wanted {
                return Some(seen);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
