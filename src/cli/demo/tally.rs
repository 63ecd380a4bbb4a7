//! The counts of what the users saw. Pure: answers and times go in, numbers come out.
//!
//! Two questions are asked of it. The live view wants to know how many users the newest revision has moved; the answers
//! themselves say which revision routed them, so that is exact even when another caller changed the split. The scripted
//! walk must not trust the proxy's own stamp: it cuts time into *steps*, one from just before a change is asked for
//! until it was answered, in which either version is right, and one after it, in which only the new assignment is. A
//! request belongs to the step in which it was sent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::chain;
use super::shop_version::ShopVersion;
use super::visit_error::VisitError;

/// How far back "now" reaches in the live view: long enough for a steady split of 1,500 requests/s (a standard error of
/// half a point), short enough to see a flip happen.
pub(crate) const WINDOW: Duration = Duration::from_secs(3);

/// One request and how it went.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who sent it.
    pub(crate) user: usize,
    /// The step in which it was sent.
    pub(crate) step: u64,
    /// When its answer was complete.
    pub(crate) at: Instant,
    /// How long that took.
    pub(crate) took: Duration,
    /// Who answered, or why there is no answer.
    pub(crate) result: Result<SeenVersion, VisitError>,
}

/// What the answers are told to.
pub(crate) trait AnswerCount: Send + 'static {
    /// The step that requests are sent in now.
    fn step_now(&self) -> u64;

    /// Counts an answer. Those of one user come in the order of his requests.
    fn count(&mut self, answer: Answer);
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenVersion {
    /// The version.
    pub(crate) version: ShopVersion,
    /// The revision that routed the request, when it was stamped.
    pub(crate) revision: Option<u64>,
    /// Whether the shop was told that the user has the flag.
    pub(crate) has_flag: bool,
}

/// All counts.
#[derive(Debug)]
pub(crate) struct Tally {
    users: Vec<User>,
    recent: VecDeque<Sample>,
    begun: Instant,
    revision: RevisionCounts,
    step: StepCounts,
    requests: u64,
    failed: u64,
    last_failure: Option<String>,
}

/// What is known about one user.
#[derive(Clone, Copy, Debug, Default)]
struct User {
    /// The version of the last answer.
    last: Option<ShopVersion>,
    /// The version before the change.
    before: Option<ShopVersion>,
    /// The version in this step.
    now: Option<ShopVersion>,
    /// Whether the user had the flag, of the last answer in this step.
    has_flag: bool,
    /// Got both versions within this step, or the flag and not.
    torn: bool,
    /// Got v1 after v2 since the change was asked for.
    went_back: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    took: Duration,
    version: Option<ShopVersion>,
}

/// What the newest revision that was seen has done to the users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RevisionCounts {
    /// Its number.
    pub(crate) revision: u64,
    /// Users that got another version than before.
    pub(crate) moved: usize,
    /// Those of them that went from v2 to v1.
    pub(crate) went_back: usize,
}

/// What the requests of one step saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepCounts {
    /// Its number.
    pub(crate) step: u64,
    /// Answers by version.
    pub(crate) answers: [u64; 2],
    /// Users that were answered.
    pub(crate) seen: usize,
}

/// One version in the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct VersionRates {
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Share of all answers, in per cent.
    pub(crate) percent: f64,
    /// The median latency.
    pub(crate) p50: Option<Duration>,
    /// The latency that one answer in a hundred exceeds.
    pub(crate) p99: Option<Duration>,
    /// Users whose last answer came from it.
    pub(crate) users: usize,
}

/// What the live view shows of the users.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// By version.
    pub(crate) versions: [VersionRates; 2],
    /// Requests a second, with those that failed.
    pub(crate) per_second: f64,
    /// Requests that failed since the start.
    pub(crate) failed: u64,
    /// Why the last one did.
    pub(crate) last_failure: Option<String>,
    /// What the newest revision did.
    pub(crate) revision: RevisionCounts,
}

impl Tally {
    /// Nothing counted yet.
    pub(crate) fn new(users: usize, begun: Instant) -> Self {
        Self {
            users: vec![User::default(); users],
            recent: VecDeque::new(),
            begun,
            revision: RevisionCounts::default(),
            step: StepCounts::default(),
            requests: 0,
            failed: 0,
            last_failure: None,
        }
    }

