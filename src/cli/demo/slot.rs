//! From a user's key to his slot, written a second time.
//!
//! The proxy has this function already; the demo does not borrow it, because a check that shares the code it checks
//! finds only half of the mistakes. It also shows how little it takes to know beforehand which users a release reaches:
//! MurmurHash3 (x86, 32 bit, seed 0) of `salt:key`, scaled to 100,000 slots.

/// Parts of the key space; a thousand are one per cent.
pub(crate) const SLOTS: u32 = 100_000;

/// The slot of `key` under `salt`.
pub(crate) fn slot(salt: &str, key: &str) -> u32 {
    let hash = murmur3(format!("{salt}:{key}").as_bytes());
    ((u64::from(hash) * u64::from(SLOTS)) >> 32) as u32
}

fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, rest) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0_u32, |hash, block| {
        (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    hash ^= mix(rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte)));
    #[expect(clippy::cast_possible_truncation, reason = "keys of the demo are short")]
    let length = bytes.len() as u32;
    hash ^= length;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        for (salt, key, expected) in [
            ("checkout-v2", "user-1", 70_650),
            ("checkout-v2", "user-2", 14_146),
            ("checkout-v2", "", 1_108),
            ("exp-1", "user-3", 2_378),
            ("exp-1", "日本語", 38_200),
        ] {
            assert_eq!(slot(salt, key), expected, "{salt}:{key}");
        }
    }
}
