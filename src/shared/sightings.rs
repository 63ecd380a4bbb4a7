//! Who has said something for the first time in a window, for who adds up the counts of several replicas: a user whose
//! request fails on two of them is counted by both, and is one draw all the same.
//!
//! Each replica knows who has testified there ([`super::user_sets`]). One that leads is told by the others who was new
//! to them, notes it in its own sets, and takes away again what those have counted of users it knew already
//! ([`crate::rollout::replica_counts`]). A log is kept only where it is asked for; it holds a user once for each kind
//! of testimony and window, so it is of a bounded size even if it is never taken.
//!
//! An address that brings many keys ([`super::canary_clients`]) counts once on each replica: the numbers of addresses
//! are secrets of a process.

use std::sync::{Mutex, PoisonError};

use super::count::Count;
use super::response_class::CLASSES;
use super::route_number::{ROUTES, RouteNumber};
use super::threshold_count::THRESHOLDS;

/// Bits that a slot takes.
const SLOT_BITS: u32 = 17;

/// The first numbers of testimonies that there are several of.
const LATENCIES: usize = 3;
const SLOW: usize = LATENCIES + THRESHOLDS;
const CLASS: usize = SLOW + 1;
const ROUTE: usize = CLASS + CLASSES;
const OF_ROUTE: usize = 1 + THRESHOLDS;
const ALL: usize = ROUTE + ROUTES * OF_ROUTE;

/// What is said for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Testimony {
    /// The user came, in this step.
    Came,
    /// A request of theirs failed.
    Failed,
    /// They had nothing but failures for longer than a burst.
    Lost,
    /// A request of theirs took longer than the threshold of this number.
    Above(usize),
    /// A request of theirs was slow.
    Slow,
    /// A response to them was of the class with this number.
    Class(usize),
    /// A request of theirs to this route failed.
    FailedOnRoute(RouteNumber),
    /// A request of theirs to this route took longer than its threshold of this number.
    AboveOnRoute(RouteNumber, usize),
}

/// A testimony of a user, in one number: other replicas are told of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Sighting(u32);

/// Those of one version under one share, since they were taken last.
#[derive(Debug, Default)]
pub(crate) struct SightingLog(Mutex<Vec<Sighting>>);

/// Tells who was new, if there is a replica that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TestimonyTeller<'l>(Option<&'l SightingLog>);

/// Some of one version under one share, in the order in which they are told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SightingRun {
    /// Slots of the candidate and of the baseline.
    pub(crate) shares: [u32; 2],
    /// The number of the version.
    pub(crate) arm: usize,
    /// Who was new.
    pub(crate) told: Vec<Sighting>,
}

impl Testimony {
    fn number(self) -> usize {
        let of_route = |route: RouteNumber| ROUTE + route.index() * OF_ROUTE;
        match self {
            Self::Came => 0,
            Self::Failed => 1,
            Self::Lost => 2,
            Self::Above(threshold) => LATENCIES + threshold,
            Self::Slow => SLOW,
            Self::Class(class) => CLASS + class,
            Self::FailedOnRoute(route) => of_route(route),
            Self::AboveOnRoute(route, threshold) => of_route(route) + 1 + threshold,
        }
    }

    fn of(number: usize) -> Option<Self> {
        Some(match number {
            0 => Self::Came,
            1 => Self::Failed,
            2 => Self::Lost,
            LATENCIES..SLOW => Self::Above(number - LATENCIES),
            SLOW => Self::Slow,
            CLASS..ROUTE => Self::Class(number - CLASS),
            ROUTE.. => {
                let route = RouteNumber::new((number - ROUTE) / OF_ROUTE)?;
                match (number - ROUTE) % OF_ROUTE {
                    0 => Self::FailedOnRoute(route),
                    kind => Self::AboveOnRoute(route, kind - 1),
                }
            }
        })
    }

    /// The same of another route, where it is of one.
    pub(crate) fn on_route(self, number: impl Fn(RouteNumber) -> Option<RouteNumber>) -> Option<Self> {
        Some(match self {
            Self::FailedOnRoute(route) => Self::FailedOnRoute(number(route)?),
            Self::AboveOnRoute(route, threshold) => Self::AboveOnRoute(number(route)?, threshold),
            Self::Came | Self::Failed | Self::Lost | Self::Above(_) | Self::Slow | Self::Class(_) => self,
        })
    }
}

impl Sighting {
    /// Of the user of a slot.
    pub(crate) fn new(testimony: Testimony, slot: u32) -> Self {
        let number = u32::try_from(testimony.number()).unwrap_or(0);
        Self(number << SLOT_BITS | slot & ((1 << SLOT_BITS) - 1))
    }

    /// What is said; none: nothing that this version of the program knows.
    pub(crate) fn testimony(self) -> Option<Testimony> {
        usize::try_from(self.0 >> SLOT_BITS).ok().and_then(Testimony::of)
    }

    /// Whose it is.
    pub(crate) fn slot(self) -> u32 {
        self.0 & ((1 << SLOT_BITS) - 1)
    }
}

impl<'l> TestimonyTeller<'l> {
    /// One that writes it down here; none: nothing is asked.
    pub(crate) fn new(log: Option<&'l SightingLog>) -> Self {
        Self(log)
    }

    /// Counts what a user says, if it is for the first time. A request without a user is a draw of its own.
    pub(crate) fn count_first(self, count: &Count, testimony: Testimony, slot: Option<u32>, is_first: bool) {
        if !is_first {
            return;
        }
        count.add(1);
        if let (Some(log), Some(slot)) = (self.0, slot) {
            log.note(testimony, slot);
        }
    }
}

impl SightingLog {
    /// Notes what was counted just now. What is counted after it was taken is in the counters by then.
    pub(crate) fn note(&self, testimony: Testimony, slot: u32) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(Sighting::new(testimony, slot));
    }

    /// Takes all of it.
    pub(crate) fn take_into(&self, all: &mut Vec<Sighting>) {
        all.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

const _: () = assert!(ALL < 1 << (u32::BITS - SLOT_BITS) && super::slot_set::SLOTS <= 1 << SLOT_BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_testimony_has_a_number_of_its_own() {
        let all: Vec<_> = (0..ALL).map(|number| Testimony::of(number).unwrap()).collect();
        for (number, testimony) in (0..).zip(&all) {
            assert_eq!(testimony.number(), number, "{testimony:?}");
            let sighting = Sighting::new(*testimony, 99_999);
            assert_eq!((sighting.testimony(), sighting.slot()), (Some(*testimony), 99_999));
        }
        assert_eq!(Testimony::of(ALL), None, "of a later version");
    }

    #[test]
    fn what_is_taken_is_gone() {
        let (log, mut all) = (SightingLog::default(), Vec::new());
        log.note(Testimony::Failed, 7);
        log.take_into(&mut all);
        log.take_into(&mut all);
        assert_eq!(all, [Sighting::new(Testimony::Failed, 7)]);
    }
}
