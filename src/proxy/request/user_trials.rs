//! The step that notes what a request says of its user to those who count users: experiments, and rollouts with
//! guardrails.
//!
//! A user is exposed where the arm is given: by the version that the request has been routed to, which is the one that
//! responds, or by the variant of a flag that is told. What the user does counts when the response is known; which
//! metrics ask for such a request is found out here, since the head is on its way to the endpoint by then.
//!
//! Requests of services that no experiment is about do not come here: the look that tells whether they carry flags
//! tells that as well.
//!
//! Of a rollout the users are counted whose requests the judge compares: drawn by a key, and not left out. Their arm is
//! the one that the lot gave them, whatever version responds in the end.

use std::sync::Arc;

use super::context::RequestContext;
use crate::experiment::name_hash::NameHash;
use crate::flags::user::FlagUser;
use crate::flags::{Evaluation, FlagCause, RequestUser, evaluate};
use crate::proxy::report::awaited_request::AwaitingTrial;
use crate::proxy::report::seen_users::{ArmExposure, SeenUsers};
use crate::shared::canary_stats::Arm;
use crate::shared::probability::Probability;
use crate::shared::trial::CountsRequests;
use crate::table::compiled_flag::Flag;
use crate::table::experiment_table::Experiment;
use crate::table::spec::experiment::ExperimentArm;
use crate::table::{CanaryPair, Cause, Table};

/// Notes a request that has been routed for this cause.
#[cold]
pub(crate) fn note_request(user: &RequestUser<'_>, cause: Cause, context: &mut RequestContext) {
    let experiments = user.table.experiments();
    if let Cause::Experiment(index) = cause {
        let experiment = experiments.at(index);
        // None: another version responds, since that of the arm has no usable endpoint.
        let arm = experiment.arm_of(user.version);
        expose(user, experiment, arm, &context.worker.seen);
        if let Some(arm) = arm {
            context.note_experiment(&experiment.spec.name, arm);
        }
    }
    let counting = experiments.of(user.service).map_or(&[][..], |of_service| &of_service.counting);
    for experiment in counting.iter().map(|index| experiments.at(*index)) {
        let requests = &experiment.spec.requests;
        let asking = requests.asking(user.view.method, user.view.path);
        if asking != 0
            && let Some(hash) = hash_of(user)
        {
            let (trial, requests) = (Arc::clone(&experiment.trial), Arc::new(requests.clone()));
            context.await_response(hash, AwaitingTrial { trial, requests, asking });
        }
    }
}

/// Notes a request that a rollout compares, if the rollout counts users.
pub(crate) fn note_compared(user: &RequestUser<'_>, pair: &CanaryPair, context: &mut RequestContext) {
    let drawn = context.sample.as_ref().and_then(|sample| sample.arm_of_user());
    let (Some(trial), Some(arm)) = (&pair.epoch.trial, drawn) else { return };
    let Some(hash) = hash_of(user) else { return };
    let arm = match arm {
        Arm::Candidate => ExperimentArm::Treatment,
        Arm::Baseline => ExperimentArm::Control,
    };
    let exposure = ArmExposure { trial: Arc::clone(&trial.key), user: hash, arm, share: trial.share };
    context.worker.seen.exposed(exposure, unix_ms());
    let asking = trial.requests.asking(user.view.method, user.view.path);
    if asking != 0 {
        let (trial, requests) = (Arc::clone(&trial.key), Arc::clone(&trial.requests));
        context.await_response(hash, AwaitingTrial { trial, requests, asking });
    }
}

/// Notes the variant of a flag that a user is told.
#[cold]
pub(crate) fn note_variant(table: &Table, evaluation: Evaluation, user: &impl FlagUser, seen: &SeenUsers) {
    if let (FlagCause::Experiment(index), Some(variant)) = (evaluation.why, evaluation.variant) {
        let experiment = table.experiments().at(index);
        expose(user, experiment, experiment.arm_of(variant), seen);
    }
}

/// Notes the variants that a call for this flag, or for all of them, has told a user.
pub(crate) fn note_call(table: &Table, flag: Option<&str>, user: &impl FlagUser, seen: &SeenUsers) {
    if table.experiments().is_empty() {
        return;
    }
    let asked = |known: &&Flag| flag.is_none_or(|name| known.spec.name.as_str() == name);
    let compared = table.flags().flags.iter().filter(|known| !known.experiments.indices.is_empty());
    for flag in compared.filter(asked) {
        note_variant(table, evaluate(table, flag, user), user, seen);
    }
}

fn expose(user: &impl FlagUser, experiment: &Experiment, arm: Option<ExperimentArm>, seen: &SeenUsers) {
    if let (Some(arm), Some(hash)) = (arm, hash_of(user)) {
        let (trial, share) = (Arc::clone(&experiment.trial), Probability::HALF);
        seen.exposed(ArmExposure { trial, user: hash, arm, share }, unix_ms());
    }
}

/// The hash of the key that a user is drawn by: what an event has to name.
fn hash_of(user: &impl FlagUser) -> Option<NameHash> {
    user.with_user_key(|key| NameHash::of(&String::from_utf8_lossy(key)))
}

/// The time, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
