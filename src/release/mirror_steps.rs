//! What speaks against the steps of a plan in which requests are copied.

use crate::config::service::mirror_target;
use crate::problem::{Mismatch, Problem, ProblemKind};
use crate::rollout::plan::Plan;
use crate::table::{MirrorShare, Name, Service};

/// All that does, of a plan that moves these services to the version `to`: a mirror that is in force, or nothing that
/// could be compared. A flag has no version that could get copies.
pub(super) fn problems(plan: &Plan, moved: &[&Service], to: &Name, is_flag: bool) -> Vec<Problem> {
    if !plan.judge().mirrors {
        return Vec::new();
    }
    if is_flag {
        let wanted = "steps with weights: both variants are served by the same versions";
        return vec![Problem::invalid("plan.steps", "a step that mirrors, of a flag", wanted, "remove it")];
    }
    moved.iter().flat_map(|service| mirrored_twice(service).into_iter().chain(unfit(service, to))).collect()
}

fn mirrored_twice(service: &Service) -> Option<Problem> {
    let name = &service.spec.name;
    let MirrorShare { to, share } = service.traffic.mirror.as_ref()?;
    Some(Problem::conflict(
        format!("services.{name}.mirror"),
        format!("a mirror of {share} % to {to} that is in force"),
        "none besides that of the plan's step",
        format!("end it first: pointsman mirror {name} --off"),
    ))
}

fn unfit(service: &Service, to: &Name) -> Option<Problem> {
    let mismatch = mirror_target::unfit(&service.spec, &service.weights(), to)?;
    let mismatch =
        Mismatch { remedy: "give it endpoints of its own, or remove the steps that mirror".into(), ..mismatch };
    let place = format!("services.{}.versions.{to}.endpoints", service.spec.name);
    Some(mismatch.at(place, ProblemKind::Conflict))
}
