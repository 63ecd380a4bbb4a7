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
//! requests slow and fails none, and a baseline that pauses often is no reason to doubt failures. So has each quantile:
//! what is above the 99th percentile need not be above the median.
//!
//! And a burst explains no more than bursts of the baseline reach. Every machine is late by some milliseconds every
//! second or two, which puts a few requests above the 99th percentile together; a candidate all of whose requests are
//! above the median has not what the baseline has. How deep bursts are is in [`super::seen_bursts`].
//!
//! A burst is one endpoint's. Where a version has several, and more of its requests are bad at a time than one of them
//! gets, no burst explains it, and the highest price is good for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::evidence::{EpochCounts, OutcomeCounts};
use super::judge_settings::{Assignment, JudgeSettings};
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, QUANTILES};
use super::seen_bursts::{BadRequests, SeenBursts};
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

/// Ticks of a second, in which the depth of a burst is measured.
const SECOND_TICKS: usize = 4;

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
    failure_rates: [Vec<f64>; 1],
    /// By quantile.
    latency_rates: [Vec<f64>; QUANTILES.len()],
    second: BaselineSecond,
    /// Failures and requests of the baseline in seconds without a burst.
    usual: (f64, f64),
    /// The same of its burst of failures.
    burst_failures: (f64, f64),
    failing: SeenBursts,
    /// By quantile.
    slow: [SeenBursts; QUANTILES.len()],
    started: Duration,
    /// When the baseline had requests last: where it has none, nothing is seen of its bursts.
    watched_until: Duration,
    /// When the candidate had requests last.
    exposed_at: Duration,
    exposed: Duration,
    now: Duration,
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
    total: Recent,
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
            failure_rates: [vec![0.0; ticks]],
            latency_rates: std::array::from_fn(|_| vec![0.0; ticks]),
            second: BaselineSecond { since: now, ..BaselineSecond::default() },
            usual: UNSEEN,
            burst_failures: (0.0, 0.0),
            failing: SeenBursts::default(),
            slow: Default::default(),
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
            tick.add(&Recent::of(&epoch.outcomes.candidate, &epoch.latencies.candidate));
            self.second.total.add(&Recent::of(&epoch.outcomes.baseline, &epoch.latencies.baseline));
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
        if now.saturating_sub(self.second.since) >= Duration::from_secs(1) {
            self.end_second();
        }
        self.look_at_candidate();
    }

    /// The limits of the tests on failures.
    pub(crate) fn of_errors(&self) -> BurstLimits<'_> {
        BurstLimits { rates: &self.failure_rates, exposed: self.exposed() }
    }

    /// The limits of the tests on latency.
    pub(crate) fn of_latency(&self) -> BurstLimits<'_> {
        BurstLimits { rates: &self.latency_rates, exposed: self.exposed() }
    }

    /// For how many seconds the candidate was exposed to bursts since the tick before.
    pub(super) fn exposed(&self) -> f64 {
        self.exposed.as_secs_f64()
    }

    /// How often a second the candidate may have bursts that explain failures which it `shows`, written to `rates`:
    /// for each number of its last ticks. `shows` is told which the oldest one is, the newest one is 0.
    pub(super) fn rate_failures(&self, rates: &mut [f64], shows: impl Fn(usize) -> BadRequests) {
        self.rate(&self.failing, rates, shows);
    }

    /// The same of requests above the quantile with this number.
    pub(super) fn rate_slow(&self, quantile: usize, rates: &mut [f64], shows: impl Fn(usize) -> BadRequests) {
        self.rate(&self.slow[quantile], rates, shows);
    }

    fn rate(&self, seen: &SeenBursts, rates: &mut [f64], shows: impl Fn(usize) -> BadRequests) {
        let Some(last) = rates.len().checked_sub(1) else { return };
        let part = self.part_of_endpoints();
        // Of less than a second's requests the depth is another.
        let at_least = SECOND_TICKS.min(last + 1) - 1;
        let of_second = self.rate_of_depth(seen, shows(at_least).depth_at_least());
        for (ticks, rate) in rates.iter_mut().enumerate() {
            let shown = shows(ticks);
            let is_beyond = part.is_some_and(|part| shown.depth() > part);
            *rate = match is_beyond {
                true => 0.0,
                false if ticks <= at_least => of_second,
                false => self.rate_of_depth(seen, shown.depth_at_least()),
            };
        }
    }

    /// How many bursts that explain this depth a second the candidate may have.
    fn rate_of_depth(&self, seen: &SeenBursts, depth: f64) -> f64 {
        let PerVersion { candidate, baseline } = self.endpoints;
        let endpoints = f64::from(candidate.max(1)) / f64::from(baseline.max(1));
        // A burst of one of several endpoints is less deep.
        let count = seen.explaining(depth * endpoints);
        let unseen = match count {
            0 => (f64::from(candidate.saturating_sub(1)) * UNSEEN_BURSTS).min(1.0),
            _ => 1.0,
        };
        let watched = self.watched_until.saturating_sub(self.started).as_secs_f64();
        (f64::from(count) * endpoints + unseen) / (watched + 1.0)
    }

    /// The part of the candidate's requests beyond which no burst of one endpoint explains what is wrong with them;
    /// none if one endpoint may explain everything.
    pub(crate) fn part_of_endpoints(&self) -> Option<f64> {
        let endpoints = f64::from(self.endpoints.candidate);
        (endpoints >= 2.0).then(|| (ENDPOINTS_BAD.0 / endpoints).min(ENDPOINTS_BAD.1))
    }

    fn look_at_candidate(&mut self) {
        let mut rates = std::mem::take(&mut self.failure_rates);
        let usual = self.usual.0 / self.usual.1;
        self.rate_failures(&mut rates[0], |oldest| self.shown(oldest).failing(usual));
        self.failure_rates = rates;
        let mut rates = std::mem::take(&mut self.latency_rates);
        for (quantile, rates) in rates.iter_mut().enumerate() {
            self.rate_slow(quantile, rates, |oldest| self.shown(oldest).slow(quantile));
        }
        self.latency_rates = rates;
    }

    /// What became of the candidate's requests in the last ticks.
    fn shown(&self, oldest: usize) -> Recent {
        let mut sum = Recent::default();
        self.recent.iter().take(oldest + 1).for_each(|tick| sum.add(tick));
        sum
    }

    fn end_second(&mut self) {
        let BaselineSecond { total, .. } =
            std::mem::replace(&mut self.second, BaselineSecond { since: self.now, ..BaselineSecond::default() });
        self.slow.iter_mut().enumerate().for_each(|(quantile, seen)| {
            seen.note(&total.slow(quantile));
        });
        let second = total.failing(self.usual.0 / self.usual.1);
        let (failures, requests) = (total.failures as f64, total.requests as f64);
        if second.is_far_beyond_usual() {
            self.burst_failures.0 += failures;
            self.burst_failures.1 += requests;
        } else {
            self.burst_failures = (0.0, 0.0);
            self.usual.0 += failures;
            self.usual.1 += requests;
        }
        if self.failing.note(&second) {
            let (failures, requests) = std::mem::take(&mut self.burst_failures);
            self.usual.0 += failures;
            self.usual.1 += requests;
        }
    }
}

