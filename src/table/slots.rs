//! The owners of the slots: the part of a split that must never be computed twice in two ways.
//!
//! A user's key falls on one of [`SLOTS`] slots for ever (see [`super::hash`]); a split says which version owns each
//! slot. The obvious ways to go from weights to owners both break promises: `hash % total` moves a fifth of the users
//! when the total changes, and cumulative ranges (`v1: 0..a, v2: a..b`) move users between two versions whose weights
//! did not change as soon as a third one grows. So owners are *state*: new weights are laid over the old runs. A
//! version that shrinks gives up slots, a version that grows takes them, nothing else moves, hence exactly ½·Σ|Δw|
//! slots change owner. The runs are stored with the revision, so that replicas, restarts and rollbacks agree byte for
//! byte.
//!
//! With two versions the later one (in [`natural_cmp`] order) owns the low end and the rule stays `slot < weight`. The
//! variants of a flag have names without an order, so there a [`SlotOrder`] says which one is the first.

use std::cmp::Ordering;
use std::fmt;

use super::weights::{SLOTS, Weight, Weights};
use crate::shared::name::{Name, natural_cmp};

/// The slots from the end of the run before up to, but not including, `until`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Run {
    /// First slot after the run; the last run's is [`SLOTS`].
    pub until: u32,
    /// The owner.
    pub version: Name,
}

/// The owners of all slots: runs in ascending order that cover 0 to [`SLOTS`], neighbours have different owners.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Slots(Vec<Run>);

/// The order of owners, the later of which are nearer to the low end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotOrder<'a> {
    /// The natural order of names: that of versions.
    Natural,
    /// This one comes first, and owns the high end whatever its name is; then the others in natural order.
    First(&'a str),
}

impl SlotOrder<'_> {
    fn compare(self, one: &str, other: &str) -> Ordering {
        let natural = natural_cmp(one, other);
        match self {
            Self::First(first) => (one != first).cmp(&(other != first)).then(natural),
            Self::Natural => natural,
        }
    }
}

/// A stored text that is not a list of runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?} in a list of slot runs, want `version*slots` items that sum to {SLOTS}")]
pub struct BadRuns {
    /// The part that could not be read, or the whole text if its sum is wrong.
    pub found: String,
}

impl Slots {
    /// Lays `weights` over an empty key space: the last version owns the low end, the first one the high end.
    #[must_use]
    pub fn fresh(weights: &Weights) -> Self {
        Self::fresh_in(SlotOrder::Natural, weights)
    }

    /// The same in another order.
    #[must_use]
    pub fn fresh_in(order: SlotOrder<'_>, weights: &Weights) -> Self {
        let mut runs = Vec::new();
        for (version, weight) in last_first(order, weights) {
            push(&mut runs, weight.slots(), version);
        }
        Self(runs)
    }

    /// Lays `weights` over these runs and moves as few slots as can be: ½·Σ|Δw|.
    ///
    /// Versions that `weights` does not name give up all they have.
    #[must_use]
    pub fn relaid(&self, weights: &Weights) -> Self {
        self.relaid_in(SlotOrder::Natural, weights)
    }

    /// The same in another order.
    #[must_use]
    pub fn relaid_in(&self, order: SlotOrder<'_>, weights: &Weights) -> Self {
        let mut growing = self.growing(order, weights);
        let freed = self.freed(order, weights, &growing);
        let mut parts = Vec::new();
        let mut start = 0;
        let mut freed = freed.into_iter().peekable();
        for run in &self.0 {
            while let Some((from, to)) = freed.next_if(|(from, _)| *from < run.until) {
                parts.push((start, from, run.version.clone()));
                take(&mut growing, from, to, &mut parts);
                start = to;
            }
            parts.push((start, run.until, run.version.clone()));
            start = run.until;
        }
        let mut runs = Vec::new();
        for (from, to, version) in parts {
            push(&mut runs, to - from, &version);
        }
        Self(runs)
    }

    /// The versions that `weights` gives more than they have, and how much more; the last one first, because freed
    /// slots are dealt from the low end and the later version belongs there.
    fn growing(&self, order: SlotOrder<'_>, weights: &Weights) -> Vec<(Name, u32)> {
        let more = last_first(order, weights).into_iter().filter_map(|(version, weight)| {
            let more = weight.slots().saturating_sub(self.count(version));
            (more > 0).then(|| (version.clone(), more))
        });
        more.collect()
    }

    /// The ranges that shrinking versions give up, ascending. A version gives to later versions from its low end and
    /// to earlier ones from its high end, so that two versions always meet at one border.
    fn freed(&self, order: SlotOrder<'_>, weights: &Weights, growing: &[(Name, u32)]) -> Vec<(u32, u32)> {
        let mut demand: Vec<(&Name, u32)> = growing.iter().map(|(name, more)| (name, *more)).collect();
        let mut ranges = Vec::new();
        for version in self.owners(order) {
            let give = self.count(version).saturating_sub(weights.of(version).slots());
            let mut low = 0;
            for (_, more) in demand.iter_mut().filter(|(name, _)| order.compare(name, version).is_gt()) {
                let part = (*more).min(give - low);
                *more -= part;
                low += part;
            }
            let mut high = give - low;
            for (_, more) in demand.iter_mut().filter(|(name, _)| order.compare(name, version).is_lt()).rev() {
                let part = (*more).min(high);
                *more -= part;
                high -= part;
            }
            let mut cut = |count: u32, ranges_of: &mut dyn Iterator<Item = (u32, u32)>, from_low: bool| {
                let mut left = count;
                for (from, to) in ranges_of {
                    let part = left.min(to - from);
                    if part > 0 {
                        ranges.push(if from_low { (from, from + part) } else { (to - part, to) });
                    }
                    left -= part;
                }
            };
            cut(low, &mut self.ranges(version), true);
            cut(give - low, &mut self.ranges(version).collect::<Vec<_>>().into_iter().rev(), false);
        }
        ranges.sort_unstable();
        ranges
    }

