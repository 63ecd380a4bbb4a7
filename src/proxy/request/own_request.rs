//! A request that the proxy itself answers, after it has been admitted.

use super::admit::Admitted;
use crate::message::RequestHead;
use crate::proxy::body::inbound::Inbound;

/// A call as it has been admitted.
pub(crate) struct OwnRequest<'r> {
    /// Its head.
    pub(crate) head: &'r RequestHead,
    /// Its body.
    pub(crate) body: Inbound,
    /// What admission found.
    pub(crate) admitted: &'r Admitted,
}
