//! A terminal while a view is drawn on it again and again: the demo's, and that of `pointsman status --watch`.
//!
//! A view is a list of [lines](view_line) of toned spans, made by pure code. [`screen`] draws it on a screen of its
//! own, reads keys, and puts the terminal back; [`end_signals`] turns signals into the same kind of event as keys.

pub(crate) mod end_signals;
pub(crate) mod screen;
pub(crate) mod view_line;

use std::io::{self, IsTerminal};

/// Whether standard output is a terminal that can be drawn on.
pub(crate) fn draws() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty())
}

/// Whether colours are wanted (<https://no-color.org>).
pub(crate) fn colours() -> bool {
    draws() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
