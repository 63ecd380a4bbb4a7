//! The moments to look at a file that may have changed, and to read it. Pure: what was seen and when goes in, what to
//! do and until when to wait comes out.
//!
//! Who saves in place opens the file, cuts it and writes, perhaps with a pause: what is there in between is half a file
//! that may be good by itself. So a file is read when nothing has happened to it for a moment *and* the program that
//! wrote to it has closed it. Both are bounded, for a program that keeps its file open or that never stops writing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

/// How long nothing may happen before a file is read: editors write, rename and touch within milliseconds.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

/// The same for a change that nothing told of: it is known from two looks only, and the second one must find the same.
pub(crate) const QUIET_UNTOLD: Duration = Duration::from_millis(500);

/// How long after its last write a writer is waited for that has not closed the file.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// A file that is never quiet is read all the same after this.
pub(crate) const UNQUIET_MAX: Duration = Duration::from_secs(30);

/// Time between two glances at a file's numbers: two `stat` a second are not worth saving.
pub(crate) const GLANCE_INTERVAL: Duration = Duration::from_millis(500);

/// Time between two looks at the contents without any sign of a change, for file systems that show none.
pub(crate) const READ_INTERVAL: Duration = Duration::from_secs(30);

/// Something that happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// What.
    pub kind: NoticeKind,
    /// To what, without links.
    pub path: PathBuf,
}

/// What can happen to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    /// A file has come to be that a program is still to write.
    Created,
    /// It was written or cut.
    Written,
    /// A writer has closed it.
    Closed,
    /// Another one has taken its place, or it is gone.
    Replaced,
    /// Its mode, times or names are others.
    Touched,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before this.
    Wait(Instant),
    /// Look at the numbers.
    Glance,
    /// Read.
    Read,
}

/// What was seen of one file or several; `I` are their numbers.
#[derive(Debug)]
pub(crate) struct Settle<I> {
    /// At the last look; none before the first.
    seen: Option<I>,
    change: Option<PendingChange>,
    /// What is being written.
    writers: BTreeSet<PathBuf>,
    /// A caller wants it read.
    asked: bool,
    again_at: Option<Instant>,
    glanced_at: Instant,
    read_at: Instant,
    glance_interval: Option<Duration>,
}

/// A change that has not been read yet.
#[derive(Clone, Copy, Debug)]
struct PendingChange {
    first: Instant,
    last: Instant,
    /// Whether events tell of it.
    told: bool,
}

