//! Another process takes over: a fault must not outlive this one's part in it, and the records go with the store.
//!
//! What runs ends as if the process ended, which it is about to. What is to be undone is left to the new process, which
//! finds it in the store: two that undo at the same time would get in each other's way.

use super::chaos_controller::ChaosController;
use crate::chaos::chaos_ending::ChaosEndedBy;

impl ChaosController {
    /// Ends all runs, stores them, and begins nothing any more.
    pub(super) async fn release(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.end(id, ChaosEndedBy::Restart, None);
        }
        // Dropped, a command that undoes is ended; it is right to run it twice.
        self.undoing.clear();
        self.finish_look().await;
        self.lent = true;
    }

    /// Goes on with what is in the store: the new process may have undone something, and ended again.
    pub(super) async fn take_back(&mut self) {
        if !std::mem::replace(&mut self.lent, false) {
            return;
        }
        self.over.clear();
        self.unkept.clear();
        self.last_id = None;
        self.restore().await;
    }
}
