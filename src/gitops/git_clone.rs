//! The bare clone of the repository in the folder of the state, and what is read from it.
//!
//! Two marks are kept in it: what was fetched last, and which commit is in force. The first fetch is of one commit; the
//! next ones are of what came since, so that it is known whether the branch has gone on or was rewritten.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::commit_signature::{KeysFile, SIGNATURE_FORMAT, SignatureFault, SignatureForm, SignatureSaid};
use super::git_commit::{FORMAT, GitCommit};
use super::git_program::{GitError, GitInput, GitLimits, GitProgram};
use crate::config::GitopsConfig;
use crate::problem::utf8;

/// The mark of what was fetched last.
const FETCHED: &str = "refs/pointsman/fetched";

/// The mark of the commit that is in force.
const IN_FORCE: &str = "refs/pointsman/in-force";

/// What the clone is of; another repository, branch or path is another clone.
const SOURCE_FILE: &str = "pointsman-source";

/// The largest config. One with 2,000 services has 1 MiB.
const TEXT_BYTES_MAX: u64 = 8 << 20;

/// What is read in the clone takes no network.
pub(super) const LOOK: GitLimits = GitLimits { time: Duration::from_secs(20), output: 8 << 20, file: 1 << 20 };

/// What a fetch may take: a repository of configs is small, and one of everything is not for this.
pub(super) const FETCH: GitLimits = GitLimits { time: Duration::from_secs(120), output: 1 << 20, file: 256 << 20 };

/// A lock that is older was left by a git that was ended: no call takes that long.
const LOCK_AGE: Duration = Duration::from_secs(300);

/// Why the clone is not there.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// Its folder cannot be made or read.
    #[error("{folder}: cannot make the clone of gitops.repository: {source}; make the folder writable")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// git cannot.
    #[error(transparent)]
    Git(#[from] GitErrorText),
}

/// What a call of git came to, in words that say of which repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{repository}: {text}")]
pub struct GitErrorText {
    /// The repository.
    pub repository: String,
    /// What is wrong.
    pub text: String,
}

/// Why a commit has no config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitTextError {
    /// There is no such file.
    #[error("found no file {0:?} in the commit, want a plain file of the config; see gitops.path")]
    Missing(String),
    /// A link is there.
    #[error("found a symbolic link, want a plain file of the config: links are not followed")]
    Link,
    /// Another repository is there.
    #[error("found a submodule, want a plain file of the config in this repository")]
    Submodule,
    /// A folder is there.
    #[error("found a folder, want a plain file of the config; see gitops.path")]
    Folder,
    /// It is too large.
    #[error("found {0} bytes, want at most {TEXT_BYTES_MAX}; split the config")]
    Large(u64),
    /// It is no text.
    #[error("{0}")]
    Encoding(String),
    /// git cannot read it.
    #[error(transparent)]
    Git(#[from] GitErrorText),
}

/// Why a commit is not known to be signed by a key that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitSignerError {
    /// It is not.
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    /// git cannot say.
    #[error(transparent)]
    Git(#[from] GitErrorText),
}

/// The clone.
#[derive(Clone, Debug)]
pub(crate) struct GitClone {
    program: GitProgram,
    /// What it is of.
    pub(crate) source: GitopsConfig,
}

impl GitClone {
    /// The folder of the clone that belongs to a state: beside it, `pointsman.git` for `pointsman.db`.
    pub(crate) fn folder(state: &Path) -> PathBuf {
        state.with_extension("git")
    }

    /// Opens the clone in `folder`, and makes it if it is not there or is one of something else.
    pub(crate) async fn open(source: &GitopsConfig, folder: &Path) -> Result<Self, CloneError> {
        let failed = |error| CloneError::Folder { folder: folder.to_owned(), source: error };
        let folder_of_git = std::path::absolute(folder).map_err(failed)?;
        // git does not run where we do.
        let home = source.home.as_ref().map(std::path::absolute).transpose().map_err(failed)?;
        let home = home.unwrap_or_else(|| folder_of_git.join("home"));
        let signers = source.verify.as_ref().and_then(|verify| verify.allowed_signers.as_deref());
        // None: those of a user do not count.
        let signers = std::path::absolute(signers.unwrap_or(Path::new("/dev/null"))).map_err(failed)?;
        let settings = vec![format!("gpg.ssh.allowedSignersFile={}", signers.display())];
        let clone = Self { program: GitProgram { folder: folder_of_git, home, settings }, source: source.clone() };
        if Self::is_of(source, folder) && clone.call(&["rev-parse", "--git-dir"], LOOK).await.is_ok() {
            return Ok(clone);
        }
        clone.make().map_err(failed)?;
        clone.call(&["init", "--quiet", "--bare", "--template="], LOOK).await?;
        fs::write(folder.join(SOURCE_FILE), written(source)).map_err(failed)?;
        Ok(clone)
    }

