//! Tokens of users (JWT, RFC 7519) that are believed because their signature is good.
//!
//! [`key_set`] is what the keys of an issuer come to, [`verify`](mod@verify) judges one token, and [`verifier`] is both
//! as the process has them: the keys in force, and why newer ones are not. [`token_cache`] remembers for a worker which
//! tokens were good, because a signature costs as much as all the rest of a request.
//!
//! What is signed is judged by *ring* alone. Around it stands what a library of tokens would do, and little of it is
//! needed: three algorithms of which each has one kind of key, so that a token cannot choose how it is judged, and four
//! claims. The libraries bring a second cryptography with them, or leave that part to their user (see `Cargo.toml`).
//!
//! What must stay true: nothing of a token is believed before its signature is verified, but to refuse it sooner; a
//! token that is not good is no token; the time is an argument. Nothing here waits for a file or for the network but
//! [`JwtVerifier::reload`](verifier::JwtVerifier::reload).

pub(crate) mod key_set;
pub(crate) mod token_cache;
pub(crate) mod verifier;
pub(crate) mod verify;

pub(crate) use key_set::JwtAlgorithm;
pub(crate) use key_set::{KEYS_BYTES_MAX, KeySet};
pub(crate) use token_cache::TokenCache;
pub(crate) use verifier::JwtVerifier;
pub(crate) use verifier::{KeysFacts, KeysFault, KeysNews, read_keys};
pub(crate) use verify::GoodToken;
pub(crate) use verify::JwtPolicy;

use crate::problem::few;

/// What their owner should know of services that look at tokens which nothing verifies; `None` if there are none.
pub(crate) fn unverified<'a>(services: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut services = services.peekable();
    services.peek()?;
    let names = few(services).join(", ");
    Some(format!(
        "tokens are not verified, so that a client can claim to be any user (\"jwt:CLAIM\" in {names}); add [jwt] with keys"
    ))
}
