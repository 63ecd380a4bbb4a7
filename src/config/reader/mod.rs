//! How text becomes typed values, with every problem on the way.
//!
//! [`document`] is the text as TOML with the line of each key, [`read`] walks it, [`config_path`] says where one is,
//! [`units`] and [`list`] are shapes of values. [`fault`] is what was found and what is wanted at one value, [`report`]
//! collects them, [`problem`] is how its author reads them, and [`suggest`] finds the name that was meant.

pub(crate) mod config_path;
pub(crate) mod document;
pub(crate) mod fault;
pub(crate) mod list;
pub(crate) mod problem;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod suggest;
pub(crate) mod units;
