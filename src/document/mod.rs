//! The state of the proxy as a document, and what has to be said when it changes.
//!
//! The admin API streams it and the command line follows it, so both have the same code for both directions.
//! [`live_document`] is what it looks like, [`merge_patch`] how changes are said.

pub(crate) mod live_document;
pub(crate) mod merge_patch;
