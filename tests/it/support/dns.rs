//! A name server on loopback that knows one answer for every name.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a name server answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These addresses, with this time to live in seconds.
    Addresses(Vec<Ipv4Addr>, u32),
    /// There is no such name.
    NoName,
    /// It failed.
    Failure,
    /// These addresses, once it is asked over TCP: for a datagram they are too many.
    Many(Vec<Ipv4Addr>),
    /// Nothing at all.
    Silence,
}

/// A name server, until this is dropped.
pub(crate) struct Dns(Arc<Server>);

struct Server {
    address: SocketAddr,
    says: Mutex<Says>,
    /// How long it thinks.
    delay: Mutex<Duration>,
    queries: AtomicUsize,
    by_tcp: AtomicUsize,
    stop: AtomicBool,
}

impl Dns {
    pub(crate) fn saying(says: Says) -> Self {
        let (udp, tcp) = sockets();
        udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let server = Arc::new(Server {
            address: udp.local_addr().unwrap(),
            says: Mutex::new(says),
            delay: Mutex::default(),
            queries: AtomicUsize::new(0),
            by_tcp: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let (datagrams, connections) = (Arc::clone(&server), Arc::clone(&server));
        std::thread::spawn(move || datagrams.serve_udp(&udp));
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                if connections.stop.load(SeqCst) {
                    return;
                }
                let server = Arc::clone(&connections);
                std::thread::spawn(move || server.serve_tcp(stream.unwrap()));
            }
        });
        Self(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(crate) fn says(&self, says: Says) {
        *self.0.says.lock().unwrap_or_else(PoisonError::into_inner) = says;
    }

    /// How long it thinks from now on.
    pub(crate) fn thinks(&self, delay: Duration) {
        *self.0.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    pub(crate) fn queries(&self) -> usize {
        self.0.queries.load(SeqCst)
    }

    /// Those of them that came over TCP.
    pub(crate) fn queries_by_tcp(&self) -> usize {
        self.0.by_tcp.load(SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
        // So that the accepting thread looks up.
        TcpStream::connect(self.0.address).ok();
    }
}

/// Both kinds on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..50 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both")
}

impl Server {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut query = [0; 512];
        while !self.stop.load(SeqCst) {
            let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
            if let Some(answer) = self.asked(&query[..length], false) {
                socket.send_to(&answer, from).ok();
            }
        }
    }

    fn serve_tcp(&self, mut stream: TcpStream) {
        let mut length = [0; 2];
        // Until the client closes.
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_err() {
                return;
            }
            self.by_tcp.fetch_add(1, SeqCst);
            let Some(answer) = self.asked(&query, true) else { continue };
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &answer].concat()).ok();
        }
    }

    fn asked(&self, query: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        self.queries.fetch_add(1, SeqCst);
        let says = self.says.lock().unwrap_or_else(PoisonError::into_inner).clone();
        std::thread::sleep(*self.delay.lock().unwrap_or_else(PoisonError::into_inner));
        answer(query, &says, by_tcp)
    }
}

/// The answer to a query with one question (RFC 1035, 4.1).
fn answer(query: &[u8], says: &Says, by_tcp: bool) -> Option<Vec<u8>> {
    const TRUNCATED: u8 = 0x02;
    let name = query.get(12..)?;
    let mut end = 0;
    while name.get(end)? != &0 {
        end += usize::from(name[end]) + 1;
    }
    let question = name.get(..end + 5)?;
    let is_a = question[end + 2] == 1;
    let (code, addresses, ttl) = match says {
        Says::Addresses(addresses, ttl) if is_a => (0, addresses.as_slice(), *ttl),
        Says::Many(addresses) if is_a && by_tcp => (0, addresses.as_slice(), 1),
        Says::Addresses(..) | Says::Many(_) => (0, &[][..], 0),
        Says::Silence => return None,
        Says::NoName => (3, &[][..], 0),
        Says::Failure => (2, &[][..], 0),
    };
    let count = u8::try_from(addresses.len()).unwrap();
    let cut = if matches!(says, Says::Many(_)) && is_a && !by_tcp { TRUNCATED } else { 0 };
    // Its id; an answer, recursive as asked; one question, this many answers.
    let mut bytes = vec![query[0], query[1], 0x81 | cut, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    bytes.extend(question);
    for address in addresses {
        // The name at offset 12, type A, class IN.
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend([0, 4]);
        bytes.extend(address.octets());
    }
    Some(bytes)
}
