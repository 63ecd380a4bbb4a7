//! The steps of a rollout in which the candidate has no users: what is copied to it, and what came of it.

use std::collections::BTreeMap;

use super::active::ActiveRollout;
use crate::control::rollout_change::MirrorTurn;
use crate::rollout::judge::pair_counts::PairCounts;
use crate::shared::additive::Additive;
use crate::shared::mirror_stats::MirrorTotals;
use crate::stats::Registry;
use crate::table::{MirrorShare, Name, Table, Weight};

impl ActiveRollout {
    /// What came of copies since the last look, by service; none while it does not mirror.
    pub(crate) fn pairs(&mut self, table: &Table) -> Vec<Option<PairCounts>> {
        if self.rollout.mirror().is_none() {
            self.mirrored.clear();
            return vec![None; self.services.len()];
        }
        self.mirrored.resize(self.services.len(), None);
        let counted = |(known, name): (&mut Option<MirrorTotals>, &Name)| {
            let mirror = table.service_named(name)?.mirror.as_ref()?;
            let totals = mirror.stats.totals();
            // What was found before this stage is none of it.
            let before = known.replace(totals)?;
            Some(pair_counts(&totals.since(&before)))
        };
        self.mirrored.iter_mut().zip(&self.services).map(counted).collect()
    }

    /// Pairs of a stage that begins are counted from here on, and not from the next look.
    pub(crate) fn count_pairs_from_now(&mut self, registry: &Registry) {
        let found = |service: &Name| registry.mirror(service, &self.to).totals();
        let copies = self.rollout.mirror().is_some();
        self.mirrored = self.services.iter().filter(|_| copies).map(|service| Some(found(service))).collect();
    }

    /// What of the requests is copied in this stage.
    pub(crate) fn mirror(&self) -> Option<MirrorShare> {
        self.rollout.mirror().map(|share| MirrorShare { to: self.to.clone(), share })
    }

    /// What a move does to the mirrors of its services, which leads to a stage that copies `next`.
    pub(crate) fn mirrors(&self, next: Option<Weight>) -> BTreeMap<Name, MirrorTurn> {
        let to = |share| MirrorShare { to: self.to.clone(), share };
        let turn = next.map(|share| MirrorTurn::Begin(to(share))).or_else(|| self.mirror().map(MirrorTurn::End));
        let each = |turn: MirrorTurn| self.moved_services().map(move |name| (name.clone(), turn.clone()));
        turn.into_iter().flat_map(each).collect()
    }
}

/// What pairs are to the judge.
pub(crate) fn pair_counts(totals: &MirrorTotals) -> PairCounts {
    PairCounts {
        pairs: totals.pairs,
        candidate_failed_alone: totals.candidate_failed_alone,
        baseline_failed_alone: totals.baseline_failed_alone,
        both_failed: totals.both_failed,
        differing: totals.differing,
    }
}
