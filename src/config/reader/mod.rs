//! The reader: from text to typed values, with every problem on the way.
//!
//! [`input`] is what is read: the text of a config as TOML, with the line of each key, or the body of a call. [`tree`]
//! is a value of either, and [`read`] walks it; [`config_path`] says where one is. [`units`] and [`list`] are shapes of
//! values. [`read_fault`] is what was found and what is wanted at one value, and [`unit_remedy`] what to write instead;
//! [`unclosed`] finds where a list begins that has no end, and [`report`] collects all problems. [`variables`] of the
//! environment are put into texts before they are read.

pub(crate) mod config_path;
pub(crate) mod input;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod read_fault;
pub(crate) mod report;
pub(crate) mod tree;
mod unclosed;
mod unit_remedy;
pub(crate) mod units;
pub(crate) mod variables;
