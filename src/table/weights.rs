//! The weights of a service: the part of its traffic that each version gets.

use std::collections::BTreeMap;
use std::fmt;

use crate::problem::Mismatch;
use crate::shared::name::{Name, natural_cmp};

/// Slots of the whole key space. A slot is 0.001 %, so a weight with three decimals is a whole number of slots.
pub const SLOTS: u32 = 100_000;

/// Slots of one per cent.
const SLOTS_PER_PERCENT: u32 = SLOTS / 100;

/// The share of one version, in slots: 0 to [`SLOTS`], where 1,000 slots are one per cent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Weight(u32);

impl Weight {
    /// Nothing: the version is reached by rules only.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const FULL: Self = Self(SLOTS);

    /// A weight of this many slots; `None` above [`SLOTS`].
    #[must_use]
    pub fn from_slots(slots: u32) -> Option<Self> {
        (slots <= SLOTS).then_some(Self(slots))
    }

    /// The weight of this many parts of all parts, rounded to the nearest slot; everything from all parts on.
    #[must_use]
    pub fn of_part(parts: u32, all: u32) -> Self {
        let (parts, all) = (u64::from(parts.min(all)), u64::from(all.max(1)));
        let slots = (parts * u64::from(SLOTS) + all / 2) / all;
        Self(u32::try_from(slots).unwrap_or(SLOTS))
    }

    /// A weight from per cent; `None` outside 0 to 100 or with more than three decimals.
    #[must_use]
    pub fn from_percent(percent: f64) -> Option<Self> {
        let slots = percent * f64::from(SLOTS_PER_PERCENT);
        let rounded = slots.round();
        let exact = (slots - rounded).abs() < 1e-6 && (0.0..=f64::from(SLOTS)).contains(&rounded);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be 0 to 100,000")]
        exact.then_some(Self(rounded as u32))
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(self) -> u32 {
        self.0
    }

    /// Per cent, 0 to 100.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / f64::from(SLOTS_PER_PERCENT)
    }

    /// A ratio, 0 to 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(SLOTS)
    }
}

/// Per cent with as many decimals as it takes: `10`, `0.5`, `33.333`.
impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / SLOTS_PER_PERCENT, self.0 % SLOTS_PER_PERCENT);
        if thousandths == 0 {
            return f.pad(&whole.to_string());
        }
        let decimals = format!("{thousandths:03}");
        f.pad(&format!("{whole}.{}", decimals.trim_end_matches('0')))
    }
}

/// The weights of all versions of a service: at least one version, the sum is [`SLOTS`], in [`natural_cmp`] order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Weights(Vec<(Name, Weight)>);

/// Weights that do not make a split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWeights {
    /// No version at all.
    #[error("{}", self.mismatch())]
    Empty,
    /// The sum is not 100.
    #[error("{}", self.mismatch())]
    Sum {
        /// Sum of all weights, in slots.
        sum: u64,
        /// What to change, e.g. `lower v1 to 95`.
        remedy: String,
    },
}

impl BadWeights {
    /// What is wrong, wherever the weights stand.
    #[must_use]
    pub fn mismatch(&self) -> Mismatch {
        match self {
            Self::Empty => Mismatch::new("no version", "at least one with a weight", "add one"),
            Self::Sum { sum, remedy } => {
                let found = format!("weights that sum to {}", DisplaySlots(*sum));
                Mismatch::new(found, "a sum of 100", remedy.as_str())
            }
        }
    }
}

/// Prints a number of slots as per cent, also above 100.
struct DisplaySlots(u64);

impl fmt::Display for DisplaySlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = u64::from(SLOTS_PER_PERCENT);
        let decimals = format!("{:03}", self.0 % per);
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / per),
            decimals => write!(f, "{}.{decimals}", self.0 / per),
        }
    }
}

impl Weights {
    /// Checks that the weights of `versions` sum to 100 %.
    ///
    /// # Errors
    /// [`BadWeights`] with the sum that was found and the smallest change that mends it.
    pub fn new(versions: BTreeMap<Name, Weight>) -> Result<Self, BadWeights> {
        let mut list: Vec<_> = versions.into_iter().collect();
        list.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
        let sum: u64 = list.iter().map(|(_, weight)| u64::from(weight.0)).sum();
        if list.is_empty() {
            Err(BadWeights::Empty)
        } else if sum == u64::from(SLOTS) {
            Ok(Self(list))
        } else {
            Err(BadWeights::Sum { sum, remedy: remedy(&list, sum) })
        }
    }