    /// Whether there is a clone of this in `folder`.
    pub(crate) fn is_of(source: &GitopsConfig, folder: &Path) -> bool {
        fs::read_to_string(folder.join(SOURCE_FILE)).is_ok_and(|known| known == written(source))
    }

    /// Makes an empty folder of the clone. What is no clone of ours is left alone.
    fn make(&self) -> io::Result<()> {
        let folder = &self.program.folder;
        if folder.join(SOURCE_FILE).exists() {
            let place = folder.display();
            tracing::warn!(%place, "the clone is of another repository, branch or path, or broken; it is made anew");
            fs::remove_dir_all(folder)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if fs::read_dir(folder)?.next().is_some() {
            return Err(io::Error::other("found a folder with something else in it, want none or a clone of ours"));
        }
        // First: a folder with this file in it is ours.
        fs::write(folder.join(SOURCE_FILE), "")?;
        fs::DirBuilder::new().mode(0o700).create(folder.join("home"))
    }

    /// Fetches the newest commit of the branch. `anew`: of a history that may have been rewritten.
    pub(crate) async fn fetch(&self, anew: bool) -> Result<GitCommit, GitErrorText> {
        self.remove_old_locks();
        self.remove_begun_packs(LOCK_AGE);
        let refs = format!("+refs/heads/{}:{FETCHED}", self.source.branch);
        let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
        if anew || self.fetched().await.is_err() {
            arguments.push("--depth=1");
        }
        arguments.extend(["--", &*self.source.repository, &*refs]);
        let fetched = self.call(&arguments, FETCH).await;
        if let Err(error) = fetched {
            // It has been ended, or has given up. What it was writing is of no use, and each time it would be more.
            let largest = self.remove_begun_packs(Duration::ZERO);
            let command = "git fetch".to_owned();
            return Err(match largest >= FETCH.file {
                true => self.error(GitError::TooLarge { command, mebibytes: FETCH.file >> 20 }.to_string()),
                false => error,
            });
        }
        self.fetched().await
    }

    /// What was fetched last.
    pub(crate) async fn fetched(&self) -> Result<GitCommit, GitErrorText> {
        self.commit(FETCHED).await
    }

    /// The commit that is in force, as far as the clone knows.
    pub(crate) async fn in_force(&self) -> Option<GitCommit> {
        self.commit(IN_FORCE).await.ok()
    }

    pub(super) async fn commit(&self, name: &str) -> Result<GitCommit, GitErrorText> {
        let arguments = ["show", "--no-patch", "--no-show-signature", FORMAT, "--end-of-options", name];
        let said = self.call(&arguments, LOOK).await?;
        GitCommit::parse(&said).ok_or_else(|| self.error(format!("{name} is no commit")))
    }

    /// Marks a commit as the one in force; none: there is none yet.
    pub(crate) async fn mark(&self, commit: Option<&GitCommit>) -> Result<(), GitErrorText> {
        match commit {
            Some(commit) => self.call(&["update-ref", IN_FORCE, &commit.hash], LOOK).await,
            None => self.call(&["update-ref", "-d", IN_FORCE], LOOK).await,
        }
        .map(drop)
    }

    /// Whether `newer` has `older` in its history. A commit that the clone does not have is in no history.
    pub(crate) async fn has_gone_on(&self, older: &GitCommit, newer: &GitCommit) -> bool {
        self.call(&["merge-base", "--is-ancestor", &older.hash, &newer.hash], LOOK).await.is_ok()
    }

    /// The text of the config in a commit.
    ///
    /// # Errors
    /// What stands there instead.
    pub(crate) async fn text(&self, commit: &GitCommit) -> Result<String, CommitTextError> {
        let path = &*self.source.path;
        let arguments = ["ls-tree", "-z", "-l", "--full-tree", &*commit.hash, "--", path];
        let listed = self.call(&arguments, LOOK).await?;
        let listed = String::from_utf8_lossy(&listed);
        // `100644 blob HASH    SIZE\tPATH`
        let entry = listed.split('\0').find_map(|line| line.split_once('\t').filter(|(_, name)| *name == path));
        let Some((entry, _)) = entry else { return Err(CommitTextError::Missing(path.to_owned())) };
        let mut fields = entry.split_whitespace();
        let (mode, object, size) = (fields.next(), fields.nth(1), fields.next());
        match mode {
            Some("100644" | "100755" | "100664") => {}
            Some("120000") => return Err(CommitTextError::Link),
            Some("160000") => return Err(CommitTextError::Submodule),
            Some(_) | None => return Err(CommitTextError::Folder),
        }
        let size = size.and_then(|size| size.parse().ok()).unwrap_or(u64::MAX);
        if size > TEXT_BYTES_MAX {
            return Err(CommitTextError::Large(size));
        }
        let bytes = self.call(&["cat-file", "blob", object.unwrap_or_default()], LOOK).await?;
        utf8::text(bytes).map_err(|error| CommitTextError::Encoding(error.to_string()))
    }

    /// Who signed a commit, if it has to be signed, by a key that counts. The keys are read each time: they may be
    /// others.
    ///
    /// # Errors
    /// That it is not signed so.
    pub(crate) async fn signer(&self, commit: &GitCommit) -> Result<Option<String>, CommitSignerError> {
        let Some(signers) = &self.source.verify else { return Ok(None) };
        let object = self.call(&["cat-file", "commit", &commit.hash], LOOK).await?;
        let form = SignatureForm::of(&String::from_utf8_lossy(&object));
        let keys = form.and_then(|form| Some((form, KeysFile::of(signers, form)?)));
        let Some((form, keys)) = keys else { return Err(SignatureFault::of_form(form, signers).into()) };
        self.keys_are_there(form, &keys).await?;
        let arguments =
            ["show", "--no-patch", "--no-show-signature", SIGNATURE_FORMAT, "--end-of-options", &commit.hash];
        let said = SignatureSaid::parse(&self.call(&arguments, LOOK).await?);
        // What it complains of, when there is nothing that can be named.
        let complaint = match self.program.call(&["verify-commit", &commit.hash], &GitInput::default(), LOOK).await {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        Ok(Some(said.judge(form, &keys, &complaint)?))
    }

    /// Has the programs that check a signature find the keys that count, and no others.
    async fn keys_are_there(&self, form: SignatureForm, keys: &KeysFile) -> Result<(), SignatureFault> {
        let unreadable = |error: io::Error| SignatureFault::of_keys(keys, error.to_string());
        let file = std::path::absolute(&keys.file).map_err(unreadable)?;
        fs::File::open(&file).map_err(unreadable)?;
        if form != SignatureForm::Pgp {
            return Ok(());
        }
        let folder = self.program.keys_folder();
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unreadable(error)),
            _ => fs::DirBuilder::new().mode(0o700).create(&folder).map_err(unreadable)?,
        }
        let file = file.to_string_lossy();
        let imported = self.program.call_gpg(&["--import", "--", &file], LOOK).await;
        imported.map(drop).map_err(|error| SignatureFault::of_keys(keys, error.to_string()))
    }

