//! What is wrong with the plan of a start, as the caller of the API reads it.

use crate::config::{Problem, Problems, RefusedOverride};
use crate::control::fault::Fault;
use crate::rollout::plan::PlanProblem;

/// Where the keys stand that are no caller's.
const IN_THE_FILE: &str = "write it into the section rollout of the service or group in the config file, and reload";

/// What may not be said in a call.
#[must_use]
pub(crate) fn refused(refused: &RefusedOverride) -> Fault {
    match refused {
        RefusedOverride::NoObject => {
            let wanted = "an object with keys of [services.NAME.rollout]";
            Fault::invalid("plan", "something else", wanted, "write {\"bake\": \"1m\"}")
        }
        RefusedOverride::OfTheFile(place) => {
            let found = "what the proxy is to run or to ask, named by a call";
            let wanted = "programs, URLs and smoke requests from the config file only";
            Fault::invalid(place, found, wanted, &format!("leave it out; {IN_THE_FILE}"))
        }
        RefusedOverride::Unknown { place, meant, known } => {
            let key = place.rsplit_once('.').map_or(place.as_str(), |(_, key)| key);
            let remedy = meant.map_or_else(|| "leave it out".to_owned(), |meant| format!("did you mean {meant:?}?"));
            Fault::invalid(place, format!("the unknown key {key:?}"), format!("only {known}"), &remedy)
        }
    }
}

/// What the reader of the config says of the plan that a call and the file make together.
pub(crate) fn read(problems: &Problems) -> Vec<Fault> {
    problems.as_slice().iter().map(of_problem).collect()
}

fn of_problem(problem: &Problem) -> Fault {
    let (found, wanted) = problem.text.split_once(", want ").unwrap_or((&problem.text, "a plan that makes sense"));
    let (wanted, remedy) = wanted.split_once(" (").unwrap_or((wanted, "mend it in the config or in the call"));
    let found = found.strip_prefix("found ").unwrap_or(found);
    // The reader tells to add a hook or a URL where it stands, and a call must not have one.
    let remedy = if needs_the_file(&problem.path) { IN_THE_FILE } else { remedy.trim_end_matches(')') };
    Fault::invalid(&*problem.path, found, wanted, remedy)
}

/// Whether what is missing or wrong at `path` can be mended in the file only.
fn needs_the_file(path: &str) -> bool {
    let keys = ["plan.webhook", "plan.smoke", "plan.upgrade", "plan.undo"];
    path.ends_with(".gate") || keys.iter().any(|key| path.strip_prefix(key).is_some_and(|rest| !rest.starts_with('_')))
}

/// A strategy that makes no sense.
pub(crate) fn contradiction(problem: &PlanProblem) -> Fault {
    Fault::invalid("plan", problem.to_string(), "a plan without contradictions", "mend it in the config or in the call")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RolloutSection;

    fn remedies(section: &str) -> Vec<(String, String)> {
        let section: RolloutSection = serde_json::from_str(section).unwrap();
        let problems = section.release().expect_err("want problems");
        read(&problems).into_iter().map(|fault| (fault.place, fault.remedy)).collect()
    }

    #[test]
    fn what_a_call_must_not_name_is_mended_in_the_file() {
        let rolling = remedies(r#"{"strategy": "rolling", "batch": 0}"#);
        let of = |place: &str| &rolling.iter().find(|(found, _)| found == place).expect("a problem").1;
        assert_eq!(of("plan.upgrade"), IN_THE_FILE);
        assert_eq!(of("plan.batch"), "raise it to 1 or leave it out");
        let gate = remedies(r#"{"steps": [{"weight": 5, "gate": "webhook"}]}"#);
        assert_eq!(gate, [("plan.steps[1].gate".to_owned(), IN_THE_FILE.to_owned())]);
    }
}
