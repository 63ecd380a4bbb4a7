//! The two versions of a service that a rollout compares, as a table has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::spec::ServiceSpec;
use super::traffic::Traffic;
use crate::shared::canary_stats::{Arm, CanaryStats, SplitEpoch};

/// The two versions of a service that are compared, under the split in force.
#[derive(Debug)]
pub struct CanaryPair {
    /// Where their requests are counted.
    pub epoch: Arc<SplitEpoch>,
    /// Index of the version under rollout.
    candidate: u16,
    /// Index of the version that it would replace.
    baseline: u16,
    /// Whether requests are judged wherever they go. Of this table: one with other endpoints has to be looked at first.
    judges_all: AtomicBool,
    /// Whether pools may still have to grow to the shares. Of this table: those of a new one may be others.
    fills_pools: AtomicBool,
}

impl CanaryPair {
    /// `None` if one of the versions is gone, or neither has a share.
    pub(crate) fn new(canary: &CanaryStats, spec: &ServiceSpec, traffic: &Traffic) -> Option<Self> {
        let of = |name: &str| {
            let (index, version) = (0..).zip(&spec.versions).find(|(_, version)| version.name.as_str() == name)?;
            Some((index, traffic.slots.count(&version.name)))
        };
        let (candidate, baseline) = (of(&canary.terms().candidate)?, of(&canary.terms().baseline)?);
        let epoch = (candidate.1 + baseline.1 > 0).then(|| canary.epoch([candidate.1, baseline.1]))?;
        let (judges_all, fills_pools) = (AtomicBool::new(false), AtomicBool::new(true));
        Some(Self { epoch, candidate: candidate.0, baseline: baseline.0, judges_all, fills_pools })
    }

    /// Whether requests are judged wherever they go, so that no worker has to ask for each endpoint
    /// ([`SplitEpoch::judges`]).
    #[must_use]
    pub fn judges_all(&self) -> bool {
        self.judges_all.load(Relaxed)
    }

    /// Says so, or not any more.
    pub fn judge_all(&self, all: bool) {
        self.judges_all.store(all, Relaxed);
    }

    /// Whether pools may still have to grow to the shares, so that the time of requests that wait for a new connection
    /// says nothing of their version.
    #[must_use]
    pub fn fills_pools(&self) -> bool {
        self.fills_pools.load(Relaxed)
    }

    /// Says so, or not any more.
    pub fn fill_pools(&self, fills: bool) {
        self.fills_pools.store(fills, Relaxed);
    }

    /// The index of the version that is one of the two, and of the other one.
    #[must_use]
    pub fn versions(&self, arm: Arm) -> [u16; 2] {
        match arm {
            Arm::Candidate => [self.candidate, self.baseline],
            Arm::Baseline => [self.baseline, self.candidate],
        }
    }

    /// Which of the two a version is.
    #[must_use]
    pub fn arm(&self, version: u16) -> Option<Arm> {
        match version {
            version if version == self.candidate => Some(Arm::Candidate),
            version if version == self.baseline => Some(Arm::Baseline),
            _ => None,
        }
    }
}
