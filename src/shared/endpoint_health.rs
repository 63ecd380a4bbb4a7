//! The health of an endpoint: the one model behind active checks, refused connections and ejections.
//!
//! An endpoint is *in rotation* as long as nothing speaks against it. Three things can, each by itself:
//!
//! ```text
//!                    `fall` checks failed                          `rise` checks passed: everything is forgotten
//!   in rotation --------------------------------> unhealthy  --------------------------------------> in rotation
//!
//!                    a connection was refused               a connection is made
//!   in rotation --------------------------------> paused ----------------------------------------> in rotation
//!                                                 (tried by connections of our own, every 100 ms)
//!
//!                    too many exchanges failed              the rest is over      an answer below 500
//!   in rotation --------------------------------> ejected -------------------> probe ---------------> in rotation
//!                    (`ejection`, doubling          ^                            | the exchange fails
//!                     to `ejection_max`)            +----------------------------+
//! ```
//!
//! - *Unhealthy* is what active checks say. It ends by checks only: as long as they fail, no request is spent on a
//!   probe.
//! - *Paused* ends by any connection: the control plane tries one every 100 ms (`control::health`), so no request has
//!   to find out. Only where the control plane does not try does the pause run out, and a request is let through.
//! - *Ejected* ends by one request that is let through as a probe. While a probe is under way the endpoint rests for
//!   another round, so that a probe that hangs costs one request a rest. Failed exchanges are an opinion, and a
//!   connection of our own cannot refute it; so the rest is long, bounded by a floor (see `table::ejection`), and grows
//!   with each ejection until it has been quiet for a while.
//! - **The last resort.** When all endpoints of a version are paused or ejected, requests go to them all the same: an
//!   opinion is no reason to refuse a user, and an endpoint that is back is to be found by the first one who asks. What
//!   a paused one costs then is bounded by [`EndpointHealth::claim_last_resort`]: connections that are there are used,
//!   and new ones are tried one at a time in 10 to 100 ms. An unhealthy endpoint is no last resort: its checks know
//!   better.
//! - A check that makes its connection ends a pause, but no ejection: an endpoint can pass its checks and fail its
//!   requests. A check that brings an endpoint *back* ends everything: it has been mended, or is another process.
//!   An answer ends no pause: it came on a connection from before, perhaps of a process that takes no more of them.
//! - An operator's drain is no part of this: it belongs to the traffic and outlives the process.
//! - A *term* ends when an endpoint becomes unhealthy or is ejected. Connections are of the term that they were opened
//!   in, and idle ones of an earlier term are closed: they may lead to the process that failed, or through whatever
//!   lies between, while its successor is well. A refused connection ends no term: those that are open still work, and
//!   are the fewer to be made while the endpoint has no room for new ones.
//!
//! Envoy and HAProxy return an ejected endpoint to full traffic when its time is over and find out with as many
//! requests as it takes to eject it again; a single probe finds out with one (linkerd's "probation").
//!
//! Every way out of and back into the rotation goes through [`EndpointHealth::take_out`] and
//! [`EndpointHealth::bring_in`]; code that wants to know of them (a count of endpoints that are out) adds a line there.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::unhealthy_counters::UnhealthyCounter;
use pause::PAUSE_MS;

mod pause;
mod status;

pub(crate) use status::HealthStatus;

/// What an endpoint that begins to warm up gets at least of its share, in thousandths: with less, one without traffic
/// would never warm up (Envoy's `min_weight_percent` has the same default).
const WARMTH_MIN: u64 = 100;

/// All of its share, in thousandths.
pub(crate) const WARM: u64 = 1_000;

/// What speaks against an endpoint; a bit each.
#[derive(Clone, Copy, Debug)]
enum OutReason {
    Unhealthy = 1,
    Paused = 2,
    Ejected = 4,
}

/// The state; times are milliseconds on the process's own clock.
#[derive(Debug, Default)]
pub struct EndpointHealth {
    /// Bits of [`OutReason`]; 0 is in rotation.
    against: AtomicU32,
    /// Raised while anything speaks against the endpoint.
    counter: Option<UnhealthyCounter>,
    /// Connections of requests that were refused in a row.
    refusals: AtomicU32,
    /// When the pause began.
    paused_from_ms: AtomicU64,
    /// When a request is let through although it is paused.
    pause_until_ms: AtomicU64,
    /// When a request may try it as the last resort.
    attempt_at_ms: AtomicU64,
    /// Exchanges that failed in a row.
    faults_in_row: AtomicU32,
    /// Exchanges that failed.
    faults: AtomicU32,
    /// Ejections that are not forgotten yet: each doubles the next rest.
    ejections: AtomicU32,
    /// Whether an ejected endpoint's probe is under way.
    probing: AtomicBool,
    rest_ms: AtomicU64,
    rest_until_ms: AtomicU64,
    /// The number of the term, which wraps.
    term: AtomicU32,
    /// When the slow start began; 0 if never.
    warm_from_ms: AtomicU64,
    /// How the last check failed; for people.
    check_failure: Mutex<String>,
    /// How the connection failed that began the pause; for people.
    refusal: Mutex<String>,
}

