//! The change of experiments at run time: start, stop, and ship. Pure.
//!
//! A run owns slots of its layer. One that begins or grows takes the lowest that are free; it never lets one go while
//! it runs, and never takes one of another run. So no user is ever in two experiments of a layer, and no user who is in
//! one is moved by another.

use super::experiment_difference::{ExperimentDifference, RunEnd, RunMoves, moved};
use super::experiment_states::{PlannedExperiments, shares_layer};
use super::flag_change;
use super::planned::{Action, Planned, State};
use crate::experiment::definition::ExperimentSpec;
use crate::experiment::fingerprint::fingerprint;
use crate::problem::{Problem, one_of};
use crate::shared::per_arm::ExperimentArm;
use crate::table::experiment_run::ExperimentRun;
use crate::table::spec::experiment::ExperimentSubject;
use crate::table::spec::flag::{FlagSource, FlagSpec};
use crate::table::{Name, SLOTS, Weight, Weights};

/// What becomes of one experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExperimentChange {
    /// A run begins, or the one that runs takes more users in.
    Start {
        /// The experiment.
        name: String,
        /// How many users it has then; none: what the config says, or what it has if that is more.
        share: Option<Weight>,
    },
    /// The run ends, and its users get what all others do.
    Stop {
        /// The experiment.
        name: String,
    },
    /// All users get what one arm has, and the run ends.
    Ship {
        /// The experiment.
        name: String,
        /// `control` or `treatment`, or the version or variant.
        arm: String,
    },
}

impl ExperimentChange {
    /// The experiment.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Start { name, .. } | Self::Stop { name } | Self::Ship { name, .. } => name,
        }
    }
}

/// Works out what a change of an experiment comes to.
///
/// # Errors
/// All problems with it.
pub(crate) fn plan(state: &State, change: &ExperimentChange) -> Result<Planned, Vec<Problem>> {
    let spec = state.experiments.named("experiment", change.name()).map_err(|problem| vec![problem])?;
    match change {
        ExperimentChange::Start { share, .. } => start(state, spec, *share),
        ExperimentChange::Stop { .. } => Ok(stop(state, spec)),
        ExperimentChange::Ship { arm, .. } => ship(state, spec, arm),
    }
}

fn start(state: &State, spec: &ExperimentSpec, share: Option<Weight>) -> Result<Planned, Vec<Problem>> {
    let name = spec.name();
    let running = state.experiments.running(name);
    let at_least = running.map_or(spec.assignment.share, |run| run.share.max(spec.assignment.share));
    let share = share.unwrap_or(at_least);
    let mut problems: Vec<Problem> = unfit(state, spec).into_iter().collect();
    if share == Weight::ZERO {
        let wanted = "more than 0 and at most 100 per cent of the users";
        problems.push(Problem::invalid("share", "0", wanted, "leave it out for what the config says"));
    }
    if let Some(run) = running.filter(|run| share < run.share && share > Weight::ZERO) {
        let found = format!("{share} %, and it runs with {} %", run.share);
        let remedy = format!("stop it, and start another run: pointsman experiment stop {name}");
        let wanted = "as much or more: a run does not let go of users whom it counts";
        problems.push(Problem::conflict("share", found, wanted, remedy));
    }
    let taken = state.experiments.taken(spec);
    let own = running.map(|run| run.slots.clone()).unwrap_or_default();
    let slots = own.grown(share.slots(), &taken);
    let Some(slots) = slots.filter(|_| problems.is_empty()) else {
        if own.grown(share.slots(), &taken).is_none() {
            problems.push(no_room(state, spec, share, SLOTS - taken.count()));
        }
        return Err(problems);
    };
    let since = running.map_or(state.revision + 1, |run| run.since);
    let after = ExperimentRun { running: true, since, share, slots, compares: fingerprint(spec) };
    let planned = state.planned(Action::Start, []);
    let experiments = PlannedExperiments::of([difference(state, spec, after, None, &planned)]);
    Ok(Planned { experiments, ..planned })
}

fn stop(state: &State, spec: &ExperimentSpec) -> Planned {
    let (running, planned) = (state.experiments.running(spec.name()), state.planned(Action::Stop, []));
    let difference = running.map(|run| difference(state, spec, run.ended(), Some(RunEnd::Stopped), &planned));
    Planned { experiments: PlannedExperiments::of(difference), ..planned }
}

