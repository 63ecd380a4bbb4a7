//! `pointsman sync`: the newest commit of the repository that the config is in, now.

use clap::Args;
use http::Method;
use serde_json::{Map, Value};

use super::change::change_lines;
use super::client::Call;
use super::text::{TextTone, list, member, toned};
use super::{CommandError, Remote};

/// Fetch the newest commit of the repository that the config is in, and put it in force
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman sync\n  pointsman sync --dry-run\n\n\
    The proxy does the same by itself, in the interval of [gitops].")]
pub struct SyncArgs {
    /// Only say what would change, and how many users would move
    #[arg(long)]
    dry_run: bool,
    /// Take the newest commit also when the history of the branch was rewritten
    #[arg(long)]
    rewritten: bool,
    /// Put the weights of the newest commit in force also where a rollback or a rollout has taken them back
    #[arg(long)]
    rejected: bool,
}

/// Syncs.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: &SyncArgs) -> Result<(), CommandError> {
    let path = if args.dry_run { "/v1/gitops/sync?dry_run=true" } else { "/v1/gitops/sync" };
    let terms = [("rewritten", args.rewritten), ("rejected", args.rejected)];
    let body: Map<_, _> =
        terms.into_iter().filter(|(_, wanted)| *wanted).map(|(term, _)| (term.to_owned(), true.into())).collect();
    remote.call(Call { method: Method::POST, path, body: Some(Value::Object(body)), if_match: None }, show)
}

/// What came of it, in words.
pub(super) fn show(answer: &Value) -> String {
    let restart = list(answer, "needs_restart").filter_map(Value::as_str);
    let restart = restart.map(|key| format!("  {}: {key}\n", toned("takes a restart", TextTone::Warn)));
    let lines = commit_line(&answer["commit"]) + &change_lines(&answer["change"]);
    restart.fold(lines, |lines, line| lines + &line)
}

/// A commit on a line.
fn commit_line(commit: &Value) -> String {
    let hash = member(commit, "hash");
    let short: String = hash.chars().take(8).collect();
    let (author, subject) = (member(commit, "author"), member(commit, "subject"));
    format!("commit {short} by {author}: {subject}\n")
}

/// The repository in `status`, on a line or more; empty without one.
pub(super) fn status_lines(gitops: &Value) -> String {
    let Some(state) = gitops["state"].as_str() else { return String::new() };
    let tone = match state {
        "synced" => TextTone::Good,
        "refused" | "rejected" | "unreachable" => TextTone::Bad,
        _ => TextTone::Warn,
    };
    let asked = match (gitops["fetched_seconds"].as_u64(), gitops["fetched_at"].as_str()) {
        (Some(seconds), _) => format!("asked {seconds} s ago"),
        (None, Some(at)) => format!("asked at {at}"),
        (None, None) => "not asked yet".to_owned(),
    };
    let (repository, branch) = (member(gitops, "repository"), member(gitops, "branch"));
    let mut text = format!("git {}: {repository} {branch}, {asked}\n", toned(state, tone));
    text += &format!("  in force: {}", commit_line(&gitops["commit"]));
    if gitops["newest"].is_object() {
        text += &format!("  newest:   {}", commit_line(&gitops["newest"]));
    }
    for problem in list(gitops, "problems").filter_map(Value::as_str) {
        text += &format!("  {}: {problem}\n", toned("refused", TextTone::Bad));
    }
    for (key, word) in [("rejection", "rejected"), ("unreachable", "unreachable"), ("waits", "waits")] {
        if let Some(why) = gitops[key].as_str() {
            text += &format!("  {}: {why}\n", toned(word, TextTone::Warn));
        }
    }
    let written = &gitops["write_back"]["last"];
    if let Some(commit) = written["commit"].as_str() {
        let short: String = commit.chars().take(8).collect();
        let (branch, revision) = (member(written, "branch"), &written["revision"]);
        text += &format!("  written back: {short} on {branch}, revision {revision}\n");
    }
    if let Some(why) = gitops["write_back"]["problem"].as_str() {
        text += &format!("  {}: {why}\n", toned("not written back", TextTone::Bad));
    }
    let overridden: Vec<_> = list(gitops, "overridden").filter_map(Value::as_str).collect();
    if !overridden.is_empty() {
        text += &format!("  {}: {}\n", toned("not as the commit says", TextTone::Warn), overridden.join(", "));
    }
    text.extend(list(gitops, "overrides").filter(|found| found["author"].is_string()).map(override_line));
    text
}

/// Who has set weights that are not as the commit says, on a line.
fn override_line(found: &Value) -> String {
    let (of, author, revision) = (member(found, "of"), member(found, "author"), &found["revision"]);
    let reason = found["reason"].as_str().map_or(String::new(), |reason| format!(": {reason}"));
    let ends = found["ends_at"].as_str().map_or(String::new(), |at| format!(", until {at}"));
    let waits = found["waits"].as_str().map_or(String::new(), |why| format!(" (then it waits: {why})"));
    format!("    {of} by {author} in revision {revision}{ends}{waits}{reason}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_repository_is_a_line_or_more_of_the_status() {
        let commit = |hash: &str| json!({"hash": hash.repeat(5), "author": "Ada <a@b>", "subject": "Shift"});
        let mut gitops = json!({
            "state": "synced", "repository": "file:///a", "branch": "main", "fetched_seconds": 3,
            "commit": commit("12345678"), "newest": null, "problems": [], "overridden": []
        });
        let text = status_lines(&gitops);
        assert_eq!(
            text,
            "git synced: file:///a main, asked 3 s ago\n  in force: commit 12345678 by Ada <a@b>: Shift\n"
        );
        gitops["newest"] = commit("abcdefab");
        gitops["problems"] = json!(["abcdefab:p.toml: line 3: no"]);
        gitops["unreachable"] = json!("gone");
        gitops["rejection"] = json!("12345678 because it fails (by ada, revision 4, of shop)");
        gitops["overridden"] = json!(["shop", "flag dark"]);
        gitops["write_back"] = json!({
            "last": {"commit": "0123456789ab", "branch": "main", "revision": 4}, "problem": "the branch is protected"
        });
        gitops["overrides"] = json!([
            {"of": "shop", "author": "ada", "revision": 4, "reason": "a load test", "ends_at": "2026-11-30T12:00:00Z"},
            {"of": "flag dark", "author": null}
        ]);
        let text = status_lines(&gitops);
        for line in [
            "\n    shop by ada in revision 4, until 2026-11-30T12:00:00Z: a load test\n",
            "written back: 01234567 on main, revision 4",
            "not written back: the branch is protected",
            "newest:   commit abcdefab",
            "refused: abcdefab:p.toml: line 3: no",
            "rejected: 12345678 because it fails",
            "unreachable: gone",
            "shop, flag dark",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(status_lines(&Value::Null), "");
    }
}
