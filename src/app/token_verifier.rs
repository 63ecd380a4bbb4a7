//! What verifies the tokens of users: made before anything is bound, with the keys that a config names.

use std::sync::Arc;

use super::MaterialError;
use crate::config::{Config, JwtConfig, JwtKeys};
use crate::jwt::{JwtVerifier, KeysNews};
use crate::outbound::jwks::JwksFetcher;
use crate::outbound::url_target::place;

/// The verifier, and what fetches its keys if they are not in a file.
#[derive(Debug)]
pub(crate) struct TokenVerifier {
    pub(crate) verifier: Arc<JwtVerifier>,
    pub(crate) fetcher: Option<JwksFetcher>,
}

impl TokenVerifier {
    /// That of a config, if tokens are verified; its file is read.
    ///
    /// # Errors
    /// [`MaterialError`] when that holds no keys.
    pub(crate) fn load(config: &Config) -> Result<Option<Self>, MaterialError> {
        let Some(JwtConfig { keys, policy }) = &config.jwt else { return Ok(None) };
        let policy = policy.clone();
        match keys {
            JwtKeys::File(file) => {
                let verifier = JwtVerifier::new(policy, file.display().to_string(), Some(file.clone()));
                match verifier.reload(now_ms()) {
                    Some(KeysNews::Refused(problem)) => Err(MaterialError(vec![format!("jwt.keys: {problem}")])),
                    news => {
                        news.iter().for_each(tell);
                        Ok(Some(Self { verifier: Arc::new(verifier), fetcher: None }))
                    }
                }
            }
            JwtKeys::Url { url, trust, refresh } => {
                let verifier = Arc::new(JwtVerifier::new(policy, place(url), None));
                let fetcher = JwksFetcher::new(Arc::clone(&verifier), url.clone(), trust.clone(), *refresh);
                Ok(Some(Self { verifier, fetcher: Some(fetcher) }))
            }
        }
    }

    /// Fetches the keys for the first time, if they are not in a file. A server that does not answer keeps no user
    /// waiting for longer than that takes.
    pub(crate) async fn first(&mut self) {
        if let Some(fetcher) = &mut self.fetcher {
            fetcher.first().await;
        }
    }
}

/// Says what is new about the keys in a file.
pub(crate) fn tell(news: &KeysNews) {
    match news {
        KeysNews::InForce { keys, remarks } => {
            tracing::info!(keys, "the keys of tokens are good and in use");
            remarks.iter().for_each(|remark| tracing::warn!("jwt.keys: {remark}"));
        }
        KeysNews::Refused(problem) => {
            tracing::error!(%problem, "new keys of tokens are refused, the old ones stay in use");
        }
    }
}

/// The time for people, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
