//! What the users of a game saw, one by one. Pure: answers go in, counts and dots come out.

use std::collections::VecDeque;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use crate::cli::demo::shop_version::ShopVersion;
use crate::cli::demo::tally::{Answer, AnswerCount};
use crate::cli::demo::visit_error::{VisitError, VisitFailure};

/// How far back "now" reaches.
const NOW: Duration = Duration::from_secs(3);

/// How many answers of v1 say how long it usually takes.
const USUAL_MIN: usize = 20;

/// What is bad about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserHarm {
    /// There is none, or it is an error.
    Failed,
    /// A page that is there is not found.
    WrongPage,
    /// It took too long.
    Slow,
}

/// A user.
#[derive(Clone, Copy, Debug, Default)]
struct GameUser {
    /// The version of the last answer that named one.
    version: Option<ShopVersion>,
    hurt_before: bool,
    hurt_now: bool,
    reached: bool,
}

/// An answer of the last seconds.
#[derive(Clone, Copy, Debug)]
struct GameSample {
    at: Instant,
    took: Duration,
    version: Option<ShopVersion>,
    hurt: bool,
}

/// The counts of one release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GameCounts {
    /// Requests that were answered or failed.
    pub(crate) requests: u64,
    /// Answers that hurt: all kinds together.
    pub(crate) hurt_answers: u64,
    /// No answer, or an error.
    pub(crate) failed: u64,
    /// Not found, and yet there.
    pub(crate) wrong_page: u64,
    /// Too late.
    pub(crate) slow: u64,
    /// Users that were hurt at least once.
    pub(crate) users_hurt: usize,
    /// Users that were on v2 at least once.
    pub(crate) users_reached: usize,
    /// Users that are on v2 now.
    pub(crate) users_on_v2: usize,
}

/// A version in the last seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct GameRecent {
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Which part of them hurt, 0 to 1.
    pub(crate) hurt_ratio: f64,
    /// The median time of an answer, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
}

/// All counts.
#[derive(Debug)]
pub(crate) struct GameTally {
    users: Vec<GameUser>,
    recent: VecDeque<GameSample>,
    /// Longer is too long; more than that where the machine is busy, and v1 is late as well.
    slow: Duration,
    slow_least: Duration,
    counts: GameCounts,
    /// The first and the last answer of v2.
    on_v2: Option<(Instant, Instant)>,
}

impl GameTally {
    /// Nothing counted yet; an answer that takes longer than `slow`, and than twice what v1 takes, hurts.
    pub(crate) fn new(users: usize, slow: Duration) -> Self {
        let (recent, counts) = (VecDeque::new(), GameCounts::default());
        Self { users: vec![GameUser::default(); users], recent, slow, slow_least: slow, counts, on_v2: None }
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> GameCounts {
        let users_on_v2 = self.users.iter().filter(|user| user.version == Some(ShopVersion::V2)).count();
        GameCounts { users_on_v2, ..self.counts }
    }

    /// How long there were users on v2.
    pub(crate) fn time_on_v2(&self) -> Duration {
        self.on_v2.map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first))
    }

    /// A character for each user: `-` nothing yet; `1` or `2` the version, and never hurt; `a` or `b` the same, and the
    /// last answer hurt; `c` or `d`, and an earlier one did.
    pub(crate) fn dots(&self) -> String {
        self.users.iter().map(GameUser::dot).collect()
    }

    /// A version in the last seconds before `now`.
    pub(crate) fn recent(&self, version: ShopVersion, now: Instant) -> GameRecent {
        let of_version = || self.of(version, now);
        let mut took: Vec<Duration> = of_version().map(|sample| sample.took).collect();
        let (count, hurt) = (took.len(), of_version().filter(|sample| sample.hurt).count());
        GameRecent {
            per_second: ratio(count, NOW.as_secs_f64()),
            hurt_ratio: ratio(hurt, ratio(count.max(1), 1.0)),
            p50_ms: middle(&mut took).map(|took| took.as_secs_f64() * 1_000.0),
        }
    }

    fn of(&self, version: ShopVersion, now: Instant) -> impl Iterator<Item = &GameSample> {
        let young = move |sample: &&GameSample| now.saturating_duration_since(sample.at) <= NOW;
        self.recent.iter().filter(young).filter(move |sample| sample.version == Some(version))
    }

    /// How long is too long, as long as v1 answers; afterwards it stays.
    fn see_usual(&mut self, now: Instant) {
        let mut took: Vec<Duration> = self.of(ShopVersion::V1, now).map(|sample| sample.took).collect();
        if took.len() >= USUAL_MIN {
            self.slow = middle(&mut took).map_or(self.slow, |usual| (usual * 2).max(self.slow_least));
        }
    }

    fn see_version(&mut self, user: usize, version: ShopVersion, at: Instant) {
        let user = &mut self.users[user];
        user.version = Some(version);
        if version == ShopVersion::V2 {
            self.counts.users_reached += usize::from(!std::mem::replace(&mut user.reached, true));
            self.on_v2 = Some(self.on_v2.map_or((at, at), |(first, last)| (first, last.max(at))));
        }
    }

    fn see_harm(&mut self, user: usize, harm: Option<UserHarm>) {
        let user = &mut self.users[user];
        user.hurt_now = harm.is_some();
        let Some(harm) = harm else { return };
        self.counts.users_hurt += usize::from(!std::mem::replace(&mut user.hurt_before, true));
        self.counts.hurt_answers += 1;
        match harm {
            UserHarm::Failed => self.counts.failed += 1,
            UserHarm::WrongPage => self.counts.wrong_page += 1,
            UserHarm::Slow => self.counts.slow += 1,
        }
    }
}

