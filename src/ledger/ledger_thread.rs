//! The thread that owns what is counted: it takes in what workers see and what clients send, and commits.
//!
//! All calls that wait are answered after one commit, so that a burst of events costs a flush of the disk and not one
//! each. What workers see is committed within [`COMMIT_EVERY`]. A bug that ends it costs what came since the last
//! commit: it begins again with its file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::ledger_book::LedgerBook;
use super::ledger_handle::{EventReceipt, LedgerCall, LedgerError, LedgerHandle, RecordCall};
use super::running_trials::{RunningTrials, TrialSpecs};
use super::seen::{Seen, SeenSender};
use crate::supervise::{Part, panic_text};

/// What was seen is on disk after this time, if the disk takes it.
const COMMIT_EVERY: Duration = Duration::from_millis(250);

/// How long the start waits for the file. A disk that takes longer must not keep users from being served: they are
/// counted once the file is there.
const OPEN_WAIT: Duration = Duration::from_secs(5);

/// How often it is tried again while something is wrong.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// So much that was seen is taken in at a time while no call waits for it.
const SEEN_PER_TURN: usize = 16_384;

/// The most calls that are answered after one commit.
const CALLS_PER_TURN: usize = 256;

/// What waits for the next commit.
type WaitingAnswer = (oneshot::Sender<Result<EventReceipt, LedgerError>>, EventReceipt);

/// The ledger, before the thread has it.
#[derive(Debug)]
pub(crate) struct Ledger {
    book: OpeningBook,
    running: RunningTrials,
    trials: watch::Receiver<TrialSpecs>,
    handle: LedgerHandle,
    calls: mpsc::Receiver<LedgerCall>,
    seen: mpsc::Receiver<Seen>,
}

impl Ledger {
    /// The file that belongs to a revision store: in the same folder, called after it.
    pub(crate) fn path_beside(store: &Path) -> PathBuf {
        let mut name = store.file_stem().unwrap_or_default().to_owned();
        name.push("-experiments");
        if let Some(extension) = store.extension() {
            name.push(".");
            name.push(extension);
        }
        store.with_file_name(name)
    }

    /// Reads what the file has of the trials that run; `path` is none to keep everything in memory only. What is wrong
    /// with the file is told, and is no reason not to serve; nor is that it does not answer in time.
    pub(crate) fn open(path: Option<PathBuf>, running: RunningTrials) -> Self {
        let (sender, seen) = SeenSender::channel();
        let (handle, calls) = LedgerHandle::new(sender);
        let mut trials = running.follow();
        let book = OpeningBook::begin(path, trials.borrow_and_update().clone());
        Self { book, running, trials, handle, calls, seen }
    }

    /// Asks it.
    pub(crate) fn handle(&self) -> LedgerHandle {
        self.handle.clone()
    }

    /// Starts the thread. It ends, and closes the file, when the last handle is dropped; join it before exiting.
    ///
    /// # Errors
    /// When the system has no thread.
    pub(crate) fn start(self, part: Part) -> std::io::Result<JoinHandle<()>> {
        let Self { book, running, trials, handle, calls, seen } = self;
        let queue = handle.seen().counter();
        drop(handle);
        let ledger = move || {
            part.beat();
            let book = book.finish();
            LedgerThread { book, _running: running, trials, calls, seen, queue }.run(&part);
        };
        thread::Builder::new().name("ledger".to_owned()).spawn(ledger)
    }
}

/// The book, once its file is open.
#[derive(Debug)]
enum OpeningBook {
    Open(Box<LedgerBook>),
    /// Its disk has not answered yet.
    Awaited(Receiver<LedgerBook>, Option<PathBuf>, TrialSpecs),
}

impl OpeningBook {
    /// Opens the file, in a thread of its own: nothing ends a wait for a disk.
    fn begin(path: Option<PathBuf>, specs: TrialSpecs) -> Self {
        let (done, opened) = channel();
        let (place, trials) = (path.clone(), specs.clone());
        let open = move || {
            // The other end is there, or the process is ending.
            done.send(run(place, trials)).ok();
        };
        if let Err(error) = thread::Builder::new().name("ledger-open".to_owned()).spawn(open) {
            tracing::warn!(%error, "the experiments' ledger is opened without a thread of its own");
            return Self::Open(Box::new(run(path, specs)));
        }
        match opened.recv_timeout(OPEN_WAIT) {
            Ok(book) => Self::Open(Box::new(book)),
            Err(RecvTimeoutError::Timeout) => {
                let (seconds, path_shown) = (OPEN_WAIT.as_secs(), path.as_deref().map(Path::display));
                tracing::error!(
                    path = path_shown.map(tracing::field::display),
                    "the disk of the experiments' ledger has not answered for {seconds} s; users are served, and counted \
                     once it does"
                );
                Self::Awaited(opened, path, specs)
            }
            // A bug has ended the thread; the ledger's own begins again whenever it ends.
            Err(RecvTimeoutError::Disconnected) => Self::Awaited(opened, path, specs),
        }
    }

    /// Waits for it, however long that takes.
    fn finish(self) -> LedgerBook {
        match self {
            Self::Open(book) => *book,
            Self::Awaited(opened, path, specs) => opened.recv().unwrap_or_else(|_ended| run(path, specs)),
        }
    }
}

/// The book of these trials, with its file.
fn run(path: Option<PathBuf>, specs: TrialSpecs) -> LedgerBook {
    let mut book = LedgerBook::new(path);
    book.run(specs, now_ms());
    book
}

