//! The judgement of one token: a JWS in its compact form (RFC 7515, 7.1) with the claims of a JWT (RFC 7519, 4).
//!
//! What is cheap is asked first: its size, its algorithm, its key, its claims. The signature, which costs as much as
//! all the rest of a request, is asked last, so that a flood of tokens that are expired or for others costs little.
//! Until then nothing of the token is believed, but to refuse it.
//!
//! The token does not choose how it is judged. Its algorithm has to be one that is allowed, and the key that it names
//! has to be of that algorithm's kind: there is no `none`, and no secret that is a public key (RFC 8725, 3.1).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::key_set::{JwtAlgorithm, KEY_ID_BYTES_MAX, KeySet};
use crate::shared::token_payload::TokenPayload;
use crate::stats::JwtOutcome;

/// The largest token: beyond it some servers refuse the whole head.
pub(crate) const TOKEN_BYTES_MAX: usize = 8192;

/// The largest payload, decoded. The same as for tokens that are not verified.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 4096;

/// The largest header, decoded. Those with a chain of certificates are larger, and such keys are not asked for here.
const HEADER_BYTES_MAX: usize = 1024;

/// The largest signature, decoded: RSA of 8192 bits.
const SIGNATURE_BYTES_MAX: usize = 1024;

/// What a token has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtPolicy {
    /// How it may be signed.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Who it has to be from; `None`: anybody who has one of the keys.
    pub issuer: Option<String>,
    /// Whom it has to be for, one of these; empty: that is not asked.
    pub audience: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// A token that is good.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct GoodToken {
    /// Its claims, as JSON.
    pub(crate) payload: TokenPayload,
    /// The first second in which it is good no more.
    pub(crate) until: f64,
}

/// Why a token is not good.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub(crate) enum JwtFault {
    /// It is too large, or a part of it is.
    #[error("it is larger than {TOKEN_BYTES_MAX} bytes, or its payload than {PAYLOAD_BYTES_MAX}")]
    TooLarge,
    /// It is no such token.
    #[error("it is no signed JWT: {0}")]
    Malformed(&'static str),
    /// Its algorithm is not allowed.
    #[error("its alg is not one of those that are allowed")]
    BadAlgorithm,
    /// No key of that name and kind is known.
    #[error("the keys have none of its kid for its alg")]
    UnknownKey,
    /// It has no end.
    #[error("it has no exp")]
    NoExpiry,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("its nbf has not come yet")]
    NotYetValid,
    /// It is from another issuer.
    #[error("its iss is another one")]
    WrongIssuer,
    /// It is for another application.
    #[error("its aud is another one")]
    WrongAudience,
    /// Its signature is not the key's.
    #[error("its signature is wrong")]
    BadSignature,
}

impl JwtFault {
    /// What is counted.
    pub(crate) fn outcome(&self) -> JwtOutcome {
        match self {
            Self::TooLarge => JwtOutcome::TooLarge,
            Self::Malformed(_) => JwtOutcome::Malformed,
            Self::BadAlgorithm => JwtOutcome::BadAlgorithm,
            Self::UnknownKey => JwtOutcome::UnknownKey,
            Self::NoExpiry => JwtOutcome::NoExpiry,
            Self::Expired => JwtOutcome::Expired,
            Self::NotYetValid => JwtOutcome::NotYetValid,
            Self::WrongIssuer => JwtOutcome::WrongIssuer,
            Self::WrongAudience => JwtOutcome::WrongAudience,
            Self::BadSignature => JwtOutcome::BadSignature,
        }
    }
}

/// The header of a token (RFC 7515, 4.1). A member that is there twice is an error.
#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

/// The claims that say whether it is good (RFC 7519, 4.1).
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Judges a token at a time, in seconds since 1970.
///
/// # Errors
/// [`JwtFault`] when it is not good.
pub(crate) fn verify(token: &[u8], keys: &KeySet, policy: &JwtPolicy, now: f64) -> Result<GoodToken, JwtFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtFault::TooLarge);
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JwtFault::Malformed("want three parts with dots between them"));
    };
    let signed = &token[..header.len() + 1 + payload.len()];
    let header = read_header(&decoded(header, HEADER_BYTES_MAX)?)?;
    let algorithm = JwtAlgorithm::of(&header.alg).filter(|found| policy.algorithms.contains(found));
    let algorithm = algorithm.ok_or(JwtFault::BadAlgorithm)?;
    let id = header.kid.as_deref();
    let known = id.is_none_or(|id| id.len() <= KEY_ID_BYTES_MAX);
    let key = keys.find(id, algorithm).filter(|_| known).ok_or(JwtFault::UnknownKey)?;
    let payload = decoded(payload, PAYLOAD_BYTES_MAX)?;
    let claims =
        serde_json::from_slice(&payload).map_err(|_form| JwtFault::Malformed("its claims are no such JSON"))?;
    let until = judge(&claims, policy, now)?;
    let signature = decoded(signature, SIGNATURE_BYTES_MAX)?;
    if !key.verifies(signed, &signature) {
        return Err(JwtFault::BadSignature);
    }
    Ok(GoodToken { payload: TokenPayload::new(payload), until })
}

fn read_header(text: &[u8]) -> Result<JoseHeader, JwtFault> {
    let form = |_form| JwtFault::Malformed("its header is no JSON with an alg");
    let header: JoseHeader = serde_json::from_slice(text).map_err(form)?;
    // Extensions that have to be understood (RFC 7515, 4.1.11; RFC 7797, 6), and none is.
    if header.crit.is_some() || header.b64.is_some() {
        return Err(JwtFault::Malformed("its crit or b64 asks for what is not known here"));
    }
    Ok(header)
}

/// A part in base64url, which is not decoded if it is too large.
fn decoded(part: &[u8], bytes_max: usize) -> Result<Vec<u8>, JwtFault> {
    if part.len() > bytes_max.div_ceil(3) * 4 {
        return Err(JwtFault::TooLarge);
    }
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_form| JwtFault::Malformed("a part is no base64url"))?;
    if bytes.len() > bytes_max { Err(JwtFault::TooLarge) } else { Ok(bytes) }
}

/// When the claims end that are good now.
fn judge(claims: &Claims, policy: &JwtPolicy, now: f64) -> Result<f64, JwtFault> {
    let leeway = policy.leeway.as_secs_f64();
    let until = claims.exp.ok_or(JwtFault::NoExpiry)? + leeway;
    if now >= until {
        return Err(JwtFault::Expired);
    }
    if claims.nbf.is_some_and(|begin| now + leeway < begin) {
        return Err(JwtFault::NotYetValid);
    }
    if policy.issuer.is_some() && claims.iss != policy.issuer {
        return Err(JwtFault::WrongIssuer);
    }
    let named = match &claims.aud {
        None => &[][..],
        Some(Audience::One(one)) => std::slice::from_ref(one),
        Some(Audience::Many(many)) => many,
    };
    if !policy.audience.is_empty() && !named.iter().any(|name| policy.audience.contains(name)) {
        return Err(JwtFault::WrongAudience);
    }
    Ok(until)
}

#[cfg(test)]
mod tests;
