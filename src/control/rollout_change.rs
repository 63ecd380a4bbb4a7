//! A move of a rollout as a change: weights, endpoints and what has to be remembered, in one revision or not at all.
//! Pure.
//!
//! A rollout decides on what it saw; between its look and the writer's turn an operator may have shifted by hand. So a
//! move says which splits it expects, and is refused if they are others: an operator's hand always wins. So it is with
//! a flag that is released: its weights are expected, and that it is enabled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::table::fault_table::FaultInForce;
use crate::table::flag_state::FlagState;
use crate::table::spec::flag::FlagSpec;
use crate::table::{EndpointAddress, MirrorShare, Name, Slots, Weights};

use super::flag_change;
use super::planned::{Action, Planned, State, unknown_versions};
use crate::problem::Problem;

/// A move of a rollout.
#[derive(Clone, Debug, Default)]
pub struct RolloutChange {
    /// The rollout's number.
    pub id: u64,
    /// Its state after the move, to be stored with it.
    pub state: Arc<str>,
    /// All of its services; their tables are made anew, also if nothing of their traffic changes.
    pub services: BTreeSet<Name>,
    /// New weights.
    pub splits: BTreeMap<Name, Weights>,
    /// Mirrors that begin or end.
    pub mirrors: BTreeMap<Name, MirrorTurn>,
    /// The revision from before the rollout, if the move is the end of the way back: undoing it would lead to the
    /// version that was turned back.
    pub restores: Option<u64>,
    /// The splits that the move was decided on.
    pub expects: BTreeMap<Name, Weights>,
    /// The salt that its services share, if a release of several begins with this.
    pub salt: Option<Arc<str>>,
    /// Endpoints that are drained or made ready.
    pub endpoints: Vec<EndpointMove>,
    /// The flags that are released. Their table is made anew, also if nothing changes.
    pub flags: Vec<FlagMove>,
    /// Whether the rollout begins with it. What has begun, and above all its way back, is barred by no fault.
    pub starts: bool,
}

/// What a move of a rollout does to the mirror of a service.
#[derive(Clone, Debug)]
pub enum MirrorTurn {
    /// It is this one from now on.
    Begin(MirrorShare),
    /// It ends, if it is this one: another is an operator's.
    End(MirrorShare),
}

/// What a move of a rollout does to a flag.
#[derive(Clone, Debug)]
pub struct FlagMove {
    /// The flag.
    pub flag: Name,
    /// Its rule.
    pub rule: Name,
    /// What the rule serves from now on; none: as before.
    pub serve: Option<Weights>,
    /// What it served when the move was decided on, while the flag was enabled.
    pub expects: Option<Weights>,
    /// Whether the flag has to be enabled all the same: who orders that a release goes on does not mean a flag that
    /// gives its default to everybody.
    pub needs_enabled: bool,
}

/// An endpoint that a move of a rollout drains or makes ready.
#[derive(Clone, Debug)]
pub struct EndpointMove {
    /// The service.
    pub service: Name,
    /// The version.
    pub version: Name,
    /// The endpoint.
    pub address: SocketAddr,
    /// Whether it gets no new requests.
    pub drained: bool,
}

