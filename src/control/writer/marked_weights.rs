//! Who set the weights in force, and which commits were taken back: planned, taken in and told.

use std::sync::Arc;

use tokio::sync::watch;

use super::super::handle::ChangeRequest;
use super::super::mark_change::{self, NextRevision};
use super::super::planned::Planned;
use super::super::weight_marks::{PlannedMarks, WeightFacts};
use super::Writer;

/// What the writer tells others, whenever it changes.
#[derive(Clone, Debug)]
pub(crate) struct WriterWatches {
    /// Why nothing can be written to the store; none while it can, as far as is known.
    pub(crate) store_problem: watch::Receiver<Option<String>>,
    /// Who set the weights in force, and which commits were taken back.
    pub(crate) weights: watch::Receiver<Arc<WeightFacts>>,
}

impl Writer {
    /// What it tells others.
    #[must_use]
    pub(crate) fn watches(&self) -> WriterWatches {
        WriterWatches { store_problem: self.store_problem.subscribe(), weights: self.weights.subscribe() }
    }

    /// The marks of a change after which `revision` is in force.
    pub(super) fn marks(&self, request: &ChangeRequest, planned: &Planned, revision: u64) -> PlannedMarks {
        let next = NextRevision { number: revision, at_ms: jiff::Timestamp::now().as_millisecond() };
        mark_change::plan(&self.state, request, planned, next)
    }

    /// Takes them in. What the file says counts for them too.
    pub(super) fn enter_marks(&mut self, planned: &mut Planned) {
        let marks = std::mem::take(&mut planned.marks);
        for (commit, rejected) in &marks.next.rejected {
            let (author, reason) = (&rejected.author, &rejected.reason);
            tracing::warn!(commit, author, reason, "the commit is rejected: its weights were taken back");
        }
        if !marks.is_empty() || !planned.intent.is_empty() || !planned.flags.intent.is_empty() {
            self.state.marks.enter(marks);
            self.tell_weights();
        }
    }

    /// Tells what is known of the weights in force.
    pub(super) fn tell_weights(&self) {
        self.weights.send_replace(Arc::new(mark_change::facts(&self.state)));
    }
}
