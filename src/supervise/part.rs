//! One thread or task that must live.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Fatal;
use super::pulse::Pulse;
use super::restarts::{PAUSE_MAX, Restarts};

/// What is expected of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A thread that turns at least once a second, and that requests need.
    Thread,
    /// Something that wakes up every few seconds, or works on one call at a time: a minute in one step is no slow disk.
    Steady,
    /// The same, but it looks at files, which may be on a server that does not answer: that is told, and no reason to
    /// send no requests.
    Files,
    /// It waits for events from outside, and it is not known when the next one comes.
    Waiting,
    /// A log: users do not need it. Its reader may be slow.
    Log,
}

impl Kind {
    /// After how many looks without progress it is stalled; never, if it may wait for ever.
    #[must_use]
    pub fn looks_max(self) -> Option<u32> {
        match self {
            Self::Thread | Self::Log => Some(10),
            Self::Steady | Self::Files => Some(60),
            Self::Waiting => None,
        }
    }
}

/// What a test may do to a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// It ends in a panic.
    Panic,
    /// Its thread makes no progress for [`STALL`].
    Stall,
}

/// Long enough for the watchdog to see it.
const STALL: Duration = Duration::from_secs(14);

/// How a part is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartState {
    /// As it should be.
    Running,
    /// It has ended, and is begun again soon, or given up.
    Down(String),
    /// It makes no progress.
    Stalled,
}

impl PartState {
    /// The word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Down(_) => "down",
            Self::Stalled => "stalled",
        }
    }

    /// What there is to say, after the name of the part.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Running => "runs".to_owned(),
            Self::Down(why) => format!("is down: {why}"),
            Self::Stalled => "makes no progress".to_owned(),
        }
    }
}

/// A part, for who wants to look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartFacts {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: PartState,
    /// How often it has ended since the start of the process.
    pub ends: u64,
}

/// A thread or a task that must live; clones are the same part.
#[derive(Clone, Debug)]
pub struct Part(Arc<PartShared>);

#[derive(Debug)]
struct PartShared {
    name: String,
    kind: Kind,
    beats: AtomicU64,
    idle: AtomicBool,
    condition: Mutex<PartCondition>,
    fatal: watch::Sender<Option<Fatal>>,
    began: Instant,
    /// What it has to suffer for a test, and the way to tell a task that waits.
    fault: AtomicU8,
    suffer: Notify,
}

#[derive(Debug, Default)]
struct PartCondition {
    down: Option<String>,
    pulse: Pulse,
    restarts: Restarts,
}

impl Part {
    pub(crate) fn new(name: String, kind: Kind, fatal: watch::Sender<Option<Fatal>>) -> Self {
        Self(Arc::new(PartShared {
            name,
            kind,
            beats: AtomicU64::new(0),
            idle: AtomicBool::new(false),
            condition: Mutex::default(),
            fatal,
            began: Instant::now(),
            fault: AtomicU8::new(Fault::None as u8),
            suffer: Notify::new(),
        }))
    }

