//! What a request leaves behind.
//!
//! [`in_flight`] counts what runs at this moment, [`outlier_report`] tells how an endpoint did, [`canary_sample`] tells
//! the judge of a rollout ([`response_watch`]: what the response was), and [`mod@panic`] turns a bug in a request's
//! handling into a failed request. [`seen_users`] tells experiments what users got, and what they did since
//! ([`awaited_request`]).

pub(crate) mod awaited_request;
pub(crate) mod canary_sample;
pub(crate) mod in_flight;
pub(crate) mod objective_notes;
pub(crate) mod outlier_report;
pub(crate) mod panic;
pub(crate) mod response_watch;
pub(crate) mod seen_users;
