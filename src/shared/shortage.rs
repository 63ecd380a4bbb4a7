//! The fault when there is no connection to an endpoint: the endpoint, or our own process.

use std::io;

use rustix::io::Errno;

/// Whether it is for want of descriptors or ports of our own, and says nothing of the endpoint.
#[must_use]
pub(crate) fn is_own(error: &io::Error) -> bool {
    let own = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| own.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_endpoints_and_a_shortage_is_ours() {
        assert!(is_own(&Errno::MFILE.into()) && is_own(&Errno::NFILE.into()) && is_own(&Errno::ADDRNOTAVAIL.into()));
        assert!(!is_own(&Errno::CONNREFUSED.into()) && !is_own(&io::ErrorKind::TimedOut.into()));
    }
}
