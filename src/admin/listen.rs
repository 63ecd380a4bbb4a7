//! The address of the API: a TCP address, or a unix socket that only its owner can connect to.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::access::Address;

/// Connections that may wait to be accepted, for as long as the control plane is busy with something else: one that
/// found no room here would be tried again by its client's kernel after a second.
const BACKLOG: i32 = 1024;

/// A bound address.
#[derive(Debug)]
pub enum AdminListener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A unix socket, and its file.
    Unix(UnixListener, SocketFile),
}

/// A connection of either kind.
pub(crate) type Stream = Box<dyn Io>;

/// Bytes in and out.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The file of a unix socket, which is removed at the end if it is ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    ours: Arc<AtomicBool>,
}

impl SocketFile {
    fn new(path: &Path, ours: bool) -> Self {
        Self { path: path.to_owned(), ours: Arc::new(AtomicBool::new(ours)) }
    }
}

/// Leaves the file of a unix socket to another process.
#[derive(Debug)]
pub struct KeepSocketFile(Option<Arc<AtomicBool>>);

impl KeepSocketFile {
    /// From now on it is not ours.
    pub fn leave(&self) {
        if let Some(ours) = &self.0 {
            ours.store(false, Ordering::Release);
        }
    }
}

/// The address cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum AdminBindError {
    /// The system refused.
    #[error("admin.address: cannot listen on {address}; {}", remedy(.source))]
    Refused {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A process answers at the socket.
    #[error("admin.address: found another process that listens on {path}; stop it or choose another path", path = .0.display())]
    InUse(PathBuf),
    /// A file that is not a socket.
    #[error("admin.address: found a file that is not a socket at {path}; move it away or choose another path", path = .0.display())]
    NotASocket(PathBuf),
}

/// What to do about an address that the system refuses.
fn remedy(why: &io::Error) -> &'static str {
    /// What is known of some reasons.
    const KNOWN: [(io::ErrorKind, &str); 5] = [
        (io::ErrorKind::AddrInUse, "is another process there? stop it or choose another address"),
        (io::ErrorKind::AddrNotAvailable, "choose an address that this machine has"),
        (io::ErrorKind::PermissionDenied, "let the user of this process do that, or choose another address"),
        (io::ErrorKind::NotFound, "make its folder or choose another path"),
        (io::ErrorKind::NotADirectory, "make its folder or choose another path"),
    ];
    let known = KNOWN.iter().find(|(kind, _)| *kind == why.kind());
    known.map_or("choose another address", |(_, remedy)| remedy)
}

impl AdminListener {
    /// Binds `address`; port 0 takes a free one. Inside a tokio runtime.
    ///
    /// # Errors
    /// [`AdminBindError`] when it cannot be bound.
    pub fn bind(address: &Address) -> Result<Self, AdminBindError> {
        match address {
            Address::Tcp(socket) => bind_tcp(*socket)
                .map(Self::Tcp)
                .map_err(|source| AdminBindError::Refused { address: socket.to_string(), source }),
            Address::Unix(path) => {
                clear_stale(path)?;
                let refused = |source| AdminBindError::Refused { address: path.display().to_string(), source };
                let listener = bind_unix(path).map_err(refused)?;
                Ok(Self::Unix(listener, SocketFile::new(path, true)))
            }
        }
    }

    /// Goes on with a TCP socket that this process was started with. Inside a tokio runtime.
    ///
    /// # Errors
    /// When it is not fit for use.
    pub fn inherited_tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket).map(Self::Tcp)
    }

    /// Goes on with a unix socket at `path` that this process was started with. Inside a tokio runtime. The process
    /// that made the file may come back for it, so it stays.
    ///
    /// # Errors
    /// When it is not fit for use.
    pub fn inherited_unix(socket: std::os::unix::net::UnixListener, path: &Path) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(socket)?, SocketFile::new(path, false)))
    }

    /// A second descriptor of the socket, to be handed over, and how to leave its file.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn share(&self) -> io::Result<(OwnedFd, KeepSocketFile)> {
        match self {
            Self::Tcp(listener) => Ok((listener.as_fd().try_clone_to_owned()?, KeepSocketFile(None))),
            Self::Unix(listener, file) => {
                Ok((listener.as_fd().try_clone_to_owned()?, KeepSocketFile(Some(Arc::clone(&file.ours)))))
            }
        }
    }

    /// The address with the port that was taken.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => Ok(Address::Tcp(listener.local_addr()?)),
            Self::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.ours.load(Ordering::Acquire) {
            // A file that is left behind is cleared at the next start.
            fs::remove_file(&self.path).ok();
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart finds connections of the process before it in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// The mode is set between `bind` and `listen`: until then no client can connect, so there is no moment without it.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}

/// Removes the socket of a process that is gone, and nothing else.
fn clear_stale(path: &Path) -> Result<(), AdminBindError> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(AdminBindError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| AdminBindError::Refused { address: path.display().to_string(), source }),
        _ => Err(AdminBindError::InUse(path.to_owned())),
    }
}
