//! Makes rollouts happen: what the state machine of [`crate::rollout`] decides is stored, put in force, begun and told.
//!
//! In reading order: [`rollout_handle`] is how a rollout is asked for, [`controller`] the task that looks at all of
//! them, [`start`] how one begins ([`bad_plan`] says why not,
//! `traffic_warnings` what its traffic is too thin for), `active` one that is under way, and `advance` makes its
//! moves happen. [`evidence_collector`] collects for the judge what the workers counted (`warm_up` says of which
//! endpoints), and [`ceilings`] are what it is measured by. [`task_runner`] does what a rollout does to the world
//! (`task_error` says why not), `metric_asker` asks metrics servers for numbers of the plan's own at the pace of its
//! `metric_schedule`, and `answered` passes on what comes of both (`task_answer`). [`saved`] is what is stored of a
//! rollout, `restore` goes on with it after a restart and `provenance` says whether its hooks may be run then, and
//! [`view`], `evidence_view`, `metric_view`, `verdict_history`, [`forecast_view`] and [`brief`] are what is shown.
//! `verdict_teller` tells of changes of mind, as often as `verdict_news` says.
//!
//! The controller is a client of the writer and no part of it: a hook that hangs must not keep a change waiting. Each
//! task ends within a time that its caller knows, whatever the other side does.

mod active;
mod advance;
mod answered;
pub(crate) mod bad_plan;
mod barred;
pub(crate) mod brief;
pub(crate) mod ceilings;
pub(crate) mod controller;
pub(crate) mod evidence_collector;
mod evidence_view;
pub(crate) mod forecast_view;
mod metric_asker;
mod metric_schedule;
mod metric_view;
mod provenance;
mod restore;
pub(crate) mod rollout_handle;
mod route_latencies;
pub(crate) mod saved;
pub(crate) mod start;
mod task_answer;
mod task_error;
pub(crate) mod task_runner;
mod traffic_warnings;
mod verdict_history;
mod verdict_news;
mod verdict_teller;
pub(crate) mod view;
mod warm_up;
