//! What comes back to the controller: results of tasks, answers of metrics servers, and counts of users.

use super::metric_schedule::MetricKey;
use crate::experiment::experiment_result::ExperimentCounts;
use crate::rollout::judge::own_metric::MetricAnswer;
use crate::rollout::stage::{StageTask, TaskResult};

/// What became of something that was begun for a rollout.
#[derive(Debug)]
pub(crate) enum TaskAnswer {
    /// Of a task.
    Task {
        /// The rollout.
        id: u64,
        /// The task.
        task: StageTask,
        /// What became of it.
        result: TaskResult,
    },
    /// Of a question to a metrics server.
    Metric {
        /// The rollout.
        id: u64,
        /// The metric.
        key: MetricKey,
        /// What it said.
        answer: MetricAnswer,
    },
    /// Of a question to the ledger.
    Users {
        /// The rollout.
        id: u64,
        /// The candidate's slots in the step that it is about.
        slots: u32,
        /// What it has counted; none if it knows nothing of the step.
        counts: Option<Box<ExperimentCounts>>,
    },
}
