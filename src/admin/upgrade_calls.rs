//! Calls for an upgrade in place, and their outcome. The upgrade itself is in `app`, which knows the sockets; here is
//! only what the admin API has to know.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::problem::{Problem, ProblemKind};

/// Where the outcome of an upgrade goes.
pub(crate) type OutcomeSender = oneshot::Sender<Result<Successor, UpgradeError>>;

/// The process that has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Its id.
    pub process: u32,
}

/// Why there was no upgrade. The process that was asked goes on as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Not this process.
    #[error("this process cannot be replaced: {0}")]
    Unavailable(&'static str),
    /// Another one is going on.
    #[error("another upgrade is going on; wait for its end")]
    Busy,
    /// The new binary does not take the config.
    #[error("the check of the config by {program} has failed; this one goes on: {}", lines(findings))]
    Config {
        /// The new binary.
        program: String,
        /// Everything that is wrong with the config.
        findings: Vec<CheckFinding>,
    },
    /// Files that the new process reads are being written, or may be half of what they will be.
    #[error(
        "{files}: {what}; the new process might read half a file, so this one goes on. Upgrade again when all is written"
    )]
    Unsettled {
        /// Which ones.
        files: &'static str,
        /// What is seen of it.
        what: String,
    },
    /// The new process did not take over.
    #[error("the new process has not taken over: {0}; this one goes on")]
    Failed(String),
    /// The process is told to end.
    #[error("the process is shutting down")]
    Ending,
}

fn lines(findings: &[CheckFinding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One thing that `check` finds wrong with a config, as it is printed for programs. The binary that is replaced reads
/// it and passes it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ReportedFinding", into = "FindingFields")]
pub enum CheckFinding {
    /// With its text.
    Problem(Problem),
    /// With a file that it names, in the words of the part that reads that; or whatever another binary says.
    Remark {
        /// The key that names the file; empty when it is not known.
        path: String,
        /// The line of the key, from 1.
        line: Option<usize>,
        /// What is to be said.
        text: String,
    },
}

/// A finding as a binary prints it. One of another age prints a line, which says where as well.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReportedFinding {
    Line(String),
    Fields(FindingFields),
}

/// A finding, field by field: with `found`, `wanted` and `remedy`, or with `text`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct FindingFields {
    #[serde(rename = "where")]
    path: String,
    line: Option<usize>,
    /// Why the text is not TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    syntax: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl From<CheckFinding> for FindingFields {
    fn from(finding: CheckFinding) -> Self {
        match finding {
            CheckFinding::Problem(Problem { path, line, kind, found, wanted, remedy }) => {
                let syntax = if let ProblemKind::Syntax(what) = kind { Some(what) } else { None };
                let (found, wanted, remedy) = (Some(found), Some(wanted), Some(remedy));
                Self { path, line, syntax, found, wanted, remedy, text: None }
            }
            CheckFinding::Remark { path, line, text } => Self { path, line, text: Some(text), ..Self::default() },
        }
    }
}

impl From<ReportedFinding> for CheckFinding {
    fn from(reported: ReportedFinding) -> Self {
        match reported {
            ReportedFinding::Line(text) => Self::Remark { path: String::new(), line: None, text },
            ReportedFinding::Fields(FindingFields {
                path,
                line,
                syntax,
                found: Some(found),
                wanted: Some(wanted),
                remedy: Some(remedy),
                ..
            }) => {
                let kind = syntax.map_or(ProblemKind::Invalid, ProblemKind::Syntax);
                Self::Problem(Problem { path, line, kind, found, wanted, remedy })
            }
            ReportedFinding::Fields(FindingFields { path, line, found, text, .. }) => {
                Self::Remark { path, line, text: text.or(found).unwrap_or_default() }
            }
        }
    }
}

/// `line 12: listeners.public.tls.cert: site.pem: found an empty file, want a certificate in PEM`
impl fmt::Display for CheckFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, line, text) = match self {
            Self::Problem(problem) => return problem.fmt(f),
            Self::Remark { path, line, text } => (path, line, text),
        };
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(text)
    }
}

/// Asks for upgrades.
#[derive(Clone, Debug)]
pub struct Upgrades {
    calls: mpsc::Sender<OutcomeSender>,
    busy: Arc<AtomicBool>,
}

/// Where the calls arrive.
#[derive(Debug)]
pub struct UpgradeCalls {
    calls: mpsc::Receiver<OutcomeSender>,
    busy: Arc<AtomicBool>,
}

/// Both ends.
#[must_use]
pub fn channel() -> (Upgrades, UpgradeCalls) {
    let (sender, calls) = mpsc::channel(1);
    let busy = Arc::new(AtomicBool::new(false));
    (Upgrades { calls: sender, busy: Arc::clone(&busy) }, UpgradeCalls { calls, busy })
}

impl Upgrades {
    /// Asks, and waits for the outcome.
    ///
    /// # Errors
    /// [`UpgradeError`] when this process goes on, or ends.
    pub async fn ask(&self) -> Result<Successor, UpgradeError> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(UpgradeError::Busy);
        }
        let (response, responded) = oneshot::channel();
        self.calls.send(response).await.map_err(|_closed| UpgradeError::Ending)?;
        responded.await.unwrap_or(Err(UpgradeError::Ending))
    }
}

impl UpgradeCalls {
    /// The next call; none when no caller is left.
    pub async fn next(&mut self) -> Option<OutcomeSender> {
        self.calls.recv().await
    }

    /// Says whether an upgrade is going on that was not called for here, or that it is over.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_finding_comes_back_as_it_was_printed() {
        let problem = Problem::invalid("proxy.workers", "0", "1 to 1024", "raise it to 1");
        let broken = Problem { kind: ProblemKind::Syntax("duplicate key".to_owned()), ..problem.clone() };
        let remark = |path: &str, line| CheckFinding::Remark { path: path.to_owned(), line, text: "empty".to_owned() };
        for (finding, line) in [
            (CheckFinding::Problem(Problem { line: Some(3), ..problem }), "line 3: proxy.workers: found 0, want 1 to"),
            (CheckFinding::Problem(broken), "proxy.workers: not TOML: duplicate key: found 0"),
            (remark("admin.tls.cert", Some(7)), "line 7: admin.tls.cert: empty"),
            (remark("", None), "empty"),
        ] {
            let printed = serde_json::to_string(&finding).expect("JSON");
            assert_eq!(serde_json::from_str::<CheckFinding>(&printed).expect("a finding"), finding, "{printed}");
            assert!(finding.to_string().starts_with(line), "{finding}");
        }
    }

    #[test]
    fn what_other_binaries_print_is_passed_on_as_it_is() {
        let read = |printed: Value| serde_json::from_value::<CheckFinding>(printed).expect("a finding").to_string();
        assert_eq!(read(json!("line 3: proxy.workers: found 0")), "line 3: proxy.workers: found 0");
        assert_eq!(read(json!({ "where": "proxy", "text": "odd", "new": 1 })), "proxy: odd");
        assert_eq!(read(json!({ "found": "odd", "line": 2 })), "line 2: odd");
    }
}
