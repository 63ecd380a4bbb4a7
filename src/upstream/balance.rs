//! The choice of the endpoint for the next request: the one with fewer requests in flight of two drawn at random.
//!
//! Two choices come within a constant of the best of all (Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", 2001), look at two counters instead of all, and do not send every worker to the same idle endpoint as
//! "fewest of all" does.
//!
//! **Slow start.** An endpoint that comes back has a warmth that grows from 0.1 to 1 over `slow_start`, linearly, as in
//! Envoy (aggression 1, `min_weight_percent` 10) and HAProxy (`slowstart`). Two things follow from a warmth *w*: the
//! endpoint is admitted to the comparison with probability *w*, and there its requests in flight count 1/*w* times. The
//! second alone would do nothing while all are idle, and the first alone would let it win every comparison that it is
//! in, because it has nothing in flight: together its share is *w* times its even share on idle endpoints, and its load
//! *w* times that of the others on busy ones.
//!
//! **The last resort.** When no endpoint takes requests, those that are ejected do, and after them those that are
//! paused: see [`health`](crate::shared::endpoint_health).

use crate::shared::endpoint_health::WARM;
use crate::table::{Endpoint, Version};

/// Draws an endpoint of `version` that takes requests at `now_ms` and whose index is not in `tried`.
///
/// `chance` is random. The endpoint has been claimed: after a pause that is the one probe (see
/// [`EndpointHealth::claim`](crate::shared::endpoint_health::EndpointHealth::claim)).
#[must_use]
pub(crate) fn pick<'v>(
    version: &'v Version,
    now_ms: u64,
    chance: u64,
    tried: &[usize],
) -> Option<(usize, &'v Endpoint)> {
    pick_by(version, now_ms, chance, tried, |endpoint| endpoint.stats.health.claim(now_ms))
}

/// The index of the endpoint that [`pick`] would draw with this chance, which stays as it is.
#[must_use]
pub(crate) fn preview(version: &Version, now_ms: u64, chance: u64) -> Option<usize> {
    let picked = pick_by(version, now_ms, chance, &[], |endpoint| endpoint.stats.health.reachable(now_ms));
    picked.map(|(index, _)| index)
}

fn pick_by<'v>(
    version: &'v Version,
    now_ms: u64,
    chance: u64,
    tried: &[usize],
    claim: impl Fn(&Endpoint) -> bool,
) -> Option<(usize, &'v Endpoint)> {
    let endpoints = &version.endpoints;
    let count = endpoints.len();
    if count == 1 {
        let usable = tried.is_empty() && endpoints[0].usable(now_ms) && claim(&endpoints[0]);
        return (usable || tried.is_empty() && endpoints[0].is_last_resort()).then(|| (0, &endpoints[0]));
    }
    let chosen = choose(version, now_ms, chance, tried, claim).or_else(|| last_resort(version, chance, tried))?;
    Some((chosen, &endpoints[chosen]))
}

/// The best one when there is nothing to balance by, from a random place on: another request may have got the probe of
/// the one that was chosen, while others are in rotation; then one that is an opinion worse; then one that refuses
/// connections.
fn last_resort(version: &Version, chance: u64, tried: &[usize]) -> Option<usize> {
    let endpoints = &version.endpoints;
    let start = draw(chance >> 32, endpoints.len());
    let all = (0..endpoints.len()).map(|step| (start + step) % endpoints.len());
    let left = all.filter(|index| endpoints[*index].is_last_resort() && !tried.contains(index));
    left.min_by_key(|index| {
        let health = &endpoints[*index].stats.health;
        (health.is_paused(), health.is_out())
    })
}

/// The better one of two that take requests, claimed.
fn choose(
    version: &Version,
    now_ms: u64,
    chance: u64,
    tried: &[usize],
    claim: impl Fn(&Endpoint) -> bool,
) -> Option<usize> {
    let endpoints = &version.endpoints;
    let count = endpoints.len();
    let open = |index: usize| endpoints[index].usable(now_ms) && !tried.contains(&index);
    // From a random place on, so that an unusable endpoint's share is not all its neighbour's to carry.
    let from = |start: usize| (0..count).map(move |step| (start + step) % count);
    let (first_start, second_start) = (draw(chance >> 32, count), draw(chance & u64::from(u32::MAX), count));
    let first = from(first_start).find(|index| open(*index))?;
    let second = from(second_start).find(|index| open(*index) && *index != first).unwrap_or(first);
    let in_flight = |index: usize| u64::from(endpoints[index].stats.in_flight());
    let second_is_better = if version.slow_start_ms == 0 {
        in_flight(second) < in_flight(first)
    } else {
        let warmth = |index: usize| endpoints[index].stats.health.warmth(now_ms, version.slow_start_ms);
        let contender = |index| Contender { in_flight: in_flight(index), warmth: warmth(index) };
        warmer(chance, contender(first), contender(second))
    };
    let (better, other) = if second_is_better { (second, first) } else { (first, second) };
    [better, other].into_iter().find(|index| claim(&endpoints[*index]))
}

