//! Which of two arms is better, by how much, and how sure that is.
//!
//! A release asks whether a new version does harm, of requests, within minutes ([`crate::rollout::judge`]). An
//! experiment asks which of two is better, of people, and is looked at for weeks. Hence three rules:
//!
//! - **One user is one unit.** What a user does in a hundred requests is one value: requests of one user are alike, and
//!   counted one by one they look like much evidence and are little. The first exposure decides a user's arm; who is
//!   seen in both arms is counted apart and is in no sum.
//! - **Every number that people look at is valid whenever they look** ([`always_valid`], [`rare_conversions`],
//!   [`sample_ratio`]). A t-test that is repeated daily until it is significant finds a difference between equal arms
//!   in a fifth of all experiments. It stands beside for those who have planned a size and look once
//!   ([`fixed_horizon`]).
//! - **Nothing is said before there is something to say.** The interval is asymptotic, and is held back below a hundred
//!   users and conversions an arm; conversions have an exact bet until then.
//!
//! Like `rollout`, nothing in here reads a clock, a counter or a file, or draws lots.
//!
//! In reading order:
//!
//! - [`metric_sums`]: what is counted, of [each arm](crate::shared::per_arm), while the treatment has one
//!   [share](crate::shared::probability).
//! - [`estimate`], [`effect`]: a metric in each arm (conversions, means, ratios, means adjusted by what was known
//!   before), and the difference.
//! - [`always_valid`], [`fixed_horizon`], [`rare_conversions`]: how sure the difference is.
//! - [`sample_ratio`]: whether the arms have the users that they should have.
//! - [`metric_result`], [`experiment_result`], [`sentence`]: all of it together, for people; [`result_view`] and
//!   [`tally_view`]: for scripts.
//! - [`sample_size`]: how many users it takes.
//! - [`harm`]: whether the treatment is worse than is tolerated, for guardrails of releases.
//! - [`definition`]: what an experiment is. [`experiment_state`] (`recent_ids`, [`name_hash`]): what is known of its
//!   users, from exposures and from what they did, to sums; [`merged_user`]: where several replicas know a user.
//!
//! # How often it is wrong
//!
//! Each metric's interval leaves out the true difference at any time with a probability of alpha at the most. A finding
//! about conversions that is made while the interval is held back rests on the exact bet at a tenth of alpha, which
//! comes on top. Several metrics are several chances to be wrong: with twenty of them one is found by chance at 5 %, so
//! one metric should be the question, and the others its guardrails. The sample ratio has a level of its own, one in a
//! thousand.
//!
//! # How it fits into the proxy
//!
//! - *Who is in*: a layer has a salt of its own (`layer:NAME`; an experiment without one is alone in its own), and its
//!   experiments own different slots of it: they share no user, and a share that grows takes users in and moves none.
//!   *Which arm*: the half of the slots by another salt (`experiment:NAME`), so that neither the share nor the layer
//!   says anything about the arm ([`crate::table::experiment_table`]).
//! - *Where*: after the rules and before the split, for services of a running experiment only, as a cause of its own.
//!   Such a request was not drawn by the split, so the judge of a release leaves it out, as one that a rule forced. Of
//!   a flag: before the first rule that holds for all.
//! - *When*: start, stop and ship are revisions. To ship is one revision with the split or the flag's rules.
//! - *Exposure*: a worker hands user, arm, share and time over where it decides, by a bounded queue, to the one owner
//!   of [`experiment_state::ExperimentState`] ([`crate::ledger`]); what finds the queue full is lost before it is
//!   exposed, on both sides alike.
//! - *Durable*: the owner stores what its users' values are, and not the log of what they did; an event is answered
//!   when its batch is on the disk.

pub(crate) mod always_valid;
pub(crate) mod definition;
pub(crate) mod effect;
pub(crate) mod estimate;
pub(crate) mod experiment_result;
pub(crate) mod experiment_state;
pub(crate) mod fingerprint;
pub(crate) mod fixed_horizon;
pub(crate) mod harm;
pub(crate) mod merged_user;
pub(crate) mod metric_result;
pub(crate) mod metric_sums;
pub(crate) mod name_hash;
pub(crate) mod rare_conversions;
mod recent_ids;
pub(crate) mod result_view;
pub(crate) mod sample_ratio;
pub(crate) mod sample_size;
pub(crate) mod sentence;
pub(crate) mod tally_view;
#[cfg(test)]
mod tests;
pub(crate) mod user_sums;
