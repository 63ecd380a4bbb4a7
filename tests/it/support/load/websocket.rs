//! A user of a WebSocket, which is opened once and used for as long as it lasts. To the proxy it is bytes, so no frames
//! are written here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{User, body, connect};
use crate::support::wire::{Head, Reader};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What an origin answers to it.
pub(super) const CONSENT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// How often a message is sent at the most: a process on its way out may take a WebSocket and close it at once.
const TRIES_MAX: u32 = 3;

/// What may become of the WebSockets of all users, and what has become of them.
#[derive(Clone)]
pub(crate) struct Tunnels {
    may_end: bool,
    opened: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
}

impl Tunnels {
    fn new(may_end: bool) -> Self {
        Self { may_end, opened: Arc::default(), ended: Arc::default() }
    }

    /// None ends.
    pub(crate) fn kept() -> Self {
        Self::new(false)
    }

    /// They end, and are opened again; the test says how many.
    pub(crate) fn closed() -> Self {
        Self::new(true)
    }

    /// How many were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }

    /// How many ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

/// See the module.
pub(super) struct WebSocket {
    proxy: SocketAddr,
    tunnels: Tunnels,
    open: Option<(std::net::TcpStream, Reader)>,
}

impl WebSocket {
    pub(super) fn new(proxy: SocketAddr, tunnels: &Tunnels) -> Self {
        Self { proxy, tunnels: tunnels.clone(), open: None }
    }

    fn open(&self) -> Result<(std::net::TcpStream, Reader), String> {
        use std::io::Write as _;
        let mut stream = connect(self.proxy)?;
        let mut reader = Reader::new(stream.try_clone().unwrap());
        stream.write_all(HANDSHAKE.as_bytes()).map_err(|error| format!("the handshake is not taken: {error}"))?;
        let head = reader.head().map_err(|(end, bytes)| {
            format!("no answer to a handshake: {end:?} after {:?}", String::from_utf8_lossy(&bytes))
        })?;
        let head = Head::parse(&head);
        if !head.line.starts_with("HTTP/1.1 101 ") {
            return Err(format!("a handshake was answered with {head:?}"));
        }
        self.tunnels.opened.fetch_add(1, Ordering::SeqCst);
        Ok((stream, reader))
    }
}

impl User for WebSocket {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        let message = body(number);
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.open()?,
            };
            match echo(&mut open, message.as_bytes()) {
                Ok(()) => {
                    self.open = Some(open);
                    return Ok(());
                }
                Err(Broken::Wrong(why)) => return Err(format!("message {number}: {why}")),
                Err(Broken::Ended(why)) => last = why,
            }
            self.tunnels.ended.fetch_add(1, Ordering::SeqCst);
            if !self.tunnels.may_end {
                return Err(format!("a WebSocket ended at message {number}, {last}"));
            }
        }
        Err(format!("{TRIES_MAX} WebSockets in a row ended at message {number}, {last}"))
    }
}

/// What may go wrong with a message.
enum Broken {
    Ended(String),
    Wrong(String),
}

fn echo((stream, reader): &mut (std::net::TcpStream, Reader), message: &[u8]) -> Result<(), Broken> {
    use std::io::Write as _;

    use crate::support::End;
    stream.write_all(message).map_err(|error| Broken::Ended(error.to_string()))?;
    let mut back = Vec::new();
    while back.len() < message.len() {
        match reader.piece() {
            Ok(piece) => back.extend(piece),
            Err(end @ (End::Clean | End::Reset)) => return Err(Broken::Ended(format!("{end:?}"))),
            Err(end) => return Err(Broken::Wrong(format!("{end:?} after {} bytes", back.len()))),
        }
    }
    if back == message { Ok(()) } else { Err(Broken::Wrong("other bytes came back".to_owned())) }
}