impl<I: PartialEq> Settle<I> {
    /// Nothing was seen yet.
    #[must_use]
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            seen: None,
            change: None,
            writers: BTreeSet::new(),
            asked: false,
            again_at: None,
            glanced_at: now,
            read_at: now,
            glance_interval: None,
        }
    }

    /// How often the numbers are looked at without an event; never, when there is no time.
    pub(crate) fn set_glance_interval(&mut self, interval: Option<Duration>) {
        self.glance_interval = interval;
    }

    /// What to do at `now`.
    #[must_use]
    pub(crate) fn next(&self, now: Instant) -> Step {
        if let Some(change) = &self.change {
            let at = self.settled_at(change);
            return if now >= at { Step::Read } else { Step::Wait(at) };
        }
        let read_at = self.again_at.unwrap_or(self.read_at + READ_INTERVAL).min(self.read_at + READ_INTERVAL);
        if self.asked || now >= read_at {
            return Step::Read;
        }
        match self.glance_interval.map(|interval| self.glanced_at + interval) {
            Some(at) if now >= at => Step::Glance,
            Some(at) => Step::Wait(at.min(read_at)),
            None => Step::Wait(read_at),
        }
    }

    fn settled_at(&self, change: &PendingChange) -> Instant {
        let quiet = if !self.writers.is_empty() {
            CLOSE_WAIT
        } else if change.told {
            QUIET
        } else {
            QUIET_UNTOLD
        };
        (change.last + quiet).min(change.first + UNQUIET_MAX)
    }

    /// An event.
    pub(crate) fn noticed(&mut self, now: Instant, notice: Notice) {
        match notice.kind {
            NoticeKind::Created | NoticeKind::Written => drop(self.writers.insert(notice.path)),
            NoticeKind::Closed | NoticeKind::Replaced => drop(self.writers.remove(&notice.path)),
            NoticeKind::Touched => {}
        }
        let first = self.change.map_or(now, |change| change.first);
        self.change = Some(PendingChange { first, last: now, told: true });
    }

    /// A caller wants it read, whether or not it has changed.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
    }

    /// It is to be read again at `at`, if nothing happens before.
    pub(crate) fn look_again(&mut self, at: Instant) {
        self.again_at = Some(at);
    }

    /// The numbers of a look.
    pub(crate) fn glanced(&mut self, now: Instant, found: I) {
        self.glanced_at = now;
        if self.seen.as_ref() != Some(&found) {
            self.seen = Some(found);
            let change = self.change.get_or_insert(PendingChange { first: now, last: now, told: false });
            change.last = now;
        }
    }

    /// Whether what is read with these numbers can be taken: a change that nothing told of has to be the same twice.
    pub(crate) fn is_steady(&mut self, now: Instant, found: I) -> bool {
        let told = self.change.is_some_and(|change| change.told);
        let late = self.change.is_some_and(|change| now >= change.first + UNQUIET_MAX);
        let steady = told || late || self.seen.as_ref() == Some(&found);
        self.glanced(now, found);
        steady
    }

    /// It has changed while it was read.
    pub(crate) fn torn(&mut self, now: Instant, found: I) {
        self.glanced(now, found);
        let first = self.change.map_or(now, |change| change.first);
        let told = self.change.is_some_and(|change| change.told);
        self.change = Some(PendingChange { first, last: now, told });
    }

    /// Whether it is known that no program is in the middle of writing.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.change.is_some_and(|change| change.told) && self.writers.is_empty()
    }

    /// It was read with these numbers. Tells whether a caller had asked for it.
    pub(crate) fn taken(&mut self, now: Instant, found: I) -> bool {
        (self.seen, self.change, self.again_at) = (Some(found), None, None);
        (self.glanced_at, self.read_at) = (now, now);
        self.writers.clear();
        std::mem::take(&mut self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose numbers are one number, looked at once, at a time from which milliseconds are counted.
    struct Seen {
        start: Instant,
        settle: Settle<u32>,
    }

    impl Seen {
        fn new() -> Self {
            let start = Instant::now();
            let mut settle = Settle::new(start);
            settle.set_glance_interval(Some(GLANCE_INTERVAL));
            settle.taken(start, 1);
            Self { start, settle }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn event(&mut self, ms: u64, kind: NoticeKind) {
            self.settle.noticed(self.at(ms), Notice { kind, path: "/f".into() });
        }

        /// The step that is due at `ms`; until when it waits, in milliseconds.
        fn step(&self, ms: u64) -> Result<Step, u128> {
            match self.settle.next(self.at(ms)) {
                Step::Wait(until) => Err((until - self.start).as_millis()),
                step @ (Step::Glance | Step::Read) => Ok(step),
            }
        }
    }

    #[test]
    fn a_file_is_read_when_it_is_quiet() {
        let mut seen = Seen::new();
        seen.event(100, NoticeKind::Replaced);
        assert_eq!(seen.step(100), Err(300));
        seen.event(250, NoticeKind::Touched);
        assert_eq!((seen.step(300), seen.step(450)), (Err(450), Ok(Step::Read)), "the quiet begins anew");
        let now = seen.at(450);
        assert!(seen.settle.is_steady(now, 2), "events told of it");
        seen.settle.taken(now, 2);
        assert_eq!(seen.step(450), Err(950), "the next glance");
    }

    #[test]
    fn a_writer_is_waited_for_until_it_closes_or_too_long() {
        let mut seen = Seen::new();
        seen.event(0, NoticeKind::Written);
        assert_eq!(seen.step(5_000), Err(10_000), "a pause in the middle of a file");
        seen.event(6_000, NoticeKind::Written);
        assert!(!seen.settle.is_closed());
        seen.event(6_001, NoticeKind::Closed);
        assert_eq!(seen.step(6_100), Err(6_201));
        assert!(seen.settle.is_closed());

        let mut seen = Seen::new();
        seen.event(0, NoticeKind::Created);
        assert_eq!((seen.step(9_999), seen.step(10_000)), (Err(10_000), Ok(Step::Read)), "it never closes");
        let mut seen = Seen::new();
        for second in 0..35 {
            seen.event(second * 1_000, NoticeKind::Written);
        }
        assert_eq!(seen.step(34_001), Ok(Step::Read), "it never stops");
        // What is moved over it needs no program to close what was there.
        let mut seen = Seen::new();
        seen.event(0, NoticeKind::Written);
        seen.event(10, NoticeKind::Replaced);
        assert_eq!(seen.step(10), Err(210));
    }

    #[test]
    fn what_nothing_tells_of_is_seen_by_a_glance_and_must_be_the_same_twice() {
        let mut seen = Seen::new();
        assert_eq!((seen.step(499), seen.step(1_000)), (Err(500), Ok(Step::Glance)));
        seen.settle.glanced(seen.at(1_000), 2);
        assert_eq!((seen.step(1_000), seen.step(1_500)), (Err(1_500), Ok(Step::Read)));
        let now = seen.at(1_500);
        assert!(!seen.settle.is_steady(now, 3), "still being written");
        assert_eq!((seen.step(1_500), seen.step(2_000)), (Err(2_000), Ok(Step::Read)));
        let now = seen.at(2_000);
        assert!(seen.settle.is_steady(now, 3) && !seen.settle.is_closed());
        seen.settle.taken(now, 3);
        assert_eq!(seen.step(2_000), Err(2_500));
    }

    #[test]
    fn contents_are_read_now_and_then_on_request_and_again() {
        let mut seen = Seen::new();
        seen.settle.set_glance_interval(None);
        assert_eq!((seen.step(29_999), seen.step(30_000)), (Err(30_000), Ok(Step::Read)));
        seen.settle.look_again(seen.at(1_000));
        assert_eq!((seen.step(0), seen.step(1_000)), (Err(1_000), Ok(Step::Read)));
        seen.settle.ask();
        assert_eq!(seen.step(0), Ok(Step::Read));
        // A request in the middle of a save waits for its end, and is not forgotten.
        seen.event(0, NoticeKind::Written);
        assert_eq!(seen.step(1), Err(10_000));
        seen.event(100, NoticeKind::Closed);
        let now = seen.at(300);
        assert_eq!(seen.step(300), Ok(Step::Read));
        assert!(seen.settle.taken(now, 1) && !seen.settle.taken(now, 1));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again() {
        let mut seen = Seen::new();
        seen.event(0, NoticeKind::Replaced);
        let now = seen.at(200);
        seen.settle.torn(now, 2);
        assert_eq!((seen.step(200), seen.step(400)), (Err(400), Ok(Step::Read)));
    }
}