impl GameUser {
    fn dot(&self) -> char {
        match (self.version, self.hurt_now, self.hurt_before) {
            (None, false, false) => '-',
            (Some(ShopVersion::V2), false, false) => '2',
            (Some(ShopVersion::V2), true, _) => 'b',
            (Some(ShopVersion::V2), false, true) => 'd',
            (Some(ShopVersion::V1), false, false) => '1',
            (Some(ShopVersion::V1) | None, true, _) => 'a',
            (Some(ShopVersion::V1) | None, false, true) => 'c',
        }
    }
}

impl AnswerCount for GameTally {
    fn step_now(&self) -> u64 {
        0
    }

    fn count(&mut self, answer: Answer) {
        let Answer { user, at, took, .. } = answer;
        let harm = harm(&answer.result.as_ref().map(drop), took, self.slow);
        let told = match &answer.result {
            Ok(seen) => Some(seen.version),
            Err(VisitError::Failed { why: VisitFailure::Status { version, .. }, .. }) => *version,
            Err(_) => None,
        };
        if let Some(version) = told {
            self.see_version(user, version, at);
        }
        self.see_harm(user, harm);
        self.counts.requests += 1;
        // Of an answer that names no version, it is the one that the user had.
        self.recent.push_back(GameSample { at, took, version: self.users[user].version, hurt: harm.is_some() });
        while self.recent.front().is_some_and(|oldest| at.saturating_duration_since(oldest.at) > NOW) {
            self.recent.pop_front();
        }
        if told == Some(ShopVersion::V1) {
            self.see_usual(at);
        }
    }
}

/// The one in the middle.
fn middle(took: &mut [Duration]) -> Option<Duration> {
    let middle = took.len() / 2;
    (!took.is_empty()).then(|| *took.select_nth_unstable(middle).1)
}

