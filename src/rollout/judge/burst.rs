//! How often a version has bursts of trouble, as far as the baseline shows it.
//!
//! A *burst* is a moment in which one endpoint makes many requests bad together: a pause of the process, a pool that
//! reconnects. The judge cannot see which endpoint it was, but it sees that the baseline, which nothing is said
//! against, has moments in which far more is bad than chance explains. So often the candidate may have them too, as
//! many times as often as it has more endpoints. [`super::wealth`] says what a burst may win then.
//!
//! Before the baseline has shown any, one endpoint is taken to have none, and of several it is not known yet: each
//! makes the first minutes a little more careful.
//!
//! Failures and latency have bursts of their own, because they say nothing of each other: a process that pauses makes
//! requests slow and fails none, and a baseline that pauses often is no reason to doubt failures.
//!
//! A burst is one endpoint's. Where a version has several, and more of its requests are bad at a time than one of them
//! gets, no burst explains it, and the highest price is good for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::evidence::EpochCounts;
use super::judge_settings::{Assignment, JudgeSettings};
use super::per_version::PerVersion;
use super::quantiles::QUANTILES;
use super::wealth::{BurstLimits, Price, RESERVE, Wealth};
use super::windows::Window;
use crate::rollout::TICK;

/// The prices, by the part of the stake, by what may be won within a burst, and by what is lost in nats a second. The
/// first is for outages; its growth is said in alarms. The others see small regressions. A leak of 0.06 at a growth of
/// 80 is fair for a burst in 20 minutes, one of 0.01 at 8 for a burst in 12.
const PRICES: [(f64, f64, f64); 3] = [(0.035, 0.0, 0.7), (PART_OF_SMALL_REGRESSIONS, 80.0, 0.06), (0.365, 8.0, 0.01)];

/// The part of the stake at the price that small regressions are found at.
pub(crate) const PART_OF_SMALL_REGRESSIONS: f64 = 0.6;

/// What the first price may win within a burst, in alarms: with its part of the stake, one burst is never a proof. Only
/// the product of both is limited by that, and of two bursts' length the growth counts twice: so the part is small, and
/// a version that begins to fail late is proved bad by two bursts' length although little is staked on it by then. The
/// leak is as large that two bursts of one endpoint a quarter of a minute apart, before the baseline has shown any,
/// are none.
const FIRST_GROWTH: f64 = 30.0;

/// More of the candidate's requests are bad than those of three endpoints, or of three in four: bursts of several that
/// come together by chance do not explain it.
const ENDPOINTS_BAD: (f64, f64) = (3.0, 0.75);

/// So much of a burst in all is suspected of each endpoint but the first before the baseline has shown one.
const UNSEEN_BURSTS: f64 = 0.125;

/// Fewer bad requests than this in a second are no burst.
const BURST_EVENTS_MIN: f64 = 3.0;

/// Trouble of this number of seconds on end is no burst but how the baseline is.
const BURST_SECONDS_MAX: u32 = 10;

/// What a second without a burst looks like before anything was seen: half a failure in 500 requests.
const UNSEEN: (f64, f64) = (0.5, 500.0);

/// Watches both versions for bursts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BurstWatch {
    /// The longest burst that is tolerated, in ticks that it can touch; 0: none is.
    ticks: usize,
    endpoints: PerVersion<u32>,
    /// What became of the candidate's requests in the last ticks, newest first.
    recent: VecDeque<Recent>,
    errors_beyond: Vec<bool>,
    latency_beyond: Vec<bool>,
    second: BaselineSecond,
    /// Failures and requests of the baseline in seconds without a burst.
    usual: (f64, f64),
    /// The same of its burst of failures.
    burst_failures: (f64, f64),
    failing: SeenBursts,
    slow: SeenBursts,
    started: Duration,
    /// When the baseline had requests last: where it has none, nothing is seen of its bursts.
    watched_until: Duration,
    /// When the candidate had requests last.
    exposed_at: Duration,
    exposed: Duration,
    now: Duration,
}

