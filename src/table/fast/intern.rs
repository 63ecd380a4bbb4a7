//! Header names and key sources of a whole table, each once.
//!
//! Services ask for the same few headers. If each had its names on its own, every request to another service would wait
//! for the bytes of a name that it has compared a moment ago at another place.

use std::collections::HashMap;
use std::hash::Hash;

use http::HeaderName;

use crate::table::spec::KeySource;

/// What the [`RouteEntry`](super::route_entry::RouteEntry) records of a table point into.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    pub(crate) headers: Box<[HeaderName]>,
    pub(crate) sources: Box<[KeySource]>,
}

/// Collects them.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    headers: Numbering<HeaderName>,
    sources: Numbering<KeySource>,
}

#[derive(Debug)]
struct Numbering<T> {
    known: HashMap<T, u16>,
    /// What was asked for last: ten rules in a row mostly ask for one header.
    last: Option<(T, u16)>,
}

impl<T> Default for Numbering<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), last: None }
    }
}

impl<T: Hash + Eq + Clone> Numbering<T> {
    /// The place of a thing, which is new if it was not known; `None` when all places are taken.
    fn place(&mut self, thing: &T) -> Option<u16> {
        if let Some((_, place)) = self.last.as_ref().filter(|(last, _)| last == thing) {
            return Some(*place);
        }
        let place = match self.known.get(thing) {
            Some(place) => *place,
            None => {
                let place = u16::try_from(self.known.len()).ok()?;
                self.known.insert(thing.clone(), place);
                place
            }
        };
        self.last = Some((thing.clone(), place));
        Some(place)
    }

    fn in_order(self) -> Box<[T]> {
        let mut list: Vec<_> = self.known.into_iter().collect();
        list.sort_by_key(|(_, place)| *place);
        list.into_iter().map(|(thing, _)| thing).collect()
    }
}

impl Interner {
    /// The place of a header; `None` if there are more than can be numbered.
    pub(crate) fn header(&mut self, name: &HeaderName) -> Option<u16> {
        self.headers.place(name)
    }

    /// The place of a source; `None` if there are more than can be numbered.
    pub(crate) fn source(&mut self, source: &KeySource) -> Option<u16> {
        self.sources.place(source)
    }

    /// All that was asked for.
    pub(crate) fn finish(self) -> Interned {
        Interned { headers: self.headers.in_order(), sources: self.sources.in_order() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_things_have_one_place_until_the_numbers_are_used_up() {
        let mut places = Numbering::default();
        assert_eq!((places.place(&7), places.place(&8), places.place(&7)), (Some(0), Some(1), Some(0)));
        for thing in 100..100 + u32::from(u16::MAX) - 1 {
            assert!(places.place(&thing).is_some());
        }
        assert_eq!((places.place(&9), places.place(&8)), (None, Some(1)));
        assert_eq!(places.in_order()[..3], [7, 8, 100]);
    }
}
