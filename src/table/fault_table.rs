//! The faults of a table, at most one a service, and who meets them.
//!
//! They are no part of a revision: a fault lives in memory only, so that a restart ends it whatever else goes wrong,
//! and it has an end of its own that workers keep by themselves. They are part of the table all the same, so that a
//! request sees a fault from its start to its end or not at all.
//!
//! A request is drawn once, by the key of its user under a salt of the run: the slots below the share are the fault
//! slice, as many above them the control slice, and all others are left alone. Two draws of a half each, one for who
//! is in and one for which slice, would do the same with more work; a draw for each attempt would hit users with
//! retries more often than the share says. What is done is done to *attempts*, whose endpoint and zone are known by
//! then; who is counted does not depend on them.

use std::ops::Deref;
use std::sync::Arc;

use super::address::EndpointAddress;
use super::hash::{Salt, scale};
use super::key::OwnKey;
use super::request::RequestView;
use super::service::{Endpoint, Service, Version};
use super::spec::fault::{FaultKind, FaultTarget};
use crate::shared::fault_stats::{FaultSlice, FaultStats};
use crate::shared::name::Name;
use crate::stats::{ChaosCounters, Registry};

/// A fault that a chaos run has put in force.
#[derive(Clone, Debug)]
pub struct FaultInForce {
    /// The number of the run: users are drawn anew for each.
    pub run: u64,
    /// The name of the experiment.
    pub experiment: Name,
    /// What it is aimed at.
    pub target: FaultTarget,
    /// What is done.
    pub kind: FaultKind,
    /// When it ends, in milliseconds on the clock of the process: from then on workers do nothing, whatever the control
    /// plane does.
    pub until_ms: u64,
    /// Whether anything is done. During the baseline both slices are only counted.
    pub injecting: bool,
    /// Where both slices are counted.
    pub stats: Arc<FaultStats>,
}

/// A fault as a table has it, ready to be asked.
#[derive(Debug)]
pub struct PlacedFault {
    fault: Arc<FaultInForce>,
    salt: Salt,
    /// Its counters for the metrics, and the places that it leaves.
    pub(crate) counters: Arc<ChaosCounters>,
}

/// The faults of a table.
#[derive(Clone, Debug, Default)]
pub struct FaultTable {
    /// By the index of the service; empty if there is none.
    services: Box<[Option<Arc<PlacedFault>>]>,
}

/// What a request is drawn by.
#[derive(Clone, Copy)]
pub(crate) struct FaultQuery<'q> {
    /// The request.
    pub(crate) request: &'q RequestView<'q>,
    /// Its service.
    pub(crate) service: &'q Service,
    /// The version that the user has, whether it can respond or not.
    pub(crate) version: &'q Version,
    /// The key that the user is about to get.
    pub(crate) new_key: Option<OwnKey>,
    /// 32 random bits, for a request without a key.
    pub(crate) chance: u32,
}

/// What a request was drawn for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FaultDraw {
    pub(crate) slice: FaultSlice,
    /// The slot of its key in this run; none: it has no key, and was drawn by itself.
    pub(crate) slot: Option<u32>,
}

impl FaultTable {
    /// Puts faults to the services of a table, by `index_of` their names; one whose service is not there is left out.
    pub(super) fn compile(
        faults: &[Arc<FaultInForce>],
        count: u32,
        registry: &Registry,
        index_of: impl Fn(&Name) -> Option<u32>,
    ) -> Self {
        if faults.is_empty() {
            return Self::default();
        }
        let mut services = vec![None; count as usize];
        for fault in faults {
            if let Some(place) = index_of(&fault.target.service).and_then(|index| services.get_mut(index as usize)) {
                *place = Some(Arc::new(PlacedFault::new(fault, registry)));
            }
        }
        Self { services: services.into() }
    }

    /// The fault of the service with this index, if it has one.
    #[must_use]
    pub fn of(&self, service: u32) -> Option<&Arc<PlacedFault>> {
        self.services.get(service as usize)?.as_ref()
    }

    /// All faults.
    pub fn all(&self) -> impl Iterator<Item = &Arc<FaultInForce>> {
        self.services.iter().flatten().map(|placed| &placed.fault)
    }
}

impl PlacedFault {
    fn new(fault: &Arc<FaultInForce>, registry: &Registry) -> Self {
        let counters = registry.chaos(&fault.target.service, &fault.experiment);
        Self { salt: Salt::new(&format!("chaos:{}", fault.run)), counters, fault: Arc::clone(fault) }
    }

    /// Whether its time is over at `now_ms`.
    #[must_use]
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    /// Whether it looks at the bearer token.
    pub(super) fn reads_tokens(&self) -> bool {
        self.target.segment.as_ref().is_some_and(|segment| segment.when.reads_tokens())
    }

    /// The slice of a request, if it is in one.
    #[must_use]
    pub(crate) fn draw(&self, asked: &FaultQuery<'_>) -> Option<FaultDraw> {
        if !self.concerns(asked) {
            return None;
        }
        let slot = self.slot_of_key(asked);
        let slice = self.slice(slot.unwrap_or_else(|| scale(asked.chance)))?;
        Some(FaultDraw { slice, slot })
    }

    /// Whether the experiment is about such requests at all.
    #[must_use]
    pub(crate) fn concerns(&self, asked: &FaultQuery<'_>) -> bool {
        let FaultTarget { version, segment, .. } = &self.target;
        version.as_ref().is_none_or(|version| *version == asked.version.name)
            && segment.as_ref().is_none_or(|segment| segment.when.holds(asked.request))
    }

    /// The slice that owns a slot, if one does.
    #[must_use]
    pub(crate) fn slice(&self, slot: u32) -> Option<FaultSlice> {
        let share = self.target.share.slots();
        match slot {
            slot if slot < share => Some(FaultSlice::Fault),
            slot if slot - share < share => Some(FaultSlice::Control),
            _ => None,
        }
    }

    /// The slot of the user's key in this run. The key is looked for as the split does it.
    #[must_use]
    pub(crate) fn slot_of_key(&self, asked: &FaultQuery<'_>) -> Option<u32> {
        for source in &asked.service.spec.sticky {
            if let Some(slot) = source.with_key(asked.request, |key| self.salt.slot(key)) {
                return Some(slot);
            }
            if source.is_own_cookie() {
                return asked.new_key.map(|key| self.salt.slot(key.as_bytes()));
            }
        }
        None
    }

    /// Whether the fault is done to attempts on this endpoint of a version of `service`.
    #[must_use]
    pub(crate) fn is_aimed_at(&self, service: &Service, version: &Version, endpoint: &Endpoint) -> bool {
        let FaultTarget { version: wanted, endpoint: meant, zone, .. } = &self.target;
        let meant = meant.as_ref().is_none_or(|meant| match meant {
            EndpointAddress::Ip(address) => *address == endpoint.address,
            EndpointAddress::Name(name) => service.addresses.stands(name, endpoint.address),
        });
        meant
            && wanted.as_ref().is_none_or(|wanted| *wanted == version.name)
            && zone.as_ref().is_none_or(|zone| endpoint.zone.as_ref() == Some(zone))
    }
}

impl Deref for PlacedFault {
    type Target = FaultInForce;

    fn deref(&self) -> &FaultInForce {
        &self.fault
    }
}

#[cfg(test)]
mod tests;
