//! Any commit of the repository that a person names, to say what it would do. Nothing of it is put in force.
//!
//! The word is checked before git sees it: nothing in it can be an option, a range, or a place that is not the
//! repository of the config. What is fetched has no depth: a history that is cut at a commit which the branch comes to
//! later would pass for one that was rewritten.

use super::git_clone::{FETCH, GitClone, GitErrorText};
use super::git_commit::GitCommit;
use crate::config::is_branch_name;

/// The mark of what was asked for last.
const ASKED: &str = "refs/pointsman/asked";

/// What git says of something that is not in the repository.
const NOT_THERE: [&str; 5] =
    ["couldn't find remote ref", "not our ref", "unadvertised object", "bad object", "remote error: upload-pack"];

/// A commit as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitWord {
    /// By the begin of its hash, or all of it.
    Hash(String),
    /// The newest one of a branch, or of another name below `refs/`.
    Name(String),
}

/// Why there is no such commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitWordError {
    /// It is no word for one.
    #[error("found {0:?}, want a branch, 7 to 64 hexadecimal digits of a commit, or a name such as refs/pull/12/head")]
    Word(String),
    /// The repository does not have it.
    #[error("found no commit {word:?} in {error}; push it first, or name its branch")]
    Unknown {
        /// What was asked for.
        word: String,
        /// What git says.
        error: GitErrorText,
    },
    /// The repository cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] GitErrorText),
}

impl CommitWord {
    /// Reads what a person has written.
    ///
    /// # Errors
    /// That it is no word for a commit.
    pub(crate) fn parse(text: &str) -> Result<Self, CommitWordError> {
        if (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Hash(text.to_owned()));
        }
        if is_branch_name(text) { Ok(Self::Name(text.to_owned())) } else { Err(CommitWordError::Word(text.to_owned())) }
    }

    fn text(&self) -> &str {
        let (Self::Hash(text) | Self::Name(text)) = self;
        text
    }
}

impl GitClone {
    /// The commit of this name, fetched if it is not known.
    pub(super) async fn find(&self, word: &CommitWord) -> Result<GitCommit, CommitWordError> {
        let found = match word {
            CommitWord::Hash(hash) => self.find_hash(hash).await,
            CommitWord::Name(name) => self.find_name(name).await,
        };
        found.map_err(|error| {
            let unknown = NOT_THERE.iter().any(|words| error.text.contains(words));
            let word = word.text().to_owned();
            if unknown { CommitWordError::Unknown { word, error } } else { CommitWordError::Unreachable(error) }
        })
    }

    async fn find_hash(&self, hash: &str) -> Result<GitCommit, GitErrorText> {
        let commit = format!("{hash}^{{commit}}");
        if let Ok(known) = self.commit(&commit).await {
            return Ok(known);
        }
        if matches!(hash.len(), 40 | 64) && self.fetch_asked(&[], &format!("+{hash}:{ASKED}")).await.is_ok() {
            return self.commit(ASKED).await;
        }
        // A part of a hash can be looked for here only; and some servers give no commits by their hashes.
        self.fetch_asked(&["--prune"], "+refs/heads/*:refs/pointsman/branches/*").await?;
        match self.commit(&commit).await {
            Ok(found) => Ok(found),
            // It may be a branch that is called so.
            Err(_unknown) => self.find_name(hash).await,
        }
    }

    async fn find_name(&self, name: &str) -> Result<GitCommit, GitErrorText> {
        let whole = if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") };
        self.fetch_asked(&[], &format!("+{whole}:{ASKED}")).await?;
        self.commit(&format!("{ASKED}^{{commit}}")).await
    }

    async fn fetch_asked(&self, more: &[&str], refs: &str) -> Result<(), GitErrorText> {
        let plain = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
        self.call(&[&plain[..], more, &["--", &*self.source.repository, refs]].concat(), FETCH).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_hash_a_branch_or_a_name_below_refs_and_never_an_option() {
        let hash = "0123abc";
        assert_eq!(CommitWord::parse(hash), Ok(CommitWord::Hash(hash.to_owned())));
        for name in ["main", "0123ab", "feature/x", "refs/pull/12/head", &"a".repeat(65)] {
            assert_eq!(CommitWord::parse(name), Ok(CommitWord::Name(name.to_owned())));
        }
        for bad in ["", "-x", "--upload-pack=sh", "a..b", "a:b", "HEAD~1", "main^", "a b", "@", "a\nb", "x.lock"] {
            let told = CommitWord::parse(bad).unwrap_err().to_string();
            assert!(told.starts_with(&format!("found {bad:?}, want a branch")), "{told}");
        }
    }
}
