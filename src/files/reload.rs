//! Files that are read again and again while we run: one loop for the config and for certificates, keys and tokens.
//!
//! [`settle`](super::settle) decides when to look and when to read; here it is fed with what the kernel tells, with
//! signals and with looks, and a [`Source`] is told what was read. The way to each file is walked anew at each look,
//! whatever a watch says, and everything that may wait for a file system is done on a thread of its own: a server that
//! does not answer keeps only this loop waiting.
//!
//! Others who read the same files at a time of their own, as the next process of an upgrade in place does, ask first
//! ([`Files::settled`]): the answer comes when the files were read after the question and what was read is believed.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::identity::Identity;
use super::settle::{Settle, Step};
use super::watcher::{Followed, Watcher, in_background};

/// Something that is read from files.
pub trait Source {
    /// What a read finds.
    type Found: Send + 'static;

    /// What it is, for the log.
    const NAME: &'static str;

    /// The files, as they are known by now.
    fn files(&self) -> Vec<PathBuf>;

    /// How often their numbers are looked at without being told; `blind` says that nothing tells of changes.
    fn glance_interval(&self, blind: bool) -> Duration;

    /// Reads them, on a thread of its own.
    fn reader(&self) -> impl FnOnce() -> Self::Found + Send + 'static;

    /// What was read, to be put in force or doubted.
    fn take(&mut self, found: Self::Found, look: Look) -> impl Future<Output = Taken>;
}

/// How a look went.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// It is known that no program is in the middle of writing.
    pub(crate) closed: bool,
    /// A signal has asked for it.
    pub(crate) asked: bool,
    /// The files have changed while they were read; they are read again soon.
    pub(crate) torn: bool,
}

/// What became of what was read.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// It is the files, be they good or bad.
    pub(crate) believed: bool,
    /// They are to be read again at this time, if nothing happens before.
    pub(crate) again_at: Option<Instant>,
}

impl Taken {
    /// These are the files.
    pub(crate) const BELIEVED: Self = Self { believed: true, again_at: None };

    /// The same, to be read again.
    #[must_use]
    pub(crate) fn believed_until(at: Instant) -> Self {
        Self { again_at: Some(at), ..Self::BELIEVED }
    }

    /// These may not be all of it.
    #[must_use]
    pub(crate) fn doubted_until(at: Instant) -> Self {
        Self { believed: false, again_at: Some(at) }
    }
}

/// Asks when files are settled.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// What they are, for people.
    pub(crate) name: &'static str,
    questions: mpsc::UnboundedSender<oneshot::Sender<Settled>>,
}

/// Files that were read whole, as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    files: Vec<PathBuf>,
    identities: Vec<Option<Identity>>,
}

impl Files {
    /// Waits until they were read after this call and what was read is believed. None when no task reads them any more.
    pub(crate) async fn settled(&self) -> Option<Settled> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(answer).ok()?;
        answered.await.ok()
    }
}

impl Settled {
    fn of(files: Vec<PathBuf>) -> Self {
        let identities = files.iter().map(|file| Identity::of(file)).collect();
        Self { files, identities }
    }

    /// Whether the same files are there by now, unchanged. It blocks as long as file systems do.
    #[must_use]
    pub(crate) fn is_current(&self) -> bool {
        self.files.iter().map(|file| Identity::of(file)).eq(self.identities.iter().copied())
    }
}

/// The loop around a source. It goes on where it was when its task is begun again.
#[derive(Debug)]
pub struct Reloader<S> {
    source: S,
    settle: Settle<Vec<Option<Identity>>>,
    asks: mpsc::UnboundedSender<oneshot::Sender<Settled>>,
    questions: mpsc::UnboundedReceiver<oneshot::Sender<Settled>>,
    /// Those who wait for an answer.
    waiting: Vec<oneshot::Sender<Settled>>,
}

/// What a read has found.
struct FilesRead<F> {
    followed: Followed,
    found: F,
    after: Settled,
}

