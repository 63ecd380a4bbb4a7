//! The config file, read again when it changes or on SIGHUP.
//!
//! When it is read is decided by [`settle`](super::files::settle), and whether what was read is all of it by
//! [`doubt`](super::files::doubt); here is what they are fed with, and what comes of it. The path is walked anew at each
//! look, whatever a watch says, and everything that may wait for a file system is done on a thread of its own: a server
//! that does not answer keeps nobody waiting but this. A bad file changes nothing and is remembered; a file that is what
//! is in force changes nothing either.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::table::ServiceSpec;

use super::fault::chain;
use super::files::doubt::{DOUBT_CLOSED, DOUBT_OPEN, Doubt, Verdict, is_doubtful, lost};
use super::files::identity::{self, Identity};
use super::files::settle::{GLANCE_INTERVAL, Settle, Step};
use super::files::watcher::{Followed, Watcher, in_background};
use super::handle::{ApplyError, Handle};
use crate::endpoints::resolve::Resolver;
use crate::release::director::Known;

/// When the file is read again after an upgrade in place kept it from being put in force.
const AGAIN: Duration = Duration::from_secs(1);

/// When a file that was refused is read again: what it names may be good now, or the disk have room.
const REFUSED_AGAIN: Duration = Duration::from_secs(5);

/// What a good file holds.
#[derive(Clone, Debug, Default)]
pub struct FileContent {
    /// The services, to be put in force.
    pub services: Vec<Arc<ServiceSpec>>,
    /// Keys that differ from what is running and take a restart, such as `listeners.public.address`.
    pub needs_restart: Vec<String>,
    /// How services are released.
    pub releases: Arc<Known>,
}

/// Text to content, or everything that is wrong with it, a line each.
pub(crate) type Read = Arc<dyn Fn(&str) -> Result<FileContent, Vec<String>> + Send + Sync>;

/// What is known of the config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFacts {
    /// The file; none when there is none (the demo).
    pub path: Option<PathBuf>,
    /// When it was last read, in milliseconds since 1970.
    pub read_at_ms: i64,
    /// What was wrong with it then; empty when it is in force.
    pub problems: Vec<String>,
    /// What differs from what is running and takes a restart.
    pub needs_restart: Vec<String>,
}

impl ConfigFacts {
    /// A file that was just read and put in force.
    #[must_use]
    pub fn good(path: Option<PathBuf>) -> Self {
        let read_at_ms = jiff::Timestamp::now().as_millisecond();
        Self { path, read_at_ms, problems: Vec::new(), needs_restart: Vec::new() }
    }

    /// Whether the last read was good.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Reads a config file again and again.
pub struct ConfigWatch {
    path: PathBuf,
    /// What is in force.
    text: String,
    /// What of it takes a restart.
    needs_restart: Vec<String>,
    /// What was last refused, or could not be put in force.
    refused: Option<String>,
    read: Read,
    handle: Handle,
    resolver: Resolver,
    facts: watch::Sender<ConfigFacts>,
    known: watch::Sender<Arc<Known>>,
    settle: Settle<Option<Identity>>,
    doubt: Doubt,
    /// Somebody waits to hear of a text that is doubted.
    asked: bool,
}

impl fmt::Debug for ConfigWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigWatch").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One look at the path: its numbers before and after it was read.
struct Look {
    followed: Followed,
    text: std::io::Result<String>,
    after: Option<Identity>,
}

/// Why a text is not in force.
enum NotInForce {
    /// Everything that is wrong with it.
    Refused(Vec<String>),
    /// An upgrade in place is going on.
    Upgrading(Vec<String>),
}

impl ConfigWatch {
    /// Will watch `path`, whose `text` is in force.
    #[must_use]
    pub fn new(
        (path, text): (PathBuf, String),
        read: Read,
        resolver: Resolver,
        (facts, known): (watch::Sender<ConfigFacts>, watch::Sender<Arc<Known>>),
    ) -> Self {
        let handle = resolver.handle.clone();
        let mut settle = Settle::new(Instant::now());
        settle.set_glance_interval(Some(GLANCE_INTERVAL));
        Self {
            path,
            text,
            needs_restart: Vec::new(),
            refused: None,
            read,
            handle,
            resolver,
            facts,
            known,
            settle,
            doubt: Doubt::default(),
            asked: false,
        }
    }

    /// Reloads on changes and on `hangup` until `shutdown` ends.
    pub async fn run(&mut self, hangup: &mut Signal, shutdown: impl Future<Output = ()>) {
        // A look that a file system does not answer must not keep the process from ending.
        tokio::select! {
            () = shutdown => {}
            () = self.watch(hangup) => {}
        }
    }

