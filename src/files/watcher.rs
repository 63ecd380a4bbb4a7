//! Changes on the way to files, as the kernel tells of them: inotify, with the narrowest watches that are enough.
//!
//! Folders are watched for names that come and go, and the files themselves for writes. A folder is not watched for
//! writes to what is in it, and a name that is not on a way is nothing to us: a log in the folder of the config wakes
//! no task, and cannot feed itself. Where the way leads can change with each swap, so it is walked anew before each
//! look, and what is watched already is watched again: a folder that was made anew under its old name is another one.
//!
//! The number of watches and of their queues is limited for all processes of a user, and others use them up
//! (`fs.inotify.max_user_watches`, `max_user_instances`). Then the caller has to look by itself, and is told so.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::future::pending;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::identity::Identity;
use super::settle::{Notice, NoticeKind};
use super::way::Way;

/// Of each folder on the way: names that come and go.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::MASK_ADD);

/// Of the file at its end. A writer that closes is waited for in its folder as well, also before there is a file: one
/// that was just made has no watch of its own yet.
const WRITES: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::MASK_ADD);

/// How often a way is walked again that changes while it is watched.
const WALKS_MAX: usize = 4;

/// Room for this many bytes of events at a time: dozens.
const EVENT_BYTES: usize = 4096;

/// Hears of changes. [`Follower`] says of which.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// What it is for, for the log.
    what: &'static str,
    events: Option<AsyncFd<OwnedFd>>,
    follower: Follower,
    blind: Option<String>,
}

/// Sets the watches. It blocks as long as file systems do.
#[derive(Clone, Debug)]
pub(crate) struct Follower(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None, and why: there is none to be had.
    inotify: Result<OwnedFd, NoInotify>,
    targets: Mutex<HashMap<i32, Target>>,
}

/// The kernel does not tell of changes.
#[derive(Debug, thiserror::Error)]
#[error("{0}; is fs.inotify.max_user_instances used up?")]
struct NoInotify(io::Error);

/// What a watch is on.
#[derive(Debug)]
enum Target {
    Folder { path: PathBuf, names: BTreeSet<OsString> },
    File(PathBuf),
}

/// The files that are followed, as they were found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followed {
    /// Their numbers, in the order in which they were asked for.
    pub identities: Vec<Option<Identity>>,
    /// Files without links that have one name only: one of them that has just come was written, not linked.
    pub written: BTreeSet<PathBuf>,
    /// Why changes are not told, or not all of them.
    pub blind: Option<String>,
}

impl Followed {
    /// What the notices are to the files: a name that has come and that no program writes to has taken another's place.
    pub(crate) fn of_files(&self, notices: Vec<Notice>) -> impl Iterator<Item = Notice> {
        notices.into_iter().map(|notice| match notice.kind {
            NoticeKind::Created if !self.written.contains(&notice.path) => {
                Notice { kind: NoticeKind::Replaced, ..notice }
            }
            NoticeKind::Created
            | NoticeKind::Written
            | NoticeKind::Closed
            | NoticeKind::Replaced
            | NoticeKind::Touched => notice,
        })
    }
}

/// Does what may wait for a file system on a thread for that. None when it has panicked, or the process ends.
pub(crate) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

impl Watcher {
    /// Begins to listen. Inside a tokio runtime.
    #[must_use]
    pub(crate) fn new(what: &'static str) -> Self {
        let opened = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(io::Error::from);
        // Two descriptors of one queue: watches are set on another thread than events are read on.
        let opened = opened.and_then(|inotify| Ok((registered(inotify.try_clone()?)?, inotify)));
        let (events, inotify) = match opened {
            Ok((events, inotify)) => (Some(events), Ok(inotify)),
            Err(error) => (None, Err(NoInotify(error))),
        };
        let targets = Mutex::default();
        Self { what, events, follower: Follower(Arc::new(Shared { inotify, targets })), blind: None }
    }

