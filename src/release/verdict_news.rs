//! What is to be told of the judge's changes of mind: at most once in a while, and then what it thinks by then.
//!
//! A mind may change four times a second, at the edge of a hint say, and its readers are people. So between two
//! messages there is a pause; what changes meanwhile is told after it, of each service only its last mind, and nothing
//! at all if that is what was told before.

use std::collections::BTreeMap;
use std::time::Duration;

use super::verdict_history::SavedVerdict;

/// Time between two messages about one rollout.
const PAUSE: Duration = Duration::from_secs(10);

/// What is to be told of one rollout.
#[derive(Debug, Default)]
pub(crate) struct VerdictNews {
    told_at: Option<Duration>,
    /// What was told last of each service.
    told: BTreeMap<String, SavedVerdict>,
    /// What changed since, by service.
    waiting: BTreeMap<String, SavedVerdict>,
}

impl VerdictNews {
    /// The judge has changed its mind.
    pub(crate) fn note(&mut self, changes: impl IntoIterator<Item = SavedVerdict>) {
        for change in changes {
            let same = |told: &SavedVerdict| (&told.ruling, &told.why) == (&change.ruling, &change.why);
            if self.told.get(&change.service).is_some_and(same) {
                self.waiting.remove(&change.service);
            } else {
                self.waiting.insert(change.service.clone(), change);
            }
        }
    }

    /// What is to be told now, by service; most often nothing.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<SavedVerdict> {
        if self.waiting.is_empty() || self.told_at.is_some_and(|at| now < at + PAUSE) {
            return Vec::new();
        }
        self.told_at = Some(now);
        let news = std::mem::take(&mut self.waiting);
        self.told.extend(news.clone());
        news.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mind(service: &str, ruling: &str, why: &str) -> SavedVerdict {
        let (service, ruling, why) = (service.to_owned(), ruling.to_owned(), why.to_owned());
        SavedVerdict { at_ms: 0, service, weight: 10.0, ruling, why, text: String::new() }
    }

    fn told(news: &mut VerdictNews, seconds: u64) -> Vec<String> {
        news.due(Duration::from_secs(seconds))
            .into_iter()
            .map(|mind| format!("{} {}", mind.service, mind.why))
            .collect()
    }

    #[test]
    fn a_change_is_told_at_once_and_those_after_it_when_the_pause_is_over() {
        let mut news = VerdictNews::default();
        assert!(told(&mut news, 0).is_empty());
        news.note([mind("shop", "hold", "baking")]);
        assert_eq!(told(&mut news, 1), ["shop baking"]);
        assert!(told(&mut news, 30).is_empty(), "once");
        news.note([mind("shop", "hold", "suspicion")]);
        assert_eq!(told(&mut news, 31), ["shop suspicion"]);
        news.note([mind("shop", "advance", "nothing_against_it"), mind("cart", "hold", "baking")]);
        news.note([mind("shop", "hold", "responses")]);
        assert!(told(&mut news, 40).is_empty());
        assert_eq!(told(&mut news, 41), ["cart baking", "shop responses"]);
    }

    #[test]
    fn a_mind_that_comes_back_is_no_news() {
        let mut news = VerdictNews::default();
        news.note([mind("shop", "hold", "suspicion")]);
        assert_eq!(told(&mut news, 0).len(), 1);
        for _ in 0..1000 {
            news.note([mind("shop", "hold", "baking")]);
            news.note([mind("shop", "hold", "suspicion")]);
        }
        assert!(told(&mut news, 60).is_empty());
    }
}