    /// The owners, each once, in their order.
    fn owners(&self, order: SlotOrder<'_>) -> Vec<&Name> {
        let mut owners: Vec<_> = self.0.iter().map(|run| &run.version).collect();
        owners.sort_by(|one, other| order.compare(one, other));
        owners.dedup();
        owners
    }

    /// The ranges `(from, to)` of one version, ascending.
    fn ranges<'a>(&'a self, version: &'a Name) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.iter().filter(move |(_, run)| run.version == *version).map(|(from, run)| (from, run.until))
    }

    /// The runs with the slot that each begins at, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Run)> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|run| run.until));
        starts.zip(&self.0)
    }

    /// How many slots `version` owns.
    #[must_use]
    pub fn count(&self, version: &str) -> u32 {
        let own = self.iter().filter(|(_, run)| run.version.as_str() == version);
        own.map(|(from, run)| run.until - from).sum()
    }

    /// The weights that these runs give to the owners (versions without a slot are not named).
    #[must_use]
    pub fn weights(&self) -> Weights {
        let pairs = self.owners(SlotOrder::Natural).into_iter().map(|version| {
            let weight = Weight::from_slots(self.count(version)).unwrap_or(Weight::FULL);
            (version.clone(), weight)
        });
        Weights::from_counted(pairs.collect())
    }

    /// The owner of `slot`, which is below [`SLOTS`].
    #[must_use]
    pub fn owner(&self, slot: u32) -> &Name {
        let index = self.0.partition_point(|run| run.until <= slot);
        &self.0[index.min(self.0.len() - 1)].version
    }

    /// How many slots have another owner in `to`: the users that a change moves, in slots.
    #[must_use]
    pub fn moved(&self, to: &Self) -> u32 {
        let (mut moved, mut start) = (0, 0);
        let (mut ours, mut theirs) = (self.0.iter().peekable(), to.0.iter().peekable());
        while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
            let end = a.until.min(b.until);
            if a.version != b.version {
                moved += end - start;
            }
            if a.until == end {
                ours.next();
            }
            if theirs.peek().is_some_and(|b| b.until == end) {
                theirs.next();
            }
            start = end;
        }
        moved
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`BadRuns`] when an item is malformed or the slots do not sum to [`SLOTS`].
    pub fn parse(text: &str) -> Result<Self, BadRuns> {
        let bad = |found: &str| BadRuns { found: found.to_owned() };
        let mut runs: Vec<Run> = Vec::new();
        for item in text.split(' ') {
            let (name, count) = item.split_once('*').ok_or_else(|| bad(item))?;
            let version = Name::new(name).ok().ok_or_else(|| bad(item))?;
            // One text for one layout: `+5` and `05` are numbers, but never what was written.
            let count = count.starts_with(|first: char| matches!(first, '1'..='9')).then_some(count);
            let count = count.and_then(|n| n.parse::<u32>().ok()).filter(|n| *n <= SLOTS).ok_or_else(|| bad(item))?;
            let start = runs.last().map_or(0, |run| run.until);
            if start + count > SLOTS || runs.last().is_some_and(|run| run.version == version) {
                return Err(bad(text));
            }
            runs.push(Run { until: start + count, version });
        }
        if runs.last().is_some_and(|run| run.until == SLOTS) { Ok(Self(runs)) } else { Err(bad(text)) }
    }
}

/// `v2*10000 v1*90000`: owner and length of each run, from slot 0 on.
impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, run)) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}*{}", run.version, run.until - from)?;
        }
        Ok(())
    }
}

/// The weights, the last owner first.
fn last_first<'w>(order: SlotOrder<'_>, weights: &'w Weights) -> Vec<(&'w Name, Weight)> {
    let mut list: Vec<_> = weights.iter().collect();
    list.sort_by(|(one, _), (other, _)| order.compare(other, one));
    list
}

/// Appends `count` slots of `version`, joining them to the last run if it has the same owner.
fn push(runs: &mut Vec<Run>, count: u32, version: &Name) {
    if count == 0 {
        return;
    }
    match runs.last_mut() {
        Some(last) if last.version == *version => last.until += count,
        last => {
            let start = last.map_or(0, |run| run.until);
            runs.push(Run { until: start + count, version: version.clone() });
        }
    }
}

/// Deals the freed range `from..to` to the growing versions, in their order.
fn take(growing: &mut Vec<(Name, u32)>, from: u32, to: u32, parts: &mut Vec<(u32, u32, Name)>) {
    let mut at = from;
    while at < to {
        let Some((name, more)) = growing.first_mut() else {
            debug_assert!(false, "as much is freed as is taken: both sums are the same total");
            return;
        };
        let part = (*more).min(to - at);
        parts.push((at, at + part, name.clone()));
        at += part;
        *more -= part;
        if *more == 0 {
            growing.remove(0);
        }
    }
}

#[cfg(test)]
mod tests;
