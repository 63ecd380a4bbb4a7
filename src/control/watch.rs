//! The config file, read again when it changes or on SIGHUP.
//!
//! When it is read is decided by the loop of [`reload`](crate::files::reload), and whether what was read is all of it
//! by [`doubt`](crate::files::doubt); here is what comes of it. A bad file changes nothing and is remembered; a file
//! that is what is in force changes nothing either.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::table::ServiceSpec;

use super::file::FileSpecs;
use super::handle::{ApplyError, Handle};
use super::publish::Published;
use crate::config::{FilesBeside, ReleaseSettings};
use crate::files::doubt::{
    DOUBT_CLOSED, DOUBT_OPEN, Doubt, DoubtVerdict, is_doubtful, lost, lost_experiments, lost_flags,
};
use crate::files::identity;
use crate::files::reload::{Look, Source, Taken};
use crate::files::settle::GLANCE_INTERVAL;
use crate::files::watcher::in_background;
use crate::problem::chain;
use crate::problem::few;

/// When the file is read again after an upgrade in place kept it from being put in force.
const AGAIN: Duration = Duration::from_secs(1);

/// When a file that was refused is read again: what it names may be good now, or the disk have room.
const REFUSED_AGAIN: Duration = Duration::from_secs(5);

/// What a good file holds.
#[derive(Clone, Debug, Default)]
pub struct FileContent {
    /// What it defines, to be put in force.
    pub specs: FileSpecs,
    /// Keys that differ from what is running and take a restart, such as `listeners.public.address`.
    pub needs_restart: Vec<String>,
    /// How services are released.
    pub releases: Arc<ReleaseSettings>,
}

/// What was read: the config file, and the files that belong to it. They are one config, in force or refused together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigText {
    /// The config file.
    pub text: String,
    /// The others.
    pub beside: FilesBeside,
}

/// Text to content, or everything that is wrong with it, a line each.
pub(crate) type ReadConfig = Arc<dyn Fn(&ConfigText) -> Result<FileContent, Vec<String>> + Send + Sync>;

/// Reads the files that belong to a config of this text.
pub(crate) type ReadBeside = Arc<dyn Fn(&str) -> FilesBeside + Send + Sync>;

/// Does what has to be done before services are put in force, such as resolving their names.
pub(crate) type Prepare = Arc<dyn Fn(Vec<Arc<ServiceSpec>>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a config file is read and put in force with.
pub struct ConfigSourceDeps {
    /// Reads the text.
    pub read: ReadConfig,
    /// Reads the files beside it.
    pub read_beside: ReadBeside,
    /// What comes before the services are put in force.
    pub prepare: Prepare,
    /// The writer.
    pub handle: Handle,
    /// The table in force.
    pub published: Published,
    /// Where it is told what is known of the file.
    pub facts: watch::Sender<ConfigFacts>,
    /// Where it is told how services are released.
    pub releases: watch::Sender<Arc<ReleaseSettings>>,
}

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

/// The config file, and what is known of it.
pub struct ConfigSource {
    path: PathBuf,
    /// What is in force.
    text: ConfigText,
    /// The files that belong to it, by what was last read.
    beside: Vec<PathBuf>,
    /// What of it takes a restart.
    needs_restart: Vec<String>,
    /// What was last refused, or could not be put in force.
    refused: Option<ConfigText>,
    deps: ConfigSourceDeps,
    doubt: Doubt,
    /// An operator waits to hear of a text that is doubted.
    asked: bool,
}

impl fmt::Debug for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigSource").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a text is not in force.
enum NotInForce {
    /// Everything that is wrong with it.
    Refused(Vec<String>),
    /// An upgrade in place is going on.
    Upgrading(Vec<String>),
}

impl Source for ConfigSource {
    type Found = io::Result<ConfigText>;

    const NAME: &'static str = "the config file";

    fn files(&self) -> Vec<PathBuf> {
        [&self.path].into_iter().chain(&self.beside).cloned().collect()
    }

    fn glance_interval(&self, _blind: bool) -> Duration {
        GLANCE_INTERVAL
    }

    fn reader(&self) -> impl FnOnce() -> io::Result<ConfigText> + Send + 'static {
        let (path, read_beside) = (self.path.clone(), Arc::clone(&self.deps.read_beside));
        move || {
            let text = identity::read(&path)?;
            let beside = read_beside(&text);
            Ok(ConfigText { text, beside })
        }
    }

    async fn take(&mut self, text: io::Result<ConfigText>, look: Look) -> Taken {
        if look.torn {
            return Taken { believed: false, again_at: None };
        }
        let asked = look.asked | std::mem::take(&mut self.asked);
        match text {
            Ok(text) => {
                self.beside = text.beside.paths().cloned().collect();
                self.take_text(text, look.closed, asked).await
            }
            Err(error) => {
                // For a moment a folder that is made anew has no file.
                if let Some(at) = self.doubted_until("", &[], true) {
                    self.asked |= asked;
                    return Taken::doubted_until(at);
                }
                self.refused = None;
                self.refuse(vec![format!("{}: cannot read the config: {error}", self.path.display())], asked);
                Taken::BELIEVED
            }
        }
    }
}

impl ConfigSource {
    /// The file at `path`, whose `text` is in force.
    #[must_use]
    pub fn new(path: PathBuf, text: ConfigText, deps: ConfigSourceDeps) -> Self {
        let beside = text.beside.paths().cloned().collect();
        Self {
            path,
            text,
            beside,
            needs_restart: Vec::new(),
            refused: None,
            deps,
            doubt: Doubt::default(),
            asked: false,
        }
    }

