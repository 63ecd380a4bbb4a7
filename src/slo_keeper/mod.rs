//! The keeping of error budgets: once a second the counters of services with objectives are looked at, and every few
//! seconds what is new of them goes into the store.
//!
//! [`slo_book`] is what is known of all services, [`slo_handle`] is how others ask, and [`keeper`] looks, reads and
//! writes. Rows go through the writer like everything in the store ([`crate::control::store::slo_rows`]).
//!
//! What must stay true: a request whose count was seen is written within ten seconds, and at the end of the process;
//! one whose count was not written yet is lost with a process that is killed, and no other.

pub(crate) mod keeper;
mod slo_book;
pub(crate) mod slo_handle;

pub(crate) use slo_handle::{SloHandle, SteadyAnswer};
