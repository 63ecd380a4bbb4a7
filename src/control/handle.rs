//! The handle of the writer: a small sender that every part of the control plane has a clone of.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::table::fault_table::FaultInForce;
use crate::table::{CompileError, Name, ResolveError};

use super::change::Change;
use super::difference::Difference;
use super::experiment_difference::ExperimentDifference;
use super::file::FileSpecs;
use super::file_origin::FileOrigin;
use super::flag_difference::FlagDifference;
use super::fleet::fleet_link::{FleetRefusal, FleetStanding};
use super::fleet::fleet_port::FleetUpdate;
use super::planned::PlanError;
use super::store::slo_rows::SloHourRow;
use super::store::{Revision, StoreError};
use super::unusable::Unusable;
use crate::problem::Problem;

/// How many calls may wait for the writer. More wait in their own tasks.
pub(crate) const CALLS_MAX: usize = 64;

/// The author of what the config file changes.
pub(crate) const FILE_AUTHOR: &str = "file";

/// Asks the writer.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) mpsc::Sender<WriterCall>);

/// A call to the writer, with where the answer goes.
#[derive(Debug)]
pub(crate) enum WriterCall {
    Apply(Box<ChangeRequest>, oneshot::Sender<Result<Applied, ApplyError>>),
    Revisions { before: Option<u64>, limit: u32, answer: oneshot::Sender<Result<Vec<Revision>, ReadError>> },
    Revision(u64, oneshot::Sender<Result<Option<Revision>, ReadError>>),
    Rollouts(u32, oneshot::Sender<Result<Vec<(u64, String)>, ReadError>>),
    Facts(oneshot::Sender<WriterFacts>),
    HandOver(oneshot::Sender<Result<(), StoreError>>),
    LookAfterStore(oneshot::Sender<()>),
    TakeStoreBack(oneshot::Sender<Result<(), ApplyError>>),
    ChaosRuns(u32, oneshot::Sender<Result<Vec<(u64, String)>, ReadError>>),
    KeepChaosRun(u64, Option<Arc<str>>, oneshot::Sender<Result<(), ApplyError>>),
    Faults(Vec<Arc<FaultInForce>>, oneshot::Sender<Result<(), ApplyError>>),
    SloHours(Vec<Name>, oneshot::Sender<Result<Vec<SloHourRow>, ReadError>>),
    KeepSloHours(Vec<SloHourRow>, oneshot::Sender<Result<(), KeepError>>),
    Resolved(Arc<str>, Result<Vec<IpAddr>, ResolveError>, oneshot::Sender<()>),
    CompileAgain(BTreeSet<Name>, oneshot::Sender<()>),
    FleetNews(Box<FleetUpdate>, oneshot::Sender<Result<FleetStanding, FleetRefusal>>),
    FleetApart(String, oneshot::Sender<()>),
    FleetSeed(bool, oneshot::Sender<Result<FleetStanding, ApplyError>>),
    FleetStanding(oneshot::Sender<FleetStanding>),
}

/// A change, with who wants it and on what terms.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// The change.
    pub change: Change,
    /// Only say what would come of it.
    pub dry_run: bool,
    /// Only if this is the revision in force.
    pub if_match: Option<u64>,
    /// What if it gives more requests to versions that are known to have no usable endpoint ([`super::unusable`]).
    pub onto_dead: OntoDead,
    /// Who.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// When the weights that it sets go back to what the config says, in milliseconds since 1970; none: they stay.
    pub until_ms: Option<i64>,
}

impl ChangeRequest {
    /// That what a config defines is put in force, for this reason or that of its author.
    #[must_use]
    pub(crate) fn of_file(specs: FileSpecs, reason: Option<String>) -> Self {
        let (author, why) = match &specs.origin {
            Some(FileOrigin { author, reason, .. }) => (author.clone(), Some(reason.clone())),
            None => (FILE_AUTHOR.to_owned(), None),
        };
        let reason = reason.or(why);
        let change = Change::File(specs);
        Self { change, dry_run: false, if_match: None, onto_dead: OntoDead::Ignore, author, reason, until_ms: None }
    }
}

/// What is to be done about a change that gives more requests to versions that are known to have no usable endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OntoDead {
    /// It is refused.
    #[default]
    Refuse,
    /// Its caller insists, which is recorded with it.
    Insist,
    /// It is not asked: what no operator's hand does, such as a way back, must not be barred.
    Ignore,
}

impl OntoDead {
    /// What the caller of a change wants, who insists or does not.
    #[must_use]
    pub fn forced(force: bool) -> Self {
        if force { Self::Insist } else { Self::Refuse }
    }
}

