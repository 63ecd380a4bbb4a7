//! The verifier of a process: what a token has to be, and the keys in force.
//!
//! The keys have a number, which a worker compares with that of the keys it knows: a request reads one atomic, and a
//! worker takes the lock around the keys when they have changed, not for a token. Keys that are refused, or cannot be
//! had, change nothing: those from before stay in use, and [`KeysFacts`] says why.

use std::error::Error;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Notify;

use super::key_set::{KEYS_BYTES_MAX, KeySet, KeySetFault, KeysInForce};
use super::token_cache::{TokenCache, TokenHash};
use super::verify::{GoodToken, JwtFault, JwtPolicy, TOKEN_BYTES_MAX, verify};
use crate::problem::chain;
use crate::stats::JwtOutcome;

/// Verifies tokens.
#[derive(Debug)]
pub struct JwtVerifier {
    policy: JwtPolicy,
    /// Where the keys come from, for people.
    place: String,
    /// None for keys that are fetched.
    file: Option<PathBuf>,
    /// The number of the keys in force; 0: there never were any.
    generation: AtomicU64,
    keys: RwLock<Option<Arc<KeysInForce>>>,
    facts: Mutex<Known>,
    /// Told when a token names a key that is not known.
    unknown_key: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// When the keys in force were last found to be good, in milliseconds since 1970.
    good_at_ms: Option<i64>,
    problem: Option<String>,
    /// How often keys could not be had, or were refused.
    failures: u64,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysFault {
    /// Their file cannot be read.
    #[error("{}: cannot be read", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was found are no keys.
    #[error("{place}")]
    Set {
        /// Where it was found.
        place: String,
        /// Why.
        source: KeySetFault,
    },
    /// They cannot be fetched.
    #[error("{place}")]
    Fetch {
        /// Where from.
        place: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What is new about the keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum KeysNews {
    /// They are good, and were not, or are others than before.
    InForce {
        /// How many there are.
        keys: usize,
        /// What their owner should know.
        remarks: Vec<String>,
    },
    /// Why those from before stay.
    Refused(String),
}

/// What there is to know of the keys.
#[derive(Clone, Debug)]
pub(crate) struct KeysFacts {
    /// Where they come from.
    pub(crate) place: String,
    /// Each of them: its id, and its algorithm.
    pub(crate) keys: Vec<(Option<String>, &'static str)>,
    /// When they were last found to be good, in milliseconds since 1970; `None`: there are none.
    pub(crate) good_at_ms: Option<i64>,
    /// Why newer ones are not in use.
    pub(crate) problem: Option<String>,
    /// How often they could not be had, or were refused.
    pub(crate) failures: u64,
    /// What their owner should know.
    pub(crate) remarks: Vec<String>,
}

impl JwtVerifier {
    /// One without keys: no token is good.
    pub(crate) fn new(policy: JwtPolicy, place: String, file: Option<PathBuf>) -> Self {
        let (generation, unknown_key) = (AtomicU64::new(0), Notify::new());
        Self { policy, place, file, generation, keys: RwLock::default(), facts: Mutex::default(), unknown_key }
    }

    fn in_force(&self) -> Option<Arc<KeysInForce>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file of the keys, if they are in one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the file, if the keys are in one. Returns what is new.
    pub(crate) fn reload(&self, now_ms: i64) -> Option<KeysNews> {
        let found = read_keys(self.file.as_deref()?);
        self.take(found, now_ms)
    }

    /// Puts keys in force, or notes why those from before stay. Returns what is new.
    pub(crate) fn take(&self, found: Result<KeySet, KeysFault>, now_ms: i64) -> Option<KeysNews> {
        let mut known = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(set) => {
                known.good_at_ms = Some(now_ms);
                let was_bad = known.problem.take().is_some();
                let before = self.in_force();
                let news = KeysNews::InForce { keys: set.listed().count(), remarks: set.remarks.clone() };
                if before.as_ref().is_some_and(|before| before.set == set) {
                    return was_bad.then_some(news);
                }
                let generation = before.map_or(0, |before| before.generation) + 1;
                let keys = Some(Arc::new(KeysInForce { generation, set }));
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
                // After the keys: a worker that sees the number finds them.
                self.generation.store(generation, Release);
                Some(news)
            }
            Err(fault) => {
                known.failures += 1;
                let problem = chain(&fault);
                let is_known = known.problem.as_ref() == Some(&problem);
                known.problem = Some(problem.clone());
                (!is_known).then_some(KeysNews::Refused(problem))
            }
        }
    }

    /// What there is to know of the keys.
    pub(crate) fn facts(&self) -> KeysFacts {
        let keys = self.in_force();
        let known = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = keys.iter().flat_map(|keys| keys.set.listed());
        KeysFacts {
            place: self.place.clone(),
            keys: listed.map(|(id, algorithm)| (id.map(str::to_owned), algorithm.word())).collect(),
            good_at_ms: known.good_at_ms,
            problem: known.problem.clone(),
            failures: known.failures,
            remarks: keys.as_ref().map_or_else(Vec::new, |keys| keys.set.remarks.clone()),
        }
    }

    /// Judges a token at a time, in seconds since 1970, and remembers nothing.
    ///
    /// # Errors
    /// [`JwtFault`] when it is not good.
    pub(crate) fn verify(&self, token: &[u8], now: f64) -> Result<GoodToken, JwtFault> {
        let keys = self.in_force().ok_or(JwtFault::UnknownKey)?;
        verify(token, &keys.set, &self.policy, now)
    }

    /// Judges a token, unless the worker knows that it is good. Returns what became of it, to be counted.
    pub(crate) fn judge(&self, token: &[u8], cache: &mut TokenCache, now: f64) -> (JwtOutcome, Option<Rc<GoodToken>>) {
        if self.generation.load(Acquire) != cache.keys().map_or(0, |keys| keys.generation) {
            cache.begin(self.in_force());
        }
        let Some(keys) = cache.keys().map(Arc::clone) else {
            self.unknown_key.notify_one();
            return (JwtOutcome::UnknownKey, None);
        };
        // What is too large is not even hashed.
        let hash = (token.len() <= TOKEN_BYTES_MAX).then(|| TokenHash::of(token));
        if let Some(known) = hash.and_then(|hash| cache.find(&hash, now)) {
            return (JwtOutcome::Known, Some(known));
        }
        match verify(token, &keys.set, &self.policy, now) {
            Ok(good) => {
                let good = Rc::new(good);
                if let Some(hash) = hash {
                    cache.keep(hash, Rc::clone(&good));
                }
                (JwtOutcome::Verified, Some(good))
            }
            Err(fault) => {
                if fault == JwtFault::UnknownKey {
                    self.unknown_key.notify_one();
                }
                (fault.outcome(), None)
            }
        }
    }

    /// Waits until a token has named a key that is not known.
    pub(crate) async fn unknown_key(&self) {
        self.unknown_key.notified().await;
    }
}

/// Reads a file of keys.
///
/// # Errors
/// [`KeysFault`] when it holds none.
pub(crate) fn read_keys(file: &Path) -> Result<KeySet, KeysFault> {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(KEYS_BYTES_MAX as u64 + 1).read_to_end(&mut text));
    read.map_err(|source| KeysFault::Read { file: file.to_owned(), source })?;
    KeySet::parse(&text).map_err(|source| KeysFault::Set { place: file.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jwt::key_set::JwtAlgorithm;

    const KEYS: [&str; 2] = [
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
    ];

    #[test]
    fn what_is_news_is_told_once_and_a_generation_is_another_set() {
        let algorithms = JwtAlgorithm::ALL.into();
        let policy = JwtPolicy { algorithms, issuer: None, audience: Vec::new(), leeway: Duration::ZERO };
        let verifier = JwtVerifier::new(policy, "here".to_owned(), None);
        let set = |index: usize| Ok(KeySet::parse(KEYS[index].as_bytes()).expect("keys"));
        let bad = || KeySet::parse(b"").map_err(|source| KeysFault::Set { place: "here".to_owned(), source });
        let generation = || verifier.generation.load(Acquire);
        assert!(verifier.facts().good_at_ms.is_none() && generation() == 0);
        assert!(matches!(verifier.take(bad(), 1), Some(KeysNews::Refused(_))) && generation() == 0);
        assert!(verifier.take(bad(), 2).is_none(), "that is known");
        assert!(matches!(verifier.take(set(0), 3), Some(KeysNews::InForce { keys: 1, .. })) && generation() == 1);
        assert!(verifier.take(set(0), 4).is_none() && generation() == 1);
        assert!(matches!(verifier.take(bad(), 5), Some(KeysNews::Refused(_))) && generation() == 1);
        assert!(verifier.take(set(0), 6).is_some(), "it is good again");
        assert!(verifier.take(set(1), 7).is_some() && generation() == 2);
        let facts = verifier.facts();
        assert_eq!((facts.good_at_ms, facts.problem, facts.failures, facts.keys.len()), (Some(7), None, 3, 1));
    }
}
