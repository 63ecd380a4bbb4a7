//! Another proxy in front of one address, as companies have them: it serves it below a path of its own, and its cable
//! can be cut. Each request has a connection of its own to what is behind it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::fault;
use super::wire::Reader;

/// A proxy that runs until the end of the test.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The path below which it serves, without a slash at its end.
    prefix: &'static str,
    to: Mutex<SocketAddr>,
    cut: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Serves what is at `to` below `prefix`, which may be empty.
    pub(crate) fn start(to: SocketAddr, prefix: &'static str) -> Self {
        let listener = fault::listener();
        let address = listener.local_addr().unwrap();
        let (to, cut, open) = (Mutex::new(to), AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { prefix, to, cut, open });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || serving.serve(&listener));
        Self { address, shared }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and refuses new ones.
    pub(crate) fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // It may have ended.
            let _ended = stream.shutdown(Shutdown::Both);
        }
    }

    /// What is behind it is at this address from now on, and can be reached.
    pub(crate) fn mend(&self, to: SocketAddr) {
        *self.shared.to.lock().unwrap() = to;
        self.shared.cut.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    fn serve(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            if !self.cut.load(Ordering::SeqCst) {
                let shared = Arc::clone(&self);
                std::thread::spawn(move || shared.relay(client));
            }
        }
    }

    /// A request, and its response for as long as that lasts.
    fn relay(&self, mut client: TcpStream) -> Option<()> {
        let mut request = Reader::new(client.try_clone().ok()?);
        let head = self.rewritten(&String::from_utf8(request.head().ok()?).ok()?);
        let Some(head) = head else {
            return client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
        };
        let to = *self.to.lock().unwrap();
        let mut server = TcpStream::connect(to).ok()?;
        self.open.lock().unwrap().extend([client.try_clone().ok()?, server.try_clone().ok()?]);
        let mut upstream = server.try_clone().ok()?;
        std::thread::spawn(move || {
            let mut sent = upstream.write_all(head.as_bytes()).is_ok();
            while let (true, Ok(piece)) = (sent, request.piece()) {
                sent = upstream.write_all(&piece).is_ok();
            }
            // The page has gone away from its stream, or it has its response.
            let _ended = upstream.shutdown(Shutdown::Both);
        });
        let mut piece = vec![0; 65_536];
        while let Ok(length @ 1..) = server.read(&mut piece) {
            client.write_all(&piece[..length]).ok()?;
        }
        client.shutdown(Shutdown::Both).ok()
    }

    /// The head without the prefix of its path, for a connection of its own; `None` for another path.
    fn rewritten(&self, head: &str) -> Option<String> {
        let (method, rest) = head.split_once(' ')?;
        let rest = rest.strip_prefix(self.prefix).filter(|rest| rest.starts_with('/'))?;
        let lines = rest.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        Some(format!("{method} {}\r\nConnection: close\r\n\r\n", lines.join("\r\n")))
    }
}
