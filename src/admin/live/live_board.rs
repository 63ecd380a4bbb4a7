//! The board: the last edition of the document, those before it, and who reads them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::live_edition::{EditionId, LiveEdition};

/// Readers at a time: half of the connections that there may be.
pub(crate) const READERS_MAX: usize = 128;

/// Editions that are kept: some seconds, in which a connection comes back.
const KEPT: usize = 10;

/// A reader that is told nothing for so long is told that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A line that says nothing.
const SILENCE: &str = ":\n\n";

/// What a reader is told first: how long to wait before it comes again, in milliseconds.
const GREETING: &str = "retry: 1000\n\n";

/// The editions, and how many read them.
#[derive(Debug)]
pub struct LiveBoard {
    /// When it was made, in milliseconds since 1970. It stands for the process in ids: another one begins later.
    since_ms: i64,
    last: watch::Sender<BoardState>,
    /// The last ones, oldest first; none while there is no reader.
    kept: Mutex<VecDeque<Arc<LiveEdition>>>,
    readers: AtomicUsize,
    wanted: Notify,
}

/// What is on the board.
#[derive(Clone, Debug)]
enum BoardState {
    /// Nothing yet; the next edition has a number above this.
    Empty(u64),
    /// An edition.
    Edition(Arc<LiveEdition>),
    /// Nothing any more.
    Closed,
}

/// A reader; dropping it gives its place up.
#[derive(Debug)]
pub(crate) struct LiveReader {
    board: Arc<LiveBoard>,
    receiver: watch::Receiver<BoardState>,
    /// Whether it was told how it reads.
    greeted: bool,
    /// The number of the edition that it knows.
    knows: Option<u64>,
}

impl LiveBoard {
    /// An empty board that begins at this moment.
    #[must_use]
    pub(crate) fn new(since_ms: i64) -> Self {
        let last = watch::Sender::new(BoardState::Empty(0));
        Self { since_ms, last, kept: Mutex::default(), readers: AtomicUsize::new(0), wanted: Notify::new() }
    }

    /// When it began, in milliseconds since 1970.
    #[must_use]
    pub(crate) fn since_ms(&self) -> i64 {
        self.since_ms
    }

    fn process(&self) -> u64 {
        self.since_ms.unsigned_abs()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<LiveEdition>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads on behalf of a client that knows the edition of this id. `None`: there are as many as may be.
    #[must_use]
    pub(crate) fn read(self: &Arc<Self>, last_id: Option<&str>) -> Option<LiveReader> {
        let room = |readers: usize| (readers < READERS_MAX).then_some(readers + 1);
        self.readers.fetch_update(Relaxed, Relaxed, room).ok()?;
        let id = last_id.and_then(|id| id.parse::<EditionId>().ok()).filter(|id| id.process == self.process());
        let mut receiver = self.last.subscribe();
        // What is there is new to it.
        receiver.mark_changed();
        self.wanted.notify_one();
        Some(LiveReader { board: Arc::clone(self), receiver, greeted: false, knows: id.map(|id| id.number) })
    }

    /// Waits until there is a reader. Nothing is kept until then.
    pub(crate) async fn wanted(&self) {
        while self.readers.load(Relaxed) == 0 {
            self.last.send_if_modified(|state| {
                let BoardState::Edition(edition) = &*state else { return false };
                *state = BoardState::Empty(edition.id.number);
                true
            });
            self.kept().clear();
            self.wanted.notified().await;
        }
    }

    /// Puts the document up as it is now, unless it is up already.
    pub(crate) fn put(&self, revision: u64, document: Value) {
        self.last.send_if_modified(|state| {
            let next = match &*state {
                BoardState::Closed => None,
                BoardState::Edition(last) => last.next(revision, document),
                BoardState::Empty(number) => {
                    let id = EditionId { revision, process: self.process(), number: number + 1 };
                    Some(LiveEdition::first(id, document))
                }
            };
            let Some(next) = next.map(Arc::new) else { return false };
            let mut kept = self.kept();
            kept.push_back(Arc::clone(&next));
            if kept.len() > KEPT {
                kept.pop_front();
            }
            *state = BoardState::Edition(next);
            true
        });
    }

    /// Ends all streams.
    pub(crate) fn close(&self) {
        self.last.send_replace(BoardState::Closed);
        self.kept().clear();
    }

    /// The event that takes a reader from the edition that it knows to this one; `None`: nothing has changed for it.
    fn event(&self, knows: Option<u64>, edition: &LiveEdition) -> Option<Bytes> {
        let known = knows.and_then(|number| self.kept().iter().find(|kept| kept.id.number == number).cloned());
        match known {
            Some(known) => edition.since(&known),
            None => Some(edition.snapshot()),
        }
    }
}

impl Default for LiveBoard {
    fn default() -> Self {
        Self::new(jiff::Timestamp::now().as_millisecond())
    }
}

impl LiveReader {
    /// What it is told next; `None`: nothing any more.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.next_within(HEARTBEAT).await
    }