impl Drop for EndpointHealth {
    fn drop(&mut self) {
        // An address that is not used any more is no reason to look.
        if *self.against.get_mut() != 0 {
            self.counter.iter().for_each(UnhealthyCounter::decrement);
        }
    }
}

impl EndpointHealth {
    /// The same, which increments `counter` while the endpoint is out of rotation.
    #[must_use]
    pub(crate) fn with_counter(mut self, counter: UnhealthyCounter) -> Self {
        self.counter = Some(counter);
        self
    }

    /// Out of rotation, for one reason more. Returns whether that reason is new.
    fn take_out(&self, why: OutReason) -> bool {
        let before = self.against.fetch_or(why as u32, Relaxed);
        if let (0, Some(counter)) = (before, &self.counter) {
            counter.increment();
        }
        before & why as u32 == 0
    }

    /// One reason less to be out of rotation. Returns whether it was one.
    fn bring_in(&self, why: OutReason, now_ms: u64) -> bool {
        // A load first: a locked instruction would take the cache line from the other workers on every request.
        if !self.speaks_against(why) {
            return false;
        }
        let before = self.against.fetch_and(!(why as u32), Relaxed);
        if before == why as u32 {
            self.counter.iter().for_each(UnhealthyCounter::decrement);
            self.warm_up(now_ms);
        }
        before & why as u32 != 0
    }

    fn speaks_against(&self, why: OutReason) -> bool {
        self.against.load(Relaxed) & why as u32 != 0
    }

