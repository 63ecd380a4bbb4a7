//! What users of other replicas have met on a route.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use super::route_name::RouteName;
use super::route_stats::{RouteNumber, RouteStats, RouteUsers};

impl RouteStats {
    /// The route of this name, which gets a place if there is one: another replica tells it apart.
    pub(crate) fn named(&self, name: RouteName) -> Option<RouteNumber> {
        let found = self.find(self.hash(name.as_bytes()));
        found.or_else(|| {
            let number = RouteNumber::new(self.known.load(Relaxed))?;
            self.give_place(number.index(), name);
            Some(number)
        })
    }

    /// Notes that a request of another replica's user to a route has failed; whether for the first time.
    pub(crate) fn testify_failed(&self, route: RouteNumber, slot: u32) -> bool {
        self.of_users(route).is_some_and(|users| users.failed.first(slot))
    }

    /// The same of one that took longer than a threshold.
    pub(crate) fn testify_above(&self, route: RouteNumber, threshold: usize, slot: u32) -> bool {
        let exceeded = self.of_users(route).and_then(|users| users.exceeded.get(threshold));
        exceeded.is_some_and(|exceeded| exceeded.first(slot))
    }

    fn of_users(&self, route: RouteNumber) -> Option<&RouteUsers> {
        self.users.get(route.index()).and_then(OnceLock::get)
    }
}
