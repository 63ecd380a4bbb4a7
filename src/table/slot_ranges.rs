//! The slots of a layer that one experiment owns.
//!
//! Experiments of one layer share no user, so each owns slots of the layer as versions own those of a split
//! ([`super::slots`]). But most of a layer is free, and what one experiment gives up must not go to another that has
//! not asked for it. So each keeps its own ranges, and takes more of those that are free: what it has never moves.

use std::fmt;

use super::weights::SLOTS;

/// Slots from `from` up to, but not including, `until`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotRange {
    /// The first slot.
    pub from: u32,
    /// The first slot after it.
    pub until: u32,
}

/// Some slots: ranges that are not empty, ascending, with a gap between neighbours.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SlotRanges(Vec<SlotRange>);

/// A stored text that is no list of ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?} in a list of slots, want ascending `from-until` items below {SLOTS}, joined by `,`")]
pub struct BadRanges {
    /// What could not be read.
    pub found: String,
}

impl SlotRanges {
    /// These, and as many of the lowest slots that are neither here nor in `taken` as make `count` of them; `None` if
    /// there are fewer.
    #[must_use]
    pub fn grown(&self, count: u32, taken: &Self) -> Option<Self> {
        let mut more = count.saturating_sub(self.count());
        let mut grown = self.0.clone();
        for free in self.with(taken).gaps() {
            let part = more.min(free.until - free.from);
            grown.extend((part > 0).then_some(SlotRange { from: free.from, until: free.from + part }));
            more -= part;
        }
        (more == 0).then(|| Self::joined(grown))
    }

    /// These and those.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        Self::joined([&self.0[..], &others.0].concat())
    }

    /// Whether a slot is in both.
    #[must_use]
    pub fn overlaps(&self, others: &Self) -> bool {
        self.with(others).count() != self.count() + others.count()
    }

    /// Whether `slot` is one of them.
    #[must_use]
    pub fn contains(&self, slot: u32) -> bool {
        let next = self.0.partition_point(|range| range.until <= slot);
        self.0.get(next).is_some_and(|range| range.from <= slot)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| range.until - range.from).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SlotRange> {
        self.0.iter().copied()
    }

    /// The ranges of all other slots, ascending; some may be empty.
    fn gaps(&self) -> impl Iterator<Item = SlotRange> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|range| range.until));
        let ends = self.0.iter().map(|range| range.from).chain([SLOTS]);
        starts.zip(ends).map(|(from, until)| SlotRange { from, until })
    }

    /// The slots of all these ranges.
    fn joined(mut ranges: Vec<SlotRange>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<SlotRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.from <= last.until => last.until = last.until.max(range.until),
                Some(_) | None => joined.push(range),
            }
        }
        Self(joined)
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`BadRanges`] when it is something else.
    pub fn parse(text: &str) -> Result<Self, BadRanges> {
        let range = |item: &str| {
            let (from, until) = item.split_once('-')?;
            let range = SlotRange { from: from.parse().ok()?, until: until.parse().ok()? };
            (range.from < range.until && range.until <= SLOTS).then_some(range)
        };
        let items = text.split(',').filter(|_| !text.is_empty());
        let ranges: Option<Vec<_>> = items.map(range).collect();
        // One text for one set of slots: what is out of order or overlaps is never what was written.
        let read = ranges.map(Self::joined).filter(|read| read.to_string() == text);
        read.ok_or_else(|| BadRanges { found: text.to_owned() })
    }
}

/// `0-20000,35000-55000`; empty for none.
impl fmt::Display for SlotRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, SlotRange { from, until }) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{from}-{until}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(text: &str) -> SlotRanges {
        SlotRanges::parse(text).expect("ranges")
    }

    #[test]
    fn more_slots_are_the_lowest_free_ones() {
        let none = SlotRanges::default();
        for (own, taken, count, wanted) in [
            ("", "", 40_000, Some("0-40000")),
            ("", "0-20000,30000-40000", 15_000, Some("20000-30000,40000-45000")),
            ("10-20", "0-10,20-30", 15, Some("10-20,30-35")),
            ("10-20", "30-99990", 30, Some("0-30")),
            ("10-20", "", 5, Some("10-20")),
            ("", "0-70000", 30_000, Some("70000-100000")),
            ("", "0-70000", 30_001, None),
            ("0-100000", "", 100_000, Some("0-100000")),
        ] {
            let grown = ranges(own).grown(count, &ranges(taken)).map(|grown| grown.to_string());
            assert_eq!(grown.as_deref(), wanted, "{own:?} to {count} beside {taken:?}");
        }
        assert_eq!(none.grown(SLOTS, &none).map(|all| all.count()), Some(SLOTS));
    }

    #[test]
    fn a_slot_is_found_in_its_range_only() {
        let some = ranges("0-2,5-6,99999-100000");
        let found: Vec<u32> = (0..10).chain([SLOTS - 2, SLOTS - 1]).filter(|slot| some.contains(*slot)).collect();
        assert_eq!(found, [0, 1, 5, SLOTS - 1]);
        assert!(!SlotRanges::default().contains(0));
        assert!(some.overlaps(&ranges("1-3")) && some.overlaps(&some) && !some.overlaps(&ranges("2-5,6-99999")));
    }

    #[test]
    fn the_stored_text_is_read_back_and_nothing_else_is_read() {
        for text in ["", "0-1", "0-20000,35000-55000", "0-100000"] {
            assert_eq!(SlotRanges::parse(text).map(|read| read.to_string()).as_deref(), Ok(text));
        }
        for bad in [
            "x", "5", "5-", "5-5", "6-5", "0-100001", "0-5,5-9", "5-9,0-2", "0-5,3-9", "+0-5", "00-5", ",", "0-5,",
            "0 - 5",
        ] {
            assert!(SlotRanges::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn ranges_are_the_set_that_they_stand_for(some in prop::collection::vec((0..SLOTS, 1..9_000_u32), 0..8), slot in 0..SLOTS) {
            let list: Vec<_> =
                some.iter().map(|(from, count)| SlotRange { from: *from, until: (from + count).min(SLOTS) }).collect();
            let joined = SlotRanges::joined(list.clone());
            let is_in = |slot: u32| list.iter().any(|range| (range.from..range.until).contains(&slot));
            prop_assert_eq!(joined.contains(slot), is_in(slot));
            prop_assert_eq!(joined.count() as usize, (0..SLOTS).filter(|slot| is_in(*slot)).count());
            prop_assert_eq!(SlotRanges::parse(&joined.to_string()), Ok(joined));
        }
    }
}
