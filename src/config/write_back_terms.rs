//! `gitops.write_back`: what changes at run time becomes a commit, on the branch itself or as a proposal.

use super::reader::config_path::ConfigPath;
use super::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;

/// Whose commits they are by default. No mail can come to it.
const COMMITTER: &str = "Pointsman <pointsman@localhost>";

/// How what changes at run time is written to the repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteBackConfig {
    /// Where to.
    pub target: WriteBackTarget,
    /// Whose commits they are.
    pub committer: Committer,
}

/// Where commits go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteBackTarget {
    /// To a branch of their own, for a person to merge.
    Proposal,
    /// To the branch that is followed.
    Branch,
}

/// Whose commits those of the proxy are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committer {
    /// The name.
    pub name: String,
    /// The address.
    pub mail: String,
}

/// What is written, and how; none: nothing.
pub(super) fn build(
    mode: Option<&str>,
    committer_text: Option<&str>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Option<WriteBackConfig>, ErrorGuaranteed> {
    let committer = committer(committer_text.unwrap_or(COMMITTER), &at.key("committer"), report);
    let target = match mode {
        None | Some("off") => None,
        Some("branch") => Some(WriteBackTarget::Proposal),
        Some("commit") => Some(WriteBackTarget::Branch),
        Some(other) => {
            let wanted = "\"off\", \"branch\" (a branch of its own, to be merged) or \"commit\" (on the branch itself)";
            let mismatch = Mismatch::new(format!("{other:?}"), wanted, "correct it");
            return Err(report.problem(&at.key("write_back"), mismatch));
        }
    };
    let committer = committer?;
    Ok(target.map(|target| WriteBackConfig { target, committer }))
}

/// `NAME <MAIL>`, as git has it.
fn committer(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Committer, ErrorGuaranteed> {
    let odd = |part: &str| part.is_empty() || part.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
    let parts = text.strip_suffix('>').and_then(|text| text.split_once(" <"));
    match parts.filter(|(name, mail)| !odd(name.trim()) && !odd(mail)) {
        Some((name, mail)) => Ok(Committer { name: name.trim().to_owned(), mail: mail.to_owned() }),
        None => {
            let mismatch = Mismatch::new(format!("{text:?}"), "NAME <MAIL>", "write both, as in a commit");
            Err(report.problem(at, mismatch))
        }
    }
}
