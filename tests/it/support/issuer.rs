//! An issuer of tokens, with one key of Ed25519.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

pub(crate) struct Issuer {
    id: &'static str,
    key: Ed25519KeyPair,
}

impl Issuer {
    pub(crate) fn new(id: &'static str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, key: Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap() }
    }

    /// The JWKS of some of them.
    pub(crate) fn keys(issuers: &[&Self]) -> String {
        let key = |issuer: &&Self| {
            let x = URL_SAFE_NO_PAD.encode(issuer.key.public_key());
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": issuer.id, "x": x })
        };
        json!({ "keys": issuers.iter().map(key).collect::<Vec<_>>() }).to_string()
    }

    /// A header line with a token of these claims.
    pub(crate) fn bearer(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.id }).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("Authorization: Bearer {signed}.{signature}")
    }

    /// The same for a user, good for an hour.
    pub(crate) fn user(&self, name: &str) -> String {
        self.bearer(&json!({ "sub": name, "exp": now() + 3600, "iss": "https://id.example.com", "aud": "shop" }))
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(time.as_secs()).unwrap()
}
