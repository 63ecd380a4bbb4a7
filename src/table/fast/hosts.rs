//! From a host and a path to a service, in one cache miss that anybody waits for.
//!
//! A map of hosts to trees of paths is the obvious structure, and walks over half a dozen small allocations: with ten
//! thousand hosts each is a cache miss, and each waits for the one before. Here a host costs one miss in an array of
//! small slots (open addressing, linear probing) and one in its record, which has the host's name for the comparison
//! and its path prefixes, longest first, next to each other:
//!
//! ```text
//! slots:   [ tag, record, sole service ] ...
//! records: [ name: bytes, paths: count ] name ... [ service, prefix: bytes ] prefix ... [ service, 0 ]
//! ```
//!
//! Everything in a record is whole words of eight bytes, texts are filled up with zeros. A host with many paths has a
//! tree of its own instead of the list.
//!
//! All paths of most hosts lead to one service, and then the slot names it. The record is compared all the same, but
//! only to say yes or no, which a processor guesses: it goes on to the service before the record has arrived.

use super::paths::PathTree;
use crate::message::ascii;
use crate::table::spec::PathPrefix;

/// Up to this many paths a host has a list: more take longer than the walk of a tree.
const LISTED_PATHS_MAX: usize = 8;

/// The number of paths in the head of a record whose paths are a tree.
const TREE: u32 = u32::MAX;

/// A slot that holds no host.
const EMPTY: HostSlot = HostSlot { tag: 0, record: u32::MAX, sole: SEVERAL };

/// Instead of the sole service of a host that has several.
const SEVERAL: u32 = u32::MAX;

/// Hosts and their paths, built once.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// A power of two of them, a third or more of which are empty, so that a search ends.
    slots: Box<[HostSlot]>,
    records: Box<[u64]>,
    trees: Box<[PathTree]>,
}

/// Where the record of a host is.
#[derive(Clone, Copy, Debug)]
struct HostSlot {
    /// The half of the hash that did not choose the slot: tells nearly all other hosts apart without their records.
    tag: u32,
    /// Index of the record's first word.
    record: u32,
    /// The service to which all paths of the host lead that lead anywhere, or [`SEVERAL`].
    sole: u32,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::build(std::iter::empty::<(&str, [_; 0])>())
    }
}

impl Hosts {
    /// Lays out hosts, each given once, by their names in lower case and their paths, each once, with the services.
    pub(crate) fn build<'a, P>(hosts: impl ExactSizeIterator<Item = (&'a str, P)>) -> Self
    where
        P: IntoIterator<Item = (&'a PathPrefix, u32)>,
    {
        let room = (hosts.len() + hosts.len() / 2 + 1).next_power_of_two();
        let mut slots = vec![EMPTY; room];
        let (mut records, mut trees, mut listed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, paths) in hosts {
            let hash = hash_of(name.as_bytes());
            let mut index = start(hash, room);
            while slots[index].record != EMPTY.record {
                index = (index + 1) % room;
            }
            listed.clear();
            listed.extend(paths);
            let first = listed.first().map_or(SEVERAL, |(_, service)| *service);
            let sole = if listed.iter().all(|(_, service)| *service == first) { first } else { SEVERAL };
            slots[index] = HostSlot { tag: tag(hash), record: number(records.len()), sole };
            lay_out(name, &mut listed, &mut records, &mut trees);
        }
        Self { slots: slots.into(), records: records.into(), trees: trees.into() }
    }

    /// Whether there is no host at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The service that serves `host` (in any case) and `path`.
    pub(crate) fn find(&self, host: &[u8], path: &[u8]) -> Option<u32> {
        let hash = hash_of(host);
        let mut index = start(hash, self.slots.len());
        loop {
            let slot = self.slots[index];
            if slot.record == EMPTY.record {
                return None;
            }
            if slot.tag == tag(hash)
                && let Some(found) = self.find_in(slot.record, host, path)
            {
                // Two returns instead of a choice between two numbers, which would wait for both.
                return match found {
                    Some(_) if slot.sole != SEVERAL => Some(slot.sole),
                    found => found,
                };
            }
            index = (index + 1) % self.slots.len();
        }
    }

    /// What a record has for `path`; `None` if it is the record of another host.
    fn find_in(&self, record: u32, host: &[u8], path: &[u8]) -> Option<Option<u32>> {
        let (head, rest) = self.records[record as usize..].split_first()?;
        let (len, paths) = halves(*head);
        let (name, mut rest) = rest.split_at_checked(words_of(len))?;
        if len as usize != host.len() || !ascii::words(host).map(ascii::lower).eq(name.iter().copied()) {
            return None;
        }
        if paths == TREE {
            let (tree, _) = halves(*rest.first()?);
            return Some(self.trees[tree as usize].find(path));
        }
        for _ in 0..paths {
            let (head, after) = rest.split_first()?;
            let (service, len) = halves(*head);
            let (prefix, after) = after.split_at_checked(words_of(len))?;
            if is_below(path, prefix, len as usize) {
                return Some(Some(service));
            }
            rest = after;
        }
        Some(None)
    }
}