    async fn next_within(&mut self, silence: Duration) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from_static(GREETING.as_bytes()));
        }
        loop {
            tokio::select! {
                changed = self.receiver.changed() => changed.ok()?,
                () = sleep(silence) => return Some(Bytes::from_static(SILENCE.as_bytes())),
            }
            let edition = match &*self.receiver.borrow_and_update() {
                BoardState::Empty(_) => continue,
                BoardState::Closed => return None,
                BoardState::Edition(edition) => Arc::clone(edition),
            };
            let knows = self.knows.replace(edition.id.number);
            if knows == Some(edition.id.number) {
                continue;
            }
            if let Some(event) = self.board.event(knows, &edition) {
                return Some(event);
            }
        }
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        self.board.readers.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::document::merge_patch;

    /// The name, the id and the data of the next event that is one.
    async fn event(reader: &mut LiveReader) -> (String, String, Value) {
        loop {
            let bytes = reader.next().await.expect("an open board");
            let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
            let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let (Some(id), Some(name), Some(data)) = (line("id: "), line("event: "), line("data: ")) {
                return (name, id, serde_json::from_str(&data).expect("JSON"));
            }
        }
    }

    /// Whether it is told nothing but that the connection lives.
    async fn is_silent(reader: &mut LiveReader) -> bool {
        reader.next_within(Duration::from_millis(20)).await.as_deref() == Some(SILENCE.as_bytes())
    }

    #[tokio::test]
    async fn a_reader_gets_everything_and_then_what_changes() {
        let board = Arc::new(LiveBoard::new(0xa));
        let mut reader = board.read(None).expect("a place");
        board.put(1, json!({ "a": 1, "b": 1 }));
        assert_eq!(event(&mut reader).await, ("snapshot".into(), "1-a.1".into(), json!({ "a": 1, "b": 1 })));
        board.put(1, json!({ "a": 1, "b": 1 }));
        assert!(is_silent(&mut reader).await, "it is the same");
        board.put(2, json!({ "a": 2, "b": 1 }));
        assert_eq!(event(&mut reader).await, ("change".into(), "2-a.2".into(), json!({ "a": 2 })));
        board.close();
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_misses_what_came_in_between_and_never_the_last() {
        let board = Arc::new(LiveBoard::new(1));
        let mut reader = board.read(None).expect("a place");
        board.put(1, json!({ "n": 0, "same": true }));
        let (_, _, mut seen) = event(&mut reader).await;
        for n in 1..=5 {
            board.put(1, json!({ "n": n, "same": true, "m": n }));
        }
        let (name, _, patch) = event(&mut reader).await;
        assert_eq!((name.as_str(), &patch), ("change", &json!({ "n": 5, "m": 5 })));
        merge_patch::apply(&mut seen, patch);
        assert_eq!(seen, json!({ "n": 5, "same": true, "m": 5 }));
        // One that is behind all that is kept gets everything.
        for n in 0..=KEPT {
            board.put(1, json!({ "n": n + 10 }));
        }
        assert_eq!(event(&mut reader).await.0, "snapshot");
        assert_eq!(board.kept().len(), KEPT);
    }

    #[tokio::test]
    async fn a_reader_that_comes_back_goes_on() {
        let board = Arc::new(LiveBoard::new(1));
        let mut reader = board.read(None).expect("a place");
        board.put(1, json!({ "n": 0 }));
        let (_, id, _) = event(&mut reader).await;
        board.put(1, json!({ "n": 1 }));
        let mut back = board.read(Some(&id)).expect("a place");
        assert_eq!(event(&mut back).await.2, json!({ "n": 1 }));
        let mut up_to_date = board.read(Some("1-1.2")).expect("a place");
        up_to_date.next().await.expect("a greeting");
        assert!(is_silent(&mut up_to_date).await, "it knows everything");
        for unknown in ["1-2.1", "1-1.9", "nonsense", ""] {
            let mut reader = board.read(Some(unknown)).expect("a place");
            assert_eq!(event(&mut reader).await.0, "snapshot", "{unknown:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_without_a_reader_and_a_number_is_not_used_twice() {
        let board = Arc::new(LiveBoard::new(1));
        drop(board.read(None));
        board.put(1, json!({ "n": 0 }));
        assert!(timeout(Duration::from_millis(20), board.wanted()).await.is_err(), "there is no reader");
        assert!(board.kept().is_empty());
        let mut reader = board.read(Some("1-1.1")).expect("a place");
        board.wanted().await;
        board.put(1, json!({ "n": 1 }));
        let (name, id, _) = event(&mut reader).await;
        assert_eq!((name.as_str(), id.as_str()), ("snapshot", "1-1.2"));
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let board = Arc::new(LiveBoard::new(1));
        let readers: Vec<_> = (0..READERS_MAX).map(|_| board.read(None).expect("a place")).collect();
        assert!(board.read(None).is_none());
        drop(readers);
        assert!(board.read(None).is_some());
    }
}
