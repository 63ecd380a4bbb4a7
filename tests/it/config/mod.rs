//! The config as text and as files that people save while the proxy runs.

mod files;
mod import;
mod pages;
mod saves;
mod text;
mod variables;
mod watch;
mod ways_to_save;