/// The bursts of one kind that the baseline had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct SeenBursts {
    count: u32,
    /// For how many seconds the last one has lasted; 0: it is over.
    lasting: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Recent {
    requests: u64,
    failures: u64,
    /// By quantile.
    compared: [u64; QUANTILES.len()],
    above: [u64; QUANTILES.len()],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct BaselineSecond {
    since: Duration,
    requests: u64,
    failures: u64,
    compared: u64,
    far_above: u64,
}

impl BurstWatch {
    /// Watches from now on.
    #[must_use]
    pub(crate) fn new(settings: &JudgeSettings, now: Duration) -> Self {
        let ticks = ticks(settings.tolerate_burst);
        Self {
            ticks,
            endpoints: PerVersion { candidate: 1, baseline: 1 },
            recent: std::iter::repeat_n(Recent::default(), ticks).collect(),
            errors_beyond: vec![false; ticks],
            latency_beyond: vec![false; ticks],
            second: BaselineSecond { since: now, ..BaselineSecond::default() },
            usual: UNSEEN,
            burst_failures: (0.0, 0.0),
            failing: SeenBursts::default(),
            slow: SeenBursts::default(),
            started: now,
            watched_until: now,
            exposed_at: now,
            exposed: Duration::ZERO,
            now,
        }
    }

    /// Folds in what a tick has brought, before the tests are settled.
    pub(crate) fn observe(&mut self, now: Duration, epochs: &[EpochCounts], endpoints: Option<PerVersion<u32>>) {
        if self.ticks == 0 {
            return;
        }
        self.endpoints = endpoints.unwrap_or(self.endpoints);
        self.now = now;
        let mut tick = Recent::default();
        for epoch in epochs {
            let (outcomes, latencies) = (&epoch.outcomes, &epoch.latencies);
            tick.requests += outcomes.candidate.requests;
            tick.failures += outcomes.candidate.failures;
            for quantile in 0..QUANTILES.len() {
                tick.above[quantile] += latencies.candidate.above(quantile);
                tick.compared[quantile] += latencies.candidate.compared(quantile);
            }
            self.second.requests += outcomes.baseline.requests;
            self.second.failures += outcomes.baseline.failures;
            self.second.compared += latencies.baseline.compared(QUANTILES.len() - 1);
            self.second.far_above += latencies.baseline.above(QUANTILES.len() - 1);
        }
        if epochs.iter().any(|epoch| epoch.outcomes.baseline.requests > 0) {
            self.watched_until = now;
        }
        self.exposed = Duration::ZERO;
        if tick.requests > 0 {
            let most = TICK * u32::try_from(self.ticks).unwrap_or(u32::MAX);
            self.exposed = now.saturating_sub(self.exposed_at).min(most);
            self.exposed_at = now;
        }
        self.recent.pop_back();
        self.recent.push_front(tick);
        self.look_beyond();
        if now.saturating_sub(self.second.since) >= Duration::from_secs(1) {
            self.end_second();
        }
    }

    /// The limits of the tests on failures.
    pub(crate) fn of_errors(&self) -> BurstLimits<'_> {
        self.limits(self.failing, &self.errors_beyond)
    }

    /// The limits of the tests on latency.
    pub(crate) fn of_latency(&self) -> BurstLimits<'_> {
        self.limits(self.slow, &self.latency_beyond)
    }

    fn limits<'w>(&'w self, seen: SeenBursts, beyond: &'w [bool]) -> BurstLimits<'w> {
        BurstLimits { rate: self.rate(seen), exposed: self.exposed.as_secs_f64(), beyond }
    }

    /// How many bursts of a kind a second the candidate may have.
    fn rate(&self, seen: SeenBursts) -> f64 {
        let PerVersion { candidate, baseline } = self.endpoints;
        let endpoints = f64::from(candidate.max(1)) / f64::from(baseline.max(1));
        let unseen = match seen.count {
            0 => (f64::from(candidate.saturating_sub(1)) * UNSEEN_BURSTS).min(1.0),
            _ => 1.0,
        };
        let watched = self.watched_until.saturating_sub(self.started).as_secs_f64();
        (f64::from(seen.count) * endpoints + unseen) / (watched + 1.0)
    }

    /// The part of the candidate's requests beyond which no burst of one endpoint explains what is wrong with them;
    /// none if one endpoint may explain everything.
    pub(crate) fn part_of_endpoints(&self) -> Option<f64> {
        let endpoints = f64::from(self.endpoints.candidate);
        (endpoints >= 2.0).then(|| (ENDPOINTS_BAD.0 / endpoints).min(ENDPOINTS_BAD.1))
    }

    fn look_beyond(&mut self) {
        let Some(part) = self.part_of_endpoints() else {
            self.errors_beyond.fill(false);
            self.latency_beyond.fill(false);
            return;
        };
        let mut sum = Recent::default();
        for (number, tick) in self.recent.iter().enumerate() {
            sum.add(tick);
            let beyond = |bad: f64, all: u64| bad > part * all as f64;
            self.errors_beyond[number] = beyond(sum.failures as f64, sum.requests);
            self.latency_beyond[number] = QUANTILES.iter().zip(sum.above.iter().zip(sum.compared)).any(|(q, found)| {
                // What is above a quantile beyond its part has moved there.
                let (above, compared) = found;
                beyond((*above as f64 - (1.0 - q) * compared as f64) / q, compared)
            });
        }
    }

    fn end_second(&mut self) {
        let second =
            std::mem::replace(&mut self.second, BaselineSecond { since: self.now, ..BaselineSecond::default() });
        let (failures, requests) = (second.failures as f64, second.requests as f64);
        let far_above = (1.0 - QUANTILES[QUANTILES.len() - 1]) * second.compared as f64;
        self.slow.note(is_far_beyond(second.far_above as f64, far_above));
        let burst = is_far_beyond(failures, self.usual.0 / self.usual.1 * requests);
        if burst {
            self.burst_failures.0 += failures;
            self.burst_failures.1 += requests;
        } else {
            self.burst_failures = (0.0, 0.0);
            self.usual.0 += failures;
            self.usual.1 += requests;
        }
        if self.failing.note(burst) {
            let (failures, requests) = std::mem::take(&mut self.burst_failures);
            self.usual.0 += failures;
            self.usual.1 += requests;
        }
    }
}

