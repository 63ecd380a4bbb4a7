//! Tells those who want to know it how the judge's mind has changed.

use serde_json::json;

use super::controller::RolloutController;
use super::view;
use super::view::RolloutView;
use crate::outbound::notify::Notification;
use crate::rollout::event::EventWord;

impl RolloutController {
    /// Tells what is new and due.
    pub(crate) fn tell_verdicts(&mut self, id: u64) {
        let now = self.now();
        let Some(run) = self.running.get_mut(&id) else { return };
        let news = run.news.due(now);
        let Some(last) = news.iter().map(|mind| mind.at_ms).max() else { return };
        let view =
            RolloutView { events: Vec::new(), verdicts: Vec::new(), ..RolloutView::of(&run.saved, &run.rollout, now) };
        let text: Vec<&str> = news.iter().map(|mind| mind.text.as_str()).collect();
        let group = run.saved.group.as_ref().map_or(String::new(), |group| format!("group {group}: "));
        let text = format!("{group}{}", text.join("; "));
        let mut json = serde_json::Map::new();
        json.insert("event".to_owned(), json!(EventWord::Verdict.word()));
        json.insert("endpoints".to_owned(), json!([]));
        json.insert("evidence".to_owned(), json!(view::evidence(&run.saved, &run.rollout, run.bake(now))));
        json.insert("verdicts".to_owned(), json!(news));
        json.insert("rollout".to_owned(), serde_json::to_value(view).unwrap_or_default());
        // Not by a number that begins again after a restart.
        let id = format!("{id}-verdict-{last}");
        self.deps.notifier.tell(Notification { event: EventWord::Verdict, id, json, text });
    }
}
