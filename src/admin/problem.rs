//! The refusal of a call: a problem document (RFC 9457) with everything that is wrong at once.
//!
//! [`ProblemDetails`] is what RFC 9457 calls so, one for each refusal; [`Item`] is one
//! [`Problem`] in it, the rendering for machines beside the one for the terminal.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::handle::{ApplyError, FleetProblem, ReadError, Upgrading, WriterGone};
use crate::control::hold_registry::HoldError;
use crate::control::store::StoreError;
use crate::control::unusable::Unusable;
use crate::problem::{Problem, ProblemKind, chain};

/// A refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDetails {
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
    path: String,
    /// The line in the config file, if that is what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// What was found.
    found: String,
    /// What is wanted.
    wanted: String,
    /// What to do.
    remedy: String,
}

impl ProblemDetails {
    /// A refusal with one problem, told by `detail`.
    #[must_use]
    pub(crate) fn new(status: StatusCode, word: &str, detail: String) -> Self {
        let kind = format!("urn:pointsman:problem:{word}");
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind, title, status: status.as_u16(), detail, problems: Vec::new() }
    }

    /// A refusal because of `problems`, of which there is at least one. Wrong values weigh more than missing things,
    /// because they have to be mended first.
    #[must_use]
    pub(crate) fn of_problems(problems: Vec<Problem>) -> Self {
        let (status, word) = match problems.iter().map(|problem| &problem.kind).max() {
            None | Some(ProblemKind::Invalid | ProblemKind::Syntax(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Some(ProblemKind::Unknown) => (StatusCode::NOT_FOUND, "unknown"),
            Some(ProblemKind::Conflict) => (StatusCode::CONFLICT, "conflict"),
            Some(ProblemKind::NoEndpoint) => (StatusCode::CONFLICT, "no_endpoint"),
        };
        let detail = match &*problems {
            [one] => one.to_string(),
            several => format!("{} problems, nothing changed", several.len()),
        };
        Self::new(status, word, detail).with_problems(problems)
    }

    /// The same with each single problem.
    #[must_use]
    pub(crate) fn with_problems(self, problems: Vec<Problem>) -> Self {
        Self { problems: problems.into_iter().map(Item::from).collect(), ..self }
    }
}

impl From<Problem> for Item {
    fn from(Problem { path, line, kind, found, wanted, remedy }: Problem) -> Self {
        let found = match kind {
            ProblemKind::Syntax(what) => format!("{found}, which is not TOML: {what}"),
            ProblemKind::NoEndpoint | ProblemKind::Conflict | ProblemKind::Unknown | ProblemKind::Invalid => found,
        };
        Self { path, line, found, wanted, remedy }
    }
}

impl IntoResponse for ProblemDetails {
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

impl From<Problem> for ProblemDetails {
    fn from(problem: Problem) -> Self {
        Self::of_problems(vec![problem])
    }
}

impl From<ApplyError> for ProblemDetails {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Problems(problems) => Self::of_problems(problems),
            ApplyError::Unusable(versions) => Self::of_problems(versions.iter().map(Unusable::problem).collect()),
            ApplyError::Outdated { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "outdated", error.to_string()),
            ApplyError::Store(error) => error.into(),
            ApplyError::Upgrading(upgrading) => upgrading.into(),
            ApplyError::Fleet(problem) => problem.into(),
            ApplyError::Gone(gone) => gone.into(),
            ApplyError::Compile(source) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("{source}; please report this bug"))
            }
        }
    }
}

impl From<FleetProblem> for ProblemDetails {
    fn from(problem: FleetProblem) -> Self {
        let word = match &problem {
            FleetProblem::Apart(_) => "fleet_apart",
            FleetProblem::Outrun => "fleet_outrun",
            FleetProblem::NotLeader => "not_leader",
            FleetProblem::Newer { .. } => "fleet_newer",
            FleetProblem::Stranger { .. } => "fleet_stranger",
            FleetProblem::Unknown(_) => "fleet_unknown",
        };
        let status = match &problem {
            FleetProblem::Newer { .. } | FleetProblem::Stranger { .. } => StatusCode::CONFLICT,
            FleetProblem::Apart(_) | FleetProblem::Outrun | FleetProblem::NotLeader | FleetProblem::Unknown(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, word, problem.to_string())
    }
}

impl From<HoldError> for ProblemDetails {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Apply(error) => error.into(),
            HoldError::HoldConflict(conflict) => Self::new(StatusCode::CONFLICT, "held", conflict.to_string()),
            HoldError::NotKept(why) => {
                let remedy = "nothing was changed and everybody was let go; give the hold more room, or write \
                              \"otherwise\": \"go_on\" (--or-go-on) to change the traffic all the same";
                Self::new(StatusCode::CONFLICT, "hold_not_kept", format!("{why}; {remedy}"))
            }
        }
    }
}

impl From<StoreError> for ProblemDetails {
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

impl From<Upgrading> for ProblemDetails {
    fn from(upgrading: Upgrading) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "upgrading", upgrading.to_string())
    }
}

impl From<WriterGone> for ProblemDetails {
    fn from(gone: WriterGone) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "writer_gone", gone.to_string())
    }
}

impl From<ReadError> for ProblemDetails {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Upgrading(upgrading) => upgrading.into(),
            ReadError::Gone(gone) => gone.into(),
        }
    }
}