    fn count_for_revision(&mut self, user: usize, seen: SeenVersion) {
        if let Some(revision) = seen.revision.filter(|revision| *revision > self.revision.revision) {
            self.revision = RevisionCounts { revision, ..RevisionCounts::default() };
        }
        let last = self.users[user].last.replace(seen.version);
        if last.is_some_and(|last| last != seen.version) {
            self.revision.moved += 1;
            self.revision.went_back += usize::from(seen.version == ShopVersion::V1);
            self.users[user].went_back |= seen.version == ShopVersion::V1;
        }
    }

    fn count_for_step(&mut self, user: usize, seen: SeenVersion) {
        self.step.answers[seen.version as usize] += 1;
        let user = &mut self.users[user];
        self.step.seen += usize::from(user.now.is_none());
        user.torn |= user.now.is_some_and(|now| (now, user.has_flag) != (seen.version, seen.has_flag));
        (user.now, user.has_flag) = (Some(seen.version), seen.has_flag);
    }

    fn forget_before(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|oldest| now.duration_since(oldest.at) > WINDOW) {
            self.recent.pop_front();
        }
    }

    /// The step that requests are sent in now.
    pub(crate) fn step(&self) -> StepCounts {
        self.step
    }

    /// Begins the step in which a change is asked for: what was seen last becomes what users had before.
    pub(crate) fn begin_change(&mut self) {
        for user in &mut self.users {
            *user = User { last: user.last, before: user.now.or(user.before), ..User::default() };
        }
        self.begin_step();
    }

    /// Begins the step after the answer to a change. What was seen while it was under way is no longer the version that
    /// users have, but a user who went back then did go back.
    pub(crate) fn settle(&mut self) {
        for user in &mut self.users {
            *user = User { now: None, has_flag: false, torn: false, ..*user };
        }
        self.begin_step();
    }

    fn begin_step(&mut self) {
        self.step = StepCounts { step: self.step.step + 1, ..StepCounts::default() };
    }

    /// Requests so far, with those that failed.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Users that have another version in this step than before the change.
    pub(crate) fn moved(&self) -> usize {
        self.users.iter().filter(|user| user.now.zip(user.before).is_some_and(|(now, before)| now != before)).count()
    }

    /// Users that got v1 after v2 since the last change was asked for.
    pub(crate) fn went_back(&self) -> usize {
        self.users.iter().filter(|user| user.went_back).count()
    }

    /// Users that were not served by exactly the version `wanted` throughout this step.
    pub(crate) fn not_on(&self, wanted: impl Fn(usize) -> Option<ShopVersion>) -> usize {
        self.users.iter().enumerate().filter(|(index, user)| user.torn || user.now != wanted(*index)).count()
    }

    /// The version of each user in this step.
    pub(crate) fn assignment(&self) -> Vec<Option<ShopVersion>> {
        self.users.iter().map(|user| user.now).collect()
    }

    /// Which users had the flag in this step, by version: those who had it, and all of the version.
    pub(crate) fn with_flag(&self) -> [(usize, usize); 2] {
        ShopVersion::ALL.map(|version| {
            let users = || self.users.iter().filter(|user| user.now == Some(version));
            (users().filter(|user| user.has_flag).count(), users().count())
        })
    }

    /// Users that did not have the same flag throughout this step.
    pub(crate) fn torn(&self) -> usize {
        self.users.iter().filter(|user| user.torn).count()
    }

    /// Whether a user had the flag in this step.
    pub(crate) fn has_flag(&self, user: usize) -> bool {
        self.users.get(user).is_some_and(|user| user.has_flag)
    }

    /// Why the last request that failed did.
    pub(crate) fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// What the last seconds before `now` looked like.
    pub(crate) fn rates(&mut self, now: Instant) -> Rates {
        self.forget_before(now);
        let seconds = now.duration_since(self.begun).min(WINDOW).as_secs_f64().max(0.001);
        let answered = self.recent.iter().filter(|sample| sample.version.is_some()).count();
        Rates {
            versions: ShopVersion::ALL.map(|version| self.version_rates(version, seconds, answered)),
            per_second: ratio(self.recent.len(), seconds),
            failed: self.failed,
            last_failure: self.last_failure.clone(),
            revision: self.revision,
        }
    }

    fn version_rates(&self, version: ShopVersion, seconds: f64, answered: usize) -> VersionRates {
        let samples = self.recent.iter().filter(|sample| sample.version == Some(version));
        let mut took: Vec<_> = samples.map(|sample| sample.took).collect();
        VersionRates {
            per_second: ratio(took.len(), seconds),
            percent: if answered == 0 { 0.0 } else { 100.0 * ratio(took.len(), ratio(answered, 1.0)) },
            p50: quantile(&mut took, 50),
            p99: quantile(&mut took, 99),
            users: self.users.iter().filter(|user| user.last == Some(version)).count(),
        }
    }
}

