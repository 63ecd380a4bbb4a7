//! The public keys of an issuer: a JWKS (RFC 7517, 5), as issuers publish it.
//!
//! A set may hold keys for other purposes, and of kinds that are not known here: they are left out, and said (RFC
//! 7517, 5). A set without a key that can be used is refused, because with it every token would be refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// The largest set: hundreds of keys, with certificates beside them.
pub(crate) const KEYS_BYTES_MAX: usize = 256 * 1024;

/// The most keys of a set: issuers have two or three, and the largest ones some dozens.
const KEYS_MAX: usize = 200;

/// The longest id of a key, in bytes.
pub(crate) const KEY_ID_BYTES_MAX: usize = 256;

/// The least and the largest modulus of RSA, in bytes: 2048 and 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// What stands before the two numbers of a point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// How a token is signed (RFC 7518, 3.1; RFC 8037, 3.1). Each has one kind of key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JwtAlgorithm {
    /// RSA with PKCS #1 and SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its name in a token.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one of this name; case counts.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }
}

/// Keys that verify tokens, at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeySet {
    keys: Vec<VerifyingKey>,
    /// What its owner should know: which keys are left out, and why.
    pub(crate) remarks: Vec<String>,
}

/// The keys in force.
#[derive(Debug)]
pub(crate) struct KeysInForce {
    /// From 1 on; grows with each set that differs from the one before.
    pub(crate) generation: u64,
    pub(crate) set: KeySet,
}

/// A key, with its name among those of its kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VerifyingKey {
    id: Option<String>,
    public: PublicKey,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum PublicKey {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why a text is no set of keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySetFault {
    /// It is too long.
    #[error("found {0} bytes, want a JWKS of at most {KEYS_BYTES_MAX}")]
    TooLong(usize),
    /// It has another form.
    #[error("want a JWKS such as {{\"keys\": [{{\"kty\": \"RSA\", ...}}]}}")]
    Form(#[source] serde_json::Error),
    /// There are too many.
    #[error("found {0} keys, want at most {KEYS_MAX}")]
    TooMany(usize),
    /// None can be used.
    #[error("found no key that can be used, want one of RSA, P-256 or Ed25519{}", said(.0))]
    None(Vec<String>),
}

/// Why a key is left out.
#[derive(Debug, thiserror::Error)]
enum KeyFault {
    #[error("it is for {0:?}, not for signatures")]
    Purpose(String),
    #[error("it is not for verifying")]
    Operations,
    #[error("its kind {0:?} is not known here")]
    Kind(String),
    #[error("it is for {0:?}, which its kind is not for")]
    Algorithm(String),
    #[error("its id has more than {KEY_ID_BYTES_MAX} bytes")]
    Id,
    #[error("it has no {0:?}")]
    Missing(&'static str),
    #[error("its {0:?} is no base64url ({1})")]
    Encoding(&'static str, base64::DecodeError),
    #[error("its {0:?} has {1} bytes, want 32")]
    Length(&'static str, usize),
    #[error("found RSA of {0} bits, want 2048 to 8192")]
    Modulus(usize),
}

fn said(remarks: &[String]) -> String {
    if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join("; ")) }
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<RawKey>,
}

/// A JWK (RFC 7517, 4), as much of it as matters.
#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl KeySet {
    /// The keys of a JWKS.
    ///
    /// # Errors
    /// [`KeySetFault`] when it is none, or has no key that can be used.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, KeySetFault> {
        if text.len() > KEYS_BYTES_MAX {
            return Err(KeySetFault::TooLong(text.len()));
        }
        let raw: RawKeySet = serde_json::from_slice(text).map_err(KeySetFault::Form)?;
        if raw.keys.len() > KEYS_MAX {
            return Err(KeySetFault::TooMany(raw.keys.len()));
        }
        let mut set = Self { keys: Vec::new(), remarks: Vec::new() };
        for (number, raw) in (1..).zip(raw.keys) {
            let name = raw.kid.as_ref().map_or(format!("key {number}"), |id| format!("key {id:?}"));
            if raw.d.is_some() {
                set.remarks.push(format!("{name} is a private key, whose public part is enough here: take it away"));
            }
            match raw.key() {
                Ok(key) if set.find(key.id.as_deref(), key.algorithm()).is_some_and(|other| other.id == key.id) => {
                    set.remarks.push(format!("{name} is left out: another one has its id"));
                }
                Ok(key) => set.keys.push(key),
                Err(why) => set.remarks.push(format!("{name} is left out: {why}")),
            }
        }
        if set.keys.is_empty() { Err(KeySetFault::None(set.remarks)) } else { Ok(set) }
    }

    /// The key that a token names; where it names none, the only key of its kind (RFC 7515, 4.1.4).
    pub(crate) fn find(&self, id: Option<&str>, algorithm: JwtAlgorithm) -> Option<&VerifyingKey> {
        let mut of_kind = self.keys.iter().filter(|key| key.algorithm() == algorithm);
        match id {
            Some(id) => of_kind.find(|key| key.id.as_deref() == Some(id)),
            None => of_kind.next().filter(|_| of_kind.next().is_none()),
        }
    }

    /// Each key: its id, and what it is for.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (Option<&str>, JwtAlgorithm)> {
        self.keys.iter().map(|key| (key.id.as_deref(), key.algorithm()))
    }
}

