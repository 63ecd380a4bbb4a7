//! How a call is refused: RFC 9457, with every problem.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::fault::{Fault, FaultKind, chain};
use crate::control::handle::{ApplyError, Gone, ReadError, Upgrading};
use crate::control::hold::HoldError;
use crate::control::store::StoreError;
use crate::control::unusable::Unusable;

/// A refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind it is: `urn:pointsman:problem:` and a stable word.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
    /// Each single problem of the call.
    problems: Vec<Item>,
}

/// One problem of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Item {
    /// Where it is.
    #[serde(rename = "where")]
    place: String,
    /// What was found.
    found: String,
    /// What is wanted.
    wanted: String,
    /// What to do.
    remedy: String,
}

impl Problem {
    /// A refusal with one problem, told by `detail`.
    #[must_use]
    pub(crate) fn new(status: StatusCode, word: &str, detail: String) -> Self {
        let kind = format!("urn:pointsman:problem:{word}");
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind, title, status: status.as_u16(), detail, problems: Vec::new() }
    }

    /// A refusal because of `faults`, of which there is at least one. Wrong values weigh more than missing things,
    /// because they have to be mended first.
    #[must_use]
    pub(crate) fn of_faults(faults: Vec<Fault>) -> Self {
        let kind = faults.iter().map(|fault| fault.kind).max().unwrap_or(FaultKind::Invalid);
        let (status, word) = match kind {
            FaultKind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            FaultKind::Unknown => (StatusCode::NOT_FOUND, "unknown"),
            FaultKind::Conflict => (StatusCode::CONFLICT, "conflict"),
            FaultKind::NoEndpoint => (StatusCode::CONFLICT, "no_endpoint"),
        };
        let detail = match &*faults {
            [one] => one.to_string(),
            several => format!("{} problems, nothing changed", several.len()),
        };
        Self::new(status, word, detail).with_faults(faults)
    }

    /// The same with each single problem.
    #[must_use]
    pub(crate) fn with_faults(self, faults: Vec<Fault>) -> Self {
        let item = |Fault { place, found, wanted, remedy, .. }| Item { place, found, wanted, remedy };
        Self { problems: faults.into_iter().map(item).collect(), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pointsman\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Faults(faults) => Self::of_faults(faults),
            ApplyError::Unusable(versions) => Self::of_faults(versions.iter().map(Unusable::fault).collect()),
            ApplyError::Outdated { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "outdated", error.to_string()),
            ApplyError::Store(error) => error.into(),
            ApplyError::Upgrading(upgrading) => upgrading.into(),
            ApplyError::Gone(gone) => gone.into(),
            ApplyError::Compile(source) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("{source}; please report this bug"))
            }
        }
    }
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Apply(error) => error.into(),
            HoldError::Taken(taken) => Self::new(StatusCode::CONFLICT, "held", taken.to_string()),
            HoldError::NotKept(why) => {
                let remedy = "nothing was changed and everybody was let go; give the hold more room, or write \
                              \"otherwise\": \"go_on\" (--or-go-on) to change the traffic all the same";
                Self::new(StatusCode::CONFLICT, "hold_not_kept", format!("{why}; {remedy}"))
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            return Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", chain(&error));
        }
        if error.is_misplaced() {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_misplaced", chain(&error));
        }
        if error.is_locked() {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_locked", chain(&error));
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", chain(&error))
    }
}

impl From<Upgrading> for Problem {
    fn from(upgrading: Upgrading) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "upgrading", upgrading.to_string())
    }
}

impl From<Gone> for Problem {
    fn from(gone: Gone) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "writer_gone", gone.to_string())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Upgrading(upgrading) => upgrading.into(),
            ReadError::Gone(gone) => gone.into(),
        }
    }
}
