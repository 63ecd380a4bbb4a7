//! Whose outcomes are evidence where clients bring their own keys.
//!
//! A client that chooses its keys chooses its version: with some requests to a page that fails on both versions, all by
//! keys of the one, it could have that one turned back. An address is not chosen so easily. So of an
//! address, as of a user, the first outcome of a kind counts, and those after it do not, until a window is over.
//!
//! Some addresses are not one client but many: a load balancer in front that is not trusted to say whom it speaks
//! for, the gateway of an office, a benchmark. Such a *front* makes a good part of the requests of *both* versions,
//! because the lot falls on the users behind it, while who aims at one version makes none of the other's. From an
//! address with at least [`FRONT`] of the requests of each of the two everything counts, user by user. Where the
//! candidate has had everything from the first request on, its requests alone say who is a front; after a comparison
//! those stay who were found by it, or who aimed at the candidate would be heard as soon as it has everything.
//!
//! Each worker keeps the busiest addresses that it sees, in a table of a fixed size (Metwally's space-saving, with
//! counts that are never too high); the control plane makes the list of fronts of them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::client_prefix;
use super::slot_set::SLOTS;

/// An address that makes one in this many requests of both versions is a front.
const FRONT: u64 = 20;

/// So there are no more fronts than this.
const FRONTS_MAX: usize = 20;

/// With fewer requests to the baseline an address is not known well enough.
const FRONT_REQUESTS_MIN: u64 = 10;

/// Addresses that a worker keeps: more than a front's part, so that none is missed.
const BUSIEST: usize = 32;

/// When this many requests were counted, all counts are halved: what was long ago matters less.
const HALVED_AFTER: u64 = 1 << 14;

/// A client's address, as a number that no client can foresee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientNumber(NonZeroU64);

impl ClientNumber {
    /// Its place in a set for outcomes of this kind: different ones for different kinds.
    pub(crate) fn place(self, kind: usize) -> u32 {
        Self::place_of(self.0.get(), kind)
    }

    /// The same of any number that stands for a client.
    pub(crate) fn place_of(number: u64, kind: usize) -> u32 {
        let mixed = (number ^ (kind as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        u32::try_from(mixed % SLOTS as u64).unwrap_or(0)
    }
}

/// The clients of one rollout.
#[derive(Debug)]
pub(crate) struct ClientWatch {
    numbers: RandomState,
    cells: Box<[OnceLock<Box<BusiestClients>>]>,
    /// 0 where there are no more.
    fronts: [AtomicU64; FRONTS_MAX],
    /// Whether both versions had enough requests to say who is one.
    was_compared: AtomicBool,
}

/// The busiest addresses of one worker.
#[derive(Debug, Default)]
struct BusiestClients {
    all: [AtomicU64; 2],
    clients: [BusyClient; BUSIEST],
}

#[derive(Debug, Default)]
struct BusyClient {
    number: AtomicU64,
    /// Requests by arm, since it is in the table.
    requests: [AtomicU64; 2],
    /// What it may have had before.
    before: AtomicU64,
}

impl ClientWatch {
    /// For this number of workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            numbers: RandomState::new(),
            cells: (0..workers).map(|_| OnceLock::new()).collect(),
            fronts: Default::default(),
            was_compared: AtomicBool::new(false),
        }
    }

    /// The number of a client.
    pub(crate) fn number(&self, address: IpAddr) -> ClientNumber {
        let number = NonZeroU64::new(self.numbers.hash_one(client_prefix::block(address)));
        ClientNumber(number.unwrap_or(NonZeroU64::MIN))
    }

    /// Counts a request of a client to an arm.
    pub(crate) fn count(&self, worker: usize, client: ClientNumber, arm: usize) {
        self.cells[worker].get_or_init(Box::default).count(client, arm);
    }

    /// Whether many users are behind an address.
    pub(crate) fn is_front(&self, client: ClientNumber) -> bool {
        let fronts = self.fronts.iter().map(|front| front.load(Relaxed));
        fronts.take_while(|front| *front != 0).any(|front| front == client.0.get())
    }

    /// Looks for fronts.
    pub(crate) fn refresh(&self, compared: bool) {
        let mut all = [0; 2];
        let mut clients: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
        for cell in self.cells.iter().filter_map(OnceLock::get) {
            add(&mut all, &cell.all);
            for client in &cell.clients {
                add(clients.entry(client.number.load(Relaxed)).or_default(), &client.requests);
            }
        }
        if compared {
            self.was_compared.fetch_or(all[0] > 0 && all[1] >= FRONT_REQUESTS_MIN, Relaxed);
        } else if self.was_compared.load(Relaxed) {
            return;
        }
        let is_front = |requests: &[u64; 2]| {
            let [of_candidate, of_baseline] = [0, 1].map(|arm| requests[arm] > 0 && requests[arm] * FRONT >= all[arm]);
            match compared {
                true => of_candidate && of_baseline && requests[1] >= FRONT_REQUESTS_MIN,
                false => of_candidate && requests[0] >= FRONT_REQUESTS_MIN,
            }
        };
        let fronts = clients.into_iter().filter(|(number, requests)| *number != 0 && is_front(requests));
        for (place, front) in self.fronts.iter().zip(fronts.map(|(number, _)| number).chain(std::iter::repeat(0))) {
            place.store(front, Relaxed);
        }
    }
}