/// What is bad about an answer, if anything is.
fn harm(result: &Result<(), &VisitError>, took: Duration, slow: Duration) -> Option<UserHarm> {
    match result {
        Ok(()) => (took > slow).then_some(UserHarm::Slow),
        Err(VisitError::Failed { why: VisitFailure::Status { status: StatusCode::NOT_FOUND, .. }, .. }) => {
            Some(UserHarm::WrongPage)
        }
        Err(_) => Some(UserHarm::Failed),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds, far below 2^52")]
fn ratio(count: usize, of: f64) -> f64 {
    count as f64 / of
}

#[cfg(test)]
mod tests {
    use super::super::super::tally::SeenVersion;
    use super::*;

    const SLOW: Duration = Duration::from_millis(130);

    struct Page {
        tally: GameTally,
        begun: Instant,
    }

    impl Page {
        fn new(users: usize) -> Self {
            Self { tally: GameTally::new(users, SLOW), begun: Instant::now() }
        }

        fn count(&mut self, millis: u64, user: usize, took: u64, result: Result<ShopVersion, VisitFailure>) {
            let result = result
                .map(|version| SeenVersion { version, revision: None, has_flag: false })
                .map_err(|why| VisitError::Failed { request: "GET /".to_owned(), why });
            let (at, took) = (self.begun + Duration::from_millis(millis), Duration::from_millis(took));
            self.tally.count(Answer { user, step: 0, at, took, result });
        }
    }

    fn status(status: StatusCode, version: Option<ShopVersion>) -> VisitFailure {
        VisitFailure::Status { status, line: String::new(), version }
    }

    #[test]
    fn a_user_is_hurt_by_an_error_a_wrong_page_or_a_late_one() {
        let mut page = Page::new(6);
        page.count(0, 0, 60, Ok(ShopVersion::V1));
        page.count(10, 1, 60, Ok(ShopVersion::V2));
        page.count(20, 2, 131, Ok(ShopVersion::V2));
        page.count(30, 3, 60, Err(status(StatusCode::NOT_FOUND, Some(ShopVersion::V2))));
        page.count(40, 4, 60, Err(status(StatusCode::BAD_GATEWAY, None)));
        assert_eq!(page.tally.dots(), "12bba-");
        let counts = page.tally.counts();
        assert_eq!((counts.failed, counts.wrong_page, counts.slow, counts.hurt_answers), (1, 1, 1, 3));
        assert_eq!((counts.requests, counts.users_hurt, counts.users_reached, counts.users_on_v2), (5, 3, 3, 3));
    }

    #[test]
    fn a_user_that_was_hurt_stays_so_and_counts_once() {
        let mut page = Page::new(2);
        page.count(0, 0, 500, Ok(ShopVersion::V2));
        page.count(10, 0, 500, Ok(ShopVersion::V2));
        page.count(2_010, 0, 60, Ok(ShopVersion::V2));
        assert_eq!(page.tally.dots(), "d-");
        page.count(4_010, 0, 60, Ok(ShopVersion::V1));
        assert_eq!(page.tally.dots(), "c-");
        let counts = page.tally.counts();
        assert_eq!((counts.users_hurt, counts.hurt_answers, counts.users_reached, counts.users_on_v2), (1, 2, 1, 0));
        assert_eq!(page.tally.time_on_v2(), Duration::from_millis(2_010));
    }

    #[test]
    fn where_v1_is_late_as_well_it_is_the_machine() {
        let mut page = Page::new(2);
        for index in 0..USUAL_MIN as u64 {
            page.count(index, 0, 100, Ok(ShopVersion::V1));
        }
        page.count(30, 1, 190, Ok(ShopVersion::V2));
        assert_eq!(page.tally.dots(), "12", "twice 100 ms is not too long yet");
        page.count(40, 1, 210, Ok(ShopVersion::V2));
        assert_eq!(page.tally.dots(), "1b");
        page.count(9_000, 1, 190, Ok(ShopVersion::V2));
        assert_eq!(page.tally.dots(), "1d", "what v1 took is remembered when it has no users");
    }

    #[test]
    fn the_last_seconds_are_told_by_version() {
        let mut page = Page::new(2);
        page.count(0, 1, 60, Ok(ShopVersion::V2));
        for index in 0..30 {
            page.count(5_000 + index * 100, 0, 60 + index, Ok(ShopVersion::V1));
        }
        page.count(7_900, 1, 200, Ok(ShopVersion::V2));
        let now = page.begun + Duration::from_millis(7_950);
        let [v1, v2] = ShopVersion::ALL.map(|version| page.tally.recent(version, now));
        assert_eq!((v1.per_second, v1.hurt_ratio, v1.p50_ms), (10.0, 0.0, Some(75.0)));
        assert_eq!((v2.hurt_ratio, v2.p50_ms), (1.0, Some(200.0)));
        let later = page.tally.recent(ShopVersion::V2, now + Duration::from_secs(9));
        assert_eq!(later, GameRecent { per_second: 0.0, hurt_ratio: 0.0, p50_ms: None });
    }
}
