//! Sockets that this process was started with: by systemd, or by the process that it replaces.
//!
//! Both hand them over in the same way (`LISTEN_FDS`, `LISTEN_FDNAMES`: descriptors from 3 on, with names), so that
//! there is one code path for both. The obvious alternative for an upgrade, binding the port a second time with
//! `SO_REUSEPORT`, loses connections: those that wait in a queue are reset when its socket is closed. An inherited
//! socket is the same socket with the same queue, and stays open as long as one of both processes has it.
//!
//! A socket belongs to the listener that is configured to listen on its address, whatever its name: a listener may be
//! renamed. Only where the config leaves the port to the system (port 0) the name has to tell.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use listenfd::ListenFd;
use socket2::{Domain, Type};

use super::handover::HandoverMessage;

/// The name of the socket to the process that is replaced.
pub(crate) const CHANNEL: &str = "pointsman-upgrade";

/// The name of the admin API's socket.
pub(crate) const ADMIN: &str = "admin";

/// What was handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(String, TcpListener)>,
    unix: Vec<UnixListener>,
    predecessor: Option<Predecessor>,
}

impl Inherited {
    /// Takes what the environment announces. At the start, while there is one thread: it changes the environment.
    #[must_use]
    pub fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut fds = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..fds.len() {
            let name = names.next().unwrap_or_default();
            if let Err(error) = inherited.take_one(&mut fds, index, name) {
                tracing::warn!(name, %error, "cannot use an inherited descriptor; it is left alone");
            }
        }
        inherited
    }

    fn take_one(&mut self, fds: &mut ListenFd, index: usize, name: &str) -> io::Result<()> {
        if name == CHANNEL {
            let channel = fds.take_custom(index, Domain::UNIX.into(), Type::STREAM.into(), "unix stream socket")?;
            self.predecessor = channel.map(|channel| Predecessor(Arc::new(channel)));
        } else if let Ok(socket) = fds.take_tcp_listener(index) {
            self.tcp.extend(socket.map(|socket| (name.to_owned(), socket)));
        } else {
            self.unix.extend(fds.take_unix_listener(index)?);
        }
        Ok(())
    }

    /// The process that is to be replaced, if there is one.
    #[must_use]
    pub fn predecessor(&self) -> Option<Predecessor> {
        self.predecessor.clone()
    }

    /// All sockets for `name` on `address`.
    pub(crate) fn tcp(&mut self, name: &str, address: SocketAddr) -> Vec<TcpListener> {
        let fits = |(other, socket): &mut (String, TcpListener)| {
            socket.local_addr().is_ok_and(|found| {
                found == address || (address.port() == 0 && found.ip() == address.ip() && other == name)
            })
        };
        self.tcp.extract_if(.., fits).map(|(_, socket)| socket).collect()
    }

    /// The socket at `path`.
    pub(crate) fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        let fits = |socket: &UnixListener| socket.local_addr().is_ok_and(|found| found.as_pathname() == Some(path));
        let index = self.unix.iter().position(fits)?;
        Some(self.unix.swap_remove(index))
    }

    /// Closes what no listener has taken, and says so.
    pub(crate) fn close_rest(&mut self) {
        for (name, socket) in self.tcp.drain(..) {
            let address = socket.local_addr().ok();
            tracing::warn!(
                name,
                ?address,
                "no listener of the config has this inherited socket's address; it is closed"
            );
        }
        for socket in self.unix.drain(..) {
            tracing::warn!(address = ?socket.local_addr().ok(), "admin.address is not this inherited socket's; it is closed");
        }
    }
}

/// The process that this one replaces.
///
/// What it does not hear any more is no error: if it has ended, its store is free and its sockets are ours all the
/// same.
#[derive(Clone, Debug)]
pub struct Predecessor(Arc<UnixStream>);

impl Predecessor {
    /// Says that everything but the store is there, and waits for the store.
    pub(crate) fn await_store(&self) {
        self.say(&HandoverMessage::Prepared);
        let mut line = String::new();
        let read = BufReader::new(&*self.0).read_line(&mut line);
        if read.is_err() || HandoverMessage::parse(line.trim_end()) != Some(HandoverMessage::Released) {
            tracing::warn!("the old process is gone; taking over without it");
        }
    }

    /// Says that requests are taken here.
    pub(crate) fn ready(&self) {
        self.say(&HandoverMessage::Ready);
    }

    /// Says why nothing comes of it.
    pub fn failed(&self, why: &str) {
        self.say(&HandoverMessage::Failed(why.to_owned()));
    }

    fn say(&self, message: &HandoverMessage) {
        if let Err(error) = (&*self.0).write_all(message.line().as_bytes()) {
            tracing::debug!(%error, ?message, "the old process does not listen any more");
        }
    }
}
