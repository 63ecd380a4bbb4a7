//! What is wrong with a config, line by line, as `check` and `run` say it.

use std::fmt::Display;
use std::path::Path;

/// `1 service`, `2 services`
pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Says line by line what is wrong with the file at `path`.
pub(crate) fn tell(path: &Path, problems: &[impl Display], say: &dyn Fn(&str)) {
    for problem in problems {
        say(&format!("{}: {problem}", path.display()));
    }
    say(&format!("{}: {}", path.display(), plural(problems.len(), "problem")));
}

/// Says line by line what its owner should know.
pub(crate) fn warn(path: &Path, warnings: &[String], say: &dyn Fn(&str)) {
    for warning in warnings {
        say(&format!("{}: warning: {warning}", path.display()));
    }
}
