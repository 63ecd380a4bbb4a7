//! The listening sockets of a process, for the one that takes over from it.

use std::os::fd::OwnedFd;

use super::control_plane::BoundAdmin;
use super::sockets::BoundListener;
use super::{StartError, inherited, sockets};
use crate::admin::KeepSocketFile;

/// Second descriptors of all listening sockets, for a process that takes over. They are closed before the end begins:
/// while one is open, the kernel lets more connections in, and no process would accept them.
#[derive(Debug)]
pub(crate) struct SharedSockets {
    /// The sockets, each by the name of its listener.
    pub(crate) sockets: Vec<(String, OwnedFd)>,
    /// Leaves the file of the admin API's socket to that process.
    pub(crate) keep_socket_file: KeepSocketFile,
}

impl SharedSockets {
    /// Those of these.
    pub(crate) fn of(listeners: &[BoundListener], admin: &BoundAdmin) -> Result<Self, StartError> {
        let mut sockets = sockets::share(listeners).map_err(StartError::Runtime)?;
        let (admin, keep_socket_file) = admin.share()?;
        sockets.push((inherited::ADMIN.to_owned(), admin));
        Ok(Self { sockets, keep_socket_file })
    }
}
