//! How many streams a connection has and may have.
//!
//! What an endpoint allows is the codec's to know. What it has taken is known here: it may count more streams as open
//! than we do, or take fewer than it allows, and says so by refusing one.

use std::cell::Cell;

use tokio::time::Instant;

use super::opening_queue::OpeningQueue;

/// Streams that we open on one connection at the most, whatever the origin allows: what one broken connection can take
/// with it.
pub(super) const STREAMS_MAX: u32 = 100;

/// After this many responses for each of the streams that a connection may have, it may have one more: of the requests
/// to an endpoint that refuses streams about one in this many is sent twice.
const RESPONSES_A_STREAM: usize = 20;

/// How many streams a connection has and may have.
#[derive(Debug)]
pub(super) struct StreamLoad {
    open: Cell<usize>,
    /// What the origin has taken: less than it allows, if it refused one.
    room: Cell<usize>,
    /// Responses since `room` has changed.
    responses: Cell<usize>,
    /// Whether it has said that it takes no more.
    leaving: Cell<bool>,
    /// Whether it is in no pool any more.
    given_up: Cell<bool>,
    quiet_since: Cell<Instant>,
    /// Whether anything has come since the driver looked last.
    pub(super) heard: Cell<bool>,
    /// Who waits for the stream of another request to be opened.
    pub(super) queue: OpeningQueue,
}

impl StreamLoad {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            open: Cell::new(0),
            room: Cell::new(STREAMS_MAX as usize),
            responses: Cell::new(0),
            leaving: Cell::new(false),
            given_up: Cell::new(false),
            quiet_since: Cell::new(now),
            heard: Cell::new(false),
            queue: OpeningQueue::default(),
        }
    }

    /// Takes one stream more, if the origin `allows` that many and has not refused them. Whether it could be taken.
    pub(super) fn enter(&self, allows: usize) -> bool {
        let room = self.has_room(allows);
        self.open.set(self.open.get() + usize::from(room));
        room
    }

    /// Whether one more could be taken.
    pub(super) fn has_room(&self, allows: usize) -> bool {
        !self.leaving.get() && self.open.get() < allows.min(self.room.get())
    }

    /// Whether it has streams.
    pub(super) fn is_busy(&self) -> bool {
        self.open.get() > 0
    }

    /// When the last stream ended.
    pub(super) fn quiet_since(&self) -> Instant {
        self.quiet_since.get()
    }

    /// Whether the origin has said that it takes no more streams.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Notes the end of a stream.
    pub(super) fn left(&self) {
        self.open.set(self.open.get() - 1);
        self.quiet_since.set(Instant::now());
    }

    /// Notes that the endpoint takes no more streams.
    pub(super) fn leave(&self) {
        self.leaving.set(true);
    }

    /// Notes that no pool has the connection any more.
    pub(super) fn give_up(&self) {
        self.given_up.set(true);
    }

    /// Whether nothing is left to do on the connection but to close it.
    pub(super) fn is_over(&self) -> bool {
        self.given_up.get() && !self.is_busy()
    }

    /// Notes the head of a response: some responses later there may be room for one stream more.
    pub(super) fn responded(&self) {
        let room = self.room.get();
        if room >= STREAMS_MAX as usize {
            return;
        }
        self.responses.set(self.responses.get() + 1);
        if self.responses.get() >= RESPONSES_A_STREAM * room {
            self.room.set(room + 1);
            self.responses.set(0);
        }
    }

    /// Notes that a stream was refused: there is room for those beside it. An endpoint may count more of them as open
    /// than we do, or fewer than it allows.
    pub(super) fn refused(&self) {
        let others = self.open.get().saturating_sub(1);
        self.room.set(self.room.get().min(others).max(1));
        self.responses.set(0);
        if others == 0 {
            self.leaving.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_refuses_a_stream_gets_fewer_and_more_again_little_by_little() {
        let load = StreamLoad::new(Instant::now());
        load.open.set(12);
        load.refused();
        load.open.set(11);
        load.refused();
        assert_eq!(load.room.get(), 10);
        (0..RESPONSES_A_STREAM * 10).for_each(|_| load.responded());
        assert_eq!(load.room.get(), 11);
        load.open.set(30);
        load.refused();
        assert_eq!((load.room.get(), load.leaving.get()), (11, false), "one that was sent before it was known");
        load.open.set(1);
        load.refused();
        assert!(load.leaving.get(), "it takes none at all");
    }
}