    /// What a commit's file is called in what is said of it.
    pub(crate) fn place(&self, commit: &GitCommit) -> String {
        format!("{}:{}", commit.short(), self.source.path)
    }

    pub(super) async fn call(&self, arguments: &[&str], limits: GitLimits) -> Result<Vec<u8>, GitErrorText> {
        self.call_with(arguments, &GitInput::default(), limits).await
    }

    pub(super) async fn call_with(
        &self,
        arguments: &[&str],
        input: &GitInput<'_>,
        limits: GitLimits,
    ) -> Result<Vec<u8>, GitErrorText> {
        self.program.call(arguments, input, limits).await.map_err(|error: GitError| self.error(error.to_string()))
    }

    /// The folder of the clone.
    pub(super) fn folder_of_git(&self) -> &Path {
        &self.program.folder
    }

    pub(super) fn error(&self, text: String) -> GitErrorText {
        GitErrorText { repository: self.source.repository.clone(), text }
    }

    /// Removes the locks that a git that was ended has left: no fetch would ever succeed again.
    fn remove_old_locks(&self) {
        for lock in ["shallow.lock", "packed-refs.lock", &format!("{FETCHED}.lock"), &format!("{IN_FORCE}.lock")] {
            remove_old(&self.program.folder.join(lock), LOCK_AGE);
        }
    }

    /// Removes packs that were begun and are older than this, and gives the size of the largest one.
    fn remove_begun_packs(&self, age: Duration) -> u64 {
        let packs = fs::read_dir(self.program.folder.join("objects/pack")).into_iter().flatten().flatten();
        let begun = packs.filter(|pack| pack.file_name().as_encoded_bytes().starts_with(b"tmp_"));
        begun.filter_map(|pack| remove_old(&pack.path(), age)).max().unwrap_or_default()
    }
}

/// Removes a file that is older than this, and gives its size.
fn remove_old(file: &Path, age: Duration) -> Option<u64> {
    let found = fs::metadata(file).ok()?;
    // A clock that was put back makes nothing old.
    let passed = found.modified().ok()?.elapsed().unwrap_or_default();
    if passed < age {
        return None;
    }
    let removed = fs::remove_file(file);
    tracing::warn!(file = %file.display(), ?removed, "git was ended and has left a file");
    Some(found.len())
}

/// What a clone is of, as it is noted in it.
fn written(source: &GitopsConfig) -> String {
    format!("{}\n{}\n{}\n", source.repository, source.branch, source.path)
}
