//! The step that verifies a request's bearer token, where tokens are verified and the service looks at them.
//!
//! It stands before the decision, which is pure and knows no keys: what it hands over is the payload of a good token. A
//! token that is not good is none, as a cookie or a header that is missing: the next source of the key is asked, and no
//! rule about a claim holds. It is not refused. That is the application's part, which alone knows what a token is for.

use std::rc::Rc;

use crate::jwt::GoodToken;
use crate::message::Headers;
use crate::proxy::worker::Worker;
use crate::table::key::bearer_token;
use crate::table::{BearerClaims, Table};

/// The token of a request for the service with this index, if it was verified: `None` also if it is not good, or
/// nothing looks at it.
pub(crate) fn verified(
    worker: &Worker,
    table: &Table,
    service: Option<u32>,
    headers: &Headers,
) -> Option<Rc<GoodToken>> {
    worker.settings.jwt.as_ref()?;
    if !table.reads_tokens(service?) {
        return None;
    }
    worker.verified(bearer_token(headers)?)
}

/// What is to be believed of the claims in a request, by what [`verified`] gave.
pub(crate) fn claims<'t>(worker: &Worker, token: Option<&'t Rc<GoodToken>>) -> BearerClaims<'t> {
    match token {
        Some(token) => BearerClaims::verified(&token.payload),
        None if worker.settings.jwt.is_some() => BearerClaims::NONE,
        None => BearerClaims::AS_THEY_STAND,
    }
}
