//! The provenance of what a rollout runs and asks: it has to be the config file.
//!
//! Nothing else can begin today (see [`ReleaseOverrides`](crate::config::ReleaseOverrides)). But a rollout outlives the
//! process that began it, and builds before that rule stored whatever a caller had named. So a stored rollout that does
//! not say where its hooks come from has to have those that the file has *now*; what differs is not run, not asked and
//! not undone by another program. The rollout is paused and says so, and its judge still turns it back. To drop
//! the hooks silently would be worse: a gate that is not asked is open.

use super::active::ActiveRollout;
use super::controller::RolloutController;
use super::rollout_handle::OrderedBy;
use super::saved::Saved;
use crate::config::RolloutSection;
use crate::control::handle::OntoDead;
use crate::rollout::release::{Hook, Release, Shape};
use crate::rollout::run::Phase;
use crate::rollout::stage::{Stage, StageTask};

impl RolloutController {
    /// The keys of a rollout's plan that name what is run or asked and may not come from the file.
    pub(crate) fn foreign(&self, saved: &Saved) -> Vec<&'static str> {
        if saved.hooks_from_file {
            return Vec::new();
        }
        let known = self.deps.known.borrow();
        let named = |name: &str| known.services.get(name).cloned();
        let section = match &saved.group {
            Some(group) => known.groups.get(group.as_str()).map(|group| group.section.clone()),
            None if saved.flag.is_some() => known.flags.get(saved.title()).cloned(),
            None => saved.services.first().and_then(|service| named(service)),
        };
        saved.plan.not_from(&section.unwrap_or_else(RolloutSection::default))
    }

    /// Who pauses a rollout that was stored with hooks that must not be run, and why; none when it can go on.
    pub(crate) fn pauses_for_its_hooks(&self, run: &ActiveRollout) -> Option<OrderedBy> {
        let foreign = self.foreign(&run.saved);
        let barred = |stage: &Stage| match stage {
            Stage::Do(task) => bar(&run.release, *task, false, &foreign).is_some(),
            Stage::Bake { .. } | Stage::Mirror { .. } | Stage::Keep(_) => false,
        };
        let going = matches!(run.rollout.phase(), Phase::Going { .. });
        let reason = (going && run.rollout.stages().iter().any(barred)).then(|| why(&foreign.join(", ")))?;
        Some(OrderedBy { author: "the restart".to_owned(), reason: Some(reason), onto_dead: OntoDead::Ignore })
    }
}

/// Why a task must not be done: what it would run or ask is one of the `foreign` keys.
pub(crate) fn bar(release: &Release, task: StageTask, back: bool, foreign: &[&'static str]) -> Option<String> {
    let key = reach(release, task, back)?;
    foreign.contains(&key).then(|| why(key))
}

fn why(keys: &str) -> String {
    format!(
        "its plan was stored by an earlier build and has a `{keys}` that the config file does not have; what is run or asked \
         comes from the file only: write it there and resume, or abort the rollout"
    )
}

/// The key of the plan that says what a task runs or asks; none when it reaches nothing but our own endpoints' ports.
fn reach(release: &Release, task: StageTask, back: bool) -> Option<&'static str> {
    match task {
        StageTask::Webhook => Some("webhook"),
        StageTask::Smoke => Some("smoke"),
        StageTask::Verify(_) => (!back && !release.smoke.is_empty()).then_some("smoke"),
        StageTask::Upgrade(_) | StageTask::Downgrade(_) => {
            let Shape::Rolling(shape) = &release.shape else { return None };
            let (key, hook) = match &shape.rollback {
                Some(undo) if back => ("undo", undo),
                _ => ("upgrade", &shape.upgrade),
            };
            (!matches!(hook, Hook::Acknowledge { .. })).then_some(key)
        }
        StageTask::Approval | StageTask::Drain(_) | StageTask::Join(_) | StageTask::Return(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::stage::Batch;

    fn barred(section: &str, task: StageTask, back: bool, foreign: &[&'static str]) -> bool {
        let section: RolloutSection = serde_json::from_str(section).unwrap();
        bar(&section.release().unwrap(), task, back, foreign).is_some()
    }

    #[test]
    fn what_reaches_out_is_barred_and_nothing_else() {
        let batch = Batch { first: 0, until: 1 };
        let with_undo = r#"{"strategy": "rolling", "upgrade": {"command": ["a"]}, "undo": {"command": ["b"]}, "smoke": [{"path": "/"}]}"#;
        let by_hand = r#"{"strategy": "rolling", "upgrade": "acknowledge"}"#;
        for (section, task, back, foreign, wanted) in [
            (with_undo, StageTask::Upgrade(batch), false, "upgrade", true),
            (with_undo, StageTask::Upgrade(batch), false, "undo", false),
            (with_undo, StageTask::Downgrade(batch), true, "undo", true),
            (with_undo, StageTask::Downgrade(batch), true, "upgrade", false),
            (with_undo, StageTask::Verify(batch), false, "smoke", true),
            (with_undo, StageTask::Verify(batch), true, "smoke", false),
            (with_undo, StageTask::Drain(batch), false, "upgrade", false),
            (by_hand, StageTask::Upgrade(batch), false, "upgrade", false),
            (by_hand, StageTask::Downgrade(batch), true, "upgrade", false),
            ("{}", StageTask::Webhook, false, "webhook", true),
            ("{}", StageTask::Smoke, false, "smoke", true),
            ("{}", StageTask::Approval, false, "webhook", false),
        ] {
            assert_eq!(barred(section, task, back, &[foreign]), wanted, "{task:?} back {back} foreign {foreign}");
            assert!(!barred(section, task, back, &[]), "{task:?}");
        }
    }
}
