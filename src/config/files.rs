//! The files that a config names and that its text alone cannot judge: certificates, keys, authorities, tokens
//! and secrets.
//!
//! They are noted while the sections are built, each with the key that names it, so that whoever reads files (nothing in
//! this module does) can report them as the text is reported: by line and key, in the same run, and also when another
//! part of the text is wrong.

use std::path::PathBuf;
use std::sync::Arc;

use super::process::admin::TokenFile;
use super::reader::problem::Problem;
use crate::tls::{ClientSettings, Part, ServerSettings};

/// The files of a config, of every part of it that could be read.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Listeners and the admin API.
    pub servers: Vec<TlsFiles<ServerSettings>>,
    /// Versions.
    pub clients: Vec<TlsFiles<Arc<ClientSettings>>>,
    /// The admin API's tokens, each with the key of its file.
    pub tokens: Vec<(Key, TokenFile)>,
    /// The secrets that notifications are signed with.
    pub secrets: Vec<(Key, PathBuf)>,
}

/// A key of the config.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Its line.
    pub line: Option<usize>,
    /// Its path, such as `listeners.public.tls.key`.
    pub path: String,
}

/// The files of one end of TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles<S> {
    /// What they are to come to.
    pub settings: S,
    /// The keys of its pairs, in the order of the settings.
    pub(crate) pairs: Vec<PairKeys>,
    /// The key of its authorities.
    pub(crate) authorities: Key,
}

/// The two keys of a pair.
#[derive(Clone, Debug)]
pub(crate) struct PairKeys {
    pub(crate) cert: Key,
    pub(crate) key: Key,
}

impl Key {
    /// What is wrong with what it names.
    #[must_use]
    pub fn problem(&self, text: String) -> Problem {
        Problem { line: self.line, path: self.path.clone(), text }
    }
}

impl<S> TlsFiles<S> {
    /// The key that names a part.
    #[must_use]
    pub fn key_of(&self, part: Part) -> &Key {
        let (Part::Certificate(index) | Part::Key(index)) = part else { return &self.authorities };
        let Some(pair) = self.pairs.get(index) else { return &self.authorities };
        if matches!(part, Part::Key(_)) { &pair.key } else { &pair.cert }
    }
}
