//! Who was seen in which arm of an experiment, and did what: the one owner of what is counted while the process runs.
//!
//! A *trial* is whatever users are counted for: a run of an experiment, or a step of a rollout with guardrails
//! ([`seen`]). Those that run are told to [`running_trials`], before the table that makes exposures of them is in
//! force. Workers hand over what they see by a bounded queue that they never wait for; the admin API and a listener for
//! events ask by [`ledger_handle`]. One thread owns all of it ([`ledger_thread`]): trials in memory and their file
//! (`ledger_book`, `open_trial`), which is opened, written, read and looked after by `ledger_file`, `ledger_save`,
//! `ledger_rows` and `ledger_place` (`ledger_schema`, `ledger_columns`, `ledger_file_error`).
//!
//! Why not counters in the workers: a user is one unit, wherever its requests arrive. Why not the revision store: see
//! `ledger_file`. Why rows of state and no log of events: a log of weeks has no bound, and users have one.
//!
//! In a fleet each replica has a ledger of its own, and copies of what the others have counted in the same file:
//! [`told_trials`] has the forms that are sent, [`exchange_board`] how far the others are known.
//!
//! What must stay true: an event is answered after it is on disk. What is in memory is written within a quarter of a
//! second, so that no more of what was seen is lost with the process, on both arms alike. No request waits for any of
//! it, and the process neither ends nor refuses to start because of it.

pub(crate) mod exchange_board;
mod ledger_book;
mod ledger_columns;
mod ledger_file;
mod ledger_file_error;
pub(crate) mod ledger_handle;
mod ledger_place;
mod ledger_rows;
mod ledger_save;
mod ledger_schema;
#[cfg(test)]
mod ledger_tests;
pub(crate) mod ledger_thread;
mod open_trial;
pub(crate) mod running_trials;
pub(crate) mod seen;
pub(crate) mod told_trials;
