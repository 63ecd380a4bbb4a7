//! Room for reading and for writing, which the connections of a thread lend each other.
//!
//! A connection needs room to read only while something comes, and room to write only while something goes. In between,
//! which is nearly always, room of its own would be kilobytes of idle memory: half of what a connection takes that has just
//! fallen idle. So whoever has nothing in it gives it back, and the next one takes what was given back last, which is most
//! likely in a cache. It is done for the memory: what it saves of the time cannot be told from noise.

use std::cell::RefCell;

use bytes::BytesMut;

/// As much room for reading is lent.
pub(super) const READING_BYTES: usize = 8 * 1024;

/// Room for writing that has grown beyond this, as only heads of unusual size make it, is not lent.
const WRITING_BYTES_MAX: usize = 32 * 1024;

/// So many of each kind wait for the next connection, at the most: as many are in use at a time only if that many
/// connections are in the middle of a head.
const SPARE_MAX: usize = 32;

/// What nobody uses now.
struct Spare {
    reading: RefCell<Vec<BytesMut>>,
    writing: RefCell<Vec<Vec<u8>>>,
}

thread_local! {
    static SPARE: Spare = const { Spare { reading: RefCell::new(Vec::new()), writing: RefCell::new(Vec::new()) } };
}

/// Room for reading, empty; it may have to be made.
pub(super) fn take_reading() -> BytesMut {
    // A thread that ends has none left.
    SPARE.try_with(|spare| spare.reading.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Takes `room` for reading back, if it is empty, nobody holds a part of it, and it is as large as all others: a larger one
/// was made for a large body, of which more will come, and the end of one would keep all of it.
pub(super) fn give_reading(room: &mut BytesMut) {
    if room.is_empty() && room.try_reclaim(READING_BYTES) && room.capacity() == READING_BYTES {
        let room = std::mem::take(room);
        let _ended = SPARE.try_with(|spare| keep(&spare.reading, room));
    }
}

/// Room for writing, empty; it may have to be made.
pub(super) fn take_writing() -> Vec<u8> {
    SPARE.try_with(|spare| spare.writing.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Gives room for writing back.
pub(super) fn give_writing(mut room: Vec<u8>) {
    if (1..=WRITING_BYTES_MAX).contains(&room.capacity()) {
        room.clear();
        let _ended = SPARE.try_with(|spare| keep(&spare.writing, room));
    }
}

fn keep<T>(spare: &RefCell<Vec<T>>, room: T) {
    let mut spare = spare.borrow_mut();
    if spare.len() < SPARE_MAX {
        spare.push(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_last_is_taken_first() {
        let rooms = [BytesMut::with_capacity(READING_BYTES), BytesMut::with_capacity(READING_BYTES)];
        let places = rooms.each_ref().map(|room| room.as_ptr());
        rooms.into_iter().for_each(|mut room| give_reading(&mut room));
        assert_eq!([take_reading(), take_reading()].map(|room| room.as_ptr()), [places[1], places[0]]);
        assert_eq!(take_reading().capacity(), 0);
    }

    #[test]
    fn what_somebody_holds_or_has_grown_is_not_lent() {
        let mut shared = BytesMut::zeroed(READING_BYTES);
        let part = shared.split_to(10).freeze();
        shared.clear();
        for mut room in [shared, BytesMut::with_capacity(4 * READING_BYTES), BytesMut::from(&b"something"[..])] {
            let before = room.capacity();
            give_reading(&mut room);
            assert_eq!((room.capacity(), take_reading().capacity()), (before, 0));
        }
        assert_eq!(part.len(), 10);
        give_writing(Vec::with_capacity(WRITING_BYTES_MAX + 1));
        give_writing(Vec::new());
        assert_eq!(take_writing().capacity(), 0);
        give_writing(b"something".to_vec());
        let room = take_writing();
        assert!(room.is_empty() && room.capacity() >= 9);
    }

    #[test]
    fn only_so_many_are_kept() {
        (0..2 * SPARE_MAX).for_each(|_| give_writing(Vec::with_capacity(8)));
        assert_eq!((0..2 * SPARE_MAX).filter(|_| take_writing().capacity() > 0).count(), SPARE_MAX);
    }
}
