//! MurmurHash3 (x86, 32 bit; Austin Appleby, public domain), which users are drawn with.

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;

/// A hash that has taken in some bytes. Cloning it is a copy of three words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Murmur3 {
    state: u32,
    /// Bytes that do not fill a block of four yet, lowest first.
    tail: u32,
    tail_len: u32,
    len: u32,
}

impl Murmur3 {
    /// An empty hash with the given seed.
    #[must_use]
    pub(crate) const fn new(seed: u32) -> Self {
        Self { state: seed, tail: 0, tail_len: 0, len: 0 }
    }

    /// The hash after `bytes` more; only their order counts, not how they were cut.
    #[must_use]
    pub(crate) fn with(mut self, mut bytes: &[u8]) -> Self {
        // Only the low 32 bits of the length enter the hash, by its definition.
        #[expect(clippy::cast_possible_truncation, reason = "the length is taken modulo 2^32 by definition")]
        let added = bytes.len() as u32;
        self.len = self.len.wrapping_add(added);
        while self.tail_len > 0 && !bytes.is_empty() {
            self.push(bytes[0]);
            bytes = &bytes[1..];
        }
        let (blocks, rest) = bytes.as_chunks::<4>();
        for block in blocks {
            self.mix(u32::from_le_bytes(*block));
        }
        for byte in rest {
            self.push(*byte);
        }
        self
    }

    fn push(&mut self, byte: u8) {
        self.tail |= u32::from(byte) << (8 * self.tail_len);
        self.tail_len += 1;
        if self.tail_len == 4 {
            self.mix(self.tail);
            (self.tail, self.tail_len) = (0, 0);
        }
    }

    fn mix(&mut self, block: u32) {
        self.state ^= block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
        self.state = self.state.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }

    /// The hash of all bytes so far.
    #[must_use]
    pub(crate) fn finish(self) -> u32 {
        let mut hash = self.state;
        if self.tail_len > 0 {
            hash ^= self.tail.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
        }
        hash ^= self.len;
        hash ^= hash >> 16;
        hash = hash.wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}
