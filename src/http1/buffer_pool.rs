//! Room for reading and for writing, which the connections of a thread lend each other.
//!
//! A connection needs room to read only while something comes, and room to write only while something goes. In between,
//! which is nearly always, room of its own would be kilobytes of idle memory: half of what a connection takes that has
//! just fallen idle. So a connection gives an empty buffer back, and the next one takes what was given back last, which
//! is most likely in a cache. It is done for the memory: what it saves of the time cannot be told from noise.

use std::cell::RefCell;

use bytes::BytesMut;

/// As much room for reading is lent.
pub(crate) const READING_BYTES: usize = 8 * 1024;

/// As much is lent to who reads a large body. To make it anew for each would cost a third more for responses of 64 KiB.
pub(crate) const READING_BYTES_MAX: usize = 64 * 1024;

/// A large room that is larger than this is not lent.
const READING_BYTES_LENT_MAX: usize = 2 * READING_BYTES_MAX;

/// Room for writing that has grown beyond this, as only heads of unusual size make it, is not lent.
const WRITING_BYTES_MAX: usize = 32 * 1024;

/// The most buffers of each kind that wait for the next connection: as many are in use at a time only if that many
/// connections are in the middle of a head.
const BUFFERS_MAX: usize = 32;

/// The same for large rooms: half a mebibyte of each thread.
const LARGE_MAX: usize = 8;

/// The buffers that no connection uses now.
struct BufferPool {
    reading: RefCell<Vec<BytesMut>>,
    large: RefCell<Vec<BytesMut>>,
    writing: RefCell<Vec<Vec<u8>>>,
}

thread_local! {
    static POOL: BufferPool = const {
        BufferPool {
            reading: RefCell::new(Vec::new()),
            large: RefCell::new(Vec::new()),
            writing: RefCell::new(Vec::new()),
        }
    };
}

/// Room for reading, empty: [`READING_BYTES`], or [`READING_BYTES_MAX`] if more than the former is `wanted`.
pub(crate) fn take_reading(wanted: usize) -> BytesMut {
    let large = wanted > READING_BYTES;
    let taken = POOL.try_with(|pool| if large { &pool.large } else { &pool.reading }.borrow_mut().pop());
    // A thread that ends has none left.
    let made = || BytesMut::with_capacity(if large { READING_BYTES_MAX } else { READING_BYTES });
    taken.ok().flatten().unwrap_or_else(made)
}

/// Takes `room` for reading back, if it is empty and no part of it is held elsewhere. Of another size than all others,
/// as heads that come in parts make it, it is given up.
pub(crate) fn give_reading(room: &mut BytesMut) {
    if !room.is_empty() {
        return;
    }
    let large = room.try_reclaim(READING_BYTES_MAX);
    if !large && !room.try_reclaim(READING_BYTES) {
        return;
    }
    let room = std::mem::take(room);
    let _ended = POOL.try_with(|pool| match room.capacity() {
        READING_BYTES => keep(&pool.reading, room, BUFFERS_MAX),
        // One that was added to for the rest of a head has a little more.
        READING_BYTES_MAX..=READING_BYTES_LENT_MAX => keep(&pool.large, room, LARGE_MAX),
        _ => {}
    });
}

/// Room for writing, empty; it may have to be made.
pub(crate) fn take_writing() -> Vec<u8> {
    POOL.try_with(|pool| pool.writing.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Gives room for writing back.
pub(crate) fn give_writing(mut room: Vec<u8>) {
    if (1..=WRITING_BYTES_MAX).contains(&room.capacity()) {
        room.clear();
        let _ended = POOL.try_with(|pool| keep(&pool.writing, room, BUFFERS_MAX));
    }
}

fn keep<T>(pool: &RefCell<Vec<T>>, room: T, most: usize) {
    let mut pool = pool.borrow_mut();
    if pool.len() < most {
        pool.push(room);
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
        assert_eq!([take_reading(1), take_reading(1)].map(|room| room.as_ptr()), [places[1], places[0]]);
        assert_eq!(pooled(), (0, 0));
    }

    fn pooled() -> (usize, usize) {
        POOL.with(|pool| (pool.reading.borrow().len(), pool.large.borrow().len()))
    }

    #[test]
    fn rooms_of_either_size_are_lent() {
        for (wanted, capacity) in [(1, READING_BYTES), (READING_BYTES + 1, READING_BYTES_MAX)] {
            let mut room = take_reading(wanted);
            assert_eq!(room.capacity(), capacity);
            room.extend_from_slice(&[0; 100]);
            let place = room.as_ptr();
            drop(room.split());
            give_reading(&mut room);
            assert_eq!(room.capacity(), 0);
            assert_eq!(take_reading(wanted).as_ptr(), place);
        }
    }

    #[test]
    fn what_somebody_holds_is_not_lent_and_what_has_another_size_is_given_up() {
        let mut shared = BytesMut::zeroed(READING_BYTES);
        let part = shared.split_to(10).freeze();
        shared.clear();
        for (mut room, left) in [
            (shared, READING_BYTES - 10),
            (BytesMut::from(&b"something"[..]), 9),
            (BytesMut::with_capacity(4 * READING_BYTES), 0),
            (BytesMut::with_capacity(READING_BYTES_LENT_MAX + 1), 0),
        ] {
            give_reading(&mut room);
            assert_eq!((room.capacity(), pooled()), (left, (0, 0)));
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
        (0..2 * BUFFERS_MAX).for_each(|_| give_writing(Vec::with_capacity(8)));
        assert_eq!((0..2 * BUFFERS_MAX).filter(|_| take_writing().capacity() > 0).count(), BUFFERS_MAX);
        for room in [READING_BYTES, READING_BYTES_MAX] {
            (0..2 * BUFFERS_MAX).for_each(|_| give_reading(&mut BytesMut::with_capacity(room)));
        }
        assert_eq!(pooled(), (BUFFERS_MAX, LARGE_MAX));
    }
}
