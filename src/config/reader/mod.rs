//! TODO page of reader.

pub(crate) mod config_path;
pub(crate) mod document;
pub(crate) mod fault;
pub(crate) mod list;
pub(crate) mod problem;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod suggest;
pub(crate) mod units;
