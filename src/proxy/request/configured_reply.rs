//! A response that a config asks for: a page or a redirect, with its lines.
//!
//! It is counted and logged by reason (`fixed_response`, `redirected`, `redirected_to_https`), as what the proxy
//! responds by itself.

use bytes::Bytes;
use http::StatusCode;

use super::local_reply::LocalReply;
use crate::message::Headers;
use crate::message::known_headers::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use crate::stats::RejectReason;
use crate::table::spec::fixed_response::FixedPage;

/// A response that a config asks for.
#[derive(Debug)]
pub(crate) struct ConfiguredReply {
    /// How it is counted.
    pub(crate) reason: RejectReason,
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its lines, all but that of the date.
    pub(crate) headers: Headers,
    /// Its body.
    pub(crate) body: Bytes,
}

impl ConfiguredReply {
    /// A page.
    #[must_use]
    pub(crate) fn of_page(page: &FixedPage) -> Self {
        let mut headers = Headers::default();
        let bytes = page.content.bytes.clone();
        if page.status != StatusCode::NO_CONTENT {
            headers.append(CONTENT_TYPE, &page.content.kind);
            headers.append(CONTENT_LENGTH, bytes.len().to_string());
        }
        // It must not outlive its rule in a cache; response_headers may say otherwise.
        headers.append(CACHE_CONTROL, "no-store");
        if let Some(seconds) = page.retry_after {
            headers.append(RETRY_AFTER, seconds.to_string());
        }
        Self { reason: RejectReason::FixedResponse, status: page.status, headers, body: bytes }
    }

    /// A redirect.
    ///
    /// # Errors
    /// When the location has a byte that no line may have: half of one would lead elsewhere.
    pub(crate) fn redirect(status: StatusCode, reason: RejectReason, location: &[u8]) -> Result<Self, LocalReply> {
        let mut headers = Headers::default();
        headers.append(LOCATION, location);
        if !headers.contains(LOCATION) {
            return Err(LocalReply::new(RejectReason::BadTarget, "the target cannot stand in a Location header"));
        }
        headers.append(CONTENT_LENGTH, "0");
        Ok(Self { reason, status, headers, body: Bytes::new() })
    }
}
