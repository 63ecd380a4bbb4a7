//! The handle of the controller: a small sender by which the admin API asks for rollouts.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};

use super::evidence_over_time::EvidenceOverTime;
use super::forecast_view::ForecastView;
use super::replica_evidence::{EvidenceAnswer, EvidenceQuestion};
use super::view::RolloutView;
use crate::config::ReleaseOverrides;
use crate::control::handle::{ApplyError, OntoDead, WriterGone};
use crate::control::unusable::Unusable;
use crate::problem::Problem;
use crate::rollout::command::{RolloutCommand, Unfit};
use crate::rollout::judge::Assignment;
use crate::rollout::plan::Plan;
use crate::simulation::simulation_options::PresentTraffic;

/// How many calls may wait.
const CALLS_MAX: usize = 64;

/// Asks the controller.
#[derive(Clone, Debug)]
pub struct RolloutHandle(mpsc::Sender<RolloutCall>);

/// A call, with where the answer goes.
#[derive(Debug)]
pub(crate) enum RolloutCall {
    Start(Box<StartRequest>, oneshot::Sender<Result<Started, RolloutError>>),
    Order(u64, Order, OrderedBy, oneshot::Sender<Result<RolloutView, RolloutError>>),
    /// Those under way, and at most this number of those that are over.
    List(usize, oneshot::Sender<Vec<RolloutView>>),
    One(u64, oneshot::Sender<Option<RolloutView>>),
    OverTime(u64, oneshot::Sender<Option<EvidenceOverTime>>),
    /// What this replica has counted; with what its leader asks, or for one who looks.
    Evidence(Option<EvidenceQuestion>, oneshot::Sender<EvidenceAnswer>),
    /// What is not stored yet is stored.
    Keep(oneshot::Sender<()>),
    Preview(Box<PreviewRequest>, oneshot::Sender<Result<ReleasePreview, RolloutError>>),
}

/// A rollout that is not to begin: what would it be?
#[derive(Clone, Debug)]
pub(crate) struct PreviewRequest {
    /// A service, a group or a flag.
    pub target: RolloutTarget,
    /// The version, or the variant; none: another one than that with the most users.
    pub to: Option<String>,
    /// Keys of the plan that are other than in the config.
    pub plan: ReleaseOverrides,
    /// How requests are assigned.
    pub assignment: Assignment,
    /// What is wrong with the call so far.
    pub problems: Vec<Problem>,
}

/// What a rollout would be.
#[derive(Clone, Debug)]
pub(crate) struct ReleasePreview {
    /// The plan.
    pub plan: Plan,
    /// The traffic of this moment.
    pub present: PresentTraffic,
    /// Metrics and guardrails of the plan's own.
    pub metrics: usize,
    /// Whether users stay on their version.
    pub sticky: bool,
}

/// What an operator says to a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To its state machine.
    Command(RolloutCommand),
    /// What the hook waits for is done.
    Acknowledge,
}

/// Who says it.
#[derive(Clone, Debug)]
pub struct OrderedBy {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// What if the version is known to have no usable endpoint.
    pub onto_dead: OntoDead,
}

/// A rollout that is to begin.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// A service, a group or a flag.
    pub target: RolloutTarget,
    /// The version, or the variant; none: the only other one.
    pub to: Option<String>,
    /// The variants of the flags of a group, by flag; none: the only other one.
    pub variants: BTreeMap<String, String>,
    /// Keys of the plan that are other than in the config.
    pub plan: ReleaseOverrides,
    /// What is wrong with the call so far: it is refused with that and with whatever else speaks against it.
    pub problems: Vec<Problem>,
    /// Who and why.
    pub by: OrderedBy,
    /// Only say what would come of it.
    pub dry_run: bool,
}

/// What is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutTarget {
    /// A service.
    Service(String),
    /// Services and flags together.
    Group(String),
    /// A flag, in the services that list it.
    Flag(String),
}

/// What came of a start.
#[derive(Clone, Debug)]
pub struct Started {
    /// The rollout.
    pub rollout: RolloutView,
    /// How long it will take.
    pub forecast: ForecastView,
    /// What its operator will want to know.
    pub warnings: Vec<String>,
}

