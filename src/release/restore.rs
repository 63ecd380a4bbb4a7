//! A rollout that was under way when the process ended goes on: from what is stored of it, with fresh judges.

use super::active;
use super::active::{ActiveRollout, RolloutSubjects};
use super::controller::{KEPT, RolloutController};
use super::released_rule::{MovedFlag, ReleasedRule};
use super::saved::Saved;
use crate::control::store::Store;
use crate::problem::Problems;
use crate::rollout::plan::PlanProblem;
use crate::rollout::run::Rollout;
use crate::shared::name::BadName;
use crate::shared::per_arm::PerArm;
use crate::stats::Registry;
use crate::table::{Name, Service, Table};

/// Why a rollout of before cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// Its plan is none any more.
    #[error(transparent)]
    Plan(#[from] Problems),
    /// Its plan does not fit its services any more.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Contradictions(Vec<PlanProblem>),
    /// One of its services is gone.
    #[error("a service of it is not in the config any more")]
    NoService {
        /// Whether all of them are.
        all: bool,
    },
    /// One of its versions or its flags cannot be called so.
    #[error(transparent)]
    Version(#[from] BadName),
}

/// Has shields replay on the versions that rollouts under way would replace, before these go on and anybody is served:
/// what a candidate with everything does meanwhile is still its trial. What cannot be read is told by who goes on with
/// them.
pub(crate) fn keep_shields(store: &Store, registry: &Registry) {
    let stored = store.rollouts(KEPT).unwrap_or_default();
    let stored = stored.iter().filter_map(|(_, text)| serde_json::from_str::<Saved>(text).ok());
    for saved in stored.filter(|saved| !saved.is_finished()) {
        saved.moved_services().for_each(|service| registry.keep_stable(service, &saved.from));
    }
}

impl RolloutController {
    /// A rollout as it was stored, with fresh judges.
    pub(crate) fn restored(&self, saved: Saved, table: &Table) -> Result<ActiveRollout, RestoreError> {
        let release = saved.plan.release()?;
        let names: Vec<Name> = saved.names().collect();
        let services: Option<Vec<&Service>> = names.iter().map(|name| table.service_named(name)).collect();
        let all = names.iter().all(|name| table.service_named(name).is_none());
        let services = services.ok_or(RestoreError::NoService { all })?;
        let (from, to) = (Name::new(&saved.from)?, Name::new(&saved.to)?);
        let flags = flags(&saved, &from, &to, &names)?;
        let most = saved.endpoints.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let plan = active::plan(&release, active::assignment(&services, !flags.is_empty()), most)
            .map_err(RestoreError::Contradictions)?
            .released_together(services.len());
        let sides = PerArm { control: &from, treatment: &to };
        let counting = self.counting(&release, &services, &flags, sides).unwrap_or_else(|problems| {
            let why = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!(rollout = saved.id, why, "the users of a rollout of before are not counted any more");
            None
        });
        let (weight, now) = (saved.weight(), self.now());
        let judges = ActiveRollout::judges(*plan.judge(), &saved, now);
        let rollout = Rollout::restored(plan, saved.phase, weight, judges);
        let workers = self.deps.registry.workers();
        Ok(ActiveRollout::new(
            saved,
            rollout,
            std::sync::Arc::new(release),
            RolloutSubjects { services: names, flags, from, to, counting },
            workers,
        ))
    }
}

/// The flags that it moves: its only one, between its two sides in all of its services, or those of its group.
fn flags(saved: &Saved, from: &Name, to: &Name, services: &[Name]) -> Result<Vec<MovedFlag>, BadName> {
    let single = saved.flag.iter().map(|flag| {
        let released = ReleasedRule::of_saved(flag)?;
        Ok(MovedFlag { released, from: from.clone(), to: to.clone(), services: services.to_vec() })
    });
    single.chain(saved.flags.iter().map(MovedFlag::of_group)).collect()
}
