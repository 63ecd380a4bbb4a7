//! `pointsman check`: every problem of a config, before it is used.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::config_words::{ConfigArgs, UnreadableConfig, WrittenConfig, summary};
use super::finding_lines::{tell, warn};
use super::{EXIT_USAGE, chain, text};
use crate::app::{self, CheckFinding, Checked, GitopsStart, GitopsStartError};
use crate::config::LocalConfig;

/// Print every problem of a config; exit with 0 or 64
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman check --config pointsman.toml\n\n\
    Of a config in a repository, the file of what is of this machine is checked, and the commit that the next start\n    \
    begins with, if it was fetched before.")]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Checks the file, and the tokens, certificates and keys that it names.
#[must_use]
pub fn run(args: &CheckArgs, json: bool) -> ExitCode {
    let path = args.config.place();
    let Found { good, problems, warnings } = Found::of(&args.config);
    if json {
        let found = serde_json::json!({ "good": problems.is_empty(), "problems": problems, "warnings": warnings });
        text::print(&text::json(&found));
        return code(&problems);
    }
    warn(&path, &warnings, &text::complain);
    if problems.is_empty() {
        text::print(&format!("{}: good: {good}\n", path.display()));
    } else {
        tell(&path, &problems, &text::complain);
    }
    code(&problems)
}

fn code(problems: &[CheckFinding]) -> ExitCode {
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) }
}

/// What there is to say of a config.
#[derive(Default)]
struct Found {
    /// How good it is, if there is no problem.
    good: String,
    problems: Vec<CheckFinding>,
    warnings: Vec<String>,
}

impl Found {
    fn of(config: &ConfigArgs) -> Self {
        match config.written() {
            Ok(WrittenConfig::Whole(text)) => Self::read(app::check(&text, config.base()), |config| summary(&config)),
            Ok(WrittenConfig::Local(local)) => Self::of_repository(*local, config.base()),
            Err(UnreadableConfig(text)) => Self { problems: vec![remark(text)], ..Self::default() },
        }
    }

    fn read<C>(checked: Checked<C>, good: impl FnOnce(C) -> String) -> Self {
        let warnings = checked.warnings.iter().map(ToString::to_string).collect();
        match checked.config {
            Ok(config) => Self { good: good(config), problems: Vec::new(), warnings },
            Err(refused) => Self { good: String::new(), problems: refused.findings(), warnings },
        }
    }

    /// Of what is of this machine, and of the commit that is known.
    fn of_repository(local: Checked<LocalConfig>, base: &Path) -> Self {
        let mut machine = None;
        let found = Self::read(local, |local| {
            let gitops = &local.gitops;
            let good = format!("the config is {} on {} of {}", gitops.path, gitops.branch, gitops.repository);
            machine = Some(Arc::new(local));
            good
        });
        let Some(machine) = machine else { return found };
        let Self { good, warnings, .. } = found;
        let refused = |problems| Self { problems, ..Self::default() };
        match GitopsStart::known(&machine, base) {
            Ok(None) => Self { good: format!("{good}; it was not fetched yet"), problems: Vec::new(), warnings },
            Ok(Some(known)) => {
                let good = format!("{good}; {} is good: {}", known.place, summary(&known.config));
                let warnings = warnings.into_iter().chain(known.warnings).collect();
                Self { good, problems: Vec::new(), warnings }
            }
            Err(GitopsStartError::Refused { problems, .. }) => refused(problems),
            Err(error) => refused(vec![remark(chain(&error))]),
        }
    }
}

/// A finding that is about no key.
fn remark(text: String) -> CheckFinding {
    CheckFinding::Remark { path: String::new(), line: None, text }
}
