//! What comes back to the controller is passed on to the rollout that it is for.

use super::controller::RolloutController;
use super::task_answer::TaskAnswer;
use crate::control::handle::ApplyError;
use crate::problem::chain;
use crate::rollout::TICK;
use crate::rollout::stage::{StageTask, TaskResult};

impl RolloutController {
    /// Passes an answer on to whom it is for.
    pub(crate) async fn answered(&mut self, answered: TaskAnswer) {
        match answered {
            TaskAnswer::Task { id, task, result } => self.task_answered(id, task, result).await,
            TaskAnswer::Metric { id, key, answer } => {
                let now = self.now();
                if let Some(run) = self.running.get_mut(&id) {
                    run.rollout.metric_answered(now, key.service, key.metric, &answer);
                }
            }
            TaskAnswer::Users { id, slots, counts } => self.users_counted(id, slots, counts.as_deref()),
        }
    }

    async fn task_answered(&mut self, id: u64, task: StageTask, result: TaskResult) {
        let now = self.now();
        let Some(run) = self.running.get_mut(&id) else { return };
        if let TaskResult::Failed(why) = &result {
            tracing::warn!(rollout = id, task = task.word(), why, "a task of a rollout has failed");
            run.failure = Some(why.clone());
        }
        if let Err(error) = self.advance(id, |rollout| rollout.answer(now, task, &result), None).await {
            if let ApplyError::Unusable(dead) = &error {
                self.bar(id, dead).await;
            } else {
                tracing::error!(rollout = id, error = chain(&error), "a rollout cannot go on");
            }
            // Said again until it is stored.
            let answers = self.answers.0.clone();
            tokio::spawn(async move {
                tokio::time::sleep(TICK).await;
                answers.send(TaskAnswer::Task { id, task, result }).await.ok();
            });
        }
    }
}
