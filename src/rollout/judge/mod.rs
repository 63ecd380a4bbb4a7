//! Whether a new version (the *candidate*) is worse than the one it would replace (the *baseline*).
//!
//! A judge that looks four times a second must stay right however often it looks. A threshold on a rate does not: a
//! test at nominal 5 % that is repeated every second for an hour rolls four of ten healthy releases back. So the judge
//! bets. Every judged request was sent to the candidate with a known probability, hence "the next failure will be the
//! candidate's" is a bet with known fair odds; the winnings multiply, and a wealth of 1/alpha times the stake is a
//! proof at level alpha at any time (Ville's inequality; e-processes, test martingales, and for this case the
//! conditional binomial test of Lindon and Malek, arXiv 2011.03567). No assumption about rates enters: they may drift
//! with the hour and with load, as long as they do so for both versions.
//!
//! In reading order:
//!
//! - [`judge_settings`]: what is asked of the judge, in types that cannot hold nonsense.
//! - [`per_version`], [`quantiles`]: what is counted: something of each version, requests by latency.
//! - [`evidence`]: what it is told each tick: counts by version and weight epoch.
//! - [`wealth`]: the stake, spread over alternatives, and the reserve for regressions that begin late.
//! - [`burst`] (`seen_bursts`): how often trouble comes in bursts, and how deep; one burst is one draw.
//! - [`errors`], [`latency`], [`ceiling`]: the three tests. `stakes`: how those that compare share one stake.
//! - [`frozen`]: what the baseline did, as ceilings for the time after the comparison.
//! - [`responses`] (`margin_test`, [`class_share`]): responses that are others without failing, and what follows
//!   ([`response_rules`]).
//! - [`routes`] (`route_test`, [`route_finding`], `by_route`): the same bets by page.
//! - [`pairs`] ([`pair_counts`], `pair_text`): requests that both versions got, before the candidate has users.
//! - [`windows`]: users who come back are one draw, not many, and when they are heard again.
//! - [`baseline_health`]: when the baseline itself is ill.
//! - [`stretch`]: since when it is bad. [`endpoint_watch`]: on which endpoint.
//! - [`own_metric`] (`metric_record`, [`metric_text`]): what the plan asks a metrics server, and what its answers mean.
//! - [`guardrail`] (`guardrail_record`, [`guardrail_text`]): what users do, which must not get worse.
//! - `silent_replica`: when not all of the fleet is heard.
//! - [`ratio`]: how much worse, as an interval for people. [`power`]: how many requests it takes.
//! - `tick`: folding evidence in. `decision`: roll back, advance or hold. [`verdict`]: the decision with its evidence
//!   and one sentence (`summary`, `figures`).
//!
//! # How alpha is shared
//!
//! [`judge_settings::JudgeSettings::alpha`] is for a whole rollout. Each ceiling is an alarm of its own, and the
//! comparison with the baseline (errors, latency) is one more; alarms get equal parts of alpha (union bound). But the
//! ceilings that the baseline's own rates become when the comparison ends ([`frozen`]) get a twentieth each: a user of
//! the comparison is worth more than one of the time after it, when every request is the candidate's and evidence is
//! plentiful, so it pays ln 1.1 and not ln 3 for them, and they pay ln 20, which is a handful of failures. Within
//! the comparison the stake is split between its tests (`stakes`): their sum is again a wealth, so a weak hint in both
//! adds up. With [`judge_settings::Assignment::PerKey`] the tests learn a user's side at different moments, the mean is
//! no longer a fair game for a player who watches both, and the largest part counts instead of the sum (union bound
//! again). That costs at most ln 2 of evidence, and nothing where one test finds the fault. There lost users are a test
//! more, and each test has windows, which share its part ([`windows`]): the first has half of it.
//!
//! Services that are released together have a judge each and share alpha in equal parts, also what is a hint. Not the
//! mean of their wealths, which would cost nothing where all of them are bad: in a group a user is on the same side of
//! all services, so one of them tells a player of another one how the lot fell, and the mean is no fair game. Where one
//! of `n` is bad both cost it ln n, for 20 services about four failures more.
//!
//! Where responses are judged, they have a tenth of alpha: a twentieth for classes that turn a version back, and a
//! twentieth for findings that hold it, each in equal parts by class. Findings take part although they turn nothing
//! back, because a hold that is left alone may, by the plan.
//!
//! Where routes are judged by themselves, they have a twentieth of alpha, in equal parts for as many as there may be:
//! three quarters of it for failures, the rest for latency ([`routes`]).
//!
//! Where a plan mirrors, pairs of responses have a tenth of alpha ([`pairs`]).
//!
//! Where there are guardrails, they have a fifth of alpha, in equal parts for each guardrail and step that compares
//! ([`guardrail`]).
//!
//! # What the counters have to leave out
//!
//! The odds are known only for requests that were assigned at random *and* stamped with the weight in force at that
//! moment. So these never reach the judge: requests that a rule forced, health checks, mirrored requests and replays
//! (first attempts only); failures that the client caused; an endpoint's first
//! [`judge_settings::JudgeSettings::warm_up`]. A request that hangs has exceeded a threshold when it is older than it,
//! and is a failure at its start plus the timeout; neither is known only when it ends. Of a request whose client leaves
//! before the response it is known how long it took at least, and nothing of whether it would have failed.
//!
//! Whatever is left out must be left out on **both** sides alike, or the odds are no longer those of the weights: a
//! request is judged if neither its endpoint nor the one that the other version would have picked for it is cold,
//! which depends on chance and not on the side that the lot fell on. So one cold endpoint of many costs its part of
//! the evidence, and a version with cold ones only leaves nothing to judge; and so it is while operators have drained
//! all of a version. A version without a usable endpoint has failed its requests, even if another version answers
//! them. [`latency`] says what happens otherwise.
//!
//! Of requests that a pool has to grow for after a step only the time is left out, by the same rule: whatever the side,
//! neither its own pool nor the one that the other version would have used may be cold. Not later than
//! [`judge_settings::JudgeSettings::warm_up`], because a version that hangs uses up its connections as well.

