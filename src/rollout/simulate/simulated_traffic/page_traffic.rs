//! Traffic in which the versions differ on one page.

use rand::Rng;

use super::super::world::SimulatedWorld;
use super::{Odds, binomial, strangers};
use crate::rollout::judge::evidence::RouteCounts;
use crate::rollout::judge::{CandidateShare, EpochCounts, PerVersion, Side};
use crate::shared::additive::Additive;

/// Requests of strangers of which a part are for one page, where alone the versions differ.
pub(super) struct PageTraffic<'o> {
    pub(super) odds: &'o Odds,
    pub(super) part: f64,
    pub(super) share: CandidateShare,
}

impl PageTraffic<'_> {
    /// What becomes of this number of requests: all of them, and those for the page.
    pub(super) fn of(
        &self,
        world: &SimulatedWorld,
        requests: u64,
        random: &mut impl Rng,
    ) -> (EpochCounts, RouteCounts) {
        let for_page = binomial(requests, self.part, random);
        let usual = Odds::usual(world, self.odds);
        let mut counts = strangers(&usual, requests - for_page, self.share, random);
        let page = strangers(self.odds, for_page, self.share, random);
        for side in [Side::Candidate, Side::Baseline] {
            counts.outcomes.of_mut(side).add(page.outcomes.of(side));
            counts.latencies.of_mut(side).add(page.latencies.of(side));
            counts.responses.of_mut(side).add(page.responses.of(side));
        }
        let EpochCounts { share, outcomes, latencies, .. } = page;
        (counts, RouteCounts { number: 0, share, outcomes, latencies })
    }
}

impl Odds {
    /// The same where the candidate is as good as the baseline.
    fn usual(world: &SimulatedWorld, odds: &Self) -> Self {
        let of_baseline = |of: &PerVersion<f64>| PerVersion { candidate: of.baseline, baseline: of.baseline };
        let shift = odds.shift.map(|shift| {
            let slower = odds.slower.candidate.ln() / world.spread;
            PerVersion { candidate: shift.candidate - slower, ..shift }
        });
        Self {
            failing: of_baseline(&odds.failing),
            not_found: of_baseline(&odds.not_found),
            shift,
            slower: of_baseline(&odds.slower),
        }
    }
}
