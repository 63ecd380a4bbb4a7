//! One side of a pair: a response, as far as it is compared.

use super::body_coding::BodyCoding;
use super::seen_body::SeenBody;

/// Statuses of calls of gRPC that are failures of who was called: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
/// UNAVAILABLE and DATA_LOSS. The others are about what was asked.
const FAILED_CALLS: [&[u8]; 6] = [b"2", b"4", b"12", b"13", b"14", b"15"];

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct MirrorResponse {
    /// Its status; `None` if there was none, or it broke off.
    pub status: Option<u16>,
    /// The status of a call of gRPC, if it has one.
    pub grpc_status: Option<Box<[u8]>>,
    /// The values of the headers that are compared, in their order; several of a name as one list.
    pub headers: Vec<Option<Vec<u8>>>,
    /// How its body is coded.
    pub coding: BodyCoding,
    /// Its body; `None` if it is a stream that has no end.
    pub body: Option<SeenBody>,
    /// How long its head took, in microseconds.
    pub micros: u64,
}

impl MirrorResponse {
    /// There is none, or it broke: it failed after this time, in microseconds. The status is what its user got instead,
    /// if there was a user.
    #[must_use]
    pub(crate) fn failed(status: Option<u16>, micros: u64) -> Self {
        Self { status, grpc_status: None, headers: Vec::new(), coding: BodyCoding::Identity, body: None, micros }
    }

    /// Whether it failed by the fault of who responded.
    #[must_use]
    pub(crate) fn has_failed(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
            || self.grpc_status.as_deref().is_some_and(|status| FAILED_CALLS.contains(&status))
    }

    /// The status of a call that did not end well: without one it is no call, or its end was not waited for.
    #[must_use]
    pub(crate) fn bad_call(&self) -> Option<&[u8]> {
        self.grpc_status.as_deref().filter(|status| *status != b"0")
    }

    /// Whether it says that what its client has is still good.
    #[must_use]
    pub(crate) fn is_not_modified(&self) -> bool {
        self.status == Some(304)
    }
}
