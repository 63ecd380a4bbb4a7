//! The difference that a change makes to users: weights from and to, how many of them move, and the least that had to.

use std::collections::BTreeSet;

use crate::table::{EndpointAddress, MirrorShare, Name, SLOTS, Slots, Traffic, Weight, Weights};

/// What a change does to one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The service.
    pub service: Name,
    /// The split before; none when the service is new.
    pub from: Option<Weights>,
    /// The split after.
    pub to: Weights,
    /// Share of the users that get another version, 0 to 1.
    pub moved: f64,
    /// The least share that the weights allow: half the sum of their changes.
    pub minimum: f64,
    /// Whether users are drawn anew.
    pub new_salt: bool,
    /// What is mirrored, if that changes.
    pub mirror: Option<MirrorMove>,
    /// Endpoints that are drained or come back, with their version.
    pub endpoints: Vec<EndpointDifference>,
}

/// What was mirrored, and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorMove {
    /// Before.
    pub from: Option<MirrorShare>,
    /// After.
    pub to: Option<MirrorShare>,
}

/// An endpoint that is drained or comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointDifference {
    /// The version.
    pub version: Name,
    /// The endpoint, or the name of some.
    pub address: EndpointAddress,
    /// Whether it is drained now.
    pub drained: bool,
}

/// The share of a version, or of a variant, before and after.
#[derive(Clone, Copy, Debug)]
pub struct WeightDifference<'d> {
    /// The version, or the variant.
    pub version: &'d Name,
    /// Before; zero when the service is new.
    pub from: Weight,
    /// After.
    pub to: Weight,
}

/// Who gets which version: the slots, and the salt that users are drawn with.
#[derive(Clone, Copy, Debug)]
pub struct SaltedSlots<'s> {
    /// The salt.
    pub salt: &'s str,
    /// The slots.
    pub slots: &'s Slots,
}

impl<'s> SaltedSlots<'s> {
    /// Those of some traffic.
    #[must_use]
    pub fn of(traffic: &'s Traffic) -> Self {
        Self { salt: &traffic.salt, slots: &traffic.slots }
    }
}

impl Difference {
    /// What the change from `before` to `after` does.
    #[must_use]
    pub fn of(service: &Name, before: Option<&Traffic>, after: &Traffic) -> Self {
        let endpoints = before.map_or_else(Vec::new, |before| endpoints(&before.drained, &after.drained));
        let mirrored = before.and_then(|before| before.mirror.clone());
        let mirror = (mirrored != after.mirror).then(|| MirrorMove { from: mirrored, to: after.mirror.clone() });
        Self { mirror, endpoints, ..Self::of_splits(service, before.map(SaltedSlots::of), SaltedSlots::of(after)) }
    }

    /// The same for splits alone: salt and slots before and after.
    #[must_use]
    pub fn of_splits(service: &Name, before: Option<SaltedSlots<'_>>, after: SaltedSlots<'_>) -> Self {
        let to = after.slots.weights();
        let new_salt = before.is_none_or(|before| before.salt != after.salt);
        let from = before.map(|before| before.slots.weights());
        let (moved, minimum) = match (before, &from) {
            (Some(before), Some(from)) => (moved(before.slots, after.slots, new_salt), least_moved(from, &to)),
            _ => (0.0, 0.0),
        };
        Self { service: service.clone(), from, to, moved, minimum, new_salt, mirror: None, endpoints: Vec::new() }
    }

    /// All versions that have a share before or after, in natural order, with both shares.
    #[must_use]
    pub fn weights(&self) -> Vec<WeightDifference<'_>> {
        weight_differences(self.from.as_ref(), Some(&self.to))
    }
}

/// All names that have a share before or after, in natural order, with both shares.
pub(crate) fn weight_differences<'d>(from: Option<&'d Weights>, to: Option<&'d Weights>) -> Vec<WeightDifference<'d>> {
    let both = [from, to].into_iter().flatten();
    let mut names: Vec<_> = both.flat_map(Weights::iter).map(|(name, _)| name).collect();
    names.sort_by(|a, b| crate::shared::name::natural_cmp(a, b));
    names.dedup();
    let of = |weights: Option<&Weights>, name: &Name| weights.map_or(Weight::ZERO, |weights| weights.of(name));
    names.into_iter().map(|name| WeightDifference { version: name, from: of(from, name), to: of(to, name) }).collect()
}

/// Share of the users that get another version. Under one salt that is a count of slots. Under two, the draws are
/// independent, so a user stays only if both happen to give the same version.
fn moved(old: &Slots, new: &Slots, new_salt: bool) -> f64 {
    if !new_salt {
        return f64::from(old.moved(new)) / f64::from(SLOTS);
    }
    let (from, to) = (old.weights(), new.weights());
    let all = u64::from(SLOTS) * u64::from(SLOTS);
    let stay: u64 = from.iter().map(|(name, w)| u64::from(w.slots()) * u64::from(to.of(name).slots())).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most 10^10, far below 2^52")]
    let share = (all - stay) as f64 / all as f64;
    share
}

/// The least share of users that a change of weights moves: half the sum of its changes.
pub(crate) fn least_moved(from: &Weights, to: &Weights) -> f64 {
    let grown = to.iter().map(|(name, weight)| weight.slots().saturating_sub(from.of(name).slots()));
    f64::from(grown.sum::<u32>()) / f64::from(SLOTS)
}

fn endpoints(
    before: &BTreeSet<(Name, EndpointAddress)>,
    after: &BTreeSet<(Name, EndpointAddress)>,
) -> Vec<EndpointDifference> {
    let changed = |drained| {
        move |(version, address): &(Name, EndpointAddress)| EndpointDifference {
            version: version.clone(),
            address: address.clone(),
            drained,
        }
    };
    let drained = after.difference(before).map(changed(true));
    drained.chain(before.difference(after).map(changed(false))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(before: (&str, &str), after: (&str, &str)) -> Difference {
        let slots = |text: &str| Slots::parse(text).expect("runs");
        let (from, to) = (slots(before.1), slots(after.1));
        Difference::of_splits(
            &Name::new("shop").expect("a name"),
            Some(SaltedSlots { salt: before.0, slots: &from }),
            SaltedSlots { salt: after.0, slots: &to },
        )
    }

    #[test]
    fn one_salt_moves_slots_and_two_salts_draw_anew() {
        let same = of(("a", "v2*10000 v1*90000"), ("a", "v2*30000 v1*70000"));
        assert_eq!((same.moved, same.minimum, same.new_salt), (0.2, 0.2, false));
        let other = of(("a", "v2*50000 v1*50000"), ("b", "v2*50000 v1*50000"));
        assert_eq!((other.moved, other.minimum, other.new_salt), (0.5, 0.0, true));
        let begins = of(("a", "v1*100000"), ("b", "v2*5000 v1*95000"));
        assert_eq!((begins.moved, begins.minimum), (0.05, 0.05));
    }
}