    /// A part without a supervisor: for tests.
    #[must_use]
    pub fn alone(name: &str) -> Self {
        Self::new(name.to_owned(), Kind::Waiting, watch::Sender::default())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What is expected of it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// It makes progress.
    pub fn beat(&self) {
        self.turned();
        if cfg!(debug_assertions) {
            self.suffer();
        }
    }

    fn turned(&self) {
        self.0.beats.fetch_add(1, Relaxed);
        self.0.idle.store(false, Relaxed);
    }

    /// It waits for something to do, as long as that takes; the next [beat](Self::beat) ends that.
    pub fn idle(&self) {
        self.0.idle.store(true, Relaxed);
    }

    /// It has ended and should not have. Returns after which pause it has to be begun again; none when it is given up,
    /// which ends the process.
    #[must_use]
    pub fn ended(&self, why: &str) -> Option<Duration> {
        let pause = {
            let mut condition = self.condition();
            condition.down = Some(why.to_owned());
            // A log is never given up: it must not end what it tells of.
            let last = (self.kind() == Kind::Log).then_some(PAUSE_MAX);
            condition.restarts.ended(self.0.began.elapsed()).or(last)
        };
        let part = self.name();
        match pause {
            Some(pause) => tracing::error!(part, why, ?pause, "a part of the proxy has ended, and is begun again"),
            None => self.given_up(why),
        }
        pause
    }

    /// It has ended and cannot be begun again, which ends the process.
    pub fn given_up(&self, why: &str) {
        self.condition().down = Some(why.to_owned());
        tracing::error!(part = self.name(), why, "a part of the proxy has ended and is given up: the process ends");
        let fatal = Fatal { part: self.0.name.clone(), why: why.to_owned() };
        self.0.fatal.send_if_modified(|known| known.is_none().then(|| *known = Some(fatal)).is_some());
    }

    /// It runs again.
    pub fn runs_again(&self) {
        let mut condition = self.condition();
        (condition.down, condition.pulse) = (None, Pulse::default());
        drop(condition);
        // The caller that says so is no part itself, and suffers nothing.
        self.turned();
        tracing::info!(part = self.name(), "the part runs again");
    }

    /// How it is.
    #[must_use]
    pub fn view(&self) -> PartFacts {
        let condition = self.condition();
        let state = match &condition.down {
            Some(why) => PartState::Down(why.clone()),
            None if condition.pulse.is_stalled() => PartState::Stalled,
            None => PartState::Running,
        };
        PartFacts { name: self.0.name.clone(), state, ends: condition.restarts.total() }
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.condition().pulse.is_stalled()
    }

    /// Whether what is wrong with it is a reason to send no requests here.
    pub(crate) fn makes_unready(&self) -> bool {
        match self.view().state {
            PartState::Running => false,
            PartState::Down(_) => self.kind() != Kind::Log,
            PartState::Stalled => !matches!(self.kind(), Kind::Log | Kind::Files),
        }
    }

    /// One look of the watchdog.
    pub(crate) fn look(&self) {
        let PartShared { kind, beats, idle, .. } = &*self.0;
        let Some(looks_max) = kind.looks_max() else { return };
        let mut condition = self.condition();
        if condition.down.is_some() {
            return;
        }
        let before = condition.pulse.is_stalled();
        condition.pulse.look(beats.load(Relaxed), idle.load(Relaxed), looks_max);
        let after = condition.pulse.is_stalled();
        drop(condition);
        let part = self.name();
        match (before, after) {
            (false, true) => tracing::error!(part, looks = looks_max, "a part of the proxy makes no progress"),
            (true, false) => tracing::info!(part, "the part goes on"),
            (true, true) | (false, false) => {}
        }
    }

    /// Lets it fail when it turns next, for a test. Only debug builds listen to it.
    #[cfg(debug_assertions)]
    pub(crate) fn inject(&self, fault: Fault) {
        self.0.fault.store(fault as u8, Relaxed);
        self.0.suffer.notify_one();
    }

    fn suffer(&self) {
        match self.0.fault.swap(Fault::None as u8, Relaxed) {
            fault if fault == Fault::Panic as u8 => std::panic::resume_unwind(Box::new("killed by a test")),
            fault if fault == Fault::Stall as u8 => std::thread::sleep(STALL),
            _none => {}
        }
    }

    /// Suffers what a test wants.
    pub(crate) async fn until_killed(&self) {
        loop {
            self.0.suffer.notified().await;
            self.beat();
        }
    }

    fn condition(&self) -> MutexGuard<'_, PartCondition> {
        self.0.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Supervisor;
    use super::super::restarts::ENDS_MAX;
    use super::*;

    #[tokio::test]
    async fn what_ends_too_often_is_given_up_but_not_a_log() {
        let supervisor = Supervisor::default();
        let (log, health) = (supervisor.part("log", Kind::Log), supervisor.part("health", Kind::Steady));
        assert!((0..3 * ENDS_MAX).all(|_| log.ended("a reason").is_some()));
        assert_eq!(supervisor.problem(), None, "users do not need it");
        assert!((1..ENDS_MAX).all(|_| health.ended("a reason").is_some()));
        assert_eq!(supervisor.problem().as_deref(), Some("health is down: a reason"));
        health.runs_again();
        assert_eq!(supervisor.problem(), None);
        assert_eq!(health.ended("the last one"), None);
        let fatal = supervisor.until_fatal().await;
        assert_eq!((fatal.part.as_str(), fatal.why.as_str()), ("health", "the last one"));
    }
}