impl<S: Source> Reloader<S> {
    /// Will read the files of `source`.
    #[must_use]
    pub fn new(source: S) -> Self {
        let mut settle = Settle::new(Instant::now());
        settle.set_glance_interval(Some(source.glance_interval(true)));
        let (asks, questions) = mpsc::unbounded_channel();
        Self { source, settle, asks, questions, waiting: Vec::new() }
    }

    /// Where to ask.
    #[must_use]
    pub(crate) fn files(&self) -> Files {
        Files { name: S::NAME, questions: self.asks.clone() }
    }

    /// Reads on changes, on `hangup` and now and then until `shutdown` ends.
    pub async fn run(&mut self, hangup: &mut Signal, shutdown: impl Future<Output = ()>) {
        // A look that a file system does not answer must not keep the process from ending.
        tokio::select! {
            () = shutdown => {}
            () = self.watch(hangup) => {}
        }
    }

    async fn watch(&mut self, hangup: &mut Signal) {
        let mut watcher = Watcher::new(S::NAME);
        // What changed between the read at the start and the watch was no event.
        self.glance(&mut watcher).await;
        loop {
            let until = match self.settle.next(Instant::now()) {
                Step::Read => {
                    self.read(&mut watcher).await;
                    continue;
                }
                Step::Glance => {
                    self.glance(&mut watcher).await;
                    continue;
                }
                Step::Wait(until) => until,
            };
            tokio::select! {
                // In this order: what asks after a change is answered after it.
                biased;
                notices = watcher.next() => {
                    let followed = self.follow(&mut watcher).await;
                    let now = Instant::now();
                    followed.of_files(notices).for_each(|notice| self.settle.noticed(now, notice));
                }
                _ = hangup.recv() => self.settle.ask(),
                Some(question) = self.questions.recv() => {
                    self.waiting.push(question);
                    self.settle.look_again(Instant::now());
                }
                () = sleep_until(until) => {}
            }
        }
    }

    async fn glance(&mut self, watcher: &mut Watcher) {
        let followed = self.follow(watcher).await;
        self.settle.glanced(Instant::now(), followed.identities);
    }

    async fn follow(&mut self, watcher: &mut Watcher) -> Followed {
        let (follower, files) = (watcher.follower(), self.source.files());
        let followed = in_background(move || follower.follow(&files)).await.unwrap_or_default();
        self.heed(watcher, &followed);
        followed
    }

    /// Where nothing tells of changes, the files may have to be glanced at more often.
    fn heed(&mut self, watcher: &mut Watcher, followed: &Followed) {
        watcher.tell(followed);
        self.settle.set_glance_interval(Some(self.source.glance_interval(followed.blind.is_some())));
    }

    /// Reads the files, and has the source do what is to be done about them.
    async fn read(&mut self, watcher: &mut Watcher) {
        watcher.revive();
        let now = Instant::now();
        let steady = self.follow(watcher).await.identities;
        if !self.settle.is_steady(now, steady.clone()) {
            return;
        }
        let (follower, files, reader) = (watcher.follower(), self.source.files(), self.source.reader());
        let read = in_background(move || {
            // Before the files are read: what changes after the read is an event then.
            let followed = follower.follow(&files);
            let found = reader();
            FilesRead { followed, found, after: Settled::of(files) }
        });
        let Some(FilesRead { followed, found, after }) = read.await else {
            self.settle.taken(now, Vec::new());
            return;
        };
        self.heed(watcher, &followed);
        let torn = [&steady, &followed.identities].into_iter().any(|before| *before != after.identities);
        let closed = self.settle.is_closed();
        let asked = if torn {
            self.settle.torn(Instant::now(), after.identities.clone());
            false
        } else {
            self.settle.taken(now, after.identities.clone())
        };
        let taken = self.source.take(found, Look { closed, asked, torn }).await;
        if let Some(at) = taken.again_at {
            self.settle.look_again(at);
        }
        if taken.believed && !torn {
            // Who asks no more needs no answer.
            self.waiting.drain(..).for_each(|answer| drop(answer.send(after.clone())));
        }
    }
}
