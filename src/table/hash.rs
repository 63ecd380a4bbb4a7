//! From a key to its slot: MurmurHash3 (x86, 32 bit; Austin Appleby, public domain) over `salt:key`.
//!
//! Why this hash: it is cheap on short keys, spreads sequential ids well, and exists in every language, so that a
//! team can compute in a notebook which users a release will reach. It needs no secrecy: a client that can choose a key
//! can choose a version anyway. The state after the salt is kept, so that a request pays for its key only.

use super::weights::SLOTS;
use crate::shared::murmur3::Murmur3;

/// What a service hashes keys with. Another salt is another, independent draw of users.
#[derive(Clone, Debug)]
pub struct Salt {
    text: Box<str>,
    primed: Murmur3,
}

impl Salt {
    /// Takes in `text` and the colon behind it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), primed: Murmur3::new(0).with(text.as_bytes()).with(b":") }
    }

    /// The salt as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The hash after the salt, to which a key is added.
    pub(crate) fn primed(&self) -> Murmur3 {
        self.primed
    }

    /// The slot of `key`, below [`SLOTS`].
    #[must_use]
    pub fn slot(&self, key: &[u8]) -> u32 {
        scale(self.primed.with(key).finish())
    }
}

/// Scales a uniform 32-bit number to a slot: multiply and shift, because `%` would favour low slots.
#[must_use]
pub(crate) fn scale(hash: u32) -> u32 {
    ((u64::from(hash) * u64::from(SLOTS)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        let vectors = [
            ("checkout-v2", "user-1", 3_034_399_361, 70_650),
            ("checkout-v2", "user-2", 607_575_636, 14_146),
            ("checkout-v2", "", 47_623_597, 1_108),
            ("exp-1", "user-3", 102_175_103, 2_378),
            ("exp-1", "日本語", 1_640_691_749, 38_200),
        ];
        for (salt, key, hash, slot) in vectors {
            let whole = format!("{salt}:{key}");
            assert_eq!(Murmur3::new(0).with(whole.as_bytes()).finish(), hash, "{whole}");
            assert_eq!(Salt::new(salt).slot(key.as_bytes()), slot, "{whole}");
        }
    }

    /// Users in each pair of tenths of the key space under two salts, as Pearson's chi-square against independence.
    fn chi_square(one: &str, other: &str) -> f64 {
        const KEYS: u32 = 100_000;
        let (one, other) = (Salt::new(one), Salt::new(other));
        let tenth = |slot: u32| (slot / (SLOTS / 10)) as usize;
        let (mut cells, mut rows, mut columns) = ([[0_u32; 10]; 10], [0_u32; 10], [0_u32; 10]);
        for number in 0..KEYS {
            let key = format!("user-{number}");
            let (row, column) = (tenth(one.slot(key.as_bytes())), tenth(other.slot(key.as_bytes())));
            cells[row][column] += 1;
            rows[row] += 1;
            columns[column] += 1;
        }
        let cell = |row: usize, column: usize| {
            let expected = f64::from(rows[row]) * f64::from(columns[column]) / f64::from(KEYS);
            (f64::from(cells[row][column]) - expected).powi(2) / expected
        };
        (0..100).map(|index| cell(index / 10, index % 10)).sum()
    }

    #[test]
    fn another_salt_is_an_independent_draw() {
        // The 0.9999 quantile with 9 * 9 degrees of freedom: one pair in 10,000 of truly independent draws is above.
        // The keys are fixed, so a pass stays a pass.
        const LIMIT: f64 = 137.3;
        for (one, other) in [
            ("shop-1", "shop-2"),
            ("shop-2", "shop-3"),
            ("shop-1", "cart-1"),
            ("shop-1", "shop-11"),
            ("a", "b"),
            ("", "x"),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:01Z"),
        ] {
            let statistic = chi_square(one, other);
            assert!(statistic < LIMIT, "{one:?} and {other:?}: {statistic}");
        }
        assert!(chi_square("shop-1", "shop-1") > 100.0 * LIMIT, "the statistic sees a draw that is the same");
    }

    proptest::proptest! {
        #[test]
        fn cuts_do_not_matter(bytes: Vec<u8>, cut: proptest::sample::Index) {
            let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
            let whole = Murmur3::new(7).with(&bytes).finish();
            proptest::prop_assert_eq!(Murmur3::new(7).with(a).with(b).finish(), whole);
        }
    }
}