    /// What sets the watches.
    #[must_use]
    pub(crate) fn follower(&self) -> Follower {
        self.follower.clone()
    }

    /// Whether there is no queue to listen to; a new watcher may have one.
    #[must_use]
    pub(crate) fn is_deaf(&self) -> bool {
        self.events.is_none()
    }

    /// Listens anew, if there was no queue to listen to.
    pub(crate) fn revive(&mut self) {
        if self.is_deaf() {
            *self = Self { blind: self.blind.take(), ..Self::new(self.what) };
        }
    }

    /// Logs when changes are not told any more, or are again.
    pub(crate) fn tell(&mut self, followed: &Followed) {
        let what = self.what;
        match (&followed.blind, &self.blind) {
            (Some(reason), None) => {
                tracing::warn!(reason, "the kernel does not tell of changes of {what}: looking at it again and again");
            }
            (None, Some(_)) => tracing::info!("the kernel tells of changes of {what} again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.blind.clone_from(&followed.blind);
    }

    /// Waits for what happens on the ways that are followed; for ever, if that cannot be told.
    pub(crate) async fn next(&self) -> Vec<Notice> {
        let Some(events) = &self.events else { return pending().await };
        loop {
            let Ok(mut ready) = events.readable().await else { return pending().await };
            let notices = self.follower.0.read(events.get_ref());
            match notices {
                Ok(notices) if notices.is_empty() => tokio::task::yield_now().await,
                Ok(notices) => return notices,
                Err(_) => ready.clear_ready(),
            }
        }
    }
}

#[expect(deprecated, reason = "its successor is unsafe code: the descriptor must stay open, as an owned one does")]
fn registered(events: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(events)
}

impl Follower {
    /// Watches the ways to `files` as they are now, and looks at their ends.
    #[must_use]
    pub(crate) fn follow(&self, files: &[PathBuf]) -> Followed {
        let Ok(inotify) = &self.0.inotify else {
            let blind = self.0.inotify.as_ref().err().map(ToString::to_string);
            return Followed { blind, ..look(files, &walk(files)) };
        };
        let mut ways = walk(files);
        let (mut targets, mut blind) = (HashMap::new(), None);
        for _ in 0..WALKS_MAX {
            (targets, blind) = watch(inotify, &ways);
            // What was swapped before its watch was set was not told.
            let again = walk(files);
            if std::mem::replace(&mut ways, again) == ways {
                break;
            }
        }
        let mut known = self.0.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *known, targets);
        for watch in old.keys().filter(|watch| !known.contains_key(watch)) {
            // It ends by itself with what it was on.
            inotify::remove_watch(inotify, *watch).ok();
        }
        drop(known);
        Followed { blind, ..look(files, &ways) }
    }
}

fn walk(files: &[PathBuf]) -> Vec<Way> {
    files.iter().map(|file| Way::to(file)).collect()
}

fn look(files: &[PathBuf], ways: &[Way]) -> Followed {
    let identities: Vec<_> = files.iter().map(|file| Identity::of(file)).collect();
    let ends = ways.iter().zip(&identities).filter(|(_, found)| found.is_some_and(|found| found.links == 1));
    let written = ends.filter_map(|(way, _)| way.file.clone()).collect();
    Followed { identities, written, blind: None }
}

/// Sets the watches of some ways. What is not there is no reason to complain: its folder tells when it comes.
fn watch(inotify: &OwnedFd, ways: &[Way]) -> (HashMap<i32, Target>, Option<String>) {
    let (mut targets, mut blind) = (HashMap::new(), None);
    let mut add = |path: &Path, flags| match inotify::add_watch(inotify, path, flags) {
        Ok(watch) => Some(watch),
        Err(Errno::NOENT | Errno::NOTDIR) => None,
        Err(error) => {
            let hint = if error == Errno::NOSPC { "; is fs.inotify.max_user_watches used up?" } else { "" };
            blind = Some(format!("{}: {}{hint}", path.display(), io::Error::from(error)));
            None
        }
    };
    for way in ways {
        for (path, names) in &way.folders {
            let closes = if way.home.as_ref() == Some(path) { WatchFlags::CLOSE_WRITE } else { WatchFlags::empty() };
            let Some(watch) = add(path, NAMES | closes) else { continue };
            let new = || Target::Folder { path: path.clone(), names: BTreeSet::new() };
            if let Target::Folder { names: known, .. } = targets.entry(watch).or_insert_with(new) {
                known.extend(names.iter().cloned());
            }
        }
        if let Some(file) = &way.file
            && let Some(watch) = add(file, WRITES)
        {
            targets.insert(watch, Target::File(file.clone()));
        }
    }
    (targets, blind)
}

impl Shared {
    /// Reads what fits into one buffer, and keeps what is on a way.
    fn read(&self, events: &OwnedFd) -> io::Result<Vec<Notice>> {
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = Reader::new(events, &mut buffer);
        let mut notices = Vec::new();
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let event = reader.next().map_err(io::Error::from)?;
            notices.extend(notice(&targets, &event));
            if reader.is_buffer_empty() {
                return Ok(notices);
            }
        }
    }
}

