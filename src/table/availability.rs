//! The availability of a version, and how much of its requests the others take over if it cannot respond.
//!
//! A version whose endpoints refuse connections may be back in a moment, or may have crashed for good. Until that is
//! known, its requests go on to try it (at a bounded rate), and those that find no connection are passed on within
//! bounds: the versions that are well take over no more than their own share once again. A restart of v1 that takes
//! five seconds must not put all users on a canary that was built for one in a hundred, nor may it move them for that
//! long. After [`TAKEOVER_AFTER_MS`], or as soon as checks or operators say that it is out, the others take over
//! everything, and no request waits for it any more: connections of our own find out when it is back. Only where there
//! is no other version, requests go on trying.

use super::service::{Endpoint, Version};

/// From when on a version that refuses connections is given up, in milliseconds: a restart is over by then, and users
/// who wait any longer are better off with another version.
pub(crate) const TAKEOVER_AFTER_MS: u64 = 10_000;

/// Whether a version can respond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// An endpoint takes requests.
    Ready,
    /// None does, but requests may try: before they are passed on within bounds, or if no other version takes them
    /// over.
    LastResort(Takeover),
    /// No request can be sent.
    Out(Takeover),
}

/// How much of a version's requests the others take over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takeover {
    /// As much as they have themselves.
    Bounded,
    /// Everything.
    Full,
}

impl Availability {
    /// How much the others take over of it; `None` while it responds by itself.
    #[must_use]
    pub fn takeover(self) -> Option<Takeover> {
        match self {
            Self::Ready => None,
            Self::LastResort(takeover) | Self::Out(takeover) => Some(takeover),
        }
    }

    /// The same for a request that has tried already, in vain.
    #[must_use]
    pub fn after_attempt(self) -> Self {
        // A version that is ready all the same had no connection for reasons that are not its own.
        Self::Out(self.takeover().unwrap_or(Takeover::Bounded))
    }
}

/// For who knows of no last resort.
impl From<bool> for Availability {
    fn from(usable: bool) -> Self {
        if usable { Self::Ready } else { Self::Out(Takeover::Full) }
    }
}

impl Version {
    /// Whether an endpoint takes requests at `now_ms` (milliseconds on the process's clock). One that is only ejected
    /// does if no other one can: an opinion is no reason to refuse a user.
    #[must_use]
    pub fn usable(&self, now_ms: u64) -> bool {
        let ejected = |endpoint: &Endpoint| endpoint.is_last_resort() && !endpoint.stats.health.is_paused();
        self.endpoints.iter().any(|endpoint| endpoint.usable(now_ms)) || self.endpoints.iter().any(ejected)
    }

    /// Whether the version can respond at `now_ms`.
    #[must_use]
    pub fn availability(&self, now_ms: u64) -> Availability {
        if self.usable(now_ms) {
            return Availability::Ready;
        }
        let last = self.endpoints.iter().filter(|endpoint| endpoint.is_last_resort());
        // Since when all of them refuse: since the last one does.
        match last.filter_map(|endpoint| endpoint.stats.health.refuses_for(now_ms)).min() {
            Some(TAKEOVER_AFTER_MS..) => Availability::LastResort(Takeover::Full),
            Some(_) => Availability::LastResort(Takeover::Bounded),
            None => Availability::Out(Takeover::Full),
        }
    }
}

impl Endpoint {
    /// Whether this endpoint takes requests at `now_ms`.
    #[must_use]
    pub fn usable(&self, now_ms: u64) -> bool {
        !self.drained && self.stats.health.reachable(now_ms)
    }

    /// Whether this endpoint is tried when no other one takes requests: neither operators nor its checks took it out.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        !self.drained && self.stats.health.is_last_resort()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Registry;
    use crate::table::Table;
    use crate::table::fixture::{first_traffic, shared, spec};

    #[test]
    fn a_version_that_refuses_is_tried_and_given_up_after_a_while() {
        let mut shop = spec("shop", "v1=99 v2=1");
        shop.versions[0].endpoints.push(([10, 0, 0, 9], 80).into());
        let specs = shared([shop]);
        let table = Table::compile(1, &specs, &first_traffic(&specs), &Registry::new(1)).expect("the traffic fits");
        let v1 = &table.service(0).versions[0];
        let health = |index: usize| &v1.endpoints[index].stats.health;
        let refused = |index: usize, now_ms: u64| health(index).refused(now_ms, String::new);
        refused(0, 0);
        assert_eq!(v1.availability(1), Availability::Ready, "the other one is there");
        refused(1, 3_000);
        (0..2).for_each(|index| health(index).still_refuses(12_000));
        assert_eq!(v1.availability(12_999), Availability::LastResort(Takeover::Bounded));
        assert_eq!(v1.availability(13_000), Availability::LastResort(Takeover::Full));
        health(0).eject(13_000, 1_000, 1_000);
        health(0).connected(13_001);
        assert_eq!(v1.availability(13_001), Availability::Ready, "an ejection is an opinion");
        refused(0, 13_002);
        assert_eq!(v1.availability(13_003), Availability::LastResort(Takeover::Bounded), "it was back in between");
        health(0).mark_unhealthy("status 500".into());
        health(1).mark_unhealthy("status 500".into());
        assert_eq!(v1.availability(13_004), Availability::Out(Takeover::Full), "checks know better");
        assert_eq!(Availability::Ready.after_attempt(), Availability::Out(Takeover::Bounded));
    }
}
