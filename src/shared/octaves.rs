//! Buckets whose width grows with the value: eight to each power of two, so that a bucket is at most an eighth of its
//! value wide. Coarse, and small enough to have many sets of them.

/// Buckets of a power of two.
const PER_OCTAVE: usize = 8;

/// Buckets for values up to 2^`power`.
pub(crate) const fn buckets_to(power: usize) -> usize {
    PER_OCTAVE * (power - 2)
}

/// The bucket of a value, of this number of buckets.
pub(crate) fn bucket_of(value: u64, buckets: usize) -> usize {
    let per = PER_OCTAVE as u64;
    if value < per {
        return usize::try_from(value).unwrap_or(0);
    }
    let octave = value.ilog2() - PER_OCTAVE.ilog2();
    let index = (u64::from(octave) + 1) * per + (value >> octave) - per;
    usize::try_from(index).map_or(buckets - 1, |index| index.min(buckets - 1))
}

/// The least value of a bucket.
pub(crate) fn least_of(bucket: usize) -> u64 {
    let (octave, within) = (bucket / PER_OCTAVE, (bucket % PER_OCTAVE) as u64);
    match octave.checked_sub(1) {
        None => within,
        Some(shift) => (PER_OCTAVE as u64 + within) << shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says() {
        let buckets = buckets_to(40);
        for value in (0..5_000).chain([1 << 20, (1 << 30) + 7, 1 << 39]) {
            let bucket = bucket_of(value, buckets);
            assert!(least_of(bucket) <= value && value < least_of(bucket + 1), "{value}: {bucket}");
        }
        assert_eq!(bucket_of(u64::MAX, buckets), buckets - 1);
    }
}