/// Whether `prefix`, which is so long, is `path` or ends at one of its slashes. The root, which is empty, serves
/// whatever the path looks like.
fn is_below(path: &[u8], prefix: &[u64], len: usize) -> bool {
    let boundary = len == 0 || path.get(len).is_none_or(|byte| *byte == b'/');
    boundary && path.get(..len).is_some_and(|start| ascii::words(start).eq(prefix.iter().copied()))
}

/// Appends the record of a host.
fn lay_out(name: &str, paths: &mut [(&PathPrefix, u32)], records: &mut Vec<u64>, trees: &mut Vec<PathTree>) {
    let listed = paths.len() <= LISTED_PATHS_MAX;
    records.push(joined(number(name.len()), if listed { number(paths.len()) } else { TREE }));
    records.extend(ascii::words(name.as_bytes()));
    if listed {
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_str().len()));
        for (path, service) in paths {
            records.push(joined(*service, number(path.as_str().len())));
            records.extend(ascii::words(path.as_str().as_bytes()));
        }
    } else {
        records.push(joined(number(trees.len()), 0));
        let mut tree = PathTree::default();
        for (path, service) in paths {
            tree.add(path, *service);
        }
        trees.push(tree);
    }
}

fn hash_of(host: &[u8]) -> u64 {
    ascii::hash(ascii::words(host).map(ascii::lower), host.len())
}

/// The slot where the search for a hash begins; `room` is a power of two.
fn start(hash: u64, room: usize) -> usize {
    (hash >> 32) as usize & (room - 1)
}

fn tag(hash: u64) -> u32 {
    halves(hash).0
}

/// Words that this many bytes take.
fn words_of(bytes: u32) -> usize {
    bytes.div_ceil(8) as usize
}

fn joined(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The low half of a word, and the high one.
fn halves(word: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let low = word as u32;
    (low, (word >> 32) as u32)
}

/// A length or a place as half a word.
fn number(value: usize) -> u32 {
    u32::try_from(value).expect("a config's hosts and paths are far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn hosts(list: &[(&str, u32)]) -> Hosts {
        let root = PathPrefix::new("/").expect("a path");
        Hosts::build(list.iter().map(|(name, service)| (*name, [(&root, *service)])))
    }

    /// Names with the same tag and the same first slot in a table of two hosts.
    fn colliding() -> (String, String) {
        let mut known = HashMap::new();
        for number in 0..1_000_000_u32 {
            let name = format!("host-{number}.example");
            let hash = hash_of(name.as_bytes());
            if let Some(other) = known.insert((tag(hash), start(hash, 4)), number) {
                return (format!("host-{other}.example"), name);
            }
        }
        panic!("of a million names there are some 30 such pairs")
    }

    #[test]
    fn hosts_with_equal_hashes_are_told_apart_by_name() {
        let (one, other) = colliding();
        let both = hosts(&[(&one, 1), (&other, 2)]);
        assert_eq!(both.slots.len(), 4);
        assert_eq!((both.find(one.as_bytes(), b"/"), both.find(other.as_bytes(), b"/")), (Some(1), Some(2)));
        assert_eq!(hosts(&[(&one, 1)]).find(other.as_bytes(), b"/"), None);
    }

    #[test]
    fn every_host_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 7, 500] {
            let names: Vec<_> = (0..count).map(|number| format!("h{number}.example")).collect();
            let list: Vec<_> = names.iter().map(String::as_str).zip(0..).collect();
            let hosts = hosts(&list);
            assert!(list.iter().all(|(name, service)| hosts.find(name.as_bytes(), b"/x") == Some(*service)), "{count}");
            assert!(names.iter().all(|name| hosts.find(&name.as_bytes()[1..], b"/").is_none()), "{count}");
            assert_eq!((hosts.find(b"", b"/"), hosts.is_empty()), (None, count == 0));
        }
    }

    #[test]
    fn a_name_filled_up_with_zeros_is_another_name() {
        let hosts = hosts(&[("a.example", 1)]);
        assert_eq!((hosts.find(b"A.example", b"/"), hosts.find(b"a.example\0", b"/")), (Some(1), None));
    }
}
