//! Where the judge of a rollout has changed its mind.

use std::time::Duration;

use super::active::ActiveRollout;
use super::evidence_view::{EvidenceView, words};
use super::verdict_history::{SavedVerdict, VERDICTS_MAX};
use super::view;
use crate::rollout::judge::{InCharge, Judge};

impl ActiveRollout {
    /// Notes where the judge has changed its mind since the look before.
    pub(crate) fn note_verdicts(&mut self, now: Duration, at_ms: i64) {
        if self.rollout.in_charge() != InCharge::Judge || self.rollout.is_finished() {
            return;
        }
        let bake = self.bake(now);
        let mut decisions = self.saved.services.iter().zip(self.rollout.judges());
        let is_new = |(service, judge): (&String, &Judge)| {
            let (ruling, why) = words(judge.decision(bake));
            let last = self.saved.verdicts.iter().rev().find(|verdict| verdict.service == *service);
            last.is_none_or(|last| last.ruling != ruling || last.why != why)
        };
        // Sentences are made only where something is new.
        if !decisions.any(is_new) {
            return;
        }
        let weight = self.rollout.weight().percent();
        let noted = |found: EvidenceView| {
            let last = self.saved.verdicts.iter().rev().find(|verdict| verdict.service == found.service);
            let new = last.is_none_or(|last| last.ruling != found.ruling || last.why != found.why);
            let EvidenceView { service, ruling, why, sentence: text, .. } = found;
            new.then_some(SavedVerdict { at_ms, service, weight, ruling, why, text })
        };
        let found = view::evidence(&self.saved, &self.rollout, bake);
        let new: Vec<_> = found.into_iter().filter_map(noted).collect();
        let verdicts = &mut self.saved.verdicts;
        verdicts.extend(new.iter().cloned());
        verdicts.drain(..verdicts.len().saturating_sub(VERDICTS_MAX));
        self.news.note(new);
    }
}
