//! The bearer tokens in use, of the admin API and of others who ask for some: read at the start, and again when their
//! files may have changed.
//!
//! All of them change or none does: who rotates two tokens and gets one of them wrong still gets in with what worked
//! before. What is wrong stays to be seen until the files are good again.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use subtle::ConstantTimeEq;

use crate::tls::private_file::{KeptFrom, short_secret, warning};

/// A token and the file that has it.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The author of what is changed with it.
    pub name: String,
    /// What it allows.
    pub role: AccessRole,
    /// Where it is; space around it does not belong to it.
    pub file: PathBuf,
}

/// What a token allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AccessRole {
    /// To look.
    Read,
    /// To look and to change.
    Operate,
}

/// A token that lets a client in.
pub(crate) struct Token {
    pub(crate) name: Arc<str>,
    pub(crate) role: AccessRole,
    secret: Box<[u8]>,
    /// What its owner should know: others can read its file, or guess what is in it.
    warning: Option<String>,
}

/// The tokens in use, and their files.
pub struct Tokens {
    /// The section of the config that they are in.
    section: &'static str,
    files: Vec<AccessToken>,
    in_use: RwLock<Arc<[Token]>>,
    /// Why newer files are not in use, a line each.
    problems: Mutex<Vec<String>>,
}

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{section}.tokens.{name}: {fault}")]
pub struct BadToken {
    /// The section of the config that it is in.
    pub section: &'static str,
    /// The token.
    pub name: String,
    /// What is wrong with it.
    pub fault: TokenFault,
}

/// What is wrong with the file of a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// It cannot be read.
    #[error("cannot read {file} ({source}); make it exist and be readable by the user of this process", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not hold a token.
    #[error("found {found} in {file}, want one line of visible ASCII without spaces", file = .file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// Two tokens are the same.
    #[error("found the same token for {0} and {1}, want another one for each")]
    Same(String, String),
}

/// What is in the files of tokens.
#[derive(Debug, Default)]
pub(crate) struct TokensFound {
    /// What is wrong.
    pub bad: Vec<BadToken>,
    /// What their owners should know: the name of the token and a text.
    pub warnings: Vec<(String, String)>,
}

impl Tokens {
    /// Reads the files that this section of the config names.
    pub(crate) fn new(section: &'static str, files: Vec<AccessToken>) -> Result<Self, Vec<BadToken>> {
        let tokens = read_good(section, &files)?;
        tokens.iter().filter_map(|token| token.warning.as_ref()).for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self { section, files, in_use: RwLock::new(tokens.into()), problems: Mutex::default() })
    }

    pub(crate) fn in_use(&self) -> Arc<[Token]> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The section of the config that they are in.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// The token that is `secret`. All are compared, each in constant time, so that the time tells nothing.
    pub(crate) fn find(&self, secret: &[u8]) -> Option<(Arc<str>, AccessRole)> {
        let tokens = self.in_use();
        let found = tokens.iter().fold(None, |found, token| if token.is(secret) { Some(token) } else { found });
        found.map(|token| (Arc::clone(&token.name), token.role))
    }

    fn told(&self) -> MutexGuard<'_, Vec<String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why newer files are not in use, a line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.told().clone()
    }

    /// What their owners should know, a line each: that others can read them or guess them.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.in_use().iter().filter_map(|token| token.warning.clone()).collect()
    }

    /// Their files.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().map(|token| &token.file)
    }

    /// Reads the files again. Good ones are in use for the next call; bad ones change nothing. Gives what is worth
    /// telling: the names of the tokens that are new, or what is wrong; `None` when it is as it was.
    pub fn reload(&self) -> Option<Result<Vec<String>, Vec<String>>> {
        let tokens = match read_good(self.section, &self.files) {
            Ok(tokens) => tokens,
            Err(bad) => {
                let lines: Vec<String> = bad.iter().map(ToString::to_string).collect();
                let told = std::mem::replace(&mut *self.told(), lines.clone()) == lines;
                return (!told).then_some(Err(lines));
            }
        };
        let recovered = !std::mem::take(&mut *self.told()).is_empty();
        let old = self.in_use();
        let is_new = |(new, old): &(&Token, &Token)| new.secret != old.secret;
        let names = tokens.iter().zip(old.iter()).filter(is_new).map(|(token, _)| token.name.to_string());
        let names: Vec<String> = names.collect();
        for (new, old) in tokens.iter().zip(old.iter()).filter(|(new, old)| new.warning != old.warning) {
            new.warning.iter().for_each(|warning| tracing::warn!(token = &*old.name, "{warning}"));
        }
        // Also if none is new: who can read them may be.
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = tokens.into();
        (recovered || !names.is_empty()).then_some(Ok(names))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Reads the files of tokens only to say what is in them.
#[must_use]
pub(crate) fn examine_tokens(files: &[AccessToken]) -> TokensFound {
    let (tokens, bad) = read("", files);
    let warnings = tokens.into_iter().filter_map(|token| Some((token.name.to_string(), token.warning?)));
    TokensFound { warnings: warnings.collect(), bad }
}

fn read_good(section: &'static str, files: &[AccessToken]) -> Result<Vec<Token>, Vec<BadToken>> {
    let (tokens, bad) = read(section, files);
    if bad.is_empty() { Ok(tokens) } else { Err(bad) }
}

/// The tokens that can be used, and what is wrong with the others.
fn read(section: &'static str, files: &[AccessToken]) -> (Vec<Token>, Vec<BadToken>) {
    let (mut tokens, mut bad) = (Vec::<Token>::new(), Vec::new());
    for file in files {
        let token =
            Token::read(file).and_then(|token| match tokens.iter().find(|other| other.secret == token.secret) {
                Some(same) => Err(TokenFault::Same(same.name.to_string(), file.name.clone())),
                None => Ok(token),
            });
        match token {
            Ok(token) => tokens.push(token),
            Err(fault) => bad.push(BadToken { section, name: file.name.clone(), fault }),
        }
    }
    (tokens, bad)
}

impl Token {
    fn read(AccessToken { name, role, file }: &AccessToken) -> Result<Self, TokenFault> {
        let unreadable = |source| TokenFault::Unreadable { file: file.clone(), source };
        let bytes = fs::read(file).map_err(unreadable)?;
        let warning = warning(file, KeptFrom::All);
        let secret = bytes.trim_ascii();
        let bad = |found| TokenFault::Content { file: file.clone(), found };
        if secret.is_empty() {
            return Err(bad("nothing"));
        }
        if !secret.iter().all(u8::is_ascii_graphic) {
            return Err(bad("spaces, several lines or other characters"));
        }
        let warning = warning.or_else(|| short_secret(file, secret));
        Ok(Self { name: name.as_str().into(), role: *role, secret: secret.into(), warning })
    }

    /// Whether it is `secret`, in constant time.
    pub(crate) fn is(&self, secret: &[u8]) -> bool {
        self.secret.ct_eq(secret).into()
    }
}
