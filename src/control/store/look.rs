//! Looks at the files of the store, for a bounded time.
//!
//! A `stat` on a file server that does not answer waits for ever, and the writer has more to do than to write: names
//! that stand for other addresses, and calls that have to be refused. So a thread of its own looks, and what it has not
//! seen within [`LOOK_MAX`] is a refusal; SQLite, whose calls cannot be bounded, is not asked then. The thread goes on
//! waiting, and there is never a second one.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::database::place::{PlaceFinding, StorePlace};

/// A look at a local disk takes microseconds, and callers want an answer.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) files: PlaceFinding,
    /// The log at the path is ours.
    pub(super) our_log: bool,
}

/// Has a thread look.
#[derive(Debug)]
pub(super) struct Looker {
    /// None before the first look.
    thread: Option<LookThread>,
    max: Duration,
}

/// The two ends to the thread.
#[derive(Debug)]
struct LookThread {
    places: Sender<StorePlace>,
    answers: Receiver<io::Result<Seen>>,
    /// Whether an answer is still to come that the caller does not wait for any more.
    overdue: bool,
}

impl Default for Looker {
    fn default() -> Self {
        Self { thread: None, max: LOOK_MAX }
    }
}

impl Looker {
    /// Looks at a place.
    ///
    /// # Errors
    /// What the file system says, or that it says nothing.
    pub(super) fn look(&mut self, place: &StorePlace) -> io::Result<Seen> {
        self.look_with(place, see)
    }

    fn look_with(&mut self, place: &StorePlace, see: fn(&StorePlace) -> io::Result<Seen>) -> io::Result<Seen> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            empty @ None => empty.insert(LookThread::start(see)?),
        };
        let answer = thread.ask(place, self.max);
        if answer.is_none() {
            // It has ended, which is a bug of ours: the next look begins another one.
            self.thread = None;
        }
        answer.unwrap_or_else(|| Err(io::Error::other("the look at it has ended, a bug")))
    }
}

impl LookThread {
    fn start(see: fn(&StorePlace) -> io::Result<Seen>) -> io::Result<Self> {
        let (places, asked) = channel::<StorePlace>();
        let (answer, answers) = channel();
        thread::Builder::new().name("store look".to_owned()).spawn(move || {
            // Ends with the store.
            while asked.recv().is_ok_and(|place| answer.send(see(&place)).is_ok()) {}
        })?;
        Ok(Self { places, answers, overdue: false })
    }

    /// None when there is no thread any more.
    fn ask(&mut self, place: &StorePlace, max: Duration) -> Option<io::Result<Seen>> {
        let until = Instant::now() + max;
        if self.overdue {
            // It is of a place that may be another one by now.
            match self.answers.recv_timeout(max) {
                Ok(_late) => self.overdue = false,
                Err(RecvTimeoutError::Timeout) => return Some(Err(silent(max))),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        self.places.send(place.clone()).ok()?;
        // The caller waits once, and a late answer has had a part of that.
        match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(seen) => Some(seen),
            Err(RecvTimeoutError::Timeout) => {
                self.overdue = true;
                Some(Err(silent(max)))
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

fn see(place: &StorePlace) -> io::Result<Seen> {
    let files = place.look()?;
    Ok(Seen { files, our_log: files == PlaceFinding::Other && place.has_our_log() })
}

fn silent(max: Duration) -> io::Error {
    let why = format!("its file system has not answered for {max:?}; look after the disk or the file server");
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static SERVER: Mutex<()> = Mutex::new(());
    static LOOKS: AtomicUsize = AtomicUsize::new(0);

    /// A file server that answers when its lock is free.
    fn see_slowly(place: &StorePlace) -> io::Result<Seen> {
        LOOKS.fetch_add(1, Ordering::SeqCst);
        drop(SERVER.lock());
        see(place)
    }

    /// Looks by a file server that answers late.
    static LATE: AtomicUsize = AtomicUsize::new(0);

    /// A file server that answers the first look late, and the second not for long.
    fn see_late(place: &StorePlace) -> io::Result<Seen> {
        let late = LATE.fetch_add(1, Ordering::SeqCst) == 0;
        thread::sleep(Duration::from_millis(if late { 7_500 } else { 20_000 }));
        see(place)
    }

    #[test]
    fn a_late_answer_is_waited_for_in_the_same_time() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let place = StorePlace::of(file.path()).expect("a place");
        let took = || {
            LATE.store(0, Ordering::SeqCst);
            let mut looker = Looker { thread: None, max: Duration::from_secs(4) };
            looker.look_with(&place, see_late).err()?;
            let began = Instant::now();
            looker.look_with(&place, see_late).expect_err("it does not answer");
            Some(began.elapsed())
        };
        // With a time of its own for each of the two answers, it takes 7.5 s every time; in one time only where the
        // machine stands still meanwhile.
        let is_one_time = |took: Duration| took < Duration::from_secs(7);
        assert!((0..5).any(|_| took().is_some_and(is_one_time)), "both answers have four seconds each");
    }

    #[test]
    fn a_file_server_that_does_not_answer_is_waited_for_only_so_long() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let place = StorePlace::of(file.path()).expect("a place");
        let mut looker = Looker { thread: None, max: Duration::from_secs(60) };
        let seen = Seen { files: PlaceFinding::Ours, our_log: false };
        assert_eq!(looker.look_with(&place, see_slowly).expect("it answers"), seen);
        let down = SERVER.lock().expect("not poisoned");
        looker.max = Duration::from_millis(50);
        for _ in 0..3 {
            let error = looker.look_with(&place, see_slowly).expect_err("nobody answers");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(LOOKS.load(Ordering::SeqCst), 2, "one thread waits, and no other is begun");
        drop(down);
        looker.max = Duration::from_secs(60);
        assert_eq!(looker.look_with(&place, see_slowly).expect("it answers again"), seen);
        assert_eq!(LOOKS.load(Ordering::SeqCst), 3, "what came late is not taken for an answer");
    }
}
