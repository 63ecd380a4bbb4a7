//! Database files of this process, whatever is in them: claimed for it alone, opened in one way, and known to be where
//! their path leads. [`control`](crate::control) keeps revisions in one, [`ledger`](crate::ledger) what experiments
//! have counted in another.

pub(crate) mod file_lock;
pub(crate) mod place;
pub(crate) mod sqlite;
