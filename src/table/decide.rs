//! The decision: which version responds to a request, and why. The data path and `explain` call the same function.
//!
//! It does not allocate, lock, log or wait. What it cannot know purely is handed in: `chance`, 128 random bits for
//! requests without a key, and `usable`, whether a version has an endpoint that takes requests at this moment. As long
//! as no rule holds and nothing is wrong with the service's endpoints, it reads of a service its [`RouteEntry`] record
//! only.

use std::ops::Deref;

use super::availability::{Availability, Takeover};
use super::experiment_table::GivenArm;
use super::fast::route_entry::RouteEntry;
use super::fast::rule_prefilter::RulePrefilter;
use super::hash::scale;
use super::key::OwnKey;
use super::request::RequestView;
use super::rules::CompiledTarget;
use super::service::{Service, Version};
use super::spec::OnUnhealthy;
use super::table::Table;
use crate::shared::murmur3::Murmur3;

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'t> {
    /// The service.
    pub service: &'t Service,
    /// Index of the service in the table.
    pub service_index: u32,
    /// Index of the version that responds.
    pub version: u16,
    /// Index of the version that the rule or the split chose; another one than `version` if that one is unusable.
    pub assigned: u16,
    /// Why.
    pub cause: Cause,
    /// The slot of the split, unless a rule decided.
    pub slot: Option<u32>,
    /// Index of the rule that holds, whether it decided or not.
    pub rule: Option<u16>,
    /// The key to set as our own cookie, if the request had none.
    pub new_key: Option<OwnKey>,
}

impl<'t> Decision<'t> {
    /// The version that responds.
    #[must_use]
    pub fn version(&self) -> &'t Version {
        &self.service.versions[usize::from(self.version)]
    }

    /// Whether the assigned version was unusable and another one responds.
    #[must_use]
    pub fn failed_over(&self) -> bool {
        self.version != self.assigned
    }
}

/// What chose the version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The rule with this index.
    Rule(u16),
    /// The user's key, from the sticky source with this index.
    Key(u16),
    /// The experiment with this index took the user in.
    Experiment(u16),
    /// Chance: there was no key.
    Chance,
}

/// Why there is no decision.
#[derive(Clone, Copy, Debug)]
pub enum RouteError<'t> {
    /// No service has this host and path.
    NoService,
    /// A rule responds, so that no version has to.
    Responds {
        /// The service.
        service: &'t Service,
        /// Index of the rule.
        rule: u16,
    },
    /// The service has no version with a usable endpoint for this request.
    NoVersion {
        /// The service.
        service: &'t Service,
        /// Index of the service in the table.
        service_index: u32,
        /// Index of the version that the rule or the split chose.
        assigned: u16,
        /// Why that one.
        cause: Cause,
        /// The slot of the split, unless a rule decided.
        slot: Option<u32>,
    },
}

/// A version that is asked whether it is usable. It is the [`Version`] for a caller that wants to know more of it, but
/// the version is far away in a large table, and no caller has to go there as long as all is well.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'t> {
    table: &'t Table,
    entry: &'t RouteEntry,
    index: u16,
}

impl Candidate<'_> {
    /// Whether the version can respond at `now_ms`: what [`Version::availability`] says, mostly without asking it.
    #[must_use]
    pub fn availability(&self, now_ms: u64) -> Availability {
        if self.table.all_healthy(self.entry) { Availability::Ready } else { Version::availability(self, now_ms) }
    }
}

impl Deref for Candidate<'_> {
    type Target = Version;

    fn deref(&self) -> &Version {
        &self.entry.service.versions[usize::from(self.index)]
    }
}

/// Decides for one request.
///
/// # Errors
/// [`RouteError`] when there is no service, or no usable version of it.
pub fn decide<'t, A: Into<Availability>>(
    table: &'t Table,
    request: &RequestView<'_>,
    chance: u128,
    available: impl Fn(&Candidate<'t>) -> A,
) -> Result<Decision<'t>, RouteError<'t>> {
    decide_at(table, table.find(request.host, request.path), request, chance, available)
}

/// The same for a request whose service, if it has one, was looked up before in this table, by the same host and path.
///
/// # Errors
/// [`RouteError`] when there is no service, or no usable version of it.
pub(crate) fn decide_at<'t, A: Into<Availability>>(
    table: &'t Table,
    service: Option<u32>,
    request: &RequestView<'_>,
    chance: u128,
    available: impl Fn(&Candidate<'t>) -> A,
) -> Result<Decision<'t>, RouteError<'t>> {
    let service_index = service.ok_or(RouteError::NoService)?;
    let entry = table.entry(service_index);
    let service = &*entry.service;
    let Assigned { cause, version: assigned, slot, rule, new_key } =
        assign(AssignQuery { table, entry, service_index, request }, chance)
            .map_err(|RuleResponds(rule)| RouteError::Responds { service, rule })?;
    let available = |index: u16| available(&Candidate { table, entry, index }).into();
    let own = available(assigned);
    let version = if matches!(own, Availability::Ready | Availability::LastResort(Takeover::Bounded)) {
        assigned
    } else {
        // Requests without a slot (a rule chose) are passed on by chance.
        let seed = slot.unwrap_or_else(|| low_bits(chance));
        let other = fail_over(service, assigned, seed, available);
        let last_resort = matches!(own, Availability::LastResort(_)).then_some(assigned);
        other.or(last_resort).ok_or(RouteError::NoVersion { service, service_index, assigned, cause, slot })?
    };
    Ok(Decision { service, service_index, version, assigned, cause, slot, rule, new_key })
}