/// What came of a change; with a dry run, what would.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The revision in force after the call.
    pub revision: u64,
    /// Whether the call made it; a change that changes nothing makes no revision.
    pub changed: bool,
    /// The revision that was restored.
    pub restores: Option<u64>,
    /// What changed, per service.
    pub difference: Vec<Difference>,
    /// What changed, per flag.
    pub flags: Vec<FlagDifference>,
    /// What changed, per experiment.
    pub experiments: Vec<ExperimentDifference>,
}

/// Why a change was refused. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The change is wrong; all of its problems.
    #[error("{}", join(.0))]
    Problems(Vec<Problem>),
    /// Versions would get requests that are known to have no endpoint to answer them, and the caller did not insist.
    #[error("{}", join(&.0.iter().map(Unusable::problem).collect::<Vec<_>>()))]
    Unusable(Vec<Unusable>),
    /// Another revision is in force than the caller thought.
    #[error("found revision {found} in force, want {wanted}; look at the state again, then repeat the call")]
    Outdated {
        /// What the caller thought.
        wanted: u64,
        /// What is.
        found: u64,
    },
    /// It could not be made durable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not compile: a bug, because plans are checked.
    #[error("the planned table does not compile")]
    Compile(#[from] CompileError),
    /// The store is handed over to a process that takes over.
    #[error(transparent)]
    Upgrading(#[from] Upgrading),
    /// The replicas that share the traffic could not be told of it.
    #[error(transparent)]
    Fleet(#[from] FleetProblem),
    /// The writer has ended.
    #[error(transparent)]
    Gone(#[from] WriterGone),
}

/// Why a change could not be shared with the other replicas.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetProblem {
    /// etcd does not answer, or this replica must not follow what is there.
    #[error("{0}; what is in force stays in force, and changes are refused until the fleet is there again")]
    Apart(String),
    /// Other replicas change the traffic all the time.
    #[error("other replicas change the traffic faster than this call can; repeat it")]
    Outrun,
    /// Another replica has more than the one that is to be the fleet's.
    #[error(
        "found revision {found} on {replica}, and {own} on this replica, want the newest state for the fleet; call it on {replica}, or end that one first if what it has is not wanted"
    )]
    Newer {
        /// Who has it.
        replica: String,
        /// Its revision.
        found: u64,
        /// The revision here.
        own: u64,
    },
    /// What is there is another fleet's.
    #[error("found the state of another fleet ({found}), this replica is of {own}; set another fleet.prefix")]
    Stranger {
        /// The fleet that was found.
        found: String,
        /// Its own.
        own: String,
    },
    /// This replica does not lead any more, and the call is the leader's.
    #[error("this replica does not lead the fleet any more; the new leader goes on")]
    NotLeader,
    /// It may have arrived.
    #[error(
        "it is not known whether the change has arrived: {0}; look at the state, then repeat the call if it has not"
    )]
    Unknown(String),
}

impl From<PlanError<StoreError>> for ApplyError {
    fn from(error: PlanError<StoreError>) -> Self {
        match error {
            PlanError::Problems(problems) => Self::Problems(problems),
            PlanError::History(error) => Self::Store(error),
        }
    }
}

/// The store is handed over to a process that takes over: changes have to wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an upgrade in place is going on; repeat the call in a moment")]
pub struct Upgrading;

/// Who had the call has ended: the process is shutting down, or a bug stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the proxy has lost this call: a part of it has ended, and begins again; look at the state, then repeat the call"
)]
pub struct WriterGone;