impl SeenBursts {
    /// Notes whether a second was one of a burst. Whether it is the one that makes this burst too long to be one.
    fn note(&mut self, burst: bool) -> bool {
        self.count += u32::from(burst && self.lasting == 0);
        self.lasting = if burst { self.lasting + 1 } else { 0 };
        let too_long = self.lasting == BURST_SECONDS_MAX;
        self.count -= u32::from(too_long);
        too_long
    }
}

impl Recent {
    fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.failures += more.failures;
        for quantile in 0..QUANTILES.len() {
            self.above[quantile] += more.above[quantile];
            self.compared[quantile] += more.compared[quantile];
        }
    }
}

/// Whether this many are more than chance explains where `usual` are expected: about one second in a million is by
/// chance.
fn is_far_beyond(found: f64, usual: f64) -> bool {
    found >= BURST_EVENTS_MIN && found > usual + 5.0 * usual.sqrt() + 2.0
}

/// The part of alpha of a test's first window.
fn first_part(assignment: Assignment) -> f64 {
    Window { number: 1, opened: Duration::ZERO }.part(assignment)
}

/// The ticks that a burst can touch: its own, the one that it begins in, and one in which what it held back ends.
pub(crate) fn ticks(burst: Duration) -> usize {
    let ticks = usize::try_from(burst.as_millis().div_ceil(TICK.as_millis())).unwrap_or(usize::MAX);
    if ticks == 0 { 0 } else { ticks + 2 }
}

/// The prices of a test that proves at `ln_alarm`; none where no burst is tolerated.
fn prices(settings: &JudgeSettings, ln_alarm: f64) -> Vec<Price> {
    if settings.tolerate_burst.is_zero() {
        return Vec::new();
    }
    let first = ln_alarm + FIRST_GROWTH.ln();
    let ln_growth = |growth: f64| if growth > 0.0 { growth.ln().min(first) } else { first };
    PRICES.map(|(part, growth, leak)| Price { part, ln_growth: ln_growth(growth), leak }).into()
}

impl JudgeSettings {
    /// The stake of a test that proves at `ln_alarm`, a part of it kept for later starts.
    #[must_use]
    pub(crate) fn wealth<const N: usize>(&self, ln_alarm: f64) -> Wealth<N> {
        let prices = prices(self, ln_alarm);
        Wealth::with_reserve(RESERVE, &prices, ticks(self.tolerate_burst)).with_part(first_part(self.assignment))
    }

    /// The stake of a test whose events no burst makes.
    #[must_use]
    pub(crate) fn wealth_without_bursts<const N: usize>(&self) -> Wealth<N> {
        Wealth::with_reserve(RESERVE, &[], 0).with_part(first_part(self.assignment))
    }