    /// What is to be done about a text of the file: nothing, if it is what is in force.
    async fn take_text(&mut self, text: ConfigText, closed: bool, asked: bool) -> Taken {
        if text == self.text {
            if self.doubt.is_open() {
                tracing::info!(path = %self.path.display(), "the config file is whole again, nothing changed");
            }
            self.doubt.clear();
            let was_good = self.deps.facts.borrow().is_good();
            self.refused = None;
            if asked || !was_good {
                tracing::info!(path = %self.path.display(), "the config file is what is in force, nothing changed");
                self.tell(Ok(self.needs_restart.clone()));
            }
            return Taken::BELIEVED;
        }
        let read = Arc::clone(&self.deps.read);
        // It reads the certificates that are new in it, too.
        let Some((text, content)) = in_background(move || {
            let content = read(&text);
            (text, content)
        })
        .await
        else {
            self.asked |= asked;
            return Taken::doubted_until(Instant::now() + REFUSED_AGAIN);
        };
        let lost = content.as_ref().map(|content| self.lost(content)).unwrap_or_default();
        if let Some(at) = self.doubted_until(&text.text, &lost, closed) {
            // The operator who asked hears of it when it is believed.
            self.asked |= asked;
            return Taken::doubted_until(at);
        }
        let told = self.refused.as_ref() == Some(&text) && !asked;
        match self.apply(content).await {
            Ok(needs_restart) => {
                (self.text, self.refused, self.needs_restart) = (text, None, needs_restart.clone());
                self.tell(Ok(needs_restart));
                Taken::BELIEVED
            }
            Err(NotInForce::Refused(problems)) => {
                self.refused = Some(text);
                self.refuse(problems, !told);
                Taken::believed_until(Instant::now() + REFUSED_AGAIN)
            }
            Err(NotInForce::Upgrading(problems)) => {
                self.refused = Some(text);
                self.refuse(problems, !told);
                Taken::believed_until(Instant::now() + AGAIN)
            }
        }
    }

    /// What is in force and not in `content`.
    fn lost(&self, content: &FileContent) -> Vec<String> {
        let table = self.deps.published.load();
        let in_force: Vec<_> = table.services().map(|service| Arc::clone(&service.spec)).collect();
        let flags = table.flags().flags.iter().map(|flag| &*flag.spec);
        let mut lost = lost(&in_force, &content.specs.services);
        lost.extend(lost_flags(flags, &content.specs.flags));
        let running = table.experiments().running().iter().map(|experiment| &experiment.spec.name);
        lost.extend(lost_experiments(running, content.specs.experiments.iter().map(|spec| spec.name())));
        lost
    }

    /// When a text has to be read once more before it is believed; none, when it is believed.
    fn doubted_until(&mut self, text: &str, lost: &[String], closed: bool) -> Option<Instant> {
        let doubtful = is_doubtful(&self.text.text, text, lost, !closed);
        let wait = if closed { DOUBT_CLOSED } else { DOUBT_OPEN };
        let was_open = self.doubt.is_open();
        let DoubtVerdict::LookAgain(at) = self.doubt.judge(Instant::now(), text, doubtful, wait) else { return None };
        if !was_open {
            let (path, bytes, before) = (self.path.display(), text.len(), self.text.text.len());
            let what =
                if lost.is_empty() { "is the beginning of what is in force" } else { "has lost what is in force" };
            let lost = (!lost.is_empty()).then(|| tracing::field::debug(few(lost.iter().map(String::as_str))));
            tracing::warn!(
                %path, bytes, before, lost, ?wait,
                "the config file {what}, or is gone; it is read again before it is believed"
            );
        }
        Some(at)
    }

    /// Says what is wrong with the file; in the log only if that is new, or `anew`.
    fn refuse(&self, problems: Vec<String>, anew: bool) {
        if anew || self.deps.facts.borrow().problems != problems {
            tracing::error!(path = %self.path.display(), ?problems, "the config file is refused, nothing changed");
        }
        self.tell(Err(problems));
    }

    fn tell(&self, outcome: Result<Vec<String>, Vec<String>>) {
        let facts = ConfigFacts::good(Some(self.path.clone()));
        self.deps.facts.send_replace(match outcome {
            Ok(needs_restart) => ConfigFacts { needs_restart, ..facts },
            Err(problems) => ConfigFacts { problems, ..facts },
        });
    }

    async fn apply(&mut self, content: Result<FileContent, Vec<String>>) -> Result<Vec<String>, NotInForce> {
        let FileContent { specs, needs_restart, releases } = content.map_err(NotInForce::Refused)?;
        (self.deps.prepare)(specs.services.clone()).await;
        let applied = self.deps.handle.reload(specs, None).await.map_err(|error| match &error {
            ApplyError::Problems(problems) => NotInForce::Refused(problems.iter().map(ToString::to_string).collect()),
            ApplyError::Upgrading(_) | ApplyError::Fleet(_) => NotInForce::Upgrading(vec![chain(&error)]),
            ApplyError::Unusable(_)
            | ApplyError::Store(_)
            | ApplyError::Compile(_)
            | ApplyError::Gone(_)
            | ApplyError::Outdated { .. } => NotInForce::Refused(vec![chain(&error)]),
        })?;
        self.deps.releases.send_replace(releases);
        tracing::info!(
            revision = applied.revision,
            changed = applied.changed,
            ?needs_restart,
            "the config is in force"
        );
        Ok(needs_restart)
    }
}
