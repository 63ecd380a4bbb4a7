//! Requests in flight that are judged: since when, so that what is overdue is known before it ends.
//!
//! A request that hangs ends after a minute, and until then nothing would be known of it. So its worker writes it down
//! here when it is sent, and strikes it out when the response begins, or at its end; the control plane looks through
//! the list with each tick, and marks what has exceeded a threshold by then. The mark tells the worker what was counted
//! already: of the two that change a place at the same moment one fails, and knows it.
//!
//! A list is of a fixed size and has one writer who adds and strikes out; where it is full, a request is only timed at
//! its end. Places are taken again in the order in which they became free, the last one first, so that no more of them
//! are looked through than requests were ever in flight at a time. No timer and no allocation belongs to a request.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::response_counters::Asker;
use super::route_number::RouteNumber;
use super::slot_set::SlotSet;

/// The most requests of one worker and split that are watched.
const FLIGHTS_MAX: usize = 2_048;

/// When a request began, in milliseconds and modulo this: an age is known for a minute, and what is told of a request
/// until then stays. Thresholds that are higher are compared with at its end.
const BEGUN_BITS: u32 = 17;
const SLOT_BITS: u32 = 17;
const CLIENT_SHIFT: u32 = BEGUN_BITS + SLOT_BITS;
const ROUTE_SHIFT: u32 = CLIENT_SHIFT + SLOT_BITS;
const ROUTE_BITS: u32 = 6;
const ARM: u64 = 1 << (ROUTE_SHIFT + ROUTE_BITS);
const SLOW: u64 = ARM << 1;
const EXCEEDED_SHIFT: u32 = SLOW.trailing_zeros() + 1;
const EXCEEDED_BITS: u32 = 2;
const ROUTE_EXCEEDED_SHIFT: u32 = EXCEEDED_SHIFT + EXCEEDED_BITS;
const TAKEN: u64 = 1 << 63;

/// The requests of one worker. A free place says which one is free next: its number plus one, or none.
#[derive(Debug)]
pub(crate) struct Flights {
    places: Box<[AtomicU64]>,
    /// How many places have ever been taken, from the first on.
    used: AtomicU64,
    /// The place that became free last, as a free place says it.
    free: AtomicU64,
}

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    /// When it began, in milliseconds.
    pub begun_ms: u64,
    /// The number of the version that it was assigned to.
    pub arm: usize,
    /// Whose it is.
    pub from: Requester,
    /// Its route, if it is one of those that are judged.
    pub route: Option<RouteNumber>,
    /// What was counted of it already.
    pub told: Told,
}

/// Whose request it is, where a user is one draw: places in the sets of what they have said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requester {
    /// The slot of the user's key.
    pub slot: Option<u32>,
    /// The client's place, unless many are behind its address.
    pub client: Option<u32>,
}

/// What was counted of a request before its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many thresholds it has exceeded.
    pub exceeded: usize,
    /// How many of its route.
    pub exceeded_of_route: usize,
    /// Whether it is slow.
    pub slow: bool,
}

impl Default for Flights {
    fn default() -> Self {
        let places = (0..FLIGHTS_MAX).map(|_| AtomicU64::new(0)).collect();
        Self { places, used: AtomicU64::new(0), free: AtomicU64::new(0) }
    }
}

impl Flights {
    /// Writes a request down. Returns its place, if there is one. For the worker that owns the list only.
    pub(crate) fn begin(&self, flight: &Flight) -> Option<u16> {
        let (free, used) = (self.free.load(Relaxed), self.used.load(Relaxed));
        let number = free.checked_sub(1).unwrap_or(used);
        let place = self.places.get(usize::try_from(number).ok()?)?;
        if free == 0 {
            self.used.store(used + 1, Relaxed);
        } else {
            self.free.store(place.load(Relaxed), Relaxed);
        }
        place.store(flight.packed(), Relaxed);
        u16::try_from(number).ok()
    }

    /// Strikes out what is at a place. For the worker that owns the list only.
    pub(crate) fn end(&self, number: u16) -> Told {
        let Some(place) = self.places.get(usize::from(number)) else { return Told::default() };
        if place.load(Relaxed) & TAKEN == 0 {
            return Told::default();
        }
        let packed = place.swap(self.free.load(Relaxed), Relaxed);
        self.free.store(u64::from(number) + 1, Relaxed);
        Flight::unpacked(packed).map_or_else(Told::default, |flight| flight.told)
    }

