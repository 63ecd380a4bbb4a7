//! Addresses that misbehave before HTTP begins.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::{Origin, PATIENCE, Reply};

/// An address held by a socket that misbehaves; it is free again when this is dropped.
pub(crate) struct Fault {
    address: SocketAddr,
    socket: Socket,
    _queued: Vec<TcpStream>,
}

impl Fault {
    /// Every connection is refused: the port is taken, but nothing listens.
    pub(crate) fn refusing() -> Self {
        let socket = bound();
        Self { address: address(&socket), socket, _queued: Vec::new() }
    }

    /// Connections are made, and then nothing is ever read or said.
    pub(crate) fn mute() -> Self {
        let socket = bound();
        socket.listen(128).unwrap();
        Self { address: address(&socket), socket, _queued: Vec::new() }
    }

    /// Connections are neither made nor refused: the accept queue is full, so further SYNs are dropped.
    pub(crate) fn black_hole() -> Self {
        let socket = bound();
        socket.listen(0).unwrap();
        let address = address(&socket);
        let wait = Duration::from_millis(100);
        let queued = std::iter::from_fn(|| TcpStream::connect_timeout(&address, wait).ok()).take(8).collect();
        Self { address, socket, _queued: queued }
    }

    /// The address recovers from refusing: an origin that says `body` listens there.
    pub(crate) fn recover(self, body: &'static str) -> Origin {
        Origin::on(self.listen(), move |_| Reply::ok(body))
    }

    /// The address recovers from refusing: the caller listens there.
    pub(crate) fn listen(self) -> TcpListener {
        self.socket.listen(1024).unwrap();
        self.socket.into()
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Makes closing `stream` a reset.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A connection that never waits longer than a test may.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The same from an address of this machine.
pub(crate) fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A listener on a free port.
pub(crate) fn listener() -> TcpListener {
    let socket = bound();
    socket.listen(1024).unwrap();
    socket.into()
}

/// An address that stays the caller's: programs that say `SO_REUSEADDR` may listen there while the socket is kept, and
/// its port is given to no other test.
pub(crate) fn reserved() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    (address(&socket), socket)
}

fn bound() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket
}

fn address(socket: &Socket) -> SocketAddr {
    socket.local_addr().unwrap().as_socket().unwrap()
}
