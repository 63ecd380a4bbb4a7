//! How a call is refused: the statuses and the words of the protocol.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::json;

use crate::stats::FlagCallOutcome;

/// The protocol's word for what is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ErrorCode {
    /// The body is not good JSON.
    ParseError,
    /// The context is not one.
    InvalidContext,
    /// A flag is drawn by a key, and the context has none.
    TargetingKeyMissing,
    /// There is no such flag.
    FlagNotFound,
    /// Anything else.
    General,
}

impl ErrorCode {
    /// The word.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ParseError => "PARSE_ERROR",
            Self::InvalidContext => "INVALID_CONTEXT",
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::General => "GENERAL",
        }
    }
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProtocolError {
    /// The status.
    pub(crate) status: StatusCode,
    /// The protocol's word.
    pub(crate) code: ErrorCode,
    /// A sentence for people: what was found, what is wanted.
    pub(crate) details: Cow<'static, str>,
    /// What it counts as.
    pub(crate) outcome: FlagCallOutcome,
}

impl ProtocolError {
    fn general(status: StatusCode, outcome: FlagCallOutcome, details: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: ErrorCode::General, details: details.into(), outcome }
    }

    /// What is the caller's to mend.
    #[must_use]
    pub(crate) fn bad_request(code: ErrorCode, details: impl Into<Cow<'static, str>>) -> Self {
        let outcome = FlagCallOutcome::BadRequest;
        Self { status: StatusCode::BAD_REQUEST, code, details: details.into(), outcome }
    }

    /// There is no flag of this name.
    #[must_use]
    pub(crate) fn no_flag(flag: &str) -> Self {
        let (code, outcome) = (ErrorCode::FlagNotFound, FlagCallOutcome::FlagNotFound);
        Self { status: StatusCode::NOT_FOUND, code, details: format!("found no flag {flag:?}").into(), outcome }
    }

    /// The flag that was asked for is drawn by a key that the context does not have.
    #[must_use]
    pub(crate) fn no_key() -> Self {
        let details = "found no targetingKey in the context, want one: this flag is drawn by it";
        Self::bad_request(ErrorCode::TargetingKeyMissing, details)
    }

    /// Neither a good token nor a good key.
    #[must_use]
    pub(crate) fn no_token() -> Self {
        let details = "want a token of ofrep.tokens: `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`";
        Self::general(StatusCode::UNAUTHORIZED, FlagCallOutcome::NoToken, details)
    }

    /// A page that may not ask.
    #[must_use]
    pub(crate) fn foreign_origin() -> Self {
        let details = "found a call from a page of another origin, want one of ofrep.origins";
        Self::general(StatusCode::FORBIDDEN, FlagCallOutcome::ForeignOrigin, details)
    }

    /// There is nothing of the protocol at this path.
    #[must_use]
    pub(crate) fn no_such_call(path: &str) -> Self {
        let details = format!("found {path}, want /ofrep/v1/evaluate/flags, a flag below it, or /ofrep/v1/events");
        Self::general(StatusCode::NOT_FOUND, FlagCallOutcome::NoSuchCall, details)
    }

    /// The path has other methods.
    #[must_use]
    pub(crate) fn wrong_method(methods: &str) -> Self {
        let details = format!("found another method, want one of {methods}");
        Self::general(StatusCode::METHOD_NOT_ALLOWED, FlagCallOutcome::WrongMethod, details)
    }

    /// There are as many streams of events as may be.
    #[must_use]
    pub(crate) fn too_many_streams() -> Self {
        let details = "as many clients as may (ofrep.event_streams_max) wait for changes of flags already";
        Self::general(StatusCode::SERVICE_UNAVAILABLE, FlagCallOutcome::TooManyStreams, details)
    }

    /// The body. Clients expect the key of the flag where they named one, and a word whatever the status is.
    #[must_use]
    pub(crate) fn body(&self, flag: Option<&str>) -> String {
        let (code, details) = (self.code.word(), &*self.details);
        match flag {
            Some(key) => json!({ "key": key, "errorCode": code, "errorDetails": details }).to_string(),
            None => json!({ "errorCode": code, "errorDetails": details }).to_string(),
        }
    }
}