impl AnswerCount for Tally {
    fn step_now(&self) -> u64 {
        self.step.step
    }

    fn count(&mut self, answer: Answer) {
        let version = answer.result.as_ref().ok().map(|seen| seen.version);
        self.recent.push_back(Sample { at: answer.at, took: answer.took, version });
        self.forget_before(answer.at);
        self.requests += 1;
        match answer.result {
            Ok(seen) => {
                self.count_for_revision(answer.user, seen);
                if answer.step == self.step.step {
                    self.count_for_step(answer.user, seen);
                }
            }
            Err(error) => {
                self.failed += 1;
                self.last_failure = Some(chain(&error));
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds, far below 2^52")]
fn ratio(count: usize, of: f64) -> f64 {
    count as f64 / of
}

/// The `percent`-th percentile; none of nothing.
fn quantile(took: &mut [Duration], percent: usize) -> Option<Duration> {
    let rank = (took.len() * percent).div_ceil(100).checked_sub(1)?;
    Some(*took.select_nth_unstable(rank).1)
}

#[cfg(test)]
mod tests {
    use super::super::visit_error::VisitFailure;
    use super::ShopVersion::{V1, V2};
    use super::*;

    struct Seat {
        tally: Tally,
        begun: Instant,
    }

    impl Seat {
        fn new(users: usize) -> Self {
            let begun = Instant::now();
            Self { tally: Tally::new(users, begun), begun }
        }

        fn at(&mut self, millis: u64, user: usize, step: u64, result: Result<(ShopVersion, u64), &str>) {
            let result =
                result.map(|(version, revision)| SeenVersion { version, revision: Some(revision), has_flag: false });
            let at = self.begun + Duration::from_millis(millis);
            let took = Duration::from_millis(millis % 100);
            let failed = |why: &str| VisitError::Failed {
                request: "GET /".to_owned(),
                why: VisitFailure::Connect(std::io::Error::other(why.to_owned())),
            };
            self.tally.count(Answer { user, step, at, took, result: result.map_err(failed) });
        }

        fn see(&mut self, user: usize, step: u64, version: ShopVersion) {
            self.at(0, user, step, Ok((version, 1)));
        }
    }

    #[test]
    fn a_step_counts_only_what_was_sent_in_it() {
        let mut seat = Seat::new(4);
        for user in 0..4 {
            seat.see(user, 0, V1);
        }
        assert_eq!((seat.tally.moved(), seat.tally.step().seen), (0, 4));
        seat.tally.begin_change();
        seat.tally.settle();
        seat.see(0, 0, V1);
        assert_eq!(seat.tally.step(), StepCounts { step: 2, ..StepCounts::default() }, "sent before the step");
        seat.see(0, 2, V2);
        seat.see(1, 2, V1);
        seat.see(0, 2, V2);
        assert_eq!(seat.tally.step(), StepCounts { step: 2, answers: [1, 2], seen: 2 });
        assert_eq!((seat.tally.moved(), seat.tally.went_back()), (1, 0));
        assert_eq!(seat.tally.assignment(), [Some(V2), Some(V1), None, None]);
        assert_eq!(seat.tally.not_on(|user| Some(if user == 0 { V2 } else { V1 })), 2, "two were not seen");
    }

    #[test]
    fn who_moved_while_the_change_was_under_way_has_moved() {
        let mut seat = Seat::new(2);
        for user in 0..2 {
            seat.see(user, 0, V1);
        }
        seat.tally.begin_change();
        for version in [V1, V2] {
            seat.see(0, 1, version);
        }
        seat.tally.settle();
        for user in 0..2 {
            seat.see(user, 2, V2);
        }
        assert_eq!((seat.tally.moved(), seat.tally.went_back()), (2, 0));
        assert_eq!(seat.tally.not_on(|_| Some(V2)), 0, "both versions were right until the answer");
    }

    #[test]
    fn going_back_and_to_and_fro_is_noticed() {
        let mut seat = Seat::new(4);
        for (user, version) in [(0, V2), (1, V1), (2, V1), (3, V1)] {
            seat.see(user, 0, version);
        }
        seat.tally.begin_change();
        seat.see(3, 1, V2);
        seat.tally.settle();
        seat.see(0, 2, V1);
        for version in [V1, V2, V1] {
            seat.see(1, 2, version);
        }
        seat.see(2, 2, V2);
        seat.see(3, 2, V1);
        assert_eq!(seat.tally.went_back(), 3, "one since the step before, one within this step, one during the change");
        assert_eq!(seat.tally.moved(), 2);
        assert_eq!(seat.tally.not_on(|user| Some([V1, V1, V2, V1][user])), 1, "the one that got both");
    }

    #[test]
    fn a_user_that_was_not_seen_keeps_the_version_of_earlier_steps() {
        let mut seat = Seat::new(1);
        seat.see(0, 0, V2);
        for _ in 0..2 {
            seat.tally.begin_change();
            seat.tally.settle();
        }
        seat.see(0, 4, V1);
        assert_eq!((seat.tally.moved(), seat.tally.went_back()), (1, 1));
    }

    #[test]
    fn a_failure_counts_whenever_it_was_sent_and_moves_nobody() {
        let mut seat = Seat::new(2);
        seat.see(0, 0, V1);
        seat.tally.begin_change();
        seat.at(0, 0, 0, Err("reset"));
        assert_eq!((seat.tally.requests(), seat.tally.failed()), (2, 1));
        assert_eq!((seat.tally.moved(), seat.tally.step().seen), (0, 0));
        assert_eq!(seat.tally.last_failure(), Some("GET /: reset"));
    }

    #[test]
    fn moves_belong_to_the_revision_that_made_them() {
        let mut seat = Seat::new(2);
        for (user, version, revision) in [(0, V1, 1), (1, V2, 1), (0, V2, 2), (0, V2, 2), (1, V1, 2)] {
            seat.at(0, user, 0, Ok((version, revision)));
        }
        let begun = seat.begun;
        let counts = RevisionCounts { revision: 2, moved: 2, went_back: 1 };
        assert_eq!(seat.tally.rates(begun).revision, counts);
        seat.at(0, 0, 0, Ok((V2, 3)));
        assert_eq!(seat.tally.rates(begun).revision, RevisionCounts { revision: 3, ..RevisionCounts::default() });
    }

    #[test]
    fn rates_are_those_of_the_window() {
        let mut seat = Seat::new(10);
        for millis in 1..=100 {
            seat.at(millis, 0, 0, Ok((V2, 1)));
        }
        for millis in 4_001..=4_100 {
            let result = if millis % 10 == 0 { Err("refused") } else { Ok((V1, 1)) };
            seat.at(millis, 1, 0, result);
        }
        let rates = seat.tally.rates(seat.begun + Duration::from_millis(4_100));
        let [v1, v2] = rates.versions;
        assert_eq!((v1.percent, v1.per_second, v1.users), (100.0, 30.0, 1));
        assert_eq!((v2.percent, v2.p50, v2.users), (0.0, None, 1));
        assert_eq!((rates.failed, rates.last_failure.as_deref()), (10, Some("GET /: refused")));
        assert!((rates.per_second - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(v1.p50, Some(Duration::from_millis(49)));
        assert_eq!(v1.p99, Some(Duration::from_millis(99)));
    }
}