struct LedgerThread {
    book: LedgerBook,
    /// Kept, so that trials can be told as long as there is a thread.
    _running: RunningTrials,
    trials: watch::Receiver<TrialSpecs>,
    calls: mpsc::Receiver<LedgerCall>,
    seen: mpsc::Receiver<Seen>,
    queue: SeenSender,
}

impl LedgerThread {
    fn run(&mut self, part: &Part) {
        let mut ended = false;
        loop {
            let served = catch_unwind(AssertUnwindSafe(|| {
                if ended {
                    self.book.begin_again(now_ms());
                    part.runs_again();
                }
                self.serve(part)
            }));
            let why = match served {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic_text(&*panic),
            };
            let Some(pause) = part.ended(&why) else { return };
            thread::sleep(pause);
            ended = true;
        }
    }

    fn serve(&mut self, part: &Part) -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let mut due = None;
        loop {
            part.idle();
            let call = match runtime.block_on(self.next(due)) {
                Wake::Call(call) => Some(call),
                Wake::Other => None,
                Wake::End => break,
            };
            part.beat();
            self.turn(call, &mut due);
        }
        while self.take_in() {}
        self.book.wait_no_more();
        if self.book.commit().is_err() {
            tracing::error!("what experiments have counted since the last commit is lost with this process");
        }
        Ok(())
    }

    /// Waits for something to do.
    async fn next(&mut self, due: Option<Instant>) -> Wake {
        let timer = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            call = self.calls.recv() => call.map_or(Wake::End, Wake::Call),
            _changed = self.trials.changed() => {
                self.trials.mark_changed();
                Wake::Other
            }
            Some(seen) = self.seen.recv() => {
                self.follow();
                self.book.see(&seen);
                Wake::Other
            }
            () = timer => Wake::Other,
        }
    }

    /// Takes in what waits, commits if it is time to, and answers.
    fn turn(&mut self, first: Option<LedgerCall>, due: &mut Option<Instant>) {
        self.follow();
        self.take_in();
        self.book.look_after_exchange(now_ms());
        let now = Instant::now();
        let is_due = due.is_some_and(|due| due <= now);
        if is_due && self.book.is_troubled() {
            self.book.run(self.trials.borrow().clone(), now_ms());
        }
        let mut answers = Vec::new();
        let mut next = first;
        for _ in 0..CALLS_PER_TURN {
            let Some(call) = next.or_else(|| self.calls.try_recv().ok()) else { break };
            self.take_in_all();
            self.answer(call, &mut answers);
            next = None;
        }
        if is_due || !answers.is_empty() {
            let committed = self.book.commit();
            for (answer, receipt) in answers {
                // The sender may have gone; what was recorded stays recorded.
                answer.send(committed.clone().map(|()| receipt)).ok();
            }
            *due = None;
        }
        let wait = if self.book.is_troubled() { RETRY_EVERY } else { COMMIT_EVERY };
        if due.is_none() && (self.book.is_unsaved() || self.book.is_troubled()) {
            *due = Some(now + wait);
        }
    }

    /// Takes over which trials run, if that has changed.
    fn follow(&mut self) {
        if self.trials.has_changed().unwrap_or(false) {
            let trials = self.trials.borrow_and_update().clone();
            self.book.run(trials, now_ms());
        }
    }

    /// Takes in what workers have seen; whether there may be more.
    fn take_in(&mut self) -> bool {
        for _ in 0..SEEN_PER_TURN {
            let Ok(seen) = self.seen.try_recv() else { return false };
            // It was told before whatever makes exposures of it.
            self.follow();
            self.book.see(&seen);
        }
        true
    }

    /// Takes in all that was seen when a call had come, however much. An event may be about a user who was seen a
    /// moment before it was sent, and after what this turn has taken in already.
    fn take_in_all(&mut self) {
        for _ in 0..self.seen.len().div_ceil(SEEN_PER_TURN) {
            self.take_in();
        }
    }

    fn answer(&mut self, call: LedgerCall, answers: &mut Vec<WaitingAnswer>) {
        match call {
            LedgerCall::Record(RecordCall { events, unless_unheard }, answer) => match self.book.refusal() {
                Some(refusal) => drop(answer.send(Err(refusal))),
                None if unless_unheard && self.book.lacks_users(&events) => {
                    drop(answer.send(Err(LedgerError::Unheard)));
                }
                None => answers.push((answer, self.book.record(&events))),
            },
            LedgerCall::Share => self.book.share(),
            LedgerCall::Asks(replica, answer) => drop(answer.send(self.book.asks(&replica))),
            LedgerCall::Tell(question, answer) => drop(answer.send(self.book.tell(&question))),
            LedgerCall::Hear(told, answer) => drop(answer.send(self.book.hear(&told))),
            LedgerCall::Latest(experiment, answer) => drop(answer.send(self.book.latest(&experiment))),
            LedgerCall::CountsOf(trial, answer) => drop(answer.send(self.book.counts_of(&trial))),
            LedgerCall::Runs(experiment, answer) => drop(answer.send(self.book.runs(&experiment))),
            LedgerCall::Users(call, answer) => drop(answer.send(self.book.users(&call))),
            LedgerCall::Facts(answer) => drop(answer.send(self.book.facts(self.queue.lost()))),
            LedgerCall::HandOver(answer) => drop(answer.send(self.book.hand_over())),
            LedgerCall::TakeBack(answer) => drop(answer.send(self.book.take_back(now_ms()))),
        }
    }
}

/// Why the thread goes on.
enum Wake {
    Call(LedgerCall),
    Other,
    /// There is no handle any more.
    End,
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
