//! The bursts of one kind that the baseline had, by how deep they were.
//!
//! The *depth* of a burst is the part of a second's requests that it makes bad, of those that were good before. A
//! machine that is late by some milliseconds now and then puts a few requests above the 99th percentile, every second
//! or two; that is no reason to expect of the candidate that all its requests are above the median. So a burst explains
//! what the candidate shows only if bursts of the baseline reach about as deep.
//!
//! What the candidate shows is a handful of requests, and ten slow ones of ten may be chance. Its depth is therefore
//! the least one that what was found is not far beyond, by the same rule by which a second of the baseline is a burst.

/// Classes of depth: those above a half, above a quarter, and so on; the last one has all that are less deep.
const DEPTHS: usize = 9;

/// A burst explains also what is this number of classes deeper: the halves of one that two seconds share are half as
/// deep, and no two bursts are the same.
const DEEPER: usize = 1;

/// Fewer bad requests than this in a second are no burst.
const EVENTS_MIN: f64 = 3.0;

/// Trouble of this number of seconds on end is no burst but how the baseline is.
const SECONDS_MAX: u32 = 10;

/// How far beyond the usual number a burst is, in its standard deviations and in requests besides.
const FAR_BEYOND: (f64, f64) = (5.0, 2.0);

/// The bursts of one kind that the baseline had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SeenBursts {
    /// Those of each class of depth, the deepest first.
    by_depth: [u32; DEPTHS],
    /// For how many seconds the last one has lasted; 0: it is over.
    lasting: u32,
    /// The class of the last one.
    class: usize,
}

/// Requests of which some are bad.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct BadRequests {
    /// How many are bad.
    pub bad: u64,
    /// All of them.
    pub all: u64,
    /// The part that is bad anyway.
    pub usual: f64,
}

impl SeenBursts {
    /// Notes whether a second was one of a burst. Whether it is the one that makes this burst too long to be one.
    pub(super) fn note(&mut self, second: &BadRequests) -> bool {
        if !second.is_far_beyond_usual() {
            self.lasting = 0;
            return false;
        }
        let class = class_of(second.depth());
        if self.lasting == 0 {
            self.class = class;
            self.by_depth[class] += 1;
        } else if class < self.class && self.lasting < SECONDS_MAX {
            self.by_depth[self.class] -= 1;
            self.class = class;
            self.by_depth[class] += 1;
        }
        self.lasting += 1;
        let too_long = self.lasting == SECONDS_MAX;
        self.by_depth[self.class] -= u32::from(too_long);
        too_long
    }

    /// How many there were, whatever their depth.
    #[cfg(test)]
    pub(super) fn count(&self) -> u32 {
        self.by_depth.iter().sum()
    }

    /// How many there were that explain a depth.
    pub(super) fn explaining(&self, depth: f64) -> u32 {
        self.by_depth.iter().take(class_of(depth) + DEEPER + 1).sum()
    }
}

impl BadRequests {
    /// The part that is bad beyond the usual one, of what was good.
    pub(super) fn depth(&self) -> f64 {
        self.depth_of(self.bad as f64)
    }

    /// The least depth that this is not far beyond; 0 where it is chance.
    pub(super) fn depth_at_least(&self) -> f64 {
        let (deviations, besides) = FAR_BEYOND;
        if self.all == 0 {
            return 0.0;
        }
        // Where `x + deviations * sqrt(x * (1 - x / all))` is what was found (Wilson's interval).
        let (found, all) = ((self.bad as f64 - besides).max(0.0), self.all as f64);
        let (square, both) = (deviations * deviations, 2.0 * found + deviations * deviations);
        let root = (both * both - 4.0 * found * found * (1.0 + square / all)).max(0.0).sqrt();
        self.depth_of((both - root) / (2.0 * (1.0 + square / all))).max(0.0)
    }

    /// Whether more is bad than chance explains: about one second in a million is by chance.
    pub(super) fn is_far_beyond_usual(&self) -> bool {
        let (deviations, besides) = FAR_BEYOND;
        let (bad, usual) = (self.bad as f64, self.usual * self.all as f64);
        bad >= EVENTS_MIN && bad > usual + deviations * (usual * (1.0 - self.usual)).sqrt() + besides
    }

    fn depth_of(&self, bad: f64) -> f64 {
        let usual = self.usual * self.all as f64;
        let good = self.all as f64 - usual;
        if good > 0.0 { (bad - usual) / good } else { 0.0 }
    }
}

/// The class of a depth: 0 is above a half.
fn class_of(depth: f64) -> usize {
    let halves = std::iter::successors(Some(0.5), |least| Some(least / 2.0));
    halves.take(DEPTHS - 1).position(|least| depth > least).unwrap_or(DEPTHS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(bad: u64) -> BadRequests {
        BadRequests { bad, all: 1_000, usual: 0.01 }
    }

    #[test]
    fn a_burst_is_as_deep_as_its_deepest_second() {
        let mut seen = SeenBursts::default();
        for bad in [10, 40, 300, 700, 20, 10, 60] {
            seen.note(&second(bad));
        }
        assert_eq!((seen.count(), seen.explaining(1.0), seen.explaining(0.01)), (2, 1, 2));
        assert_eq!(seen.explaining(0.2), 1, "the other is 5 % deep");
    }

    #[test]
    fn trouble_that_lasts_is_none_whatever_its_depth() {
        let mut seen = SeenBursts::default();
        let too_long: Vec<_> = (1..=12_u64).map(|number| seen.note(&second(100 * number.min(9)))).collect();
        assert_eq!(too_long.iter().position(|is| *is), Some(9));
        assert_eq!((seen.count(), too_long.iter().filter(|is| **is).count()), (0, 1));
    }

    #[test]
    fn few_requests_show_little() {
        let depth = |bad, all, usual| (BadRequests { bad, all, usual }.depth_at_least() * 100.0).round() / 100.0;
        assert_eq!(
            [depth(3, 3, 0.0), depth(10, 10, 0.0), depth(25, 25, 0.0), depth(100, 100, 0.0)],
            [0.01, 0.19, 0.43, 0.77]
        );
        assert_eq!([depth(100, 100, 0.5), depth(150, 150, 0.5), depth(60, 100, 0.5)], [0.54, 0.67, 0.0]);
    }

    #[test]
    fn a_second_is_far_beyond_exactly_where_it_shows_some_depth() {
        for (bad, usual) in (3..200).flat_map(|bad| [0.0, 0.01, 0.1, 0.5].map(|usual| (bad, usual))) {
            let requests = BadRequests { bad, all: 200, usual };
            assert_eq!(requests.is_far_beyond_usual(), requests.depth_at_least() > 1e-12, "{requests:?}");
        }
    }
}