fn add(sums: &mut [u64; 2], more: &[AtomicU64; 2]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more.load(Relaxed));
}

/// Adds to a counter that one worker writes.
fn increase(count: &AtomicU64) -> u64 {
    let more = count.load(Relaxed) + 1;
    count.store(more, Relaxed);
    more
}

impl BusiestClients {
    fn count(&self, client: ClientNumber, arm: usize) {
        increase(&self.all[arm]);
        let known = self.clients.iter().find(|known| known.number.load(Relaxed) == client.0.get());
        let place = known.or_else(|| {
            let least = self.clients.iter().min_by_key(|busy| busy.most())?;
            least.before.store(least.most(), Relaxed);
            least.requests.iter().for_each(|count| count.store(0, Relaxed));
            least.number.store(client.0.get(), Relaxed);
            Some(least)
        });
        if let Some(busy) = place {
            increase(&busy.requests[arm]);
        }
        if self.all.iter().map(|count| count.load(Relaxed)).sum::<u64>() >= HALVED_AFTER {
            let of_clients = self.clients.iter().flat_map(|busy| busy.requests.iter().chain([&busy.before]));
            self.all.iter().chain(of_clients).for_each(|count| count.store(count.load(Relaxed) / 2, Relaxed));
        }
    }
}

impl BusyClient {
    /// As many requests as it may have had.
    fn most(&self) -> u64 {
        self.requests.iter().chain([&self.before]).map(|count| count.load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const SEED: u64 = 20_261_129;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    /// Ten thousand requests of many strangers, a tenth of them the candidate's, beside those of one address: its
    /// part of the candidate's and of the baseline's requests, in per cent.
    fn is_front(percent: [u32; 2]) -> bool {
        let (watch, mut random) = (ClientWatch::new(2), StdRng::seed_from_u64(SEED));
        for number in 0..10_000 {
            let arm = usize::from(random.random_bool(0.9));
            let strange = 1 + random.random_range(0..100_000);
            let client = if random.random_range(0..100) < percent[arm] { 0 } else { strange };
            watch.count(number % 2, watch.number(address(client)), arm);
        }
        watch.refresh(true);
        let others = (1..1_000).filter(|number| watch.is_front(watch.number(address(*number))));
        assert_eq!(others.count(), 0, "{percent:?}");
        watch.is_front(watch.number(address(0)))
    }

    #[test]
    fn a_front_has_its_part_of_both_versions() {
        let found = [[100, 100], [40, 40], [10, 8], [2, 2], [0, 30], [90, 0], [60, 2]].map(is_front);
        assert_eq!(found, [true, true, true, false, false, false, false], "seed {SEED}");
    }

    #[test]
    fn where_one_version_has_everything_its_requests_say_who_is_a_front() {
        let watch = ClientWatch::new(1);
        for number in 0..1_000 {
            let client = if number % 20 < 10 { 0 } else { number };
            watch.count(0, watch.number(address(client)), 0);
        }
        watch.refresh(true);
        assert!(!watch.is_front(watch.number(address(0))));
        watch.refresh(false);
        assert!(watch.is_front(watch.number(address(0))) && !watch.is_front(watch.number(address(999))));
    }

    #[test]
    fn who_aims_at_the_candidate_is_no_front_when_it_has_everything() {
        let (watch, strange) = (ClientWatch::new(1), |number: u32| 100 + number % 50_000);
        let [office, attacker] = [watch.number(address(1)), watch.number(address(2))];
        for number in 0..2_000 {
            let client = if number % 4 == 0 { office } else { watch.number(address(strange(number))) };
            watch.count(0, client, usize::from(number % 10 != 0));
            if number % 10 == 0 {
                watch.count(0, attacker, 0);
            }
        }
        let fronts = |compared| {
            watch.refresh(compared);
            [office, attacker].map(|client| watch.is_front(client))
        };
        assert_eq!(fronts(true), [true, false]);
        for number in 0..2_000 {
            let client = if number % 3 == 0 { attacker } else { watch.number(address(strange(number))) };
            watch.count(0, client, 0);
        }
        assert_eq!(fronts(false), [true, false]);
    }

    #[test]
    fn twenty_fronts_are_all_known_and_two_hundred_addresses_are_none() {
        for (addresses, want) in [(16, 16), (200, 0)] {
            let watch = ClientWatch::new(1);
            for number in 0..100_000 {
                let arm = usize::from(number / addresses % 10 != 0);
                watch.count(0, watch.number(address(number % addresses)), arm);
            }
            watch.refresh(true);
            let fronts = (0..addresses).filter(|number| watch.is_front(watch.number(address(*number))));
            assert_eq!(fronts.count(), want, "{addresses}");
        }
    }

    #[test]
    fn what_an_address_was_long_ago_is_forgotten() {
        let watch = ClientWatch::new(1);
        let [one, other] = [watch.number(address(1)), watch.number(address(2))];
        (0..1_000).for_each(|number| watch.count(0, one, number % 2));
        watch.refresh(true);
        assert!(watch.is_front(one) && !watch.is_front(other));
        (0..10 * HALVED_AFTER).for_each(|number| watch.count(0, other, usize::from(number % 2 == 0)));
        watch.refresh(true);
        assert!(!watch.is_front(one) && watch.is_front(other));
    }
}