/// Why a call was refused. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// It is wrong; all of its problems.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    /// The version that is to have everything is known to have no endpoint to answer.
    #[error("{}", .0.iter().map(|version| version.problem().to_string()).collect::<Vec<_>>().join("; "))]
    Unusable(Vec<Unusable>),
    /// There is no such rollout.
    #[error("there is no rollout {0}; list them with `pointsman rollout status`")]
    Unknown(u64),
    /// It does not fit the state of the rollout.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Nothing waits for an acknowledgement.
    #[error("nothing waits for an acknowledgement; look at the rollout's task")]
    NothingToAcknowledge,
    /// It could not be stored or put in force.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Another replica of the fleet makes rollouts happen.
    #[error("the leader of the fleet makes rollouts happen: {}; ask that one", .0.as_deref().unwrap_or("it is being elected"))]
    Elsewhere(Option<String>),
    /// The process is ending.
    #[error(transparent)]
    Gone(#[from] WriterGone),
}

impl RolloutHandle {
    /// A sender, and where its calls arrive.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<RolloutCall>) {
        let (calls, inbox) = mpsc::channel(CALLS_MAX);
        (Self(calls), inbox)
    }

    /// Starts a rollout: when this returns without an error, its first step is durable and in force.
    ///
    /// # Errors
    /// [`RolloutError`] when it was refused.
    pub async fn start(&self, request: StartRequest) -> Result<Started, RolloutError> {
        self.ask(|answer| RolloutCall::Start(Box::new(request), answer)).await?
    }

    /// Says something to a rollout.
    ///
    /// # Errors
    /// [`RolloutError`] when it was refused.
    pub async fn order(&self, id: u64, order: Order, by: OrderedBy) -> Result<RolloutView, RolloutError> {
        self.ask(|answer| RolloutCall::Order(id, order, by, answer)).await?
    }

    /// All rollouts under way, and at most this number of those that are over, newest first.
    ///
    /// # Errors
    /// [`WriterGone`] when the process is ending.
    pub async fn list(&self, over_max: usize) -> Result<Vec<RolloutView>, WriterGone> {
        self.ask(|answer| RolloutCall::List(over_max, answer)).await
    }

    /// What the judge of a rollout had found over time.
    ///
    /// # Errors
    /// [`WriterGone`] when the process is ending.
    pub async fn over_time(&self, id: u64) -> Result<Option<EvidenceOverTime>, WriterGone> {
        self.ask(|answer| RolloutCall::OverTime(id, answer)).await
    }

    /// What this replica has counted for the rollouts under way: for the replica that leads, or for one who looks.
    ///
    /// # Errors
    /// [`WriterGone`] when the process is ending.
    pub(crate) async fn evidence(&self, asked: Option<EvidenceQuestion>) -> Result<EvidenceAnswer, WriterGone> {
        self.ask(|answer| RolloutCall::Evidence(asked, answer)).await
    }

    /// Has stored what was found of the rollouts under way, before another process takes the store over.
    ///
    /// # Errors
    /// [`WriterGone`] when the process is ending.
    pub async fn keep(&self) -> Result<(), WriterGone> {
        self.ask(RolloutCall::Keep).await
    }

    /// One rollout.
    ///
    /// # Errors
    /// [`WriterGone`] when the process is ending.
    pub async fn one(&self, id: u64) -> Result<Option<RolloutView>, WriterGone> {
        self.ask(|answer| RolloutCall::One(id, answer)).await
    }

    /// What a rollout would be.
    ///
    /// # Errors
    /// [`RolloutError`] with all that is wrong with the request.
    pub(crate) async fn preview(&self, request: PreviewRequest) -> Result<ReleasePreview, RolloutError> {
        self.ask(|answer| RolloutCall::Preview(Box::new(request), answer)).await?
    }

    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> RolloutCall) -> Result<T, WriterGone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(call(answer)).await.map_err(|_closed| WriterGone)?;
        answered.await.map_err(|_closed| WriterGone)
    }
}