pub(crate) mod baseline_health;
mod budget_record;
pub(crate) mod burst;
mod by_route;
pub(crate) mod ceiling;
pub(crate) mod class_share;
mod decision;
pub(crate) mod endpoint_watch;
pub(crate) mod errors;
pub(crate) mod evidence;
pub(crate) mod figures;
#[cfg(test)]
mod fixture;
pub(crate) mod frozen;
pub(crate) mod guardrail;
mod guardrail_record;
pub(crate) mod guardrail_text;
pub(crate) mod judge_settings;
pub(crate) mod latency;
mod margin_test;
mod metric_record;
pub(crate) mod metric_text;
pub(crate) mod own_metric;
pub(crate) mod pair_counts;
mod pair_text;
pub(crate) mod pairs;
pub(crate) mod per_version;
pub(crate) mod power;
pub(crate) mod quantiles;
pub(crate) mod ratio;
pub(crate) mod response_rules;
pub(crate) mod responses;
pub(crate) mod route_finding;
mod route_test;
pub(crate) mod routes;
mod seen_bursts;
mod silent_replica;
pub(crate) mod spent_budget;
mod stakes;
pub(crate) mod stretch;
pub(crate) mod summary;
#[cfg(test)]
mod tests;
pub(crate) mod tick;
pub(crate) mod verdict;
pub(crate) mod wealth;
pub(crate) mod windows;

pub(crate) use evidence::{CandidateShare, EpochCounts, Evidence, OutcomeCounts};
pub(crate) use judge_settings::{Assignment, JudgeSettings};
pub(crate) use per_version::{PerVersion, Side};
pub(crate) use tick::Judge;
pub(crate) use verdict::{Bake, HoldReason, InCharge, JudgeDecision, Names, Verdict};
