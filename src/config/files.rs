//! The files that a config names and that its text alone cannot judge: certificates, keys, authorities, tokens
//! and secrets.
//!
//! They are noted while the sections are built, each with the key that names it, so that the part that reads files
//! (nothing in this module does) can report them as the text is reported: by line and key, in the same run, and also
//! when another part of the text is wrong.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::caller_token::CallerToken;
use super::process::admin_token::AdminToken;
use crate::tls::{ClientSettings, ServerSettings, TlsPart};

/// The files of a config, of every part of it that could be read.
#[derive(Clone, Debug, Default)]
pub struct ConfigFiles {
    /// Listeners and the admin API.
    pub servers: Vec<TlsFiles<ServerSettings>>,
    /// Versions.
    pub clients: Vec<TlsFiles<Arc<ClientSettings>>>,
    /// The admin API's tokens, each with the key of its file.
    pub tokens: Vec<(ConfigKey, AdminToken)>,
    /// The tokens of those who ask for flags, each with the key of its file.
    pub flag_tokens: Vec<(ConfigKey, CallerToken)>,
    /// The tokens of those who send events of users, each with the key of its file.
    pub event_tokens: Vec<(ConfigKey, CallerToken)>,
    /// The keys that tokens of users are verified by.
    pub token_keys: Vec<(ConfigKey, PathBuf)>,
    /// What the text alone has its owner know.
    pub remarks: Vec<Remark>,
    /// The secrets that notifications are signed with.
    pub secrets: Vec<(ConfigKey, PathBuf)>,
    /// What another program reads.
    pub read: Vec<(ConfigKey, PathBuf)>,
    /// What the process makes itself, if it is not there: it takes a folder.
    pub made: Vec<(ConfigKey, PathBuf)>,
}

/// A key of the config.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigKey {
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
    pub(crate) authorities: ConfigKey,
    /// The key of the keys of its tickets.
    pub(crate) tickets: ConfigKey,
}

/// The two keys of a pair.
#[derive(Clone, Debug)]
pub(crate) struct PairKeys {
    pub(crate) cert: ConfigKey,
    pub(crate) key: ConfigKey,
}

impl ConfigKey {
    /// What is to be said of the file that it names.
    #[must_use]
    pub fn remark(&self, text: String) -> Remark {
        Remark { key: self.clone(), text }
    }
}

/// What is to be said of a file that the config names, in the words of the part that reads it. Such a part does not
/// know of keys, and its errors are told elsewhere too, so this is a text and no [`Problem`](crate::problem::Problem).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    /// The key that names the file.
    pub key: ConfigKey,
    /// What is to be said.
    pub text: String,
}

/// `line 12: listeners.public.tls.cert: site.pem: found an empty file, want a certificate in PEM`
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: ConfigKey { line, path }, text } = self;
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{path}: {text}")
    }
}

impl<S> TlsFiles<S> {
    /// The key that names a part.
    #[must_use]
    pub fn key_of(&self, part: TlsPart) -> &ConfigKey {
        let pair = |index: usize| self.pairs.get(index);
        match part {
            TlsPart::Certificate(index) => pair(index).map_or(&self.authorities, |pair| &pair.cert),
            TlsPart::Key(index) => pair(index).map_or(&self.authorities, |pair| &pair.key),
            TlsPart::Authorities => &self.authorities,
            TlsPart::Tickets => &self.tickets,
        }
    }
}