    /// Whether anything speaks against the endpoint.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.against.load(Relaxed) != 0
    }

    /// Whether the endpoint is ejected.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.speaks_against(OutReason::Ejected)
    }

    /// The number of the term: connections that were opened in another one are not used again.
    #[must_use]
    pub fn term(&self) -> u32 {
        self.term.load(Relaxed)
    }

    fn end_term(&self) {
        self.term.fetch_add(1, Relaxed);
    }

    /// Whether it may be asked when no other endpoint can be: its checks do not speak against it.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        !self.speaks_against(OutReason::Unhealthy)
    }

    /// Whether a request may be sent at `now_ms`: in rotation, or due for a probe.
    #[must_use]
    pub fn reachable(&self, now_ms: u64) -> bool {
        let against = self.against.load(Relaxed);
        let over = |why: OutReason, until: &AtomicU64| against & why as u32 == 0 || until.load(Relaxed) <= now_ms;
        against == 0
            || against & OutReason::Unhealthy as u32 == 0
                && over(OutReason::Paused, &self.pause_until_ms)
                && over(OutReason::Ejected, &self.rest_until_ms)
    }

    /// Asks to send a request at `now_ms`. Of the requests that ask after a rest, one gets yes: the probe.
    #[must_use]
    pub fn claim(&self, now_ms: u64) -> bool {
        if !self.is_out() {
            return true;
        }
        if !self.reachable(now_ms) {
            return false;
        }
        let ejected = self.is_ejected();
        let (until, rest) = match ejected {
            true => (&self.rest_until_ms, self.rest_ms.load(Relaxed).max(1)),
            false => (&self.pause_until_ms, PAUSE_MS),
        };
        let probe = claim_after(until, now_ms, rest);
        if probe && ejected {
            self.probing.store(true, Relaxed);
        }
        probe
    }

    /// Notes the head of an answer that is no failure. Returns whether the endpoint comes back by it.
    pub fn answered(&self, now_ms: u64) -> bool {
        // Requests from before the ejection end well too; only the probe's word counts.
        self.is_ejected() && self.probing.swap(false, Relaxed) && self.bring_in(OutReason::Ejected, now_ms)
    }

    /// Notes an exchange that came to a good end.
    pub fn completed(&self) {
        if self.faults_in_row.load(Relaxed) != 0 {
            self.faults_in_row.store(0, Relaxed);
        }
    }

    /// Notes an exchange that failed. Returns how many have in a row.
    pub fn fault(&self) -> u32 {
        self.faults.fetch_add(1, Relaxed);
        self.faults_in_row.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Exchanges that failed, wrapping at 2^32.
    #[must_use]
    pub fn faults(&self) -> u32 {
        self.faults.load(Relaxed)
    }

    /// Whether the probe of an ejected endpoint is under way; if so, it has ended.
    #[must_use]
    pub fn end_probe(&self) -> bool {
        self.is_ejected() && self.probing.swap(false, Relaxed)
    }

    /// Ejects the endpoint for `first_ms`, twice that the next time, up to `max_ms`. Returns how long it is.
    pub fn eject(&self, now_ms: u64, first_ms: u64, max_ms: u64) -> u64 {
        let before = self.ejections.fetch_add(1, Relaxed).min(31);
        let rest = first_ms.saturating_mul(1 << before).min(max_ms);
        self.faults_in_row.store(0, Relaxed);
        self.probing.store(false, Relaxed);
        self.rest(now_ms, rest);
        // Also of one that is ejected already: the connection of its probe is no better.
        self.end_term();
        self.take_out(OutReason::Ejected);
        rest
    }

    /// Ends an ejection before its time. Returns whether there was one.
    pub fn end_ejection(&self, now_ms: u64) -> bool {
        self.probing.store(false, Relaxed);
        self.bring_in(OutReason::Ejected, now_ms)
    }

    /// Forgets one ejection of an endpoint that has been in rotation for a while.
    pub fn forget_ejection(&self) {
        let ejections = self.ejections.load(Relaxed);
        if ejections > 0 && !self.is_ejected() {
            self.ejections.store(ejections - 1, Relaxed);
        }
    }

    /// Notes how the last check failed.
    pub fn note_failed_check(&self, check_failure: String) {
        *self.check_failure.lock().unwrap_or_else(PoisonError::into_inner) = check_failure;
    }

    /// Notes that the checks say no, and how the last one failed. Returns whether that is new.
    pub fn mark_unhealthy(&self, check_failure: String) -> bool {
        self.note_failed_check(check_failure);
        self.end_term();
        self.take_out(OutReason::Unhealthy)
    }

    /// Notes that the checks say yes: whatever else spoke against the endpoint is history. Returns whether they said no
    /// before.
    pub fn mark_healthy(&self, now_ms: u64) -> bool {
        self.refusals.store(0, Relaxed);
        self.faults_in_row.store(0, Relaxed);
        self.ejections.store(0, Relaxed);
        self.bring_in(OutReason::Paused, now_ms);
        self.end_ejection(now_ms);
        self.bring_in(OutReason::Unhealthy, now_ms)
    }

    /// The endpoint is not checked any more.
    pub fn unchecked(&self, now_ms: u64) {
        self.bring_in(OutReason::Unhealthy, now_ms);
    }

    /// Begins a slow start.
    pub fn warm_up(&self, now_ms: u64) {
        self.warm_from_ms.store(now_ms.max(1), Relaxed);
    }

    /// The part of its share that the endpoint gets in a slow start of `slow_start_ms`, in thousandths: it grows
    /// linearly with the time, from a tenth.
    #[must_use]
    pub fn warmth(&self, now_ms: u64, slow_start_ms: u64) -> u64 {
        let from = self.warm_from_ms.load(Relaxed);
        let passed = now_ms.saturating_sub(from);
        if from == 0 || passed >= slow_start_ms { WARM } else { (passed * WARM / slow_start_ms).max(WARMTH_MIN) }
    }

    /// Leaves the endpoint alone for `rest_ms`, or for longer if it has to rest already.
    fn rest(&self, now_ms: u64, rest_ms: u64) {
        self.rest_ms.store(rest_ms, Relaxed);
        if self.is_ejected() {
            self.rest_until_ms.fetch_max(now_ms + rest_ms, Relaxed);
        } else {
            self.rest_until_ms.store(now_ms + rest_ms, Relaxed);
        }
    }
}

/// Takes the turn that `until` says, if it is there, and puts the next one `rest_ms` off: of those who ask, one gets
/// it.
fn claim_after(until: &AtomicU64, now_ms: u64, rest_ms: u64) -> bool {
    let due = until.load(Relaxed);
    due <= now_ms && until.compare_exchange(due, now_ms + rest_ms, Relaxed, Relaxed).is_ok()
}

#[cfg(test)]
mod tests;
