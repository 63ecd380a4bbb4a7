//! Which calls for flags a listener answers, and whom.

use super::caller_token::CallerToken;

/// The section of the listener that answers nothing else, and the name of that listener.
pub const OFREP: &str = "ofrep";

/// Which calls for flags a listener answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FlagAnswers {
    /// None.
    None,
    /// Those of the users of its site, who are known by their requests.
    OfSite,
    /// Nothing else than those of programs, which say who the user is.
    OfContexts(OfrepAccess),
}

/// Who may ask on the listener of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfrepAccess {
    /// Origins whose pages may.
    pub origins: Vec<String>,
    /// One of these is asked for; none: of no caller.
    pub tokens: Vec<CallerToken>,
}