/// The version of a request before anybody looks at its endpoints.
struct Assigned {
    cause: Cause,
    version: u16,
    /// None when a rule chose.
    slot: Option<u32>,
    /// The rule that holds.
    rule: Option<u16>,
    /// The key that the client is to keep from now on.
    new_key: Option<OwnKey>,
}

/// The rule with this index responds.
struct RuleResponds(u16);

/// What a version is assigned by.
#[derive(Clone, Copy)]
struct AssignQuery<'q, 't> {
    table: &'t Table,
    entry: &'t RouteEntry,
    service_index: u32,
    request: &'q RequestView<'q>,
}

/// The version by rule, experiment, key or chance, whatever state its endpoints are in.
fn assign(query: AssignQuery<'_, '_>, chance: u128) -> Result<Assigned, RuleResponds> {
    let AssignQuery { table, entry, request, .. } = query;
    for index in RulePrefilter::admitted(entry.prefilters(), &table.interned().headers, request) {
        let rule = &entry.service.rules[usize::from(index)];
        if rule.when.holds(request) {
            return match rule.target {
                CompiledTarget::Version(version) => {
                    let (cause, rule) = (Cause::Rule(index), Some(index));
                    Ok(Assigned { cause, version, slot: None, rule, new_key: None })
                }
                CompiledTarget::Split => Ok(Assigned { rule: Some(index), ..by_split(query, chance) }),
                CompiledTarget::Respond => Err(RuleResponds(index)),
            };
        }
    }
    Ok(by_split(query, chance))
}

/// The version by experiment, key or chance.
#[inline]
fn by_split(query: AssignQuery<'_, '_>, chance: u128) -> Assigned {
    let AssignQuery { table, entry, request, .. } = query;
    for (index, source) in (0..).zip(entry.sources(table.interned())) {
        let cause = Cause::Key(index);
        if let Some(slot) = source.with_key(request, |key| entry.slot(key)) {
            return by_key(entry, cause, slot, || source.with_key(request, |key| by_experiment(query, key)).flatten());
        }
        if source.is_own_cookie() {
            let key = OwnKey::from_random(chance);
            let slot = entry.slot(key.as_bytes());
            let assigned = by_key(entry, cause, slot, || by_experiment(query, key.as_bytes()));
            return Assigned { new_key: Some(key), ..assigned };
        }
    }
    let slot = scale(low_bits(chance));
    Assigned { cause: Cause::Chance, version: entry.owner(slot), slot: Some(slot), rule: None, new_key: None }
}

/// The version of a key on this slot: by an experiment that takes the user in, else by the split. The key is looked for
/// once more where experiments may be, so that others do not pay for them.
fn by_key(entry: &RouteEntry, cause: Cause, slot: u32, experiment: impl FnOnce() -> Option<GivenArm>) -> Assigned {
    let (cause, version) = match entry.sole_owner(slot) {
        Some(version) => (cause, version),
        None => match experiment() {
            Some(given) => (Cause::Experiment(given.experiment), given.choice),
            None => (cause, entry.service.owner(slot)),
        },
    };
    Assigned { cause, version, slot: Some(slot), rule: None, new_key: None }
}

/// What an experiment gives the user with this key.
#[cold]
fn by_experiment(query: AssignQuery<'_, '_>, key: &[u8]) -> Option<GivenArm> {
    query.table.experiments().version(query.service_index, query.request, key)
}

/// Another version for a request whose own is out: in proportion to the weights of those that are ready, and the same
/// one for the same slot, so that users stay together until theirs is back. None for some of them where the takeover is
/// bounded.
fn fail_over(service: &Service, assigned: u16, seed: u32, available: impl Fn(u16) -> Availability) -> Option<u16> {
    if service.spec.policy.on_unhealthy == OnUnhealthy::Refuse {
        return None;
    }
    let versions = || (0..).zip(&*service.versions).filter(|(_, version)| version.weight.slots() > 0);
    let candidates = || versions().filter(|(index, _)| available(*index) == Availability::Ready);
    let weight = |(_, version): (u16, &Version)| version.weight.slots();
    let ready: u32 = candidates().map(weight).sum();
    let bounded = |index: u16| available(index).takeover() == Some(Takeover::Bounded);
    let shared_by = match bounded(assigned) {
        true => ready.max(versions().filter(|(index, _)| bounded(*index)).map(weight).sum()),
        false => ready,
    };
    let hash = Murmur3::new(1).with(&seed.to_le_bytes()).finish();
    let mut left = (u64::from(hash) * u64::from(shared_by)) >> 32;
    for (index, version) in candidates() {
        let weight = u64::from(version.weight.slots());
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    None
}

fn low_bits(chance: u128) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "any 32 of the 128 random bits will do")]
    let bits = chance as u32;
    bits
}

#[cfg(test)]
mod tests;