impl RawKey {
    /// The key, or why it is left out.
    fn key(self) -> Result<VerifyingKey, KeyFault> {
        if let Some(purpose) = self.purpose.filter(|purpose| purpose != "sig") {
            return Err(KeyFault::Purpose(purpose));
        }
        if self.key_ops.is_some_and(|known| !known.iter().any(|op| op == "verify")) {
            return Err(KeyFault::Operations);
        }
        let public = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => rsa(self.n.as_deref(), self.e.as_deref())?,
            ("EC", Some("P-256")) => {
                let (x, y) = (coordinate(self.x.as_deref(), "x")?, coordinate(self.y.as_deref(), "y")?);
                PublicKey::P256([&[UNCOMPRESSED][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(coordinate(self.x.as_deref(), "x")?),
            (kind, curve) => return Err(KeyFault::Kind(curve.unwrap_or(kind).to_owned())),
        };
        let key = VerifyingKey { id: self.kid, public };
        if let Some(other) = self.alg.filter(|word| word != key.algorithm().word()) {
            return Err(KeyFault::Algorithm(other));
        }
        if key.id.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(KeyFault::Id);
        }
        Ok(key)
    }
}

fn rsa(modulus: Option<&str>, exponent: Option<&str>) -> Result<PublicKey, KeyFault> {
    let number = |text, name| {
        let bytes = bytes(text, name)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(bytes[zeros..].to_vec())
    };
    let (modulus, exponent) = (number(modulus, "n")?, number(exponent, "e")?);
    if !MODULUS_BYTES.contains(&modulus.len()) {
        return Err(KeyFault::Modulus(modulus.len() * 8));
    }
    Ok(PublicKey::Rsa { modulus, exponent })
}

/// A number of a curve with 256 bits.
fn coordinate(text: Option<&str>, name: &'static str) -> Result<Vec<u8>, KeyFault> {
    let bytes = bytes(text, name)?;
    if bytes.len() == 32 { Ok(bytes) } else { Err(KeyFault::Length(name, bytes.len())) }
}

/// A member in base64url.
fn bytes(text: Option<&str>, name: &'static str) -> Result<Vec<u8>, KeyFault> {
    let text = text.ok_or(KeyFault::Missing(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|error| KeyFault::Encoding(name, error))
}

impl VerifyingKey {
    /// What it is for: its kind alone says so, never a token.
    fn algorithm(&self) -> JwtAlgorithm {
        match self.public {
            PublicKey::Rsa { .. } => JwtAlgorithm::Rs256,
            PublicKey::P256(_) => JwtAlgorithm::Es256,
            PublicKey::Ed25519(_) => JwtAlgorithm::EdDsa,
        }
    }

    /// Whether it made the signature of what is signed.
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let result = match &self.public {
            PublicKey::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            PublicKey::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature),
            PublicKey::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(signed, signature),
        };
        result.is_ok()
    }
}