/// Why the history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is handed over to a process that takes over.
    #[error(transparent)]
    Upgrading(#[from] Upgrading),
    /// The writer has ended.
    #[error(transparent)]
    Gone(#[from] WriterGone),
}

/// Why what was counted could not be written. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is handed over to a process that takes over.
    #[error(transparent)]
    Upgrading(#[from] Upgrading),
    /// The writer has ended.
    #[error(transparent)]
    Gone(#[from] WriterGone),
}

/// What only the writer knows.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterFacts {
    /// The revision in force.
    pub revision: u64,
    /// The file of the store.
    pub store: String,
    /// Why nothing can be written: the last write failed, or the store was opened read-only; none when it can.
    pub store_problem: Option<String>,
    /// What was last done to its files, and when: they were gone, and were made anew.
    pub store_note: Option<String>,
}

impl Handle {
    /// Applies a change: when this returns without an error, it is durable and in force.
    ///
    /// # Errors
    /// [`ApplyError`] when the change was refused.
    pub async fn apply(&self, request: ChangeRequest) -> Result<Applied, ApplyError> {
        self.ask(|answer| WriterCall::Apply(Box::new(request), answer)).await?
    }

    /// Applies what the config file defines.
    ///
    /// # Errors
    /// [`ApplyError`] when it could not be put in force.
    pub async fn reload(&self, specs: impl Into<FileSpecs>, reason: Option<String>) -> Result<Applied, ApplyError> {
        self.apply(ChangeRequest::of_file(specs.into(), reason)).await
    }

    /// Up to `limit` revisions below `before`, newest first.
    ///
    /// # Errors
    /// [`ReadError`] when they cannot be read.
    pub async fn revisions(&self, before: Option<u64>, limit: u32) -> Result<Vec<Revision>, ReadError> {
        self.ask(|answer| WriterCall::Revisions { before, limit, answer }).await?
    }

    /// One revision.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    pub async fn revision(&self, number: u64) -> Result<Option<Revision>, ReadError> {
        self.ask(|answer| WriterCall::Revision(number, answer)).await?
    }

    /// Up to `limit` rollouts with their states, newest first.
    ///
    /// # Errors
    /// [`ReadError`] when they cannot be read.
    pub async fn rollouts(&self, limit: u32) -> Result<Vec<(u64, String)>, ReadError> {
        self.ask(|answer| WriterCall::Rollouts(limit, answer)).await?
    }

    /// What only the writer knows.
    ///
    /// # Errors
    /// [`WriterGone`] when the writer has ended.
    pub async fn facts(&self) -> Result<WriterFacts, WriterGone> {
        self.ask(WriterCall::Facts).await
    }

    /// Closes the store, so that another process can open it. What is in force stays in force; changes are refused.
    ///
    /// # Errors
    /// [`ApplyError`] when the store is not where the other process will look for it.
    pub async fn hand_over_store(&self) -> Result<(), ApplyError> {
        Ok(self.ask(WriterCall::HandOver).await??)
    }

    /// Looks whether the files of the store are still where its path leads to, and mends it if they are not.
    ///
    /// # Errors
    /// [`WriterGone`] when the writer has ended.
    pub async fn look_after_store(&self) -> Result<(), WriterGone> {
        self.ask(WriterCall::LookAfterStore).await
    }

    /// Opens the store again, if it was handed over, and puts in force what is in it.
    ///
    /// # Errors
    /// [`ApplyError`] when it cannot be opened; it is tried again at the next change.
    pub async fn take_store_back(&self) -> Result<(), ApplyError> {
        self.ask(WriterCall::TakeStoreBack).await?
    }

    /// Puts the addresses of a host in force, or notes why there are none. No revision: the traffic stays what it is.
    ///
    /// # Errors
    /// [`WriterGone`] when the writer has ended.
    pub async fn resolved(&self, host: Arc<str>, answer: Result<Vec<IpAddr>, ResolveError>) -> Result<(), WriterGone> {
        self.ask(|told| WriterCall::Resolved(host, answer, told)).await
    }

    /// Up to `limit` chaos runs with their states, youngest first.
    ///
    /// # Errors
    /// [`ReadError`] when they cannot be read.
    pub async fn chaos_runs(&self, limit: u32) -> Result<Vec<(u64, String)>, ReadError> {
        self.ask(|answer| WriterCall::ChaosRuns(limit, answer)).await?
    }

    /// Stores the state of a chaos run; none: it is forgotten. When this returns without an error, it is durable.
    ///
    /// # Errors
    /// [`ApplyError`] when it could not be written.
    pub async fn keep_chaos_run(&self, id: u64, state: Option<Arc<str>>) -> Result<(), ApplyError> {
        self.ask(|answer| WriterCall::KeepChaosRun(id, state, answer)).await?
    }

    /// Puts these faults in force, and no others. No revision: the traffic stays what it is, and nothing is stored.
    ///
    /// # Errors
    /// [`ApplyError::Problems`] when a fault that is new is on a service that is not there or is being released; then
    /// the faults are what they were.
    pub async fn set_faults(&self, faults: Vec<Arc<FaultInForce>>) -> Result<(), ApplyError> {
        self.ask(|answer| WriterCall::Faults(faults, answer)).await?
    }

    /// What the objectives of these services have counted, by hours.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    pub(crate) async fn slo_hours(&self, services: Vec<Name>) -> Result<Vec<SloHourRow>, ReadError> {
        self.ask(|answer| WriterCall::SloHours(services, answer)).await?
    }

    /// Writes hours of what objectives have counted over what the store has of them.
    ///
    /// # Errors
    /// [`KeepError`] when they could not be written.
    pub(crate) async fn keep_slo_hours(&self, rows: Vec<SloHourRow>) -> Result<(), KeepError> {
        self.ask(|answer| WriterCall::KeepSloHours(rows, answer)).await?
    }

    pub(in crate::control) async fn ask<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<T>) -> WriterCall,
    ) -> Result<T, WriterGone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(call(answer)).await.map_err(|_closed| WriterGone)?;
        answered.await.map_err(|_closed| WriterGone)
    }
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}
