//! What is told of runs: to those who are notified of rollouts, by words of their own.

use serde_json::{Map, Value, json};

use super::chaos_controller::ChaosController;
use super::saved_chaos::SavedChaos;
use crate::outbound::notify::Notification;
use crate::rollout::event::EventWord;

impl ChaosController {
    /// A run has begun.
    pub(super) fn tell_start(&self, saved: &SavedChaos) {
        let record = &saved.record;
        let by = record.author.as_deref().unwrap_or("nobody");
        let text = format!("chaos run {} of {} on {} has begun (by {by})", record.id, record.name, record.service);
        self.tell(EventWord::ChaosStarted, saved, text);
    }

    /// A run has ended.
    pub(super) fn tell_end(&self, id: u64) {
        if let Some(saved) = self.over.get(&id) {
            self.tell(EventWord::ChaosEnded, saved, format!("chaos run {id}: {}", saved.record.sentence));
        }
    }

    /// What a command did could not be undone.
    pub(super) fn tell_stuck(&self, id: u64) {
        let Some(saved) = self.over.get(&id) else { return };
        let error = saved.record.undo.as_ref().and_then(|undo| undo.error.as_deref()).unwrap_or("for no known reason");
        let name = &saved.record.name;
        let text = format!(
            "chaos run {id} of {name} is not undone: {error}; mend it, then `pointsman chaos stop {id}` tries again"
        );
        self.tell(EventWord::ChaosStuck, saved, text);
    }

    fn tell(&self, event: EventWord, saved: &SavedChaos, text: String) {
        let json: Map<String, Value> = [
            ("event".to_owned(), json!(event.word())),
            ("chaos".to_owned(), serde_json::to_value(&saved.record).unwrap_or_default()),
        ]
        .into_iter()
        .collect();
        // The number of tries makes a second story of the same run a message of its own.
        let tries = saved.record.undo.as_ref().map_or(0, |undo| undo.tries);
        let id = format!("chaos-{}-{}-{tries}", saved.record.id, event.word());
        self.deps.notifier.tell(Notification { event, id, json, text });
    }
}
