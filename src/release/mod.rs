//! Makes rollouts happen: what the state machine of [`crate::rollout`] decides is stored, put in force, begun and
//! told.
//!
//! In reading order: [`rollout_handle`] is how a rollout is asked for, [`controller`] the task that looks at all of
//! them, [`start`] how one begins (`start_subjects` what of, `flag_start` for a flag; [`bad_plan`] says why not,
//! `traffic_warnings` what its traffic is too thin for, `budgets` of which error budgets too little is left),
//! `release_preview` what it would be with the traffic of this moment (`seen_arm` how its versions did), `active` one
//! that is under way (`released_rule` of a flag), and `advance` makes its moves happen. [`evidence_collector`] collects
//! for the judge what the workers counted (`warm_up` says of which endpoints), and [`ceilings`] are what it is measured
//! by. [`task_runner`] does what a rollout does to the world (`task_error` says why not), `metric_asker` asks metrics
//! servers for numbers of the plan's own at the pace of its `metric_schedule`, `guardrail_asker` asks the ledger what
//! users did ([`guardrail_counting`]), and `answered` passes on what comes of all three (`task_answer`). [`saved`] is
//! what is stored of a rollout ([`saved_flag`] of its flags), `restore` goes on with it after a restart, and
//! `provenance` says whether its hooks may be run then; `onlooker` is a replica that leaves all that to the leader of
//! its fleet, and tells it what it counts ([`replica_evidence`], `leader_telling`); `fleet_evidence` asks for that,
//! `hear_others` takes it before each tick, and `others_counted` adds it up. [`view`], `evidence_view`, `metric_view`,
//! `guardrail_view`, `verdict_history`, [`forecast_view`] and [`brief`] are what is shown, by `rollouts_shown`.
//! `judge_looks` has the judge look at what was counted.
//! `evidence_series` is what was found over time: noted by `kept_points`, stored when `points_stored` says so, and
//! shown as [`evidence_over_time`]. `verdict_teller` tells of changes of mind (`note_verdicts`), as often as
//! `verdict_news` says.
//!
//! # Flags
//!
//! A flag is released like a version, and by the same machine: the state machine moves a weight, and what has that
//! weight is a version in the splits of some services, or a variant in the last rule of a flag. So [`saved`] names the
//! flag and its rule besides, and `active` turns a weight into a move of the rule; an operator's hand on the flag, its
//! kill switch too, pauses the rollout as one on a split does. The judge compares arms, and does not ask what they are.
//! Three things differ. Which arm a request is in says the draw of the rule, which the request path asks the flag for
//! (a request that a rule before it decides is in none). Both arms are served by the same endpoints, so nothing has to
//! warm up that served before, and how long each arm takes is counted beside the versions' own counters. And the
//! shield does nothing here: what it replays, it replays with the same variant. The way back is one swap of the rule,
//! the kill switch of a release.
//!
//! A group may have both. One weight moves splits and rules in one revision, and each service whose requests are looked
//! at has one judge: for its versions if its split is moved, else for the variants of the first flag of the group that
//! it lists. One comparison is enough for what is moved of a service, and the request path need not count twice,
//! because all of that has the same users on the same side; `start_subjects` sees to it.
//!
//! The plan of a flag is the default (bursts are not tolerated) with what its own section and the call say: that of
//! `[services.NAME.rollout]` is about versions.
//!
//! The controller is a client of the writer and no part of it: a hook that hangs must not keep a change waiting. Each
//! task ends within a time that its caller knows, whatever the other side does.

mod active;
mod advance;
mod answered;
pub(crate) mod bad_plan;
mod barred;
pub(crate) mod brief;
mod budgets;
pub(crate) mod ceilings;
pub(crate) mod controller;
mod copied_requests;
pub(crate) mod evidence_collector;
pub(crate) mod evidence_over_time;
mod evidence_series;
mod evidence_view;
mod experimented;
mod flag_start;
mod fleet_evidence;
pub(crate) mod forecast_view;
mod guardrail_asker;
pub(crate) mod guardrail_counting;
mod guardrail_view;
mod hear_others;
mod judge_looks;
mod kept_points;
mod leader_telling;
mod metric_asker;
mod metric_schedule;
mod metric_view;
mod mirror_steps;
mod note_verdicts;
mod onlooker;
mod others_counted;
mod points_stored;
mod provenance;
mod release_preview;
mod released_rule;
pub(crate) mod replica_evidence;
pub(crate) mod restore;
pub(crate) mod rollout_handle;
mod rollouts_shown;
mod route_latencies;
pub(crate) mod saved;
pub(crate) mod saved_flag;
mod seen_arm;
pub(crate) mod start;
mod start_subjects;
mod task_answer;
mod task_error;
pub(crate) mod task_runner;
mod traffic_warnings;
mod verdict_history;
mod verdict_news;
mod verdict_teller;
pub(crate) mod view;
mod warm_up;
