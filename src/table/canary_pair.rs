//! The two versions of a service, or variants of a flag, that a rollout compares, as a table has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::compiled_flag::Flag;
use super::spec::ServiceSpec;
use super::traffic::Traffic;
use crate::shared::canary_stats::{Arm, CanaryStats, CanaryTerms, SplitEpoch};

/// The two that are compared, under the split in force.
#[derive(Debug)]
pub struct CanaryPair {
    /// Where their requests are counted.
    pub epoch: Arc<SplitEpoch>,
    /// Index of the version under rollout, or of the variant.
    candidate: u16,
    /// Index of the one that it would replace.
    baseline: u16,
    /// Whether requests are judged wherever they go. Of this table: one with other endpoints has to be looked at first.
    judges_all: AtomicBool,
    /// Whether pools may still have to grow to the shares. Of this table: those of a new one may be others.
    fills_pools: AtomicBool,
}

impl CanaryPair {
    /// Of versions. `None` if one of them is gone, or neither has a share; and if variants of a flag are compared.
    pub(crate) fn new(canary: &CanaryStats, spec: &ServiceSpec, traffic: &Traffic) -> Option<Self> {
        if canary.terms().flag.is_some() {
            return None;
        }
        let of = |name: &str| {
            let (index, version) = (0..).zip(&spec.versions).find(|(_, version)| version.name.as_str() == name)?;
            Some((index, traffic.slots.count(&version.name)))
        };
        let (candidate, baseline) = (of(&canary.terms().candidate)?, of(&canary.terms().baseline)?);
        Self::of([candidate, baseline], canary, true)
    }

    /// Of variants of `flag`, as the rule gives them out that is moved. `None` if one of them or the rule is gone, or
    /// neither has a share.
    pub(crate) fn of_variants(canary: &CanaryStats, flag: &Flag) -> Option<Self> {
        let CanaryTerms { candidate, baseline, flag: terms, .. } = canary.terms();
        let slots = flag.state.rules.get(&*terms.as_ref()?.rule)?;
        let of = |name: &str| {
            let index = (0..).zip(&flag.spec.variants).find(|(_, variant)| variant.name.as_str() == name)?.0;
            Some((index, slots.count(name)))
        };
        // Both are served by the same endpoints: pools do not grow because more users get the other one.
        Self::of([of(candidate)?, of(baseline)?], canary, false)
    }

    /// By the index and the slots of the candidate and of the baseline.
    fn of([candidate, baseline]: [(u16, u32); 2], canary: &CanaryStats, fills_pools: bool) -> Option<Self> {
        let epoch = (candidate.1 + baseline.1 > 0).then(|| canary.epoch([candidate.1, baseline.1]))?;
        let (judges_all, fills_pools) = (AtomicBool::new(false), AtomicBool::new(fills_pools));
        Some(Self { epoch, candidate: candidate.0, baseline: baseline.0, judges_all, fills_pools })
    }

    /// Whether the rollout that it is of has ended.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.epoch.is_over()
    }

    /// Whether the candidate has replaced the baseline. A rollout that went back, and one that is to be taken up again,
    /// leaves the baseline what users rely on, also for requests of the tables before, which know of the end already.
    #[must_use]
    pub(crate) fn is_replaced(&self) -> bool {
        self.epoch.is_replaced()
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

    /// The index of the one of the two, and of the other one.
    #[must_use]
    pub fn versions(&self, arm: Arm) -> [u16; 2] {
        match arm {
            Arm::Candidate => [self.candidate, self.baseline],
            Arm::Baseline => [self.baseline, self.candidate],
        }
    }

    /// Which of the two a version, or a variant, is.
    #[must_use]
    pub fn arm(&self, index: u16) -> Option<Arm> {
        match index {
            index if index == self.candidate => Some(Arm::Candidate),
            index if index == self.baseline => Some(Arm::Baseline),
            _ => None,
        }
    }
}
