//! The config in a repository, by the real git: commits that move users, and all that can be wrong with one.

mod asked_commits;
mod followed;
mod hooks;
mod overrides;
mod rejected;
mod signatures;
mod statuses;
mod transports;
mod written_back;
