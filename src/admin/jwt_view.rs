//! Tokens of users as the status and `explain` show them: whether they are verified, and what became of one.

use serde::Serialize;
use utoipa::ToSchema;

use super::revisions::timestamp;
use crate::jwt::{GoodToken, JwtVerifier, unverified};
use crate::message::Headers;
use crate::metrics::Sources;
use crate::table::key::bearer_token;
use crate::table::{BearerClaims, Table};

/// How tokens of users are verified.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JwtView {
    /// Where the keys come from; none: tokens are not verified.
    place: Option<String>,
    /// The keys in use.
    keys: Vec<JwtKeyView>,
    /// When they were last found to be good; none: there never were any.
    #[schema(format = DateTime)]
    good_at: Option<String>,
    /// Whether the keys as they are now are in use.
    good: bool,
    /// Why they are not.
    problems: Vec<String>,
    /// What their owner should know: services that look at tokens which nothing verifies, and keys that are left out.
    warnings: Vec<String>,
}

/// A key that tokens are verified by.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JwtKeyView {
    /// Its id, which tokens name.
    id: Option<String>,
    /// Its algorithm.
    algorithm: &'static str,
}

impl JwtView {
    /// That of a process.
    pub(crate) fn of(sources: &Sources, table: &Table) -> Self {
        let Some(verifier) = &sources.jwt else {
            let readers = (0..).zip(table.services()).filter(|(number, _)| table.reads_tokens(*number));
            let warnings = unverified(readers.map(|(_, service)| service.spec.name.as_str())).into_iter().collect();
            let (keys, problems) = (Vec::new(), Vec::new());
            return Self { place: None, keys, good_at: None, good: true, problems, warnings };
        };
        let facts = verifier.facts();
        let keys = facts.keys.into_iter().map(|(id, algorithm)| JwtKeyView { id, algorithm });
        Self {
            place: Some(facts.place),
            keys: keys.collect(),
            good_at: facts.good_at_ms.map(timestamp),
            good: facts.problem.is_none(),
            problems: facts.problem.into_iter().collect(),
            warnings: facts.remarks,
        }
    }
}

/// What is known of the token of a request that is explained.
#[derive(Debug)]
pub(crate) struct JudgedToken {
    good: Option<GoodToken>,
    verifies: bool,
    /// What became of it, in a few words; none: there is none, or nothing looks at it.
    pub(crate) said: Option<String>,
}

impl JudgedToken {
    /// That of a request, judged now, if it is `looked_at`. Nothing is counted or remembered.
    pub(crate) fn of(verifier: Option<&JwtVerifier>, looked_at: bool, headers: &Headers) -> Self {
        let token = bearer_token(headers).filter(|_| looked_at);
        let Some(verifier) = verifier else {
            let said =
                token.map(|_| "not verified, so that a client can claim anything ([jwt] has no keys)".to_owned());
            return Self { good: None, verifies: false, said };
        };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of dates are far below 2^52")]
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
        let (good, said) = match token.map(|token| verifier.verify(token, now)) {
            None => (None, None),
            Some(Ok(good)) => (Some(good), Some("verified".to_owned())),
            Some(Err(fault)) => (None, Some(format!("no good, and counts as missing: {fault}"))),
        };
        Self { good, verifies: true, said }
    }

    /// What is to be believed of it.
    pub(crate) fn claims(&self) -> BearerClaims<'_> {
        match &self.good {
            Some(token) => BearerClaims::verified(&token.payload),
            None if self.verifies => BearerClaims::NONE,
            None => BearerClaims::AS_THEY_STAND,
        }
    }
}
