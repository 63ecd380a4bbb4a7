//! The config file, read again when it changes or on SIGHUP.
//!
//! The *folder* is watched, not the file: editors write a new file and rename it over the old one, Kubernetes swaps a
//! symlink to a folder, and a watch on the file would look at the old inode for ever. Whatever happens in the folder,
//! the text is read and compared, so that a stray event costs one read. A bad file changes nothing and is remembered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use crate::table::ServiceSpec;

use super::fault::chain;
use super::handle::{ApplyError, Handle};
use super::resolve::Resolver;
use super::rollouts::director::Known;

/// How long events may gather before the file is read: an editor writes, renames and touches within milliseconds.
const SETTLE: Duration = Duration::from_millis(200);

/// When the file is read again after an upgrade in place kept it from being put in force.
const AGAIN: Duration = Duration::from_secs(1);

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
pub type Read = Box<dyn Fn(&str) -> Result<FileContent, Vec<String>> + Send + Sync>;

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

/// The folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot watch the folder of the config file; is it readable, and is fs.inotify.max_user_watches used up?", path = path.display())]
pub struct WatchError {
    path: PathBuf,
    source: notify::Error,
}

/// Reads a config file again and again.
pub struct ConfigWatch {
    path: PathBuf,
    /// What was last read from it; none when it could not be read or put in force, so that any text is news.
    text: Option<String>,
    read: Read,
    handle: Handle,
    resolver: Resolver,
    facts: watch::Sender<ConfigFacts>,
    changes: mpsc::Receiver<()>,
    /// Whether the last read has to be repeated: it came while the store was lent.
    known: watch::Sender<Arc<Known>>,
    again: bool,
    _watcher: RecommendedWatcher,
}

impl fmt::Debug for ConfigWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigWatch").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ConfigWatch {
    /// Begins to watch `path`, whose `text` is in force.
    ///
    /// # Errors
    /// [`WatchError`] when its folder cannot be watched.
    pub fn new(
        (path, text): (PathBuf, String),
        read: Read,
        resolver: Resolver,
        (facts, known): (watch::Sender<ConfigFacts>, watch::Sender<Arc<Known>>),
    ) -> Result<Self, WatchError> {
        // One is enough: it says that something happened since the last read.
        let (changed, changes) = mpsc::channel(1);
        let failed = |source| WatchError { path: path.clone(), source };
        let on_event = move |event: notify::Result<notify::Event>| {
            let looked = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !looked {
                // Full means that a read is due anyway.
                changed.try_send(()).ok();
            }
        };
        let mut watcher = notify::recommended_watcher(on_event).map_err(failed)?;
        for folder in folders(&path) {
            watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(failed)?;
        }
        let handle = resolver.handle.clone();
        Ok(Self {
            path,
            text: Some(text),
            read,
            handle,
            resolver,
            facts,
            known,
            changes,
            again: false,
            _watcher: watcher,
        })
    }

    /// Reloads on changes and on `hangup` until `shutdown` ends.
    pub async fn run(mut self, mut hangup: Signal, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        // What changed between the read at the start and the watch was no event.
        self.reload(false).await;
        loop {
            let forced = tokio::select! {
                () = &mut shutdown => return,
                _ = hangup.recv() => true,
                () = tokio::time::sleep(AGAIN), if self.again => false,
                _ = self.changes.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    while self.changes.try_recv().is_ok() {}
                    false
                }
            };
            self.reload(forced).await;
        }
    }

    /// Reads the file and puts it in force if its text is another one, or if `forced`.
    async fn reload(&mut self, forced: bool) {
        let outcome = match std::fs::read_to_string(&self.path) {
            Ok(text) if !forced && self.text.as_ref() == Some(&text) => return,
            Ok(text) => {
                self.again = false;
                let outcome = self.apply((self.read)(&text)).await;
                // What could not be written for want of room, or names a file that is not good yet, is tried again at
                // the next event.
                self.text = outcome.is_ok().then_some(text);
                outcome
            }
            Err(error) => {
                self.text = None;
                Err(vec![format!("{}: cannot read the config: {error}", self.path.display())])
            }
        };
        let facts = ConfigFacts::good(Some(self.path.clone()));
        self.facts.send_replace(match outcome {
            Ok(needs_restart) => ConfigFacts { needs_restart, ..facts },
            Err(problems) => {
                // Told once: the log may be in the same folder, and every line of it is an event here.
                let told = !forced && self.facts.borrow().problems == problems;
                if !told {
                    tracing::error!(path = %self.path.display(), ?problems, "the config file is refused, nothing changed");
                }
                ConfigFacts { problems, ..facts }
            }
        });
    }

    async fn apply(&mut self, content: Result<FileContent, Vec<String>>) -> Result<Vec<String>, Vec<String>> {
        let FileContent { services, needs_restart, releases } = content?;
        self.resolver.ahead(&services).await;
        let applied = self.handle.reload(services, None).await;
        self.again = matches!(applied, Err(ApplyError::Upgrading(_)));
        let applied = applied.map_err(|error| match &error {
            ApplyError::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
            ApplyError::Store(_)
            | ApplyError::Compile(_)
            | ApplyError::Upgrading(_)
            | ApplyError::Gone(_)
            | ApplyError::Outdated { .. } => vec![chain(&error)],
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

/// The folder of the file and, if it is a symlink, that of the file it leads to.
fn folders(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut folders = vec![parent(path)];
    let target = path.canonicalize().map(|target| parent(&target));
    folders.extend(target.ok().filter(|target| folders[0].canonicalize().is_ok_and(|folder| folder != *target)));
    folders
}