/// One of two endpoints that are compared.
#[derive(Clone, Copy)]
struct Contender {
    in_flight: u64,
    warmth: u64,
}

/// Whether the second one of two is better, by requests in flight and warmth.
fn warmer(chance: u64, first: Contender, second: Contender) -> bool {
    // Bits that do not depend on those that drew the two; Knuth's multiplier, upper bits.
    let mixed = (chance ^ chance >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let admitted = |bits: u64, one: Contender| ((bits & 0xffff) * WARM) >> 16 < one.warmth;
    match (admitted(mixed >> 48, first), admitted(mixed >> 32, second)) {
        (true, false) => false,
        (false, true) => true,
        // a/v < b/w without a division.
        (true, true) | (false, false) => second.in_flight * first.warmth < first.in_flight * second.warmth,
    }
}

/// Scales 32 random bits to an index below `count`.
fn draw(bits: u64, count: usize) -> usize {
    let scaled = (bits * count as u64) >> 32;
    usize::try_from(scaled).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::stats::{EndpointStats, VersionStats};
    use crate::table::{Name, Weight};

    fn version(count: u16) -> Version {
        let endpoint = |port: u16| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let stats = Arc::new(EndpointStats::new(u32::from(port), address));
            Endpoint { address, drained: false, zone: None, stats }
        };
        Version {
            name: Name::new("v1").expect("a name"),
            protocol: crate::table::spec::Protocol::Http1,
            weight: Weight::FULL,
            slow_start_ms: 0,
            endpoints: (1..=count).map(endpoint).collect(),
            tls: None,
            stats: Arc::new(VersionStats::new(1)),
        }
    }

    /// Well-spread numbers from a counter (SplitMix64's finaliser).
    fn chance(n: u64) -> u64 {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn load_stays_even() {
        let version = version(5);
        for n in 0..5_000 {
            let (_, endpoint) = pick(&version, 0, chance(n), &[]).expect("all usable");
            endpoint.stats.enter();
        }
        for endpoint in &version.endpoints {
            let load = endpoint.stats.in_flight();
            assert!((990..=1_010).contains(&load), "{load}");
        }
    }

    #[test]
    fn unusable_and_tried_ones_are_left_out() {
        let mut version = version(4);
        version.endpoints[0].drained = true;
        version.endpoints[1].stats.health.refused(0, String::new);
        let picked: BTreeSet<_> = (0..200).filter_map(|n| pick(&version, 0, chance(n), &[2]).map(|(i, _)| i)).collect();
        assert_eq!(picked, BTreeSet::from([3]));
        assert!(pick(&version, 0, 7, &[2, 3]).is_some_and(|(index, _)| index == 1), "the last resort");
        assert!(pick(&version, 0, 7, &[1, 2, 3]).is_none());
    }

    #[test]
    fn an_ejected_one_is_better_than_none() {
        let version = version(2);
        version.endpoints[0].stats.health.eject(0, 1_000, 1_000);
        assert!((0..100).all(|n| pick(&version, 1, chance(n), &[]).is_some_and(|(index, _)| index == 1)));
        assert!(pick(&version, 1, 7, &[1]).is_some_and(|(index, _)| index == 0));
        version.endpoints[1].stats.health.mark_unhealthy("status 500".into());
        assert!(version.usable(1) && pick(&version, 1, 7, &[]).is_some_and(|(index, _)| index == 0));
        assert!(pick(&version, 1, 7, &[0]).is_none());
    }

    /// The share in a thousand of an endpoint of `count` that has been back for `passed_ms` of a slow start of 1 s.
    fn share_of_warming(count: u16, passed_ms: u64, busy: bool) -> u32 {
        let mut version = version(count);
        version.slow_start_ms = 1_000;
        version.endpoints[0].stats.health.warm_up(1);
        let mut picked = 0;
        for n in 0..20_000 {
            let (index, endpoint) = pick(&version, 1 + passed_ms, chance(n), &[]).expect("all usable");
            picked += u32::from(index == 0);
            if busy {
                endpoint.stats.enter();
            }
        }
        picked / 20
    }

    #[test]
    fn an_endpoint_that_comes_back_gets_its_share_little_by_little() {
        let close = |share: u32, wanted: u32| share.abs_diff(wanted) <= wanted / 10 + 3;
        for (passed_ms, warmth) in [(0, 100), (250, 250), (500, 500), (1_000, 1_000)] {
            let idle = share_of_warming(4, passed_ms, false);
            assert!(close(idle, warmth / 4), "idle, after {passed_ms} ms: {idle} of 1000");
            let busy = share_of_warming(4, passed_ms, true);
            let even = 1_000 * warmth / (3_000 + warmth);
            assert!(busy <= even + even / 10 + 3 && busy * 3 > even, "busy, after {passed_ms} ms: {busy}, even {even}");
        }
        assert!(share_of_warming(1, 0, false) == 1_000, "there is no other");
    }

    #[test]
    fn a_preview_is_what_would_be_picked_and_claims_nothing() {
        let mut version = version(5);
        version.endpoints[0].drained = true;
        version.endpoints[1].stats.health.refused(0, String::new);
        version.endpoints[2].stats.health.eject(0, 1_000, 1_000);
        for (now_ms, n) in (0..500).map(|n| (n / 100 * 300, n)) {
            let foreseen = preview(&version, now_ms, chance(n));
            assert_eq!(preview(&version, now_ms, chance(n)), foreseen, "at {now_ms} ms");
            assert_eq!(pick(&version, now_ms, chance(n), &[]).map(|(index, _)| index), foreseen, "at {now_ms} ms");
        }
        let alone = self::version(1);
        alone.endpoints[0].stats.health.refused(0, String::new);
        assert_eq!([10, 9_000, 9_000].map(|now_ms| preview(&alone, now_ms, 0)), [Some(0); 3]);
        assert!(alone.endpoints[0].stats.health.claim(9_000), "nobody has claimed it");
        assert!(
            alone.endpoints[0].stats.health.mark_unhealthy("status 500".into()) && preview(&alone, 9_000, 0).is_none()
        );
    }

    #[test]
    fn the_last_one_is_always_there_whatever_speaks_against_it_but_checks() {
        for count in [1, 3] {
            let version = version(count);
            let rotations = || version.endpoints.iter().map(|endpoint| &endpoint.stats.health);
            let found = |now: u64| (0..100).all(|n| pick(&version, now, chance(n), &[]).is_some());
            rotations().for_each(|health| assert!(health.refused(0, String::new)));
            assert!(found(1), "paused");
            rotations().for_each(|health| assert_eq!(health.eject(0, 1_000, 1_000), 1_000));
            assert!(found(1), "and ejected");
            rotations().for_each(|health| assert!(health.connected(2)));
            assert!(found(3), "ejected only");
            assert!(found(1_000), "probes are under way");
            rotations().for_each(|health| assert!(health.end_ejection(1_001)));
            assert!(found(1_002), "back, and cold");
            rotations().for_each(|health| assert!(health.mark_unhealthy(String::new())));
            assert!(!found(1_003), "checks know better");
        }
    }

    #[test]
    fn one_in_rotation_is_better_than_a_probe_that_another_request_got() {
        let version = version(3);
        let health = |index: usize| &version.endpoints[index].stats.health;
        assert_eq!([0, 1].map(|index| health(index).eject(0, 1_000, 1_000)), [1_000; 2]);
        let picked: Vec<_> = (0..100).filter_map(|n| pick(&version, 1_000, chance(n), &[])).map(|(i, _)| i).collect();
        assert_eq!(picked.iter().filter(|index| **index != 2).count(), 2, "a probe each: {picked:?}");
        assert_eq!([0, 1].map(|index| health(index).refused(1_000, String::new)), [true; 2]);
        assert!((0..100).all(|n| pick(&version, 1_001, chance(n), &[]).is_some_and(|(index, _)| index == 2)));
        health(2).refused(1_001, String::new);
        health(2).eject(1_001, 1_000, 1_000);
        health(0).connected(1_002);
        assert!(
            (0..100).all(|n| pick(&version, 1_003, chance(n), &[]).is_some_and(|(index, _)| index == 0)),
            "refused is worse"
        );
    }
}