    /// Marks what `told` says of the requests in flight, and tells `count` what was marked that was not before. For one
    /// caller at a time.
    pub(crate) fn sweep(&self, told: impl Fn(&Flight) -> Told, count: impl Fn(&Flight, Told)) {
        let used = usize::try_from(self.used.load(Relaxed)).unwrap_or(FLIGHTS_MAX).min(FLIGHTS_MAX);
        for place in &self.places[..used] {
            let packed = place.load(Relaxed);
            let Some(flight) = Flight::unpacked(packed) else { continue };
            let found = told(&flight);
            let now = found.or(flight.told);
            let marked = Flight { told: now, ..flight }.packed();
            // It may have ended at this moment, and tells for itself then.
            if now != flight.told && place.compare_exchange(packed, marked, Relaxed, Relaxed).is_ok() {
                count(&flight, now);
            }
        }
    }
}

impl Requester {
    /// Whether it is the first time for the client and for the user. A client that was counted before uses up no user.
    pub(crate) fn is_first(self, users: &SlotSet, clients: &SlotSet) -> bool {
        self.client.is_none_or(|client| clients.first(client)) && self.slot.is_none_or(|slot| users.first(slot))
    }

    /// Of a request of one who asks; of none: it is a draw of its own.
    pub(crate) fn of(asker: Option<Asker>) -> Self {
        let client = asker.and_then(|asker| asker.client).map(|client| client.place(0));
        Self { slot: asker.map(|asker| asker.slot), client }
    }
}

impl Told {
    /// What either of both says.
    fn or(self, other: Self) -> Self {
        Self {
            exceeded: self.exceeded.max(other.exceeded),
            exceeded_of_route: self.exceeded_of_route.max(other.exceeded_of_route),
            slow: self.slow || other.slow,
        }
    }
}

