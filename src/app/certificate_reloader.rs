//! Certificates, keys, the admin API's tokens and the keys of users' tokens, read again when their files change, or on
//! SIGHUP.
//!
//! As with the config file, the ways to them are watched and walked anew at each look (Kubernetes swaps `..data`,
//! certbot swaps `live/site/fullchain.pem`), a file that is being written is waited for (half a token is a token), and
//! network file systems do not tell that they changed, so there is a look now and then without being told, too.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::tls::tls_registry::{ReloadNews, TlsRegistry};

use super::token_verifier::{self, now_ms};
use crate::admin::Access;
use crate::files::reload::{Look, Source, Taken};
use crate::files::settle::GLANCE_INTERVAL;
use crate::jwt::{JwtVerifier, KeysNews};
use crate::problem::few;
use crate::tokens::Tokens;

/// Time between two glances where the kernel tells of changes, for network file systems: there may be a thousand files.
const GLANCE_TOLD_INTERVAL: Duration = Duration::from_secs(5);

/// The section of tokens, and what a look at their files has found: the names of new ones, or problems.
type TokensNews = (&'static str, Result<Vec<String>, Vec<String>>);

/// The files of all sides, and those of tokens.
pub(crate) struct MaterialSource {
    tls: Arc<TlsRegistry>,
    access: Arc<Access>,
    /// Tokens of callers that are no operators.
    caller_tokens: Vec<Arc<Tokens>>,
    jwt: Option<Arc<JwtVerifier>>,
}

impl fmt::Debug for MaterialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaterialSource").finish_non_exhaustive()
    }
}

/// What a look has found, and put to use where it is good.
#[derive(Debug)]
pub(crate) struct MaterialFound {
    news: Vec<ReloadNews>,
    /// Keys that others can read by now, with their places.
    exposed: Vec<(String, String)>,
    tokens: Vec<TokensNews>,
    token_keys: Option<KeysNews>,
}

impl MaterialSource {
    /// Those of these.
    #[must_use]
    pub(crate) fn new(
        tls: &Arc<TlsRegistry>,
        access: &Arc<Access>,
        jwt: Option<&Arc<JwtVerifier>>,
        caller_tokens: Vec<Arc<Tokens>>,
    ) -> Self {
        Self { tls: Arc::clone(tls), access: Arc::clone(access), caller_tokens, jwt: jwt.map(Arc::clone) }
    }
}

impl Source for MaterialSource {
    type Found = MaterialFound;

    const NAME: &'static str = "certificates and tokens";

    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.tls.files();
        files.extend(self.access.tokens().files().cloned());
        files.extend(self.caller_tokens.iter().flat_map(|tokens| tokens.files()).cloned());
        files.extend(self.jwt.as_ref().and_then(|jwt| jwt.file()).map(Path::to_owned));
        files.sort_unstable();
        files.dedup();
        files
    }

    /// Where nothing tells of changes, as often as the config file.
    fn glance_interval(&self, blind: bool) -> Duration {
        if blind { GLANCE_INTERVAL } else { GLANCE_TOLD_INTERVAL }
    }

    fn reader(&self) -> impl FnOnce() -> MaterialFound + Send + 'static {
        let (tls, access, jwt) = (Arc::clone(&self.tls), Arc::clone(&self.access), self.jwt.clone());
        let caller_tokens = self.caller_tokens.clone();
        move || {
            let news = tls.reload();
            let all = [access.tokens()].into_iter().chain(caller_tokens.iter().map(|tokens| &**tokens));
            let tokens = all.filter_map(|tokens| Some((tokens.section(), tokens.reload()?))).collect();
            let token_keys = jwt.and_then(|jwt| jwt.reload(now_ms()));
            MaterialFound { news, exposed: tls.look_at_keys(), tokens, token_keys }
        }
    }

    async fn take(&mut self, found: MaterialFound, _look: Look) -> Taken {
        found.news.iter().for_each(tell);
        found.exposed.iter().for_each(|(place, warning)| tracing::warn!(%place, "{warning}"));
        found.tokens.iter().for_each(tell_tokens);
        found.token_keys.iter().for_each(token_verifier::tell);
        Taken::BELIEVED
    }
}

fn tell((place, outcome): &ReloadNews) {
    match outcome {
        Ok(certificates) => {
            let now = jiff::Timestamp::now().as_second();
            let names = few(certificates.iter().map(|certificate| certificate.name.as_str()));
            tracing::info!(%place, certificates = ?names, "the TLS files are good and in use");
            for warning in certificates.iter().filter_map(|certificate| certificate.warning(now)) {
                tracing::warn!(%place, "{warning}");
            }
        }
        Err(problems) => {
            tracing::error!(%place, ?problems, "new TLS files are refused, the old ones stay in use");
        }
    }
}

fn tell_tokens((section, outcome): &TokensNews) {
    match outcome {
        Ok(tokens) => tracing::info!(section, new = ?tokens, "the tokens of this section are good and in use"),
        Err(problems) => tracing::error!(section, ?problems, "new tokens are refused, the old ones stay in use"),
    }
}
