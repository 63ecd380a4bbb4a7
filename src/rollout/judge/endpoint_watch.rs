//! Which endpoint of the candidate makes what is bad: where people have to look.
//!
//! It decides nothing: a version is turned back as a whole, whichever of its endpoints is bad. But "9 of 212 requests
//! failed" sends people to the code, and "all on 10.0.0.7:8080" to a machine. So an endpoint is named only if the
//! counts say it: nearly all of what is bad is its, and far more than its part of the requests explains by chance.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::shared::additive::Additive;
use crate::shared::endpoint_tallies::EndpointTotals;

/// An endpoint is named that has made this part of what is bad.
const PART_MIN: f64 = 0.8;

/// And only if chance makes one of the endpoints look so in fewer than this part of the cases.
const CHANCE_MAX: f64 = 0.01;

/// Time between two looks back: a stretch that is late begins between two of them.
const LOOK: Duration = Duration::from_secs(5);

/// How many are kept: five minutes.
const LOOKS: usize = 60;

/// What was counted of an endpoint of the candidate since the rollout began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndpointCounts {
    /// Its address.
    pub address: SocketAddr,
    /// Its requests.
    pub totals: EndpointTotals,
}

/// The endpoint that makes nearly all of what is bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointFault {
    /// Its address.
    pub address: SocketAddr,
    /// Its part of what is bad.
    pub part: f64,
}

/// Watches the endpoints of the candidate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EndpointWatch {
    now: Vec<EndpointCounts>,
    /// What was counted by a moment, oldest first.
    looks: VecDeque<(Duration, Vec<EndpointCounts>)>,
}

/// What is bad of an endpoint's requests, of how many.
pub(crate) struct BadPart {
    pub bad: f64,
    pub all: f64,
}

impl EndpointWatch {
    /// Notes what was counted by now.
    pub(crate) fn observe(&mut self, now: Duration, endpoints: &[EndpointCounts]) {
        if endpoints.is_empty() {
            return;
        }
        self.now.clear();
        self.now.extend_from_slice(endpoints);
        if self.looks.back().is_none_or(|(at, _)| now >= *at + LOOK) {
            let oldest = if self.looks.len() == LOOKS { self.looks.pop_front() } else { None };
            let (_, mut kept) = oldest.unwrap_or_default();
            kept.clear();
            kept.extend_from_slice(endpoints);
            self.looks.push_back((now, kept));
        }
    }

    /// The endpoint that makes nearly all of what is bad in the last part of the rollout, or in all of it.
    pub(crate) fn fault(
        &self,
        since: Option<Duration>,
        bad_part: impl Fn(&EndpointTotals) -> BadPart,
    ) -> Option<EndpointFault> {
        let before = since.and_then(|since| self.looks.iter().rev().find(|(at, _)| *at <= since));
        let earlier = |address: SocketAddr| {
            let counts = before.and_then(|(_, counts)| counts.iter().find(|counts| counts.address == address));
            counts.map_or(EndpointTotals::default(), |counts| counts.totals)
        };
        let found = |counts: &EndpointCounts| {
            let BadPart { bad, all } = bad_part(&counts.totals.since(&earlier(counts.address)));
            (counts.address, BadPart { bad: bad.max(0.0), all })
        };
        let endpoints = self.now.iter().map(found);
        let (mut bad, mut all) = (0.0, 0.0);
        endpoints.clone().for_each(|(_, of_one)| (bad, all) = (bad + of_one.bad, all + of_one.all));
        let (address, worst) = endpoints.max_by(|a, b| a.1.bad.total_cmp(&b.1.bad))?;
        let (part, share) = (worst.bad / bad, worst.all / all);
        let is_said =
            part >= PART_MIN && share < part && chance(part, share, bad) * self.now.len() as f64 <= CHANCE_MAX;
        is_said.then_some(EndpointFault { address, part })
    }
}

/// At most how probable it is that one with this share of the requests has so large a part of what is bad by chance
/// (Chernoff).
fn chance(part: f64, share: f64, bad: f64) -> f64 {
    let rest = if part < 1.0 { (1.0 - part) * ((1.0 - part) / (1.0 - share)).ln() } else { 0.0 };
    (-bad * (part * (part / share).ln() + rest)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(last: u8, requests: u64, failures: u64) -> EndpointCounts {
        let totals = EndpointTotals { requests, failures, ..EndpointTotals::default() };
        EndpointCounts { address: SocketAddr::from(([10, 0, 0, last], 8080)), totals }
    }

    /// The last byte of the address that is named.
    fn named(watch: &EndpointWatch, since: Option<u64>) -> Option<(String, f64)> {
        let failing = |totals: &EndpointTotals| BadPart { bad: totals.failures as f64, all: totals.requests as f64 };
        let fault = watch.fault(since.map(Duration::from_secs), failing)?;
        Some((fault.address.to_string(), fault.part))
    }

    fn watching(endpoints: &[EndpointCounts]) -> EndpointWatch {
        let mut watch = EndpointWatch::default();
        watch.observe(Duration::from_secs(1), endpoints);
        watch
    }

    #[test]
    fn an_endpoint_is_named_only_if_the_counts_say_it() {
        let told = |endpoints: &[EndpointCounts]| named(&watching(endpoints), None);
        let seventh = |part| Some(("10.0.0.7:8080".to_owned(), part));
        assert_eq!(told(&[counts(6, 70, 0), counts(7, 70, 9), counts(8, 72, 0)]), seventh(1.0));
        assert_eq!(told(&[counts(6, 100, 2), counts(7, 100, 18)]), seventh(0.9));
        assert_eq!(told(&[counts(6, 100, 5), counts(7, 100, 15)]), None, "three quarters are not nearly all");
        assert_eq!(told(&[counts(6, 100, 0), counts(7, 100, 3)]), None, "three are chance");
        assert_eq!(told(&[counts(6, 10, 0), counts(7, 190, 20)]), None, "it has nearly all of the requests");
        assert_eq!(told(&[counts(7, 190, 20)]), None, "there is no other");
        assert_eq!(told(&[counts(6, 10, 0), counts(7, 10, 0)]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn what_was_before_the_stretch_does_not_count() {
        let mut watch = watching(&[counts(6, 0, 0), counts(7, 0, 0)]);
        let mut failures = [0, 0];
        for second in 2..400 {
            failures[usize::from(second >= 300)] += 1;
            watch.observe(
                Duration::from_secs(second),
                &[counts(6, second, failures[0]), counts(7, second, failures[1])],
            );
        }
        assert_eq!(named(&watch, None), None);
        assert_eq!(named(&watch, Some(310)).map(|(address, _)| address).as_deref(), Some("10.0.0.7:8080"));
        assert_eq!(named(&watch, Some(250)), None);
        assert!(watch.looks.len() <= LOOKS);
    }
}
