//! The handle of the task: a small sender by which the admin API asks for chaos runs, and what it shows.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::chaos_preview::ChaosPreview;
use super::chaos_shown::ChaosShown;
use super::saved_chaos::SavedChaos;
use crate::control::handle::{ApplyError, WriterGone};
use crate::problem::Problem;

/// How many calls may wait.
const CALLS_MAX: usize = 64;

/// How long a caller waits for what a new process reads from the store.
const READ_MAX: Duration = Duration::from_secs(5);

/// Asks the task. The default one has no task: nothing is enabled.
#[derive(Clone, Debug)]
pub struct ChaosHandle {
    calls: mpsc::Sender<ChaosCall>,
    shown: watch::Receiver<Arc<ChaosShown>>,
}

/// A call, with where the answer goes.
#[derive(Debug)]
pub(crate) enum ChaosCall {
    Start(Box<ChaosStart>, oneshot::Sender<Result<ChaosStarted, ChaosError>>),
    Stop(u64, ChaosBy, oneshot::Sender<Result<Arc<SavedChaos>, ChaosError>>),
    StopAll(ChaosBy, oneshot::Sender<Result<Vec<u64>, ChaosError>>),
    /// Another process takes over: what runs ends, and nothing is begun any more.
    Release(oneshot::Sender<()>),
    /// It did not.
    TakeBack(oneshot::Sender<()>),
}

/// A run that is to begin.
#[derive(Clone, Debug)]
pub(crate) struct ChaosStart {
    /// Of what.
    pub asked: ChaosAsked,
    /// What is wrong with the call so far: it is refused with that and with whatever else speaks against it.
    pub problems: Vec<Problem>,
    /// Who and why.
    pub by: ChaosBy,
    /// Only say what would come of it.
    pub dry_run: bool,
}

/// The experiment that is to run.
#[derive(Clone, Debug)]
pub(crate) enum ChaosAsked {
    /// One of the config.
    Named(String),
    /// One that came with the call, in the words of the config.
    Sent {
        /// Its name.
        name: String,
        /// The rest.
        definition: Value,
    },
    /// What the call says is wrong already.
    Unreadable,
}

/// Who starts or stops a run.
#[derive(Clone, Debug)]
pub(crate) struct ChaosBy {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
}

/// What came of a start.
#[derive(Clone, Debug)]
pub(crate) enum ChaosStarted {
    /// The run.
    Begun(Arc<SavedChaos>),
    /// What it would be.
    Dry(Box<ChaosPreview>),
}

/// Why a call was refused. Nothing was begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChaosError {
    /// It is wrong, or something speaks against it; all of it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    /// There is no such run.
    #[error("there is no chaos run {0}; list them with `pointsman chaos status`")]
    Unknown(u64),
    /// It could not be stored or put in force.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Another replica of the fleet makes chaos runs happen.
    #[error("the leader of the fleet makes chaos runs happen: {}; ask that one", .0.as_deref().unwrap_or("it is being elected"))]
    Elsewhere(Option<String>),
    /// The process is ending.
    #[error(transparent)]
    Gone(#[from] WriterGone),
}

/// The other ends of a handle.
#[derive(Debug)]
pub(crate) struct ChaosEnds {
    pub(crate) inbox: mpsc::Receiver<ChaosCall>,
    pub(crate) shown: watch::Sender<Arc<ChaosShown>>,
}

impl Default for ChaosHandle {
    fn default() -> Self {
        let (handle, ends) = Self::channel();
        // There is nothing to be read.
        ends.shown.send_replace(Arc::new(ChaosShown { is_read: true, ..ChaosShown::default() }));
        handle
    }
}

impl ChaosHandle {
    /// A handle, and its other ends.
    pub(crate) fn channel() -> (Self, ChaosEnds) {
        let ((calls, inbox), (shown, seen)) = (mpsc::channel(CALLS_MAX), watch::channel(Arc::default()));
        (Self { calls, shown: seen }, ChaosEnds { inbox, shown })
    }

    /// What is shown at this moment.
    pub(crate) fn shown(&self) -> Arc<ChaosShown> {
        Arc::clone(&self.shown.borrow())
    }

    /// The same with the runs of before: just after the start of the process it waits until they are read.
    pub(crate) async fn shown_with_those_of_before(&self) -> Arc<ChaosShown> {
        let mut shown = self.shown.clone();
        let read = shown.wait_for(|shown| shown.is_read);
        // Without an answer, what is known is shown.
        drop(timeout(READ_MAX, read).await);
        self.shown()
    }

    /// Starts a run: when this returns without an error, its record is durable, and its baseline or fault is in force.
    ///
    /// # Errors
    /// [`ChaosError`] when it was refused.
    pub(crate) async fn start(&self, request: ChaosStart) -> Result<ChaosStarted, ChaosError> {
        let problems = request.problems.clone();
        match self.ask(|answer| ChaosCall::Start(Box::new(request), answer)).await {
            // A call that is wrong by itself is to be mended, not repeated.
            Err(WriterGone) if !problems.is_empty() => Err(ChaosError::Problems(problems)),
            begun => begun?,
        }
    }

    /// Ends a run: when this returns, its fault is gone. One that has ended stays as it is; if what undoes its command
    /// has failed, it is tried again.
    ///
    /// # Errors
    /// [`ChaosError::Unknown`] when there is no such run.
    pub(crate) async fn stop(&self, id: u64, by: ChaosBy) -> Result<Arc<SavedChaos>, ChaosError> {
        self.ask(|answer| ChaosCall::Stop(id, by, answer)).await?
    }

    /// Ends all runs, and says which they were.
    ///
    /// # Errors
    /// [`ChaosError`] when they are not on this replica, or the process is ending.
    pub(crate) async fn stop_all(&self, by: ChaosBy) -> Result<Vec<u64>, ChaosError> {
        self.ask(|answer| ChaosCall::StopAll(by, answer)).await?
    }

    /// Ends all runs because another process takes over. What is to be undone is left to that.
    ///
    /// # Errors
    /// [`WriterGone`] when the process is ending.
    pub(crate) async fn release(&self) -> Result<(), WriterGone> {
        self.ask(ChaosCall::Release).await
    }

    /// Goes on, because it did not take over.
    ///
    /// # Errors
    /// [`WriterGone`] when the process is ending.
    pub(crate) async fn take_back(&self) -> Result<(), WriterGone> {
        self.ask(ChaosCall::TakeBack).await
    }

    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> ChaosCall) -> Result<T, WriterGone> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(call(answer)).await.map_err(|_closed| WriterGone)?;
        answered.await.map_err(|_closed| WriterGone)
    }
}
