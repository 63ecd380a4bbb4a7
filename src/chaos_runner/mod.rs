//! Makes chaos runs happen, as [`release`](crate::release) does with rollouts.
//!
//! What should happen is decided by a state machine ([`crate::chaos::chaos_run`]); here it is made to happen, four
//! times a second: [`chaos_controller`] is the task, with `chaos_start` for what begins (refused by `chaos_refusals`,
//! [`chaos_preview`] is what it would be), `chaos_end` for what ends, `chaos_stops` for what ends it before its time
//! (by [`chaos_vitals`]), `chaos_commands` for commands and what undoes them (`chaos_tasks`), `chaos_handover` for
//! another process that takes over, and `chaos_news` for what is told. [`chaos_handle`] is how it is asked,
//! [`chaos_shown`] what it shows, [`saved_chaos`] what is stored.
//!
//! What must stay true: a fault is in memory only, so the end of the process is its end, whatever is in the store. What
//! a command does outlives the process, so what undoes it is in the store before the command begins, and is tried until
//! it is done. A fault is taken away before anything is stored or told: a full disk does not make it longer.

mod chaos_commands;
pub(crate) mod chaos_controller;
mod chaos_end;
pub(crate) mod chaos_handle;
mod chaos_handover;
mod chaos_news;
pub(crate) mod chaos_preview;
mod chaos_refusals;
pub(crate) mod chaos_shown;
mod chaos_start;
mod chaos_stops;
mod chaos_tasks;
pub(crate) mod chaos_vitals;
pub(crate) mod saved_chaos;