fn ship(state: &State, spec: &ExperimentSpec, arm: &str) -> Result<Planned, Vec<Problem>> {
    let one = |problem| vec![problem];
    let arm = arm_of(spec, arm).map_err(one)?;
    let (name, arms) = (spec.name(), &spec.assignment.arms);
    let winner = match arm {
        ExperimentArm::Control => &arms.control,
        ExperimentArm::Treatment => &arms.treatment,
    };
    if !state.experiments.runs.contains_key(name) {
        let help = match &spec.assignment.subject {
            ExperimentSubject::Service(service) => format!("pointsman flip {service} {winner}"),
            ExperimentSubject::Flag(flag) => format!("pointsman flag set {flag} {winner}"),
        };
        let remedy = format!("start it, or give {winner} to all without it: {help}");
        let found = "an experiment that never ran";
        return Err(vec![Problem::conflict("experiment", found, "one that runs, or did", remedy)]);
    }
    let mut planned = match &spec.assignment.subject {
        ExperimentSubject::Service(service) => ship_version(state, service, winner).map_err(one)?,
        ExperimentSubject::Flag(flag) => ship_variant(state, flag, winner).map_err(one)?,
    };
    if let Some(run) = state.experiments.running(name) {
        let difference = difference(state, spec, run.ended(), Some(RunEnd::Shipped(arm)), &planned);
        planned.experiments = PlannedExperiments::of([difference]);
    }
    Ok(planned)
}

fn ship_version(state: &State, service: &Name, winner: &Name) -> Result<Planned, Problem> {
    let (spec, traffic) = state.service(&format!("services.{service}"), service)?;
    let weights = Weights::all_on(winner, spec.versions.iter().map(|version| version.name.clone()));
    let next = traffic.shifted(&weights, || state.new_salt(spec));
    Ok(state.planned(Action::Ship, [(service.clone(), next)]))
}

fn ship_variant(state: &State, flag: &Name, winner: &Name) -> Result<Planned, Problem> {
    let place = format!("flags.{flag}");
    let (spec, before) = state.flag(&place, flag)?;
    let rule = flag_change::last_rule(spec, &place)?;
    if spec.rules().last().is_some_and(|rule| rule.when.is_some()) {
        let found = format!("the last rule, {rule}, which is for some users only");
        let remedy = "add one without `when` behind it, such as { name = \"launch\", serve = ... }";
        return Err(Problem::conflict(format!("{place}.rules"), found, "one that is for all others", remedy));
    }
    let all = Weights::all_on(winner, spec.variants.iter().map(|variant| variant.name.clone()));
    let next = before.serving(spec, &rule, &all).map(|next| (&**spec, next));
    Ok(Planned { flags: state.planned_flags(next), ..state.planned(Action::Ship, []) })
}

/// The arm that `text` names, by its word or by its version or variant.
///
/// # Errors
/// That it names none, or both.
pub(crate) fn arm_of(spec: &ExperimentSpec, text: &str) -> Result<ExperimentArm, Problem> {
    let arms = &spec.assignment.arms;
    let by_name = spec.assignment.arm_of(text);
    let by_word = match text {
        "control" => Some(ExperimentArm::Control),
        "treatment" => Some(ExperimentArm::Treatment),
        _ => None,
    };
    let known = || one_of(["control", "treatment", arms.control.as_str(), arms.treatment.as_str()].into_iter());
    match (by_word, by_name) {
        (Some(word), Some(name)) if word != name => {
            let found = format!("{text:?}, which is what the other arm has");
            Err(Problem::invalid("arm", found, known(), "name what the arm has"))
        }
        (Some(arm), _) | (None, Some(arm)) => Ok(arm),
        (None, None) => {
            let remedy = "name the arm, or what it has";
            Err(Problem::invalid("arm", format!("unknown arm {text:?}"), known(), remedy))
        }
    }
}

/// Why an experiment cannot take users in now, however many.
fn unfit(state: &State, spec: &ExperimentSpec) -> Option<Problem> {
    let subject = &spec.assignment.subject;
    if let ExperimentSubject::Flag(flag) = subject {
        let found = state.flag(&format!("flags.{flag}"), flag).map(|(flag, state)| unfit_flag(flag, state.enabled));
        if let Some(problem) = found.unwrap_or_else(Some) {
            return Some(problem);
        }
    }
    let mut others = state.experiments.others_running(spec.name());
    let (other, _) = others.find(|(other, _)| other.assignment.subject == *subject && !shares_layer(spec, other))?;
    let (name, other) = (spec.name(), other.name());
    let found = format!("{other}, which compares {} too and is in another layer", subject.name());
    let remedy = format!("stop it (pointsman experiment stop {other}), or give both the same layer in the config");
    let wanted = "experiments of one subject in one layer, for a user has one version";
    Some(Problem::conflict(format!("experiments.{name}.layer"), found, wanted, remedy))
}

