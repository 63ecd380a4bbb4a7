//! Supervision: every thread and task without which the proxy is less than it says, under one mechanism.
//!
//! A [`Part`] is one of them. It is told by the part itself, or by what runs it, that it turns ([`Part::beat`]), that
//! it waits for something to do ([`Part::idle`]), and that it has ended ([`Part::ended`]). What has ended is begun
//! again after a pause, on what outlives it: a worker on its sockets, the writer on its store, a task of the control
//! plane on its inbox. What ends too often ([`restarts`]) ends the process with an error, so that the service manager
//! begins with a clean one. [`supervised_tasks`] keeps the tasks of the control plane; threads keep themselves.
//!
//! [`watchdog`] looks once a second (`pulse` is what the looks have found), on the thread that waits for the end of the
//! process. A part without progress is *stalled*: it is told and shown, and `/readyz` is 503 if users need it, until it
//! goes on. It is never ended for that: a thread that waits for a slow disk cannot be ended, and one that was too slow
//! for a watchdog must not cost the others their connections. Looks are counted and not seconds, so that a machine that
//! was suspended, or a process that was stopped, is not taken for a stall: the supervisor does not look in that time
//! either.
//!
//! What must stay true: a beat is one relaxed store or add, and none is made for a request. Nothing here waits while it
//! holds its lock.

#[cfg(debug_assertions)]
mod inject;
pub(crate) mod part;
mod pulse;
pub(crate) mod restarts;
pub(crate) mod supervised_tasks;
pub(crate) mod watchdog;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

pub(crate) use part::{Kind, Part, PartFacts, PartState};

/// All parts of a process; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    parts: Mutex<Vec<Part>>,
    fatal: watch::Sender<Option<Fatal>>,
}

/// A part that does not come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the part {part} of the proxy does not come back: {why}")]
pub struct Fatal {
    /// Its name.
    pub part: String,
    /// How it ended the last time.
    pub why: String,
}

impl Supervisor {
    /// A part that runs from now on.
    #[must_use]
    pub fn part(&self, name: impl Into<String>, kind: Kind) -> Part {
        let part = Part::new(name.into(), kind, self.0.fatal.clone());
        self.parts().push(part.clone());
        part
    }

    /// What is wrong with a part that requests or changes need, if something is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let parts = self.parts().clone();
        let wrong = parts.iter().filter(|part| part.makes_unready()).map(Part::view).next()?;
        Some(format!("{} {}", wrong.name, wrong.state.sentence()))
    }

    /// How all parts are.
    #[must_use]
    pub fn views(&self) -> Vec<PartFacts> {
        let parts = self.parts().clone();
        parts.iter().map(Part::view).collect()
    }

    /// Whether the threads that requests need all turn: what a watchdog outside may be told.
    #[must_use]
    pub fn turns(&self) -> bool {
        !self.parts().iter().any(|part| part.kind() == Kind::Thread && part.is_stalled())
    }

    /// Ends when a part does not come back.
    pub async fn until_fatal(&self) -> Fatal {
        let mut fatal = self.0.fatal.subscribe();
        loop {
            if let Some(fatal) = fatal.borrow_and_update().clone() {
                return fatal;
            }
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Vec<Part>> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panic said.
#[must_use]
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
}
