//! Experiments that run on what is to be released: they give some of its users another version or variant by a draw of
//! their own, and the steps of a rollout would change what all others are compared with.

use crate::problem::Problem;
use crate::table::spec::experiment::{AssignmentSpec, ExperimentSubject};
use crate::table::{Name, Service, Table};

/// The problems with a release that moves the splits of these services, and these flags.
pub(super) fn problems(table: &Table, services: &[&Service], flags: &[&Name]) -> Vec<Problem> {
    let place = |spec: &AssignmentSpec| match &spec.subject {
        ExperimentSubject::Service(name) => {
            services.iter().any(|service| service.spec.name == *name).then(|| format!("services.{name}"))
        }
        ExperimentSubject::Flag(name) => flags.contains(&name).then(|| format!("flags.{name}")),
    };
    let running = table.experiments().running().iter();
    let problem = |(place, name, share)| {
        let found = format!("the experiment {name}, which gives {share} % of the users an arm");
        let remedy = format!("end it first: pointsman experiment stop {name}, or ship an arm of it");
        Problem::conflict(place, found, "no experiment on what is released", remedy)
    };
    running.filter_map(|one| Some((place(&one.spec)?, &one.spec.name, one.run.share))).map(problem).collect()
}
