//! Good seeds, changed: bytes set, inserted, deleted, repeated, and parts of one seed put into another.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::Bytes;

#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Repeat(Index, usize),
    /// A part of another seed.
    Splice(Index, Index, Index, usize),
}

/// Changes for any bytes.
#[derive(Clone, Debug)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    /// Up to `most` changes; `tokens` are what the grammar gives a meaning.
    pub(super) fn upto(most: usize, tokens: &'static [&'static str]) -> impl Strategy<Value = Self> {
        vec(change(tokens), 0..=most).prop_map(Self)
    }

    /// Makes them; parts come from `seeds`.
    pub(super) fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        self.0.iter().for_each(|change| apply(bytes, change, seeds));
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A seed with up to `most` changes.
pub(super) fn mutated<T: AsRef<[u8]>>(
    seeds: impl IntoIterator<Item = T>,
    tokens: &'static [&'static str],
    most: usize,
) -> impl Strategy<Value = Bytes> {
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|seed| seed.as_ref().to_vec()).collect();
    let others = seeds.clone();
    (select(seeds), Changes::upto(most, tokens)).prop_map(move |(mut bytes, changes)| {
        changes.apply(&mut bytes, &others);
        Bytes(bytes)
    })
}

fn change(tokens: &'static [&'static str]) -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let token = select(tokens).prop_map(|token: &str| token.as_bytes().to_vec());
    let inserted = prop_oneof![4 => token, 1 => vec(any::<u8>(), 1..3)];
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        5 => (at(), inserted).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        3 => (at(), 1..12_usize).prop_map(|(at, count)| Change::Delete(at, count)),
        2 => (at(), 1..24_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        1 => (at(), at(), at(), 1..40_usize).prop_map(|(at, seed, from, count)| Change::Splice(at, seed, from, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change, seeds: &[Vec<u8>]) {
    let place = |at: &Index| at.index(bytes.len() + 1);
    match change {
        Change::Set(at, byte) => {
            let at = place(at);
            if let Some(old) = bytes.get_mut(at) {
                *old = *byte;
            }
        }
        Change::Insert(at, inserted) => {
            let at = place(at);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Change::Delete(at, count) => {
            let at = place(at);
            bytes.drain(at..bytes.len().min(at + count));
        }
        Change::Repeat(at, count) => {
            let at = place(at);
            let part = part(bytes, at, *count);
            bytes.splice(at..at, part);
        }
        Change::Splice(at, seed, from, count) => {
            let at = place(at);
            let seed = &seeds[seed.index(seeds.len())];
            let part = part(seed, from.index(seed.len() + 1), *count);
            bytes.splice(at..at, part);
        }
    }
}

fn part(bytes: &[u8], at: usize, count: usize) -> Vec<u8> {
    bytes[at..bytes.len().min(at + count)].to_vec()
}
