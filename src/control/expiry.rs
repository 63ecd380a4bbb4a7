//! The end of weights that were set for a time: they go back to what the config says. Pure.
//!
//! It is a change of its own and not a shift that remembers the file: what the config says is read when it ends, and it
//! is refused if the weights were set again in between, which only the writer knows for sure.

use super::planned::{Action, History, PlanError, Planned, State, versions};
use super::weight_marks::WeightSubject;
use super::{file, flag_change};
use crate::problem::Problem;
use crate::table::{Name, Traffic};

/// Works out the end of what `revision` gave `subject` for a time.
///
/// # Errors
/// [`PlanError`] when something else has set its weights since, or it is gone from the config.
pub(crate) fn plan<H: History>(
    state: &State,
    history: &H,
    subject: &WeightSubject,
    revision: u64,
) -> Result<Planned, PlanError<H::Error>> {
    let set = state.marks.set.get(subject).filter(|set| set.until_ms.is_some());
    if set.is_none_or(|set| set.revision != revision) {
        let found =
            set.map_or("weights that have no end".to_owned(), |set| format!("weights of revision {}", set.revision));
        let problem =
            Problem::conflict(subject.to_string(), found, format!("those of revision {revision}"), "leave them");
        return Err(PlanError::Problems(vec![problem]));
    }
    match subject {
        WeightSubject::Service(name) => {
            let next = service(state, history, name, revision)?;
            Ok(state.planned(Action::Expire, [(name.clone(), next)]))
        }
        WeightSubject::Flag(name) => {
            let found = state.flag(&format!("flags.{name}"), name);
            let (spec, before) = found.map_err(|problem| PlanError::Problems(vec![problem]))?;
            let next = flag_change::as_the_file_says(before, spec);
            let flags = state.planned_flags([(&**spec, next)]);
            Ok(Planned { flags, ..state.planned(Action::Expire, []) })
        }
    }
}

/// The traffic of a service as the config says: what it had before, with the same users, if that is what it says.
fn service<H: History>(state: &State, history: &H, name: &Name, revision: u64) -> Result<Traffic, PlanError<H::Error>> {
    let found = state.service(&format!("services.{name}"), name);
    let (spec, today) = found.map_err(|problem| PlanError::Problems(vec![problem]))?;
    let then = history.traffic_at(name, revision.saturating_sub(1)).map_err(PlanError::History)?;
    let then = then.filter(|then| {
        let is_there = |version: &Name| versions(spec).any(|known| known == version.as_str());
        file::same_split(&then.slots.weights(), &spec.split) && then.slots.iter().all(|(_, run)| is_there(&run.version))
    });
    Ok(match then {
        Some(then) => Traffic { mirror: today.mirror.clone(), ..today.restored(&then) },
        None => today.shifted(&spec.split, || state.new_salt(spec)),
    })
}
