//! Short texts, eight bytes at a time: how hosts and values are compared and hashed where byte by byte takes too long.
//!
//! The hash needs no secret key. It is asked about what clients send, but what it is asked over was written by the
//! operator, so clients cannot fill a table with collisions; a text that collides costs one comparison.

/// The bytes 0x01 of a word, to build words of equal bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The words of `bytes`, little endian; the last one is filled up with zeros.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let last = (!rest.is_empty()).then(|| match bytes.last_chunk::<8>() {
        // Eight bytes are at hand: those before the rest are shifted out, which is faster than to copy the rest.
        Some(end) => u64::from_le_bytes(*end) >> (8 * (8 - rest.len())),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    });
    whole.iter().map(|word| u64::from_le_bytes(*word)).chain(last)
}

/// The word with its ASCII letters in lower case.
pub(crate) fn lower(word: u64) -> u64 {
    let low = word & (0x7f * ONES);
    // The highest bit of each byte tells whether the byte is at least `A`, and whether it is above `Z`.
    let from_a = low + (0x80 - 0x41) * ONES;
    let above_z = low + (0x80 - 0x5b) * ONES;
    let upper = from_a & !above_z & !word & (0x80 * ONES);
    word | upper >> 2
}

/// Puts the ASCII letters of a text in lower case.
pub(crate) fn lower_all(text: &mut [u8]) {
    let change = |word: &mut [u8; 8]| *word = lower(u64::from_le_bytes(*word)).to_le_bytes();
    if text.len() < 8 {
        // The parts of four bytes overlap: what is in lower case stays so.
        let half = |part: &mut [u8; 4]| {
            let [a, b, c, d, ..] = lower(u64::from(u32::from_le_bytes(*part))).to_le_bytes();
            *part = [a, b, c, d];
        };
        text.first_chunk_mut().map(half);
        text.last_chunk_mut().map(half);
        if text.len() < 4 {
            text.make_ascii_lowercase();
        }
        return;
    }
    text.as_chunks_mut().0.iter_mut().for_each(change);
    text.last_chunk_mut().map(change);
}

/// Whether a text has a control character (below the space, or the last of ASCII).
pub(crate) fn has_control(text: &[u8]) -> bool {
    // The highest bit of each byte of `found` tells whether it is one: less than a space, or one less than 0x80.
    let look = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let low = word & (0x7f * ONES);
        let from_space = low + (0x80 - 0x20) * ONES;
        (!from_space | (low + ONES)) & !word & (0x80 * ONES)
    };
    let (whole, rest) = text.as_chunks();
    match text.last_chunk() {
        Some(end) => whole.iter().fold(look(end), |found, word| found | look(word)) != 0,
        None => rest.iter().any(u8::is_ascii_control),
    }
}

/// A hash of words and of the length of what they stand for.
pub(crate) fn hash(words: impl Iterator<Item = u64>, len: usize) -> u64 {
    // Odd numbers without a pattern: the fractional parts of the golden ratio and of the square root of 2.
    let start = 0x9e37_79b9_7f4a_7c15 ^ len as u64;
    mix(words.fold(start, |hash, word| mix(hash ^ word)))
}

/// Spreads each bit over the word: the two halves of a long product, over each other.
fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x2545_f491_4f6c_dd1d) * u128::from(0x6a09_e667_f3bc_c909_u64);
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let low = product as u64;
    low ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_hold_the_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let back: Vec<u8> = words(&bytes).flat_map(u64::to_le_bytes).collect();
            prop_assert_eq!(back.len(), bytes.len().next_multiple_of(8));
            prop_assert_eq!(&back[..bytes.len()], &bytes[..]);
            prop_assert!(back[bytes.len()..].iter().all(|byte| *byte == 0));
        }

        #[test]
        fn lower_case_is_that_of_ascii(bytes: [u8; 8]) {
            prop_assert_eq!(lower(u64::from_le_bytes(bytes)), u64::from_le_bytes(bytes.map(|b| b.to_ascii_lowercase())));
        }
    }

    proptest! {
        #[test]
        fn texts_are_as_byte_by_byte(mut text in prop::collection::vec(any::<u8>(), 0..40), plain in "[ -~]{0,40}") {
            prop_assert_eq!(has_control(&text), text.iter().any(u8::is_ascii_control));
            prop_assert!(!has_control(plain.as_bytes()));
            let wanted = text.to_ascii_lowercase();
            lower_all(&mut text);
            prop_assert_eq!(text, wanted);
        }
    }

    #[test]
    fn a_control_character_is_found_wherever_it_is() {
        for (byte, length) in (0..=u8::MAX).flat_map(|byte| (1..20).map(move |length| (byte, length))) {
            for at in 0..length {
                let mut text = vec![b'x'; length];
                text[at] = byte;
                assert_eq!(has_control(&text), byte.is_ascii_control(), "{text:?}");
            }
        }
    }

    #[test]
    fn lower_case_of_every_byte() {
        for byte in 0..=u8::MAX {
            let bytes = [byte, 0, 0xff, byte, b'Z', byte, b'@', byte];
            assert_eq!(lower(u64::from_le_bytes(bytes)), u64::from_le_bytes(bytes.map(|b| b.to_ascii_lowercase())));
        }
    }

    #[test]
    fn similar_names_spread() {
        let hashes = (0..100_000_u32).map(|number| {
            let name = format!("service-{number}.shops.example.com");
            hash(words(name.as_bytes()), name.len())
        });
        let hashes: Vec<u64> = hashes.collect();
        // Of 100,000 random numbers of 32 bits, about one pair is equal.
        let distinct = |of: fn(&u64) -> u64| hashes.iter().map(of).collect::<HashSet<_>>().len();
        assert!(distinct(|hash| hash >> 32) > 99_990 && distinct(|hash| hash & 0xffff_ffff) > 99_990);
    }
}
