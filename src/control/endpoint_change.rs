//! The change that takes an endpoint out, or back in.
//!
//! An endpoint is named by its address or, where the config has a name, by that: then all addresses that the name
//! stands for are out, also those that it will stand for later, and the two are kept apart. Who drains one address of a
//! name, and then the name, and makes the name ready again, finds that one address as it was.

use std::net::SocketAddr;

use crate::table::spec::VersionSpec;
use crate::table::{EndpointAddress, Name, Traffic};

use super::planned::{Action, Planned, State, versions};
use crate::problem::{Mismatch, Problem, ProblemKind, one_of};

/// Works out what taking `address` of `version` out, or back in, comes to.
///
/// # Errors
/// The problem, if there is one.
pub(crate) fn plan(
    state: &State,
    service: &Name,
    version: &Name,
    address: &EndpointAddress,
    drained: bool,
) -> Result<Planned, Vec<Problem>> {
    let place = format!("services.{service}");
    let (spec, traffic) = state.service(&place, service).map_err(|problem| vec![problem])?;
    let place = format!("{place}.versions.{version}");
    let Some(found) = spec.versions.iter().find(|known| known.name == *version) else {
        return Err(vec![Problem::no_version(ProblemKind::Unknown, place, version, versions(spec))]);
    };
    let entry = (version.clone(), address.clone());
    // A drained address that its name does not stand for now can still be made ready.
    if !is_there(state, found, address) && !traffic.drained.contains(&entry) {
        return Err(vec![unknown(state, found, &place, address)]);
    }
    if let (false, EndpointAddress::Ip(ip)) = (drained, address)
        && let Some(problem) = stays_out(state, found, traffic, *ip, &place)
    {
        return Err(vec![problem]);
    }
    let mut next = Traffic::clone(traffic);
    if drained {
        next.drained.insert(entry)
    } else {
        next.drained.remove(&entry)
    };
    let action = if drained { Action::Drain } else { Action::Ready };
    Ok(state.planned(action, [(service.clone(), next)]))
}

fn is_there(state: &State, version: &VersionSpec, address: &EndpointAddress) -> bool {
    match address {
        EndpointAddress::Ip(address) => state.addresses.endpoints(version).contains(address),
        EndpointAddress::Name(name) => version.names.contains(name),
    }
}

fn unknown(state: &State, version: &VersionSpec, place: &str, address: &EndpointAddress) -> Problem {
    let endpoints = state.addresses.endpoints(version);
    let names = version.names.iter().map(ToString::to_string);
    let known: Vec<_> = endpoints.iter().map(SocketAddr::to_string).chain(names).collect();
    Mismatch::new(
        format!("unknown endpoint {address}"),
        one_of(known.iter().map(String::as_str)),
        "name an endpoint of the version",
    )
    .at(format!("{place}.endpoints"), ProblemKind::Unknown)
}

/// An address that is out with its name cannot come back alone: the answer would say that it is ready, and it is not.
fn stays_out(
    state: &State,
    version: &VersionSpec,
    traffic: &Traffic,
    address: SocketAddr,
    place: &str,
) -> Option<Problem> {
    let name = traffic.drained_with(version, address, &state.addresses)?;
    Some(Problem::conflict(
        format!("{place}.endpoints.{address}"),
        format!("an endpoint that is drained with {name}"),
        format!("{name} ready"),
        format!("make {name} ready, and drain the addresses that are to stay out"),
    ))
}