    /// Everything on `version`, nothing on the `others`.
    #[must_use]
    pub fn all_on(version: &Name, others: impl IntoIterator<Item = Name>) -> Self {
        let mut list: Vec<_> = others.into_iter().filter(|name| name != version).map(|n| (n, Weight::ZERO)).collect();
        list.push((version.clone(), Weight::FULL));
        list.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
        Self(list)
    }

    /// From pairs that are known to be whole, such as the slots of a split counted by version.
    pub(crate) fn from_counted(mut list: Vec<(Name, Weight)>) -> Self {
        debug_assert_eq!(list.iter().map(|(_, w)| w.0).sum::<u32>(), SLOTS);
        list.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
        Self(list)
    }

    /// The versions and their weights, in [`natural_cmp`] order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, Weight)> + DoubleEndedIterator {
        self.0.iter().map(|(name, weight)| (name, *weight))
    }

    /// The weight of `version`; zero when it is not named.
    #[must_use]
    pub fn of(&self, version: &str) -> Weight {
        self.0.iter().find(|(name, _)| name.as_str() == version).map_or(Weight::ZERO, |(_, weight)| *weight)
    }

    /// The version that has everything, if one does.
    #[must_use]
    pub fn sole_holder(&self) -> Option<&Name> {
        self.0.iter().find(|(_, weight)| *weight == Weight::FULL).map(|(name, _)| name)
    }
}

/// `v1=90 v2=10`
impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, weight)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}={weight}")?;
        }
        Ok(())
    }
}

/// The smallest change of one version that makes the sum 100.
fn remedy(list: &[(Name, Weight)], sum: u64) -> String {
    let total = u64::from(SLOTS);
    let Some((name, weight)) = list.iter().max_by_key(|(_, weight)| *weight) else {
        return String::new();
    };
    let own = u64::from(weight.0);
    if sum < total {
        return format!("raise {name} to {}", DisplaySlots(own + (total - sum)));
    }
    match own.checked_sub(sum - total) {
        Some(lowered) => format!("lower {name} to {}", DisplaySlots(lowered)),
        None => format!("lower the weights by {} together", DisplaySlots(sum - total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(list: &[(&str, f64)]) -> Result<Weights, BadWeights> {
        let pairs = list.iter().map(|(name, percent)| {
            (Name::new(name).expect("a good name"), Weight::from_percent(*percent).expect("a good weight"))
        });
        Weights::new(pairs.collect())
    }

    #[test]
    fn three_decimals_are_exact_and_a_fourth_is_refused() {
        assert_eq!(Weight::from_percent(33.333).map(Weight::slots), Some(33_333));
        assert_eq!(Weight::from_percent(0.1).map(Weight::slots), Some(100));
        for bad in [33.3333, -1.0, 100.001, f64::NAN, f64::INFINITY] {
            assert_eq!(Weight::from_percent(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_weight_survives_its_text() {
        for slots in 0..=SLOTS {
            let weight = Weight::from_slots(slots).expect("in range");
            let text: f64 = weight.to_string().parse().expect("a number");
            assert_eq!(Weight::from_percent(text), Some(weight));
        }
    }

    #[test]
    fn a_wrong_sum_names_the_remedy() {
        let text = |list: &[(&str, f64)]| weights(list).expect_err("a wrong sum").to_string();
        assert_eq!(
            text(&[("v1", 105.0 - 5.0), ("v2", 10.0)]),
            "found weights that sum to 110, want a sum of 100 (lower v1 to 90)"
        );
        assert_eq!(
            text(&[("v1", 90.0), ("v2", 5.5)]),
            "found weights that sum to 95.5, want a sum of 100 (raise v1 to 94.5)"
        );
        assert_eq!(
            text(&[("a", 60.0), ("b", 60.0), ("c", 60.0)]),
            "found weights that sum to 180, want a sum of 100 (lower the weights by 80 together)"
        );
        assert_eq!(text(&[]), "found no version, want at least one with a weight (add one)");
    }

    #[test]
    fn order_is_natural() {
        let list = weights(&[("v10", 20.0), ("v2", 30.0), ("v1", 50.0)]).expect("sums to 100");
        assert_eq!(list.to_string(), "v1=50 v2=30 v10=20");
        assert_eq!(list.sole_holder(), None);
        assert_eq!(list.of("v2").percent(), 30.0);
    }
}