impl Recent {
    fn of(outcomes: &OutcomeCounts, latencies: &LatencyCounts) -> Self {
        let by_quantile = [0, 1, 2];
        Self {
            requests: outcomes.requests,
            failures: outcomes.failures,
            compared: by_quantile.map(|quantile| latencies.compared(quantile)),
            above: by_quantile.map(|quantile| latencies.above(quantile)),
        }
    }

    fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.failures += more.failures;
        for quantile in 0..QUANTILES.len() {
            self.compared[quantile] += more.compared[quantile];
            self.above[quantile] += more.above[quantile];
        }
    }

    fn failing(&self, usual: f64) -> BadRequests {
        BadRequests { bad: self.failures, all: self.requests, usual }
    }

    fn slow(&self, quantile: usize) -> BadRequests {
        let usual = 1.0 - QUANTILES[quantile];
        BadRequests { bad: self.above[quantile], all: self.compared[quantile], usual }
    }
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
        assert_eq!((watch.failing.count(), watch.slow[2].count()), (1, 0), "seed {SEED}");
        let rate = watch.of_errors().rates[0][0];
        assert!((rate - 2.0 / 601.0).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn a_baseline_that_always_fails_some_has_no_burst() {
        let (mut watch, mut chance) = (BurstWatch::new(&JudgeSettings::default(), Duration::ZERO), Chance::new(SEED));
        for number in 1..=400 {
            watch.observe(number * TICK, &[ticked(counts(25, 0), counts(125, chance.binomial(125, 0.03)))], None);
        }
        assert_eq!(watch.failing.count(), 0, "seed {SEED}");
    }

    #[test]
    fn pauses_of_the_baseline_are_no_reason_to_doubt_failures() {
        let mut watch = BurstWatch::new(&JudgeSettings::default(), Duration::ZERO);
        let calm = watch.of_errors().rates[0][0];
        for number in 1..=400 {
            let mut tick = ticked(counts(25, 0), counts(225, 0));
            // One second in ten is slow.
            let slow = if (number - 1) / 4 % 10 == 5 { 100 } else { 0 };
            tick.latencies.baseline =
                LatencyCounts { by_exceeded: [225 - slow, 0, 0, slow], ..LatencyCounts::default() };
            watch.observe(number * TICK, &[tick], None);
        }
        assert_eq!((watch.failing.count(), watch.slow.map(|seen| seen.count())), (0, [0, 10, 10]));
        let rates = watch.of_latency().rates.iter().map(|rates| rates[0] > 0.09).collect::<Vec<_>>();
        assert_eq!((rates, watch.of_errors().rates[0][0] <= calm), (vec![false, true, true], true));
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
        assert_eq!(watch.failing.count(), 1, "nine seconds are a burst");
        seconds(&mut watch, 29, 60, 20);
        assert_eq!(watch.failing.count(), 0, "a minute is none");
    }

    #[test]
    fn what_several_endpoints_do_together_is_no_burst() {
        let beyond = |endpoints, failures| {
            let mut watch = BurstWatch::new(&JudgeSettings::default(), Duration::ZERO);
            let endpoints = Some(PerVersion { candidate: endpoints, baseline: 1 });
            watch.observe(TICK, &[ticked(counts(80, failures), counts(900, 0))], endpoints);
            // The baseline has bursts that are as deep.
            watch.failing.note(&BadRequests { bad: 900, all: 900, usual: 0.0 });
            watch.observe(2 * TICK, &[ticked(counts(80, failures), counts(900, 0))], endpoints);
            watch.of_errors().rates[0][0] == 0.0
        };
        assert_eq!(
            [(1, 80), (8, 10), (8, 30), (8, 31), (2, 61)].map(|(n, failures)| beyond(n, failures)),
            [false, false, false, true, true]
        );
    }

    #[test]
    fn a_burst_explains_no_more_than_bursts_of_the_baseline_reach() {
        let mut watch = BurstWatch::new(&JudgeSettings::default(), Duration::ZERO);
        let slow = |requests, above_median, above_all| LatencyCounts {
            by_exceeded: [requests - above_median, above_median - above_all, 0, above_all],
            ..LatencyCounts::default()
        };
        let mut number = 0;
        let mut after = |ticks: u32, candidate: LatencyCounts| {
            for _ in 0..ticks {
                let mut ticked = ticked(counts(25, 0), counts(225, 0));
                // A twentieth of the requests of every second second are late.
                let late = if number / 4 % 2 == 1 { 11 } else { 0 };
                number += 1;
                ticked.latencies = PerVersion { candidate, baseline: slow(225, 112 + late / 2, 1 + late) };
                watch.observe(number * TICK, &[ticked], None);
            }
            watch.of_latency().rates.iter().map(|rates| rates[5]).collect::<Vec<_>>()
        };
        let calm = after(80, slow(25, 12, 0));
        assert!(calm[0] < 0.01 && calm[2] > 0.4, "{calm:?}");
        let hiccup = after(6, slow(25, 14, 2));
        assert!(hiccup[2] > 0.4, "what the baseline has too: {hiccup:?}");
        let twice = after(6, slow(25, 25, 12));
        assert!(twice.iter().all(|rate| *rate < 0.01), "{twice:?}");
    }

    #[test]
    fn a_burst_touches_its_ticks_and_two_more() {
        let millis = Duration::from_millis;
        assert_eq!([0, 1, 250, 1_000, 1_001].map(|burst| ticks(millis(burst))), [0, 3, 3, 6, 7]);
    }
}