impl Flight {
    /// How long it has been under way.
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        let age = now_ms.wrapping_sub(self.begun_ms) & ((1 << BEGUN_BITS) - 1);
        // One that began since the clock was read looks as if it had come round.
        if age >> (BEGUN_BITS - 1) == 0 { age } else { 0 }
    }

    fn packed(&self) -> u64 {
        let number = |place: Option<u32>| place.map_or(0, |place| u64::from(place) + 1);
        let begun = self.begun_ms & ((1 << BEGUN_BITS) - 1);
        let from = number(self.from.slot) << BEGUN_BITS | number(self.from.client) << CLIENT_SHIFT;
        let arm = if self.arm == 0 { 0 } else { ARM };
        let slow = if self.told.slow { SLOW } else { 0 };
        let route = self.route.map_or(0, |route| route.index() as u64 + 1) << ROUTE_SHIFT;
        let Told { exceeded, exceeded_of_route, .. } = self.told;
        let exceeded = (exceeded as u64) << EXCEEDED_SHIFT | (exceeded_of_route as u64) << ROUTE_EXCEEDED_SHIFT;
        TAKEN | exceeded | slow | arm | route | from | begun
    }

    fn unpacked(packed: u64) -> Option<Self> {
        let bits = |shift: u32, bits: u32| usize::try_from(packed >> shift & ((1 << bits) - 1)).unwrap_or(0);
        let number = |shift: u32, size: u32| bits(shift, size).checked_sub(1);
        let place = |shift: u32| number(shift, SLOT_BITS).and_then(|place| u32::try_from(place).ok());
        (packed & TAKEN != 0).then(|| Self {
            begun_ms: packed & ((1 << BEGUN_BITS) - 1),
            arm: usize::from(packed & ARM != 0),
            from: Requester { slot: place(BEGUN_BITS), client: place(CLIENT_SHIFT) },
            route: number(ROUTE_SHIFT, ROUTE_BITS).and_then(RouteNumber::new),
            told: Told {
                exceeded: bits(EXCEEDED_SHIFT, EXCEEDED_BITS),
                exceeded_of_route: bits(ROUTE_EXCEEDED_SHIFT, EXCEEDED_BITS),
                slow: packed & SLOW != 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn flight(begun_ms: u64) -> Flight {
        let from = Requester { slot: Some(99_999), client: Some(99_998) };
        Flight { begun_ms, arm: 1, from, route: RouteNumber::new(31), told: Told::default() }
    }

    #[test]
    fn a_request_is_told_once_and_its_end_knows() {
        let flights = Flights::default();
        let places = [10, 20, 30].map(|begun| flights.begin(&flight(begun)).unwrap());
        let counted = RefCell::new(Vec::new());
        let sweep = |now: u64| {
            let told = |flight: &Flight| {
                let exceeded = usize::from(flight.age_ms(now) > 5);
                Told { exceeded, exceeded_of_route: 3 * exceeded, slow: now > 100 }
            };
            flights.sweep(told, |flight, told| counted.borrow_mut().push((*flight, told)));
            counted.take()
        };
        let once = Told { exceeded: 1, exceeded_of_route: 3, slow: false };
        assert_eq!(sweep(26), [(flight(10), once), (flight(20), once)]);
        assert_eq!(sweep(26), [], "once");
        assert_eq!(flights.end(places[0]), once);
        assert_eq!(sweep(40), [(flight(30), once)], "the first one has ended");
        let both = Told { slow: true, ..once };
        assert_eq!(sweep(101).iter().map(|(_, told)| *told).collect::<Vec<_>>(), [both; 2]);
        assert_eq!((flights.end(places[1]), flights.end(places[1])), (both, Told::default()));
    }

    #[test]
    fn as_many_places_are_looked_through_as_requests_were_in_flight_at_a_time() {
        let flights = Flights::default();
        for round in 0..10_000 {
            let places = [0, 1, 2].map(|number| flights.begin(&flight(round + number)).unwrap());
            let ended = if round % 2 == 0 { [0, 1, 2] } else { [1, 2, 0] };
            ended.iter().for_each(|place| {
                flights.end(places[*place]);
            });
        }
        let looked_at = |flights: &Flights| flights.used.load(Relaxed);
        assert_eq!(looked_at(&flights), 3);
        flights.sweep(|flight| unreachable!("{flight:?}"), |flight, _| unreachable!("{flight:?}"));
    }

    #[test]
    fn a_full_list_takes_no_more() {
        let flights = Flights::default();
        let places: Vec<_> = (0..=FLIGHTS_MAX).map_while(|_| flights.begin(&flight(1))).collect();
        assert_eq!((places.len(), flights.begin(&flight(1))), (FLIGHTS_MAX, None));
        flights.end(places[7]);
        assert_eq!((flights.begin(&flight(1)), flights.begin(&flight(1))), (Some(7), None));
    }

    #[test]
    fn ages_are_right_where_the_clock_comes_round_and_where_a_request_is_younger_than_it() {
        let age = |begun: u64, now| Flight::unpacked(flight(begun).packed()).unwrap().age_ms(now);
        let round = 1 << BEGUN_BITS;
        assert_eq!([age(5, 65), age(round - 1, round + 9), age(65, 5), age(3 * round, 3 * round - 1)], [60, 10, 0, 0]);
    }

    #[test]
    fn a_worker_and_the_control_plane_count_each_threshold_of_a_request_once() {
        const REQUESTS: u64 = 200_000;
        let (flights, over) = (Flights::default(), AtomicBool::new(false));
        let swept = AtomicU64::new(0);
        let told = Told { exceeded: 1, exceeded_of_route: 0, slow: false };
        let by_worker = std::thread::scope(|scope| {
            let control = scope.spawn(|| {
                while !over.load(Relaxed) {
                    flights.sweep(
                        |_| told,
                        |_, _| {
                            swept.fetch_add(1, Relaxed);
                        },
                    );
                }
            });
            let mut under_way = std::collections::VecDeque::new();
            let mut by_itself = 0;
            for number in 0..REQUESTS + 10 {
                if number < REQUESTS {
                    under_way.push_back(flights.begin(&flight(number % 3)).unwrap());
                }
                if number >= 10 {
                    let ended = flights.end(under_way.pop_front().unwrap());
                    by_itself += u64::from(ended == Told::default());
                }
            }
            over.store(true, Relaxed);
            control.join().unwrap();
            by_itself
        });
        assert_eq!(by_worker + swept.load(Relaxed), REQUESTS, "{by_worker} ended before they were found");
    }
}
