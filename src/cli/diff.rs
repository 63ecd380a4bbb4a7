//! `pointsman diff`: what a commit of the repository would do, for the checks of a pull request.

use clap::Args;
use http::{Method, StatusCode};
use serde_json::json;

use super::client::{Call, CallError};
use super::{CommandError, Remote, sync};

/// Say what a commit of the repository would change, and how many users would move; nothing is changed
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman diff feature/more-v2\n  pointsman diff 1a2b3c4d\n  \
    pointsman diff refs/pull/12/head --json\n\nExit code 0: it could be put in force; 2: it would be refused, or is rejected; \
    1: the proxy or the repository does not answer, or there is no such commit. A token with the role read is enough.")]
pub struct DiffArgs {
    /// A branch, the hash of a commit or its first digits, or a name below refs/
    #[arg(value_name = "COMMIT")]
    commit: String,
}

/// Says it.
///
/// # Errors
/// [`CommandError`] when the commit would not be put in force, or nothing is known of it.
pub fn run(remote: &Remote, args: &DiffArgs) -> Result<(), CommandError> {
    let body = Some(json!({ "commit": args.commit }));
    let call = Call { method: Method::POST, path: "/v1/gitops/sync?dry_run=true", body, if_match: None };
    match remote.call(call, sync::show) {
        Err(CommandError::Call(error)) if is_refusal(&error) => Err(CommandError::Declined(error)),
        answered => answered,
    }
}

/// Whether the commit is what is wrong.
fn is_refusal(error: &CallError) -> bool {
    let CallError::Refused { status, problem, .. } = error else { return false };
    matches!(*status, StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT)
        && problem["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with(":commit_refused") || kind.ends_with(":commit_rejected"))
}