    async fn watch(&mut self, hangup: &mut Signal) {
        let mut watcher = Watcher::new("the config file");
        // What changed between the read at the start and the watch was no event.
        let followed = self.follow(&mut watcher).await;
        self.settle.glanced(Instant::now(), followed.first());
        loop {
            let until = match self.settle.next(Instant::now()) {
                Step::Read => {
                    self.look(&mut watcher).await;
                    continue;
                }
                Step::Glance => {
                    let followed = self.follow(&mut watcher).await;
                    self.settle.glanced(Instant::now(), followed.first());
                    continue;
                }
                Step::Wait(until) => until,
            };
            tokio::select! {
                // In this order: a signal that was sent after a change is taken after it.
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

    async fn follow(&self, watcher: &mut Watcher) -> Followed {
        let (follower, path) = (watcher.follower(), self.path.clone());
        let followed = in_background(move || follower.follow(&[path])).await.unwrap_or_default();
        watcher.tell(&followed);
        followed
    }

    /// Reads the file, and does what is to be done about it.
    async fn look(&mut self, watcher: &mut Watcher) {
        watcher.revive();
        let (follower, path) = (watcher.follower(), self.path.clone());
        let look = in_background(move || {
            let followed = follower.follow(std::slice::from_ref(&path));
            let text = identity::read(&path);
            Look { followed, text, after: Identity::of(&path) }
        });
        let now = Instant::now();
        let Some(Look { followed, text, after }) = look.await else {
            self.settle.taken(now, None);
            return;
        };
        watcher.tell(&followed);
        if !self.settle.is_steady(now, followed.first()) {
            return;
        }
        if followed.first() != after {
            self.settle.torn(Instant::now(), after);
            return;
        }
        let closed = self.settle.is_closed();
        let asked = self.settle.taken(now, after) | std::mem::take(&mut self.asked);
        match text {
            Ok(text) => self.take(text, closed, asked).await,
            // For a moment a folder that is made anew has no file.
            Err(_) if self.is_doubted("", &Ok(FileContent::default()), true) => self.asked |= asked,
            Err(error) => {
                self.refused = None;
                self.refuse(vec![format!("{}: cannot read the config: {error}", self.path.display())], asked);
            }
        }
    }

    /// What is to be done about a text of the file: nothing, if it is what is in force.
    async fn take(&mut self, text: String, closed: bool, asked: bool) {
        if text == self.text {
            if self.doubt.is_open() {
                tracing::info!(path = %self.path.display(), "the config file is whole again, nothing changed");
            }
            self.doubt.clear();
            let was_good = self.facts.borrow().is_good();
            self.refused = None;
            if asked || !was_good {
                tracing::info!(path = %self.path.display(), "the config file is what is in force, nothing changed");
                self.tell(Ok(self.needs_restart.clone()));
            }
            return;
        }
        let read = Arc::clone(&self.read);
        // It reads the certificates that are new in it, too.
        let Some((text, content)) = in_background(move || {
            let content = read(&text);
            (text, content)
        })
        .await
        else {
            return self.settle.look_again(Instant::now() + REFUSED_AGAIN);
        };
        if self.is_doubted(&text, &content, closed) {
            // Whoever asked hears of it when it is believed.
            self.asked |= asked;
            return;
        }
        let told = self.refused.as_ref() == Some(&text) && !asked;
        match self.apply(content).await {
            Ok(needs_restart) => {
                (self.text, self.refused, self.needs_restart) = (text, None, needs_restart.clone());
                self.tell(Ok(needs_restart));
            }
            Err(NotInForce::Refused(problems)) => {
                self.settle.look_again(Instant::now() + REFUSED_AGAIN);
                self.refused = Some(text);
                self.refuse(problems, !told);
            }
            Err(NotInForce::Upgrading(problems)) => {
                self.settle.look_again(Instant::now() + AGAIN);
                self.refused = Some(text);
                self.refuse(problems, !told);
            }
        }
    }

    /// Whether a text has to be read once more before it is believed.
    fn is_doubted(&mut self, text: &str, content: &Result<FileContent, Vec<String>>, closed: bool) -> bool {
        let in_force: Vec<_> =
            self.resolver.published.load().services().map(|service| Arc::clone(&service.spec)).collect();
        let lost = content.as_ref().map(|content| lost(&in_force, &content.services)).unwrap_or_default();
        let doubtful = is_doubtful(&self.text, text, &lost, !closed);
        let wait = if closed { DOUBT_CLOSED } else { DOUBT_OPEN };
        let was_open = self.doubt.is_open();
        match self.doubt.judge(Instant::now(), (text, doubtful), wait) {
            Verdict::Believe => false,
            Verdict::LookAgain(at) => {
                self.settle.look_again(at);
                if !was_open {
                    let (path, bytes, before) = (self.path.display(), text.len(), self.text.len());
                    tracing::warn!(
                        %path, bytes, before, ?lost, ?wait,
                        "the config file has lost what is in force, or is gone; it is read again before it is believed"
                    );
                }
                true
            }
        }
    }

    /// Says what is wrong with the file; in the log only if that is new, or `anew`.
    fn refuse(&self, problems: Vec<String>, anew: bool) {
        if anew || self.facts.borrow().problems != problems {
            tracing::error!(path = %self.path.display(), ?problems, "the config file is refused, nothing changed");
        }
        self.tell(Err(problems));
    }

    fn tell(&self, outcome: Result<Vec<String>, Vec<String>>) {
        let facts = ConfigFacts::good(Some(self.path.clone()));
        self.facts.send_replace(match outcome {
            Ok(needs_restart) => ConfigFacts { needs_restart, ..facts },
            Err(problems) => ConfigFacts { problems, ..facts },
        });
    }

    async fn apply(&mut self, content: Result<FileContent, Vec<String>>) -> Result<Vec<String>, NotInForce> {
        let FileContent { services, needs_restart, releases } = content.map_err(NotInForce::Refused)?;
        self.resolver.ahead(&services).await;
        let applied = self.handle.reload(services, None).await.map_err(|error| match &error {
            ApplyError::Faults(faults) => NotInForce::Refused(faults.iter().map(ToString::to_string).collect()),
            ApplyError::Upgrading(_) => NotInForce::Upgrading(vec![chain(&error)]),
            ApplyError::Unusable(_)
            | ApplyError::Store(_)
            | ApplyError::Compile(_)
            | ApplyError::Gone(_)
            | ApplyError::Outdated { .. } => NotInForce::Refused(vec![chain(&error)]),
        })?;
        self.known.send_replace(releases);
        tracing::info!(
            revision = applied.revision,
            changed = applied.changed,
            ?needs_restart,
            "the config is in force"
        );
        Ok(needs_restart)
    }
}
