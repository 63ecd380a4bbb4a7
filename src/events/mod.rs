//! What programs tell of users: events that the proxy cannot see, such as the value of an order, sent in batches by
//! `POST /v1/events`, on the admin API and on listeners that answer it.
//!
//! [`event_batch`] reads a batch, [`event_names`] is which events mean something, [`event_recorder`] hands good batches
//! to the ledger and waits until they are on disk, [`receipt_view`] is the answer, and [`event_refusal`] how a call is
//! refused. Both doors use these; what differs is who gets in.
//!
//! A batch is taken whole or not at all: a sender that is told of half of a batch would have to keep books of its own.
//! So all that is wrong with a batch is said at once, each problem with its place, and nothing of it counts. What is
//! well-formed and does not count (a user who is in no experiment, an id that came before) is no problem of the batch:
//! the answer says how many of each there were.
//!
//! What must stay true: an answer of success means that every event of the batch is on disk or counts for nothing, and
//! a batch that is sent again counts once.

pub(crate) mod event_batch;
pub(crate) mod event_names;
pub(crate) mod event_recorder;
pub(crate) mod event_refusal;
pub(crate) mod receipt_view;
