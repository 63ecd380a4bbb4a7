//! The keys of an issuer of tokens, fetched from its URL: at the start, again and again, and when a token names a key
//! that is not known.
//!
//! Anybody can send a token with a key that does not exist. So such tokens have the keys fetched no more often than
//! every [`UNKNOWN_KEY_INTERVAL`], and no request waits for it: its token is not good yet. A server that fails is asked
//! again soon and then less and less often, and the keys from before stay in use for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::time::{Instant, sleep_until};

use super::client::{BodyWanted, ExchangeError, ExchangeLimits};
use super::url_target::{BadUrl, UrlTarget, place};
use crate::jwt::{JwtVerifier, KEYS_BYTES_MAX, KeySet, KeysFault, KeysNews};
use crate::tls::Trust;

/// Who asks.
const AGENT: &str = concat!("pointsman-jwks/", env!("CARGO_PKG_VERSION"));

/// Longest wait for the keys.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait at the start, before anybody is served: without keys the first users would lose theirs.
const FIRST_TIMEOUT: Duration = Duration::from_secs(3);

/// Tokens with unknown keys have the keys fetched this often at the most.
pub(crate) const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(30);

/// The pause after the first failure; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(2);

/// The longest pause after a failure, unless the usual one is shorter.
const RETRY_MAX: Duration = Duration::from_secs(120);

/// Fetches the keys of a verifier.
#[derive(Debug)]
pub(crate) struct JwksFetcher {
    verifier: Arc<JwtVerifier>,
    url: Uri,
    trust: Trust,
    refresh: Duration,
    /// How long tokens with unknown keys wait for the next fetch.
    unknown_key_interval: Duration,
    /// When they were fetched last, or tried to.
    last: Option<Instant>,
    /// The pause after the failure that was the last; `None` after a success.
    retry: Option<Duration>,
}

/// Why keys cannot be fetched.
#[derive(Debug, thiserror::Error)]
enum JwksFault {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error("the URL cannot be in the head of a request")]
    Head(#[from] http::Error),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("found status {}, want 200{}", .0.as_u16(), if .0.is_redirection() { "; name the place that it points to" } else { "" })]
    Status(StatusCode),
}

impl JwksFetcher {
    /// Will fetch from `url`, every `refresh`.
    pub(crate) fn new(verifier: Arc<JwtVerifier>, url: Uri, trust: Trust, refresh: Duration) -> Self {
        let unknown_key_interval = UNKNOWN_KEY_INTERVAL.min(refresh);
        Self { verifier, url, trust, refresh, unknown_key_interval, last: None, retry: None }
    }

    /// Fetches for the first time, and waits for it no longer than a start may take.
    pub(crate) async fn first(&mut self) {
        self.fetch(FIRST_TIMEOUT).await;
    }

    /// Fetches again and again until `shutdown` ends.
    pub(crate) async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = async { loop { self.wait().await; self.fetch(TIMEOUT).await; } } => {}
        }
    }

    /// Waits until it is time to fetch.
    async fn wait(&self) {
        let Some(last) = self.last else { return };
        let usual = last + self.retry.map_or(self.refresh, |pause| pause.min(self.refresh));
        let at_once = async {
            self.verifier.unknown_key().await;
            sleep_until(last + self.unknown_key_interval).await;
        };
        tokio::select! {
            () = sleep_until(usual) => {}
            () = at_once => {}
        }
    }

    async fn fetch(&mut self, time: Duration) {
        let place = place(&self.url);
        let found = match self.ask(time).await {
            Ok(text) => KeySet::parse(&text).map_err(|source| KeysFault::Set { place: place.clone(), source }),
            Err(fault) => Err(KeysFault::Fetch { place: place.clone(), source: Box::new(fault) }),
        };
        self.last = Some(Instant::now());
        self.retry = match &found {
            Ok(_) => None,
            Err(_) => Some(self.retry.map_or(RETRY_MIN, |pause| (pause * 2).min(RETRY_MAX))),
        };
        match self.verifier.take(found, jiff::Timestamp::now().as_millisecond()) {
            None => {}
            Some(KeysNews::InForce { keys, remarks }) => {
                tracing::info!(%place, keys, "the keys of tokens are good and in use");
                remarks.iter().for_each(|remark| tracing::warn!(%place, "{remark}"));
            }
            Some(KeysNews::Refused(problem)) => {
                tracing::error!(%problem, "there are no new keys of tokens, those from before stay in use");
            }
        }
    }

    async fn ask(&self, time: Duration) -> Result<Vec<u8>, JwksFault> {
        let target = UrlTarget::of(&self.url)?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(HOST, target.host())
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(CONNECTION, "close")
            .body(Full::<Bytes>::default())?;
        let limits = ExchangeLimits { time, body: BodyWanted::Whole(KEYS_BYTES_MAX) };
        let answer = target.site(&self.trust).ask(request, limits).await?;
        if answer.head.status.as_u16() == 200 { Ok(answer.body) } else { Err(JwksFault::Status(answer.head.status)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::{JwtAlgorithm, JwtPolicy, TokenCache};

    fn fetcher(refresh: u64) -> JwksFetcher {
        let algorithms = JwtAlgorithm::ALL.into();
        let policy = JwtPolicy { algorithms, issuer: None, audience: Vec::new(), leeway: Duration::ZERO };
        let verifier = Arc::new(JwtVerifier::new(policy, "here".to_owned(), None));
        let mut fetcher = JwksFetcher::new(
            verifier,
            Uri::from_static("http://h.invalid/"),
            Trust::System,
            Duration::from_secs(refresh),
        );
        fetcher.last = Some(Instant::now());
        fetcher
    }

    #[tokio::test]
    async fn a_flood_of_unknown_keys_is_one_fetch_in_an_interval() {
        let mut fetcher = fetcher(600);
        fetcher.unknown_key_interval = Duration::from_millis(50);
        for _ in 0..3 {
            for _ in 0..1000 {
                fetcher.verifier.judge(b"a.b.c", &mut TokenCache::default(), 0.0);
            }
            let last = Instant::now();
            fetcher.last = Some(last);
            fetcher.wait().await;
            assert!(last.elapsed() >= fetcher.unknown_key_interval, "{:?}", last.elapsed());
        }
        // All of them together asked once.
        let more = tokio::time::timeout(Duration::from_millis(200), fetcher.wait()).await;
        assert!(more.is_err(), "no token asks any more");
    }

    #[tokio::test]
    async fn a_server_that_fails_is_asked_less_and_less_often() {
        let mut fetcher = fetcher(600);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            // Nothing has this name.
            fetcher.fetch(Duration::from_millis(1)).await;
            pauses.push(fetcher.retry.map_or(0, |pause| pause.as_secs()));
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 120, 120]);
        assert!(fetcher.verifier.facts().problem.is_some());
    }
}
