//! The world of a simulated release: how much traffic there is, from whom, and what the versions do with it.

use std::time::Duration;

/// What the versions really do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SimulatedWorld {
    /// Requests per second of both versions together.
    pub requests_per_second: f64,
    /// The baseline's probability of failure.
    pub baseline_failing: f64,
    /// The baseline's probability of a 404.
    pub baseline_not_found: f64,
    /// What the candidate does from its first request on.
    pub candidate: Behaviour,
    /// What it does later, if that is something else.
    pub later: Option<Later>,
    /// The part of the requests that one page has, if the candidate is bad on that one only.
    pub page: Option<f64>,
    /// Requests per second that the candidate can serve; of more, the surplus fails. None: any number.
    pub capacity: Option<f64>,
    /// A time in which both versions fail alike, if there is one: their database is down, say.
    pub rough: Option<RoughTime>,
    /// How much latencies differ from each other: sigma of their logarithm. 0.5 has a 99th percentile of 3.2 times the
    /// median.
    pub spread: f64,
    /// Services that are released together, each with such traffic. Only in the first is the candidate as it is here;
    /// in the others it is as good as the baseline.
    pub services: u32,
    /// The endpoints of each version.
    pub endpoints: u32,
    /// The trouble that each endpoint has now and then, good or bad.
    pub bursts: Option<Bursts>,
    /// Who asks; without users, every request is a stranger's, and the lot falls on each for itself.
    pub users: Option<UserPopulation>,
}

/// Trouble in bursts, on each endpoint at its own moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bursts {
    /// Mean time between two bursts of an endpoint, from two thirds to four thirds of it.
    pub every: Duration,
    /// The shortest and the longest burst.
    pub lasting: [Duration; 2],
    /// What happens in one.
    pub kind: BurstKind,
}

/// What happens to the requests of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BurstKind {
    /// All of them fail.
    Failures,
    /// The endpoint stands still: they wait for its end.
    Pause,
}

/// Users who come back, and stay on their version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UserPopulation {
    /// How many there are.
    pub count: u32,
    /// How unequal they are: the shape of a Pareto distribution of activity. At 1.2 one user in a hundred makes about
    /// half of the requests; above 3 they are nearly equal.
    pub tail: f64,
    /// Whether failures belong to users and not to requests: for some of them everything fails, for the others nothing.
    pub failures_stick: bool,
}

/// A time in which both versions fail alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RoughTime {
    /// From the beginning of the release until then.
    pub until: Duration,
    /// The least probability of failure.
    pub failing: f64,
}

/// What a version does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Behaviour {
    /// Its probability of failure.
    pub failing: f64,
    /// How many times as slow as the baseline it is.
    pub slower: f64,
    /// Its probability of a 404.
    pub not_found: f64,
}

/// A version that changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Later {
    /// Since the beginning of the release.
    pub at: Duration,
    /// How long it takes until it is as bad as it gets: a leak. Zero for at once.
    pub ramp: Duration,
    /// As bad as it gets.
    pub behaviour: Behaviour,
}

impl SimulatedWorld {
    /// What the candidate does at a moment of the release.
    #[must_use]
    pub(crate) fn candidate_at(&self, time: Duration) -> Behaviour {
        let Some(later) = self.later.filter(|later| time >= later.at) else { return self.candidate };
        let part = if later.ramp.is_zero() {
            1.0
        } else {
            ((time - later.at).as_secs_f64() / later.ramp.as_secs_f64()).min(1.0)
        };
        let between = |from: f64, to: f64| from + part * (to - from);
        Behaviour {
            failing: between(self.candidate.failing, later.behaviour.failing),
            slower: between(self.candidate.slower, later.behaviour.slower),
            not_found: between(self.candidate.not_found, later.behaviour.not_found),
        }
    }

    /// The same where it gets this number of requests a second.
    #[must_use]
    pub(crate) fn candidate_under(&self, time: Duration, requests_per_second: f64) -> Behaviour {
        let usual = self.candidate_at(time);
        let served = self.capacity.map_or(1.0, |capacity| (capacity / requests_per_second.max(1e-9)).min(1.0));
        Behaviour { failing: 1.0 - (1.0 - usual.failing) * served, ..usual }
    }

    /// One of the other services of the group.
    #[must_use]
    pub(crate) fn healthy(&self) -> Self {
        let candidate = Behaviour { failing: self.baseline_failing, slower: 1.0, not_found: self.baseline_not_found };
        Self { candidate, later: None, capacity: None, ..*self }
    }

    /// The least probability of failure of both versions at a moment.
    #[must_use]
    pub(crate) fn failing_anyway(&self, time: Duration) -> f64 {
        self.rough.filter(|rough| time < rough.until).map_or(0.0, |rough| rough.failing)
    }

    /// Whether the candidate is never worse than the baseline.
    #[must_use]
    pub(crate) fn is_healthy(&self) -> bool {
        let fine = |behaviour: &Behaviour| {
            behaviour.failing <= self.baseline_failing
                && behaviour.slower <= 1.0
                && behaviour.not_found <= self.baseline_not_found
        };
        let serves_all = self.capacity.is_none_or(|capacity| capacity >= self.requests_per_second);
        serves_all && fine(&self.candidate) && self.later.is_none_or(|later| fine(&later.behaviour))
    }

    /// Since when it is worse.
    #[must_use]
    pub(crate) fn worse_since(&self) -> Duration {
        let from_the_start = Self { later: None, capacity: None, ..*self };
        if from_the_start.is_healthy() { self.later.map_or(Duration::ZERO, |later| later.at) } else { Duration::ZERO }
    }
}
