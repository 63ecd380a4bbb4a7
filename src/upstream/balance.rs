//! Which endpoint of a version takes the next request: the one with fewer requests in flight of two drawn at random.
//!
//! Two choices come within a constant of the best of all (Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", 2001), look at two counters instead of all, and do not send every worker to the same idle endpoint as
//! "fewest of all" does.

use crate::table::{Endpoint, Version};

/// Draws an endpoint of `version` that takes requests at `now_ms` and whose index is not in `tried`.
///
/// `chance` is random. The endpoint has been claimed: after a pause that is the one probe (see
/// [`EndpointStats::claim`](crate::stats::EndpointStats::claim)).
#[must_use]
pub fn pick<'v>(version: &'v Version, now_ms: u64, chance: u64, tried: &[usize]) -> Option<(usize, &'v Endpoint)> {
    let endpoints = &version.endpoints;
    let count = endpoints.len();
    if count == 1 {
        let usable = tried.is_empty() && endpoints[0].usable(now_ms) && endpoints[0].stats.claim(now_ms);
        return usable.then(|| (0, &endpoints[0]));
    }
    let open = |index: usize| endpoints[index].usable(now_ms) && !tried.contains(&index);
    // From a random place on, so that an unusable endpoint's share is not all its neighbour's to carry.
    let from = |start: usize| (0..count).map(move |step| (start + step) % count);
    let (first_start, second_start) = (draw(chance >> 32, count), draw(chance & u64::from(u32::MAX), count));
    let first = from(first_start).find(|index| open(*index))?;
    let second = from(second_start).find(|index| open(*index) && *index != first).unwrap_or(first);
    let in_flight = |index: usize| endpoints[index].stats.in_flight();
    let (better, other) = if in_flight(second) < in_flight(first) { (second, first) } else { (first, second) };
    let chosen = [better, other].into_iter().find(|index| endpoints[*index].stats.claim(now_ms))?;
    Some((chosen, &endpoints[chosen]))
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
            Endpoint { address, drained: false, stats: Arc::new(EndpointStats::new(u32::from(port), address)) }
        };
        Version {
            name: Name::new("v1").expect("a name"),
            protocol: crate::table::spec::Protocol::Http1,
            weight: Weight::FULL,
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
        version.endpoints[1].stats.failed(0);
        let picked: BTreeSet<_> = (0..200).filter_map(|n| pick(&version, 0, chance(n), &[2]).map(|(i, _)| i)).collect();
        assert_eq!(picked, BTreeSet::from([3]));
        assert!(pick(&version, 0, 7, &[2, 3]).is_none());
    }

    #[test]
    fn after_a_pause_one_request_probes() {
        let version = version(1);
        version.endpoints[0].stats.failed(0);
        assert!(pick(&version, 10, 0, &[]).is_none());
        assert!(pick(&version, 1_000, 0, &[]).is_some());
        assert!(pick(&version, 1_000, 0, &[]).is_none());
    }
}
