//! How many requests a second a shop gets just now. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// How far back "now" reaches: a request that came so long ago counts for a third of a new one.
const MEMORY: Duration = Duration::from_secs(1);

/// The load of the last second or so, where older requests fade.
#[derive(Debug, Default)]
pub(crate) struct ShopLoad {
    rate: f64,
    last: Option<Instant>,
    down_until: Option<Instant>,
}

impl ShopLoad {
    /// Counts a request, and says how many a second there are with it.
    pub(crate) fn arrive(&mut self, now: Instant) -> f64 {
        let since = self.last.replace(now).map_or(MEMORY, |last| now.saturating_duration_since(last));
        self.rate = self.rate * (-since.as_secs_f64() / MEMORY.as_secs_f64()).exp() + 1.0 / MEMORY.as_secs_f64();
        self.rate
    }

    /// Breaks down for this long.
    pub(crate) fn break_down(&mut self, now: Instant, lasts: Duration) {
        self.down_until = Some(now + lasts);
    }

    /// Whether it has broken down and is not back.
    pub(crate) fn is_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_that_of_the_last_second() {
        let (mut load, begun) = (ShopLoad::default(), Instant::now());
        let mut at = |millis: u64| load.arrive(begun + Duration::from_millis(millis));
        let busy = (0..500).map(|index| at(index * 10)).last().unwrap();
        assert!((95.0..105.0).contains(&busy), "{busy}");
        let quiet = (0..50).map(|index| at(5_000 + index * 100)).last().unwrap();
        assert!((9.0..12.0).contains(&quiet), "what was before has faded: {quiet}");
    }

    #[test]
    fn it_comes_back() {
        let (mut load, begun) = (ShopLoad::default(), Instant::now());
        assert!(!load.is_down(begun));
        load.break_down(begun, Duration::from_secs(2));
        assert!(load.is_down(begun + Duration::from_secs(1)) && !load.is_down(begun + Duration::from_secs(2)));
    }
}
