//! Arguments that are none of what is wanted, and the small numbers of several commands.

/// What is wanted of an argument; clap says which one it is and what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("want {0}")]
pub(crate) struct BadArgument(pub(crate) &'static str);

/// The number of a revision.
///
/// # Errors
/// [`BadArgument`] for anything else.
pub(crate) fn revision(text: &str) -> Result<u64, BadArgument> {
    text.parse().map_err(|_other| BadArgument("the number of a revision, see `pointsman history`"))
}

/// How many.
///
/// # Errors
/// [`BadArgument`] for anything else.
pub(crate) fn count(text: &str) -> Result<u32, BadArgument> {
    text.parse().map_err(|_other| BadArgument("a whole number, such as 20"))
}