    /// How many ticks a tolerated burst can touch.
    #[must_use]
    pub(crate) fn burst_ticks(&self) -> u16 {
        u16::try_from(ticks(self.tolerate_burst)).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::OutcomeCounts;
    use super::super::fixture::{Chance, share};
    use super::super::quantiles::LatencyCounts;
    use super::*;

    const SEED: u64 = 20_260_417;

    fn ticked(candidate: OutcomeCounts, baseline: OutcomeCounts) -> EpochCounts {
        EpochCounts { outcomes: PerVersion { candidate, baseline }, ..EpochCounts::none(share(0.1)) }
    }

    fn counts(requests: u64, failures: u64) -> OutcomeCounts {
        OutcomeCounts::of(requests, failures)
    }

    #[test]
    fn a_burst_counts_once_and_chance_is_none() {
        let (mut watch, mut chance) = (BurstWatch::new(&JudgeSettings::default(), Duration::ZERO), Chance::new(SEED));
        for number in 1..=2_400 {
            let failures = if (1_000..1_004).contains(&number) { 200 } else { chance.binomial(225, 0.005) };
            watch.observe(number * TICK, &[ticked(counts(25, 0), counts(225, failures))], None);
        }
        assert_eq!((watch.failing.count, watch.slow.count), (1, 0), "seed {SEED}");
        let rate = watch.of_errors().rate;
        assert!((rate - 2.0 / 601.0).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn a_baseline_that_always_fails_some_has_no_burst() {
        let (mut watch, mut chance) = (BurstWatch::new(&JudgeSettings::default(), Duration::ZERO), Chance::new(SEED));
        for number in 1..=400 {
            watch.observe(number * TICK, &[ticked(counts(25, 0), counts(125, chance.binomial(125, 0.03)))], None);
        }
        assert_eq!(watch.failing, SeenBursts::default(), "seed {SEED}");
    }

    #[test]
    fn pauses_of_the_baseline_are_no_reason_to_doubt_failures() {
        let mut watch = BurstWatch::new(&JudgeSettings::default(), Duration::ZERO);
        let calm = watch.of_errors().rate;
        for number in 1..=400 {
            let mut tick = ticked(counts(25, 0), counts(225, 0));
            // One second in ten is slow.
            let slow = if (number - 1) / 4 % 10 == 5 { 100 } else { 0 };
            tick.latencies.baseline =
                LatencyCounts { by_exceeded: [225 - slow, 0, 0, slow], ..LatencyCounts::default() };
            watch.observe(number * TICK, &[tick], None);
        }
        assert_eq!((watch.failing.count, watch.slow.count), (0, 10));
        assert!(watch.of_latency().rate > 0.09 && watch.of_errors().rate <= calm);
    }

    #[test]
    fn trouble_that_lasts_is_how_the_baseline_is() {
        let mut watch = BurstWatch::new(&JudgeSettings::default(), Duration::ZERO);
        let seconds = |watch: &mut BurstWatch, from: u32, to: u32, failures: u64| {
            for number in from * 4 + 1..=to * 4 {
                watch.observe(number * TICK, &[ticked(counts(25, 0), counts(225, failures))], None);
            }
        };
        seconds(&mut watch, 0, 20, 0);
        seconds(&mut watch, 20, 29, 20);
        assert_eq!(watch.failing.count, 1, "nine seconds are a burst");
        seconds(&mut watch, 29, 60, 20);
        assert_eq!(watch.failing.count, 0, "a minute is none");
    }

    #[test]
    fn what_several_endpoints_do_together_is_no_burst() {
        let beyond = |endpoints, failures| {
            let mut watch = BurstWatch::new(&JudgeSettings::default(), Duration::ZERO);
            let endpoints = Some(PerVersion { candidate: endpoints, baseline: 1 });
            watch.observe(TICK, &[ticked(counts(80, failures), counts(900, 0))], endpoints);
            watch.of_errors().beyond[0]
        };
        assert_eq!(
            [(1, 80), (8, 10), (8, 30), (8, 31), (2, 61)].map(|(n, failures)| beyond(n, failures)),
            [false, false, false, true, true]
        );
    }

    #[test]
    fn a_burst_touches_its_ticks_and_two_more() {
        let millis = Duration::from_millis;
        assert_eq!([0, 1, 250, 1_000, 1_001].map(|burst| ticks(millis(burst))), [0, 3, 3, 6, 7]);
    }
}
