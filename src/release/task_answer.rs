//! What comes back to the controller: results of tasks, and answers of metrics servers.

use super::metric_schedule::MetricKey;
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
}
