//! How values stand in the columns of the ledger's file.

use crate::experiment::estimate::Measure;
use crate::experiment::metric_result::Better;
use crate::experiment::name_hash::NameHash;
use crate::experiment::user_sums::UserValues;
use crate::shared::per_arm::ExperimentArm;

/// A hash as it is stored: SQLite has it in the order of the hashes.
pub(super) fn stored(hash: NameHash) -> i64 {
    (hash.number() ^ (1 << 63)).cast_signed()
}

/// The hash that was stored.
pub(super) fn hash_of(stored: i64) -> NameHash {
    NameHash::from_number(stored.cast_unsigned() ^ (1 << 63))
}

/// Values by their bits.
pub(super) fn bytes_of(values: &[UserValues]) -> Vec<u8> {
    values.iter().flat_map(|values| [values.x, values.y]).flat_map(f64::to_le_bytes).collect()
}

/// The values that were stored.
pub(super) fn values_of(bytes: &[u8]) -> Vec<UserValues> {
    let numbers = bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    let numbers: Vec<f64> = numbers.collect();
    numbers.as_chunks::<2>().0.iter().map(|[x, y]| UserValues { x: *x, y: *y }).collect()
}

/// The arm that was stored.
pub(super) fn arm_of(treatment: bool) -> ExperimentArm {
    if treatment { ExperimentArm::Treatment } else { ExperimentArm::Control }
}

const MEASURES: [(Measure, &str); 4] = [
    (Measure::Conversion, "conversion"),
    (Measure::Mean, "mean"),
    (Measure::AdjustedMean, "adjusted mean"),
    (Measure::Ratio, "ratio"),
];

/// The word for a measure.
pub(super) fn measure_word(measure: Measure) -> &'static str {
    match measure {
        Measure::Conversion => MEASURES[0].1,
        Measure::Mean => MEASURES[1].1,
        Measure::AdjustedMean => MEASURES[2].1,
        Measure::Ratio => MEASURES[3].1,
    }
}

/// The word for which difference is good.
pub(super) fn better_word(better: Better) -> &'static str {
    match better {
        Better::Higher => "higher",
        Better::Lower => "lower",
    }
}

/// The measure of a word.
pub(super) fn measure_of(word: &str) -> Option<Measure> {
    MEASURES.iter().find(|(_, known)| *known == word).map(|(measure, _)| *measure)
}

/// Which difference is good, by its word.
pub(super) fn better_of(word: &str) -> Better {
    if word == better_word(Better::Lower) { Better::Lower } else { Better::Higher }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_hashes_keep_their_order() {
        let hashes = [0, 1, (1 << 63) - 1, 1 << 63, u64::MAX].map(NameHash::from_number);
        assert!(hashes.map(stored).is_sorted());
        assert_eq!(hashes.map(|hash| hash_of(stored(hash))), hashes);
        let values = [(0.1, -0.0), (f64::MAX, 5e-324)].map(|(x, y)| UserValues { x, y });
        let bits =
            |values: &[UserValues]| values.iter().map(|one| (one.x.to_bits(), one.y.to_bits())).collect::<Vec<_>>();
        assert_eq!(bits(&values_of(&bytes_of(&values))), bits(&values));
        for (measure, word) in MEASURES {
            assert_eq!((measure_word(measure), measure_of(word)), (word, Some(measure)));
        }
        assert_eq!(
            [Better::Higher, Better::Lower].map(|better| better_of(better_word(better))),
            [Better::Higher, Better::Lower]
        );
    }
}
