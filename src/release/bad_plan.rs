//! The problems of the plan of a start, for the caller of the API: what only the file can mend is to be mended there.

use crate::config::IN_THE_FILE;
use crate::problem::{Problem, Problems};

/// What the reader of the config says of the plan that a call and the file make together.
pub(crate) fn for_caller(problems: Problems) -> Vec<Problem> {
    Vec::from(problems).into_iter().map(in_the_file).collect()
}

/// The same of a flag's, which has no endpoints of its own.
pub(crate) fn for_flag(problems: Problems) -> Vec<Problem> {
    Vec::from(problems).into_iter().map(not_of_a_flag).collect()
}

fn not_of_a_flag(problem: Problem) -> Problem {
    let of_endpoints = ["plan.smoke", "plan.upgrade", "plan.undo"];
    match of_endpoints.iter().any(|key| problem.path.starts_with(key)) {
        true => Problem { remedy: OF_A_FLAG.to_owned(), ..problem },
        false => in_the_file(problem),
    }
}

/// What a flag can be released by.
const OF_A_FLAG: &str = "leave it out: a flag has no endpoints of its own, and is released by canary or blue_green";

/// The reader tells to add a hook or a URL where it stands, and a call must not have one.
fn in_the_file(problem: Problem) -> Problem {
    match needs_the_file(&problem.path) {
        true => Problem { remedy: IN_THE_FILE.to_owned(), ..problem },
        false => problem,
    }
}

/// Whether what is missing or wrong at `path` can be mended in the file only.
fn needs_the_file(path: &str) -> bool {
    let keys = ["plan.webhook", "plan.smoke", "plan.metrics", "plan.upgrade", "plan.undo"];
    path.ends_with(".gate") || keys.iter().any(|key| path.strip_prefix(key).is_some_and(|rest| !rest.starts_with('_')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RolloutSection;

    fn remedies(section: &str) -> Vec<(String, String)> {
        let section: RolloutSection = serde_json::from_str(section).unwrap();
        let problems = section.release().expect_err("want problems");
        for_caller(problems).into_iter().map(|problem| (problem.path, problem.remedy)).collect()
    }

    #[test]
    fn what_a_call_must_not_name_is_mended_in_the_file() {
        let rolling = remedies(r#"{"strategy": "rolling", "batch": 0}"#);
        let of = |place: &str| &rolling.iter().find(|(found, _)| found == place).expect("a problem").1;
        assert_eq!(of("plan.upgrade"), IN_THE_FILE);
        assert_eq!(of("plan.batch"), "raise it to 1 or leave it out");
        let of_flag = serde_json::from_str::<RolloutSection>(r#"{"strategy": "rolling"}"#).unwrap().release();
        assert_eq!(for_flag(of_flag.expect_err("want problems"))[0].remedy, OF_A_FLAG);
        let gate = r#"{"steps": [{"weight": 5, "gate": "webhook"}]}"#;
        let of_flag = serde_json::from_str::<RolloutSection>(gate).unwrap().release();
        assert_eq!(for_flag(of_flag.expect_err("want problems"))[0].remedy, IN_THE_FILE);
        let gate = remedies(r#"{"steps": [{"weight": 5, "gate": "webhook"}]}"#);
        assert_eq!(gate, [("plan.steps[1].gate".to_owned(), IN_THE_FILE.to_owned())]);
    }
}