/// Works out a move.
///
/// # Errors
/// All problems: services and versions that are gone, splits that an operator changed.
pub(crate) fn plan(state: &State, change: &RolloutChange) -> Result<Planned, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut next = BTreeMap::new();
    problems.extend(faulted(state, change));
    for name in &change.services {
        match state.service(&format!("services.{name}"), name) {
            Ok((spec, traffic)) => {
                let found = traffic.slots.weights();
                if let Some(expected) = change.expects.get(name).filter(|expected| !same(expected, &found)) {
                    problems.push(shifted(name, expected, &found));
                }
                let traffic = match change.splits.get(name) {
                    Some(weights) => {
                        problems.extend(unknown_versions(spec, weights));
                        traffic.shifted(weights, || match (&spec.salt, &change.salt) {
                            (None, Some(salt)) => Arc::clone(salt),
                            _ => state.new_salt(spec),
                        })
                    }
                    None => (**traffic).clone(),
                };
                let traffic = match change.mirrors.get(name) {
                    Some(MirrorTurn::Begin(mirror)) => traffic.mirrored(Some(mirror.clone())),
                    Some(MirrorTurn::End(ours)) if traffic.mirror.as_ref() == Some(ours) => traffic.mirrored(None),
                    Some(MirrorTurn::End(_)) | None => traffic,
                };
                next.insert(name.clone(), traffic);
            }
            Err(problem) => problems.push(problem),
        }
    }
    for EndpointMove { service, version, address, drained } in &change.endpoints {
        if let Some(traffic) = next.get_mut(service) {
            let entry = (version.clone(), EndpointAddress::Ip(*address));
            if *drained {
                traffic.drained.insert(entry)
            } else {
                traffic.drained.remove(&entry)
            };
        }
    }
    let flags: Vec<_> = change.flags.iter().filter_map(|moved| moved_flag(state, moved, &mut problems)).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let flags = state.planned_flags(flags);
    Ok(Planned { restores: change.restores, flags, ..state.planned(Action::Rollout, next) })
}

/// The services that a start is about while chaos runs do something to their requests: its judge would take what they
/// do for the version's, and a fault never reaches a service under rollout.
fn faulted(state: &State, change: &RolloutChange) -> Vec<Problem> {
    if !change.starts || state.faults.is_empty() {
        return Vec::new();
    }
    let told = state.flags.specs.told.iter();
    let lists = |flags: &Vec<Name>| change.flags.iter().any(|moved| flags.contains(&moved.flag));
    let of_flags = told.filter(|(_, flags)| lists(flags)).map(|(service, _)| service);
    let services: BTreeSet<&Name> = change.services.iter().chain(of_flags).collect();
    let faults = services.into_iter().filter_map(|service| state.faults.get(service));
    let problem = |fault: &Arc<FaultInForce>| {
        let FaultInForce { run, experiment, target, .. } = &**fault;
        Problem::conflict(
            format!("services.{}", target.service),
            format!("chaos run {run} of {experiment}, which is under way"),
            "no chaos experiment on a service that is released",
            format!("wait for its end, or stop it: pointsman chaos stop {run}"),
        )
    };
    faults.map(problem).collect()
}

/// The flag with its next state; what is wrong with that is in `problems`.
fn moved_flag<'s>(
    state: &'s State,
    moved: &FlagMove,
    problems: &mut Vec<Problem>,
) -> Option<(&'s FlagSpec, FlagState)> {
    let FlagMove { flag, rule, serve, expects, needs_enabled } = moved;
    let found = state.flag(&format!("flags.{flag}"), flag).map_err(|problem| problems.push(problem));
    let (spec, before) = found.ok()?;
    if !before.enabled && (*needs_enabled || expects.is_some()) {
        problems.push(disabled(flag));
    }
    if let Some(expected) = expects {
        let found = before.rules.get(rule).map(Slots::weights);
        if let Some(found) = found.filter(|found| !same(expected, found)) {
            let place = format!("flags.{flag}.rules.{rule}.serve");
            let found = format!("{found}, which an operator has made it");
            let remedy = "look at the flag, then resume or abort the rollout";
            problems.push(Problem::conflict(place, found, expected.to_string(), remedy));
        }
    }
    let next = match serve {
        None => FlagState::clone(before),
        Some(serve) => {
            problems.extend(flag_change::unknown_variants(spec, rule, serve));
            match flag_change::find_rule(spec, format!("flags.{flag}.rules"), rule) {
                Ok(rule) => before.serving(spec, rule, serve)?,
                Err(problem) => {
                    problems.push(problem);
                    return None;
                }
            }
        }
    };
    Some((spec, next))
}

