//! The config from a repository: the newest commit of a branch is what is in force, or says why it is not.
//!
//! [`git_program`] calls git, hardened and within bounds; [`git_clone`] is the bare clone in the folder of the state,
//! and what is read from it; [`git_commit`] is what is known of a commit; [`git_keeper`] looks again and again, and has
//! the writer put a new commit in force; [`git_facts`] is what is shown of that; [`gitops_handle`] is how others ask;
//! [`hook_receiver`] is what forges call when there is something new, and [`hook_signature`] whether they are believed;
//! [`commit_signature`] says whether a commit is signed by a key that counts; [`commit_statuses`] tells the forge what
//! became of a commit ([`told_commits`] says when), in the words of [`forge_request`];
//! [`rejections`] says which commits were taken back. [`commit_word`] finds any commit, and [`commit_preview`] says
//! what it would do. [`write_back`] makes commits of what changes at run time ([`write_back_state`] is when):
//! [`unwritten`] is what there is to write, [`config_edit`] the text with it, [`write_back_message`] what the commit
//! says, and [`git_push`] makes it and pushes it.
//!
//! # What a commit may change
//!
//! A commit is a config file that came another way: it is read by the same reader, checked by the same checks, and put
//! in force by the same call as a config file that was saved, whole or not at all, and one revision. So the rules are
//! those of a reload, and there is no second list of them: services, versions, endpoints, splits, rules, flags,
//! experiments, chaos, groups and notifications change while requests flow; listeners, `proxy`, `ofrep`, `events`,
//! `jwt` and the access log take a restart, which is told. What the file says about weights counts when it *changes
//! there* ([`crate::control::file`]): a commit that does not touch the split of a service leaves a shift by hand alone.
//!
//! `admin` and `state` are of one machine. They are in the local file beside `[gitops]`, which has nothing else, and a
//! commit that has them is refused. The local file is read at the start only.
//!
//! # What was taken back
//!
//! A rollback is quicker than a commit, and must not be undone by one. So the writer marks the commit whose weights a
//! rollback, or a rollout that is turned back, has taken back ([`crate::control::weight_marks`]), in the transaction of
//! that revision. Its weights count by no way any more: the writer leaves them out of every file of that commit, and
//! the keeper does not put the commit in force. A commit after it counts where it says something *new*, by the rule
//! above.
//!
//! # What is written
//!
//! The repository is to say what is in force, so that `git log` is the audit trail and `git revert` the way back. Not
//! each change is a commit, but each state that stays: what is in force, not as the commit says, and in the hands of no
//! rollout. There is no queue to lose. A commit of our own is one like any other when it comes back: it says what is in
//! force, so it moves no user.
//!
//! # What must stay true
//!
//! - What is in force stays in force whatever happens to the repository: unreachable, a branch that is gone, a history
//!   that was rewritten, a file that is wrong. Nothing here takes anything out of force.
//! - The commit in force is marked in the clone before it is put in force, and the mark is taken back if that fails: a
//!   start goes on from the mark, without the network, so that it never goes back behind a revision.
//! - git reads no settings, hooks or credentials but those that the operator named; no text from a repository is an
//!   argument, and none comes near a shell. There is no work tree, so that no link in it leads anywhere.

mod commit_preview;
mod commit_signature;
pub(crate) mod commit_statuses;
pub(crate) mod commit_word;
mod config_edit;
pub(crate) mod forge_request;
pub(crate) mod git_clone;
pub(crate) mod git_commit;
pub(crate) mod git_facts;
pub(crate) mod git_keeper;
mod git_program;
mod git_push;
pub(crate) mod gitops_handle;
pub(crate) mod hook_receiver;
pub(crate) mod hook_signature;
pub(crate) mod rejections;
mod told_commits;
mod unwritten;
mod write_back;
mod write_back_message;
pub(crate) mod write_back_state;