/// What an event is to us, if anything.
fn notice(targets: &HashMap<i32, Target>, event: &Event<'_>) -> Option<Notice> {
    let has = |flags: ReadFlags| event.events().intersects(flags);
    if has(ReadFlags::QUEUE_OVERFLOW) {
        // Anything may have happened.
        return Some(Notice { kind: NoticeKind::Replaced, path: PathBuf::new() });
    }
    let path = match targets.get(&event.wd())? {
        Target::File(path) => path.clone(),
        Target::Folder { path, names } => match event.file_name() {
            Some(name) => path.join(names.get(OsStr::from_bytes(name.to_bytes()))?),
            None => path.clone(),
        },
    };
    let kind = if has(ReadFlags::CREATE) {
        NoticeKind::Created
    } else if has(ReadFlags::MODIFY) {
        NoticeKind::Written
    } else if has(ReadFlags::CLOSE_WRITE) {
        NoticeKind::Closed
    } else if has(ReadFlags::ATTRIB) {
        NoticeKind::Touched
    } else if has(ReadFlags::IGNORED) {
        // Of a watch that we have ended, or that its file has: the folder tells of that.
        return None;
    } else {
        NoticeKind::Replaced
    };
    Some(Notice { kind, path })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    /// All that is told until nothing more comes for a moment.
    async fn told(watcher: &Watcher) -> Vec<NoticeKind> {
        let mut kinds = Vec::new();
        while let Ok(notices) = tokio::time::timeout(Duration::from_millis(50), watcher.next()).await {
            kinds.extend(notices.into_iter().map(|notice| notice.kind));
        }
        kinds
    }

    #[tokio::test]
    async fn the_writer_of_a_file_that_was_not_there_is_heard_to_close_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let file = root.join("file");
        let watcher = Watcher::new("a test");
        let files = [file.clone()];
        for missing in ["never there", "gone"] {
            assert!(watcher.follower().follow(&files).identities[0].is_none(), "{missing}");
            told(&watcher).await;
            fs::write(&file, "text").unwrap();
            let told = told(&watcher).await;
            assert_eq!(told.last(), Some(&NoticeKind::Closed), "{missing}: {told:?}");
            fs::remove_file(&file).unwrap();
        }
    }

    #[tokio::test]
    async fn the_writer_of_a_file_behind_a_link_that_leads_nowhere_is_heard_to_close_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir(root.join("release")).unwrap();
        std::os::unix::fs::symlink("release/file", root.join("file")).unwrap();
        let watcher = Watcher::new("a test");
        assert!(watcher.follower().follow(&[root.join("file")]).identities[0].is_none());
        fs::write(root.join("release/file"), "text").unwrap();
        assert_eq!(told(&watcher).await.last(), Some(&NoticeKind::Closed));
    }
}