fn disabled(flag: &Name) -> Problem {
    let remedy = format!("enable it (pointsman flag enable {flag}), then resume the rollout; or abort it");
    Problem::conflict(format!("flags.{flag}"), "a flag that an operator has disabled", "an enabled one", remedy)
}

/// Whether two splits give the same to everybody; who gets nothing may be left out.
#[must_use]
pub(crate) fn same(one: &Weights, other: &Weights) -> bool {
    let given = |weights: &Weights| -> BTreeMap<Name, u32> {
        weights.iter().filter(|(_, weight)| weight.slots() > 0).map(|(name, w)| (name.clone(), w.slots())).collect()
    };
    given(one) == given(other)
}

fn shifted(service: &Name, expected: &Weights, found: &Weights) -> Problem {
    Problem::conflict(
        format!("services.{service}.split"),
        format!("{found}, which somebody has shifted to"),
        expected.to_string(),
        "look at the service, then resume or abort the rollout",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::planned::FlagStates;
    use crate::table::fixture::{name, weights};
    use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpecs, Variant};

    /// A flag that its last rule gives to a tenth.
    fn state(enabled: bool) -> State {
        let variant = |text: &str| Variant { name: name(text), json: "true".into() };
        let rules = vec![FlagRuleSpec { name: name("launch"), when: None, serve: weights("off=90 on=10") }];
        let source = FlagSource::Rules { draw: DrawSpec::Salt("x".into()), rules };
        let variants = ["off", "on"].map(variant).to_vec();
        let spec = Arc::new(FlagSpec { name: name("new"), variants, default: 0, enabled, source });
        let states = [(name("new"), Arc::new(FlagState::first(&spec)))].into();
        let specs = Arc::new(FlagSpecs { flags: vec![spec], told: BTreeMap::new() });
        State { flags: FlagStates { specs, states, ..FlagStates::default() }, ..State::default() }
    }

    /// What becomes of the flag's rule by a move to one half that was decided on when it served `expects`.
    fn moved(state: &State, rule: &str, expects: Option<&str>) -> Result<String, String> {
        ordered(state, rule, expects, false)
    }

    /// The same of a move that needs the flag to be enabled, or not.
    fn ordered(state: &State, rule: &str, expects: Option<&str>, needs_enabled: bool) -> Result<String, String> {
        let (serve, expects) = (Some(weights("off=50 on=50")), expects.map(weights));
        let flags = vec![FlagMove { flag: name("new"), rule: name(rule), serve, expects, needs_enabled }];
        let planned = plan(state, &RolloutChange { flags, ..RolloutChange::default() });
        let next = planned.map(|planned| planned.flags.next[&name("new")].to_string());
        next.map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn a_flag_is_moved_from_where_it_was_seen_and_a_hand_on_it_wins() {
        let half = "on;launch=on*50000 off*50000";
        assert_eq!(moved(&state(true), "launch", Some("off=90 on=10")).as_deref(), Ok(half));
        assert_eq!(moved(&state(true), "launch", None).as_deref(), Ok(half), "who orders it has seen the flag");
        let refused = |state: &State, rule, expects| moved(state, rule, expects).expect_err("it is refused");
        let other = refused(&state(true), "launch", Some("off=100"));
        assert!(other.contains("which an operator has made it"), "{other}");
        let killed = refused(&state(false), "launch", Some("off=90 on=10"));
        assert!(killed.contains("pointsman flag enable new"), "{killed}");
        let onward = ordered(&state(false), "launch", None, true).expect_err("it is refused");
        assert!(onward.contains("pointsman flag enable new"), "{onward}");
        assert!(ordered(&state(true), "launch", None, true).is_ok());
        let back = moved(&state(false), "launch", None);
        assert!(back.is_ok_and(|state| state.starts_with("off;")), "the way back leaves it disabled");
        assert!(refused(&state(true), "lunch", None).contains("unknown rule \"lunch\""));
    }
}
