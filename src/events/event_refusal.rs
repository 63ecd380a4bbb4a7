//! How a call with events is refused: a problem document (RFC 9457), as the admin API has it for all calls.

use http::StatusCode;
use serde_json::{Value, json};

use super::event_batch::{BATCH_BYTES_MAX, BatchFault};
use crate::ledger::ledger_handle::LedgerError;
use crate::problem::Problem;
use crate::stats::EventCallOutcome;

/// When it is worth to send a batch again that found no room, in seconds.
const BUSY_RETRY_AFTER: u64 = 1;

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EventRefusal {
    /// The status.
    pub(crate) status: StatusCode,
    /// What it counts as; its word is the kind of the problem document.
    pub(crate) outcome: EventCallOutcome,
    /// A sentence for people.
    pub(crate) detail: String,
    /// Each problem of the batch.
    pub(crate) problems: Vec<Problem>,
    /// When it is worth to come again, in seconds.
    pub(crate) retry_after: Option<u64>,
}

impl EventRefusal {
    fn new(status: StatusCode, outcome: EventCallOutcome, detail: impl Into<String>) -> Self {
        Self { status, outcome, detail: detail.into(), problems: Vec::new(), retry_after: None }
    }

    /// What is wrong with the batch.
    pub(crate) fn of_batch(fault: BatchFault) -> Self {
        match fault {
            BatchFault::NoJson(detail) => Self::new(StatusCode::BAD_REQUEST, EventCallOutcome::BadJson, detail),
            BatchFault::Problems(problems) => {
                let detail = match &*problems {
                    [one] => format!("{one}; nothing is recorded"),
                    several => format!("{} problems, nothing is recorded", several.len()),
                };
                let invalid = Self::new(StatusCode::UNPROCESSABLE_ENTITY, EventCallOutcome::Invalid, detail);
                Self { problems, ..invalid }
            }
        }
    }

    /// The body has more bytes than a batch may.
    pub(crate) fn too_large() -> Self {
        let detail = format!("found a larger body, want at most {BATCH_BYTES_MAX} bytes; send several batches");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, EventCallOutcome::TooLarge, detail)
    }

    /// The body is not said to be JSON.
    pub(crate) fn wrong_content_type(found: &str) -> Self {
        let detail = format!("found content type {found:?}, want `Content-Type: application/json`");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, EventCallOutcome::WrongContentType, detail)
    }

    /// There is no good token.
    pub(crate) fn no_token() -> Self {
        let detail = "want a token of events.tokens: `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, EventCallOutcome::NoToken, detail)
    }

    /// A page that may not send events.
    pub(crate) fn foreign_origin() -> Self {
        let detail = "found a call from a page of another origin, want one of events.origins";
        Self::new(StatusCode::FORBIDDEN, EventCallOutcome::ForeignOrigin, detail)
    }

    /// Events are sent, and not asked for.
    pub(crate) fn wrong_method() -> Self {
        let detail = "found another method, want POST with a list of events";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, EventCallOutcome::WrongMethod, detail)
    }

    /// The token has sent more batches than it may.
    pub(crate) fn rate_limited(seconds: u64) -> Self {
        let detail = format!("this token sends batches more often than events.rate allows; come again in {seconds} s");
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, EventCallOutcome::RateLimited, detail);
        Self { retry_after: Some(seconds), ..refusal }
    }

    /// The disk takes longer than a caller may be kept.
    pub(crate) fn late() -> Self {
        let detail = "the batch is not on disk yet; send it again, with the same ids";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, EventCallOutcome::Busy, detail);
        Self { retry_after: Some(BUSY_RETRY_AFTER), ..refusal }
    }

    /// The ledger has not taken it.
    pub(crate) fn of_ledger(error: &LedgerError) -> Self {
        let outcome = match error {
            LedgerError::Busy | LedgerError::Late | LedgerError::Upgrading | LedgerError::Unheard => {
                EventCallOutcome::Busy
            }
            LedgerError::Unsaved(_) | LedgerError::Gone => EventCallOutcome::Unsaved,
        };
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, outcome, error.to_string());
        Self { retry_after: Some(BUSY_RETRY_AFTER), ..refusal }
    }

    /// The document.
    pub(crate) fn document(&self) -> Value {
        let problems = self.problems.iter().map(|problem| {
            let Problem { path, found, wanted, remedy, .. } = problem;
            json!({ "where": path, "found": found, "wanted": wanted, "remedy": remedy })
        });
        json!({
            "type": format!("urn:pointsman:problem:{}", self.outcome.word()),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "problems": problems.collect::<Vec<_>>(),
        })
    }
}
