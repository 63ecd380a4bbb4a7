//! What `explain` says of the chaos experiment that is under way on a service: whether this user is in it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::shared::fault_stats::FaultSlice;
use crate::table::fault_table::{FaultQuery, PlacedFault};
use crate::table::{Decision, RequestView, Table};

/// A chaos experiment on the service, and what the user is to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ExplainedFault {
    /// The experiment.
    experiment: String,
    /// The number of its run.
    run: u64,
    /// What it does: `latency`, `abort`, `reset`, `hang`, `bandwidth`, `cut`, `refuse`, `exhaust` or `command`.
    fault: &'static str,
    /// Whether it does so at present. During its baseline both slices are only counted.
    injecting: bool,
    /// The user's slice: `fault`, `control` or `none`; null when chance decides.
    slice: Option<&'static str>,
    /// Why, in words.
    why: String,
}

/// What the request that `decision` is about is to the experiment on its service, if there is one at `now_ms`.
pub(crate) fn explained_fault(
    table: &Table,
    view: &RequestView<'_>,
    decision: &Decision<'_>,
    now_ms: u64,
) -> Option<ExplainedFault> {
    let fault = table.faults().of(decision.service_index).filter(|fault| !fault.is_over(now_ms))?;
    let (service, version) = (decision.service, &decision.service.versions[usize::from(decision.assigned)]);
    // The key that the user would get is a random one.
    let asked = FaultQuery { request: view, service, version, new_key: None, chance: 0 };
    let (slice, why) = slice_of(fault, &asked);
    Some(ExplainedFault {
        experiment: fault.experiment.to_string(),
        run: fault.run,
        fault: fault.kind.word(),
        injecting: fault.injecting,
        slice,
        why,
    })
}

fn slice_of(fault: &PlacedFault, asked: &FaultQuery<'_>) -> (Option<&'static str>, String) {
    if !fault.concerns(asked) {
        return (Some("none"), "the experiment is about another version or segment".to_owned());
    }
    let share = fault.target.share.percent();
    let Some(slot) = fault.slot_of_key(asked) else {
        return (None, format!("the request has no key: chance decides, {share} % for each slice"));
    };
    let slice = fault.slice(slot).map_or("none", FaultSlice::word);
    (Some(slice), format!("the user's key falls on slot {slot} of the run; each slice has {share} %"))
}
