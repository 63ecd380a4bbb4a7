//! The tokens that were good a moment ago, for one worker.
//!
//! A user sends the same token with every request of an hour. Known by the hash of all its bytes, signature included,
//! it costs no second look at its signature; SHA-256, because a client chooses the bytes. Two halves of bounded size
//! take turns: what is asked for moves into the young half, and when that is full the old one is forgotten. Lists of
//! recent use would be more exact and cost more than the few tokens that they would save.
//!
//! Only good tokens are kept: a flood of bad ones cannot push them out.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::key_set::KeysInForce;
use super::verify::GoodToken;

/// Tokens of a half. With the largest payloads both halves are 8 MiB a worker, with usual ones 1 MiB.
pub(crate) const HALF_TOKENS_MAX: usize = 1024;

/// The hash of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    /// That of these bytes.
    pub(crate) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(bytes)
    }
}

/// Good tokens by their hash.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    /// What all of them were verified by.
    keys: Option<Arc<KeysInForce>>,
    young: HashMap<TokenHash, Rc<GoodToken>>,
    old: HashMap<TokenHash, Rc<GoodToken>>,
}

impl TokenCache {
    /// The keys that it knows, if there are any.
    pub(crate) fn keys(&self) -> Option<&Arc<KeysInForce>> {
        self.keys.as_ref()
    }

    /// Begins anew with other keys.
    pub(crate) fn begin(&mut self, keys: Option<Arc<KeysInForce>>) {
        *self = Self { keys, ..Self::default() };
    }

    /// A token that was good, and is so still.
    pub(crate) fn find(&mut self, hash: &TokenHash, now: f64) -> Option<Rc<GoodToken>> {
        if let Some(token) = self.young.get(hash) {
            return Some(token).filter(|token| now < token.until).map(Rc::clone);
        }
        let token = self.old.remove(hash).filter(|token| now < token.until)?;
        self.keep(*hash, Rc::clone(&token));
        Some(token)
    }

    /// Keeps a good token.
    pub(crate) fn keep(&mut self, hash: TokenHash, token: Rc<GoodToken>) {
        if self.young.len() >= HALF_TOKENS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::token_payload::TokenPayload;

    fn token(until: f64) -> Rc<GoodToken> {
        Rc::new(GoodToken { payload: TokenPayload::default(), until })
    }

    fn hash(number: usize) -> TokenHash {
        TokenHash::of(&number.to_be_bytes())
    }

    #[test]
    fn a_token_is_known_until_it_ends_or_the_keys_change() {
        let mut cache = TokenCache::default();
        assert!(cache.find(&hash(1), 0.0).is_none());
        cache.keep(hash(1), token(100.0));
        assert!(cache.find(&hash(1), 99.9).is_some() && cache.find(&hash(2), 0.0).is_none());
        assert!(cache.find(&hash(1), 100.0).is_none(), "it has expired");
        cache.begin(None);
        assert!(cache.find(&hash(1), 0.0).is_none(), "the keys are others");
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut cache = TokenCache::default();
        for number in 0..10 * HALF_TOKENS_MAX {
            cache.keep(hash(number), token(1.0));
            assert!(cache.find(&hash(0), 0.0).is_some(), "{number}");
            assert!(cache.young.len() <= HALF_TOKENS_MAX && cache.old.len() <= HALF_TOKENS_MAX);
        }
        assert!(cache.find(&hash(1), 0.0).is_none());
    }
}
