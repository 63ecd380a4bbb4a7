//! The limits of requests before they are sent on.
//!
//! [`concurrency`] says how many run at a time and who waits in line, [`rate`] how fast they may come, and
//! [`worker_holds`] makes them wait while a change takes effect.

pub(crate) mod concurrency;
pub(crate) mod rate;
pub(crate) mod worker_holds;
