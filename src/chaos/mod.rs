//! Chaos experiments, pure: what is believed of a service when something fails on purpose, and whether it was true.
//!
//! A run has two equal sets of users, the slices: to the requests of one the fault is done, to those of the other
//! nothing. Both are served at the same time by the same endpoints, so what differs between them is the fault, and the
//! judge of releases ([`crate::rollout::judge`]) can say within seconds whether users notice. The obvious other way, to
//! compare with the time before, takes every change of the hour for an effect of the fault.
//!
//! - [`chaos_definition`]: an experiment; [`chaos_schedule`]: when it may run.
//! - [`chaos_run`]: one execution of it, a state machine over time ([`chaos_time`]) and counts; [`chaos_ending`]: where
//!   it is, and how it ends.
//! - `judged_slices`: the judge, and what it is told.
//! - [`chaos_record`] ([`chaos_evidence`], `chaos_sentence`): a run as it is kept and shown.
//! - [`chaos_report`] (`chaos_journal`): the same for people who were not there, and for other programs.
//!
//! What must stay true: nothing here waits, reads a clock, draws lots or touches a table. Time comes in, and what
//! should be in force goes out; so a thousand runs are simulated by the code that real ones are judged by.

pub(crate) mod chaos_definition;
pub(crate) mod chaos_ending;
pub(crate) mod chaos_evidence;
mod chaos_journal;
pub(crate) mod chaos_record;
pub(crate) mod chaos_report;
pub(crate) mod chaos_run;
pub(crate) mod chaos_schedule;
mod chaos_sentence;
pub(crate) mod chaos_time;
mod judged_slices;
