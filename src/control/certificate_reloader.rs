//! Certificates, keys and the admin API's tokens, read again when their files change, or on SIGHUP.
//!
//! As with the config file, the ways to them are watched and walked anew at each look (Kubernetes swaps `..data`, certbot
//! swaps `live/site/fullchain.pem`), a file that is being written is waited for (half a token is a token), and network
//! file systems tell nobody that they changed, so there is a look now and then without being told, too.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{Instant, sleep_until};

use crate::tls::sides::{News, Sides};

use super::files::identity::Identity;
use super::files::settle::{GLANCE_INTERVAL, Settle, Step};
use super::files::watcher::{Followed, Watcher, in_background};
use crate::admin::Access;

/// Time between two glances where the kernel tells of changes, for network file systems: there may be a thousand files.
const GLANCE_TOLD_INTERVAL: Duration = Duration::from_secs(5);

/// Watches the files of all sides, and those of tokens.
pub(crate) struct Renewal {
    sides: Arc<Sides>,
    access: Arc<Access>,
    settle: Settle<Vec<Option<Identity>>>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").finish_non_exhaustive()
    }
}

/// What a look has found.
struct Look {
    followed: Followed,
    after: Vec<Option<Identity>>,
    news: Vec<News>,
    /// Keys that others can read by now, with their places.
    exposed: Vec<(String, String)>,
    tokens: Option<Result<Vec<String>, Vec<String>>>,
}

impl Renewal {
    /// Will watch.
    #[must_use]
    pub(crate) fn new(sides: Arc<Sides>, access: Arc<Access>) -> Self {
        Self { sides, access, settle: Settle::new(Instant::now()) }
    }

    /// Reloads on changes, on `hangup` and now and then until `shutdown` ends.
    pub(crate) async fn run(&mut self, hangup: &mut Signal, shutdown: impl Future<Output = ()>) {
        // A look that a file system does not answer must not keep the process from ending.
        tokio::select! {
            () = shutdown => {}
            () = self.watch(hangup) => {}
        }
    }

    async fn watch(&mut self, hangup: &mut Signal) {
        let mut watcher = Watcher::new("certificates and tokens");
        // What changed between the read at the start and the watch was no event.
        let followed = self.follow(&mut watcher).await;
        self.settle.glanced(Instant::now(), followed.identities);
        loop {
            let until = match self.settle.next(Instant::now()) {
                Step::Read => {
                    self.look(&mut watcher).await;
                    continue;
                }
                Step::Glance => {
                    let followed = self.follow(&mut watcher).await;
                    self.settle.glanced(Instant::now(), followed.identities);
                    continue;
                }
                Step::Wait(until) => until,
            };
            tokio::select! {
                biased;
                notices = watcher.next() => {
                    let followed = self.follow(&mut watcher).await;
                    let now = Instant::now();
                    followed.of_files(notices).for_each(|notice| self.settle.noticed(now, notice));
                }
                _ = hangup.recv() => self.settle.ask(),
                () = sleep_until(until) => {}
            }
        }
    }

    async fn follow(&mut self, watcher: &mut Watcher) -> Followed {
        let (follower, files) = (watcher.follower(), files(&self.sides, &self.access));
        let followed = in_background(move || follower.follow(&files)).await.unwrap_or_default();
        self.heed(watcher, &followed);
        followed
    }

    /// Where nothing tells of changes, the files are glanced at as often as the config file.
    fn heed(&mut self, watcher: &mut Watcher, followed: &Followed) {
        watcher.tell(followed);
        let blind = followed.blind.is_some();
        self.settle.set_glance_interval(Some(if blind { GLANCE_INTERVAL } else { GLANCE_TOLD_INTERVAL }));
    }

    /// Reads all files, and uses what is new and good.
    async fn look(&mut self, watcher: &mut Watcher) {
        watcher.revive();
        let now = Instant::now();
        let followed = self.follow(watcher).await;
        if !self.settle.is_steady(now, followed.identities) {
            return;
        }
        let (follower, sides, access) = (watcher.follower(), Arc::clone(&self.sides), Arc::clone(&self.access));
        let look = in_background(move || {
            // Before the files are read: what changes after the read is an event then.
            let files = files(&sides, &access);
            let followed = follower.follow(&files);
            let (news, tokens) = (sides.reload(), access.tokens().reload());
            let exposed = sides.look_at_keys();
            let after = files.iter().map(|file| Identity::of(file)).collect();
            Look { followed, after, news, exposed, tokens }
        });
        let Some(Look { followed, after, news, exposed, tokens }) = look.await else {
            self.settle.taken(now, Vec::new());
            return;
        };
        self.heed(watcher, &followed);
        news.iter().for_each(tell);
        exposed.iter().for_each(|(place, warning)| tracing::warn!(%place, "{warning}"));
        tokens.iter().for_each(tell_tokens);
        let torn = followed.identities != after;
        self.settle.taken(now, followed.identities);
        if torn {
            self.settle.torn(Instant::now(), after);
        }
    }
}

fn files(sides: &Sides, access: &Access) -> Vec<PathBuf> {
    let mut files = sides.files();
    files.extend(access.tokens().files().cloned());
    files.sort_unstable();
    files.dedup();
    files
}

fn tell((place, outcome): &News) {
    match outcome {
        Ok(certificates) => {
            let now = jiff::Timestamp::now().as_second();
            let names: Vec<_> = certificates.iter().map(|certificate| certificate.name.as_str()).collect();
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

fn tell_tokens(outcome: &Result<Vec<String>, Vec<String>>) {
    match outcome {
        Ok(tokens) => tracing::info!(new = ?tokens, "the tokens of the admin API are good and in use"),
        Err(problems) => tracing::error!(?problems, "new tokens are refused, the old ones stay in use"),
    }
}