/// Why a flag cannot be experimented with by the proxy.
fn unfit_flag(flag: &FlagSpec, enabled: bool) -> Option<Problem> {
    let found = match &flag.source {
        FlagSource::Rules { .. } if enabled => return None,
        FlagSource::Rules { .. } => {
            let remedy = format!("enable it first: pointsman flag enable {}", flag.name);
            let wanted = "an enabled one: no user would have an arm";
            return Some(Problem::conflict(format!("flags.{}", flag.name), "a disabled flag", wanted, remedy));
        }
        FlagSource::Service(service, _) => format!("a flag that follows the service {service}"),
        FlagSource::Flag(other, _) => format!("a flag that follows the flag {other}"),
        FlagSource::Imported(_) => "an imported flag, whose file has its rule".to_owned(),
    };
    let remedy = "compare what it follows, or give it rules; results of logs need no start";
    Some(Problem::conflict(format!("flags.{}", flag.name), found, "a flag with rules", remedy))
}

/// The problem that others have the slots of the layer.
fn no_room(state: &State, spec: &ExperimentSpec, share: Weight, free: u32) -> Problem {
    let others = state.experiments.others_running(spec.name()).filter(|(other, _)| shares_layer(spec, other));
    let has = others.map(|(other, run)| format!("{} has {} %", other.name(), run.share)).collect::<Vec<_>>();
    let (name, free) = (spec.name(), Weight::from_slots(free).unwrap_or_default());
    let layer = spec.assignment.layer.as_ref().map_or(name.as_str(), |layer| layer.as_str());
    let found = format!("{share} % of layer {layer}, in which {}", has.join(", "));
    let remedy = if free == Weight::ZERO {
        "stop another one, or use another layer".to_owned()
    } else {
        format!("start it with share {free}, or stop another one")
    };
    Problem::conflict("share", found, format!("at most {free} %, which are free"), remedy)
}

/// What becomes of an experiment whose run changes, together with what is `planned` for its subject.
pub(crate) fn difference(
    state: &State,
    spec: &ExperimentSpec,
    after: ExperimentRun,
    end: Option<RunEnd>,
    planned: &Planned,
) -> ExperimentDifference {
    let before = state.experiments.runs.get(spec.name()).map(|run| ExperimentRun::clone(run));
    let both = Others::of(state, spec, None).zip(Others::of(state, spec, Some(planned)));
    let moved = both.map(|(then, next)| {
        let run_before = before.as_ref().filter(|_| then.open);
        let run_after = if next.open { after.clone() } else { after.ended() };
        let (arms, outside) = (&spec.assignment.arms, moved_outside(state, spec, planned));
        let moves = RunMoves { arms, given_before: &then.given, given_after: &next.given, outside };
        moved(run_before, &run_after, &moves)
    });
    ExperimentDifference { experiment: spec.name().clone(), before, after, moved, end }
}

/// Users of a subject who are in no run.
struct Others {
    /// What they have.
    given: Weights,
    /// Whether a run's arms reach its users: a flag that is disabled gives all of them its default.
    open: bool,
}

impl Others {
    /// Those of an experiment's subject as it is, or as it is planned; none if the config does not have it any more.
    fn of(state: &State, spec: &ExperimentSpec, planned: Option<&Planned>) -> Option<Self> {
        match &spec.assignment.subject {
            ExperimentSubject::Service(service) => {
                let next = planned.and_then(|planned| planned.next.get(service));
                let traffic = next.or_else(|| state.traffic.get(service))?;
                Some(Self { given: traffic.slots.weights(), open: true })
            }
            ExperimentSubject::Flag(flag) => {
                let (spec, today) = state.flag("flags", flag).ok()?;
                let next = planned.and_then(|planned| planned.flags.next.get(flag));
                let flag_state = next.unwrap_or(today);
                let by_rule = || Some(flag_state.rules.get(rule_for_all(spec)?)?.weights());
                let default =
                    || Some(Weights::all_on(&spec.variants.get(usize::from(spec.default_variant()?))?.name, []));
                let open = flag_state.enabled;
                let given = if open { by_rule().or_else(default) } else { default().or_else(by_rule) };
                Some(Self { given: given?, open })
            }
        }
    }
}

/// The rule of a flag that reaches all whom no rule before it does.
fn rule_for_all(spec: &FlagSpec) -> Option<&Name> {
    spec.rules().iter().find(|rule| rule.when.is_none()).map(|rule| &rule.name)
}

/// The part of the users in no run that get something else by what is planned for the subject itself.
fn moved_outside(state: &State, spec: &ExperimentSpec, planned: &Planned) -> f64 {
    let moved = match &spec.assignment.subject {
        ExperimentSubject::Service(service) => {
            planned.difference.iter().find(|split| split.service == *service).map(|split| split.moved)
        }
        ExperimentSubject::Flag(flag) => state.flag("flags", flag).ok().and_then(|(spec, _)| {
            let rule = rule_for_all(spec)?;
            let changed = planned.flags.difference.iter().find(|changed| changed.flag == *flag)?;
            changed.rules.iter().find(|changed| changed.rule == *rule).map(|rule| rule.moved)
        }),
    };
    moved.unwrap_or(0.0)
}
