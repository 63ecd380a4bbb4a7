//! The limits of a request's body: how large it may be, and how slowly it may come.
//!
//! Silence is bounded elsewhere ([`IdleTimeout`](super::idle::IdleTimeout)); a client that sends a byte each minute is
//! never silent. So time is an account: a body begins with its grace, pays for the time in which we wait for it, and
//! earns by its bytes what they would take at the least rate, never more than the grace. It pays only while it is the
//! client's turn, so an upstream that reads slowly is never blamed on the client, and a fast start does not buy a slow
//! end. The average since the start, as usual elsewhere, lets a client that has sent a gigabyte take a day for the
//! rest.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::body_fault::BodyFault;
use crate::http1::coop;
use crate::proxy::request::local_reply::LocalReply;
use crate::stats::RejectReason;
use crate::table::spec::limits::{BodyRate, Limits};

/// Refuses a body that says of itself that it is too large.
///
/// # Errors
/// The local reply.
pub(crate) fn check_length(length: u64, limits: &Limits) -> Result<(), LocalReply> {
    match limits.body_bytes_max {
        Some(max) if length > max => Err(too_large()),
        Some(_) | None => Ok(()),
    }
}

/// The local reply of a body that is too large.
#[must_use]
pub(crate) fn too_large() -> LocalReply {
    LocalReply::new(RejectReason::BodyTooLarge, "the request's body is larger than this service takes")
}

/// Meters a body.
#[derive(Debug)]
pub(crate) struct BodyLimit {
    bytes_left: u64,
    pace: Option<MinRate>,
}

impl BodyLimit {
    /// A meter for these limits; most services need none.
    #[must_use]
    pub(crate) fn of(limits: &Limits) -> Option<Box<Self>> {
        let needed = limits.body_bytes_max.is_some() || limits.body_rate.is_some();
        let bytes_left = limits.body_bytes_max.unwrap_or(u64::MAX);
        needed.then(|| Box::new(Self { bytes_left, pace: limits.body_rate.map(MinRate::new) }))
    }

    /// Counts a part of this many bytes.
    ///
    /// # Errors
    /// When the body is too large.
    pub(crate) fn came(&mut self, bytes: usize) -> Result<(), BodyFault> {
        let bytes = bytes as u64;
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(BodyFault::TooLarge)?;
        if let Some(pace) = &mut self.pace {
            pace.came(bytes, Instant::now());
        }
        Ok(())
    }

    /// Waits for the next part: ready when the client has been too slow.
    pub(crate) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<BodyFault> {
        match &mut self.pace {
            Some(pace) => pace.poll_waiting(cx).map(|()| BodyFault::Slow),
            None => Poll::Pending,
        }
    }
}

#[derive(Debug)]
struct MinRate {
    rate: BodyRate,
    /// How long may still be waited.
    left: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl MinRate {
    fn new(rate: BodyRate) -> Self {
        Self { rate, left: rate.grace, waiting_since: None, timer: None }
    }

    fn came(&mut self, bytes: u64, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.rate.bytes_per_second_min.max(1));
        let earned = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.left = self.left.saturating_add(earned).min(self.rate.grace);
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begins = self.waiting_since.is_none();
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + self.left;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if begins {
            timer.as_mut().reset(deadline);
        }
        coop::poll_unbudgeted(timer.as_mut(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: BodyRate = BodyRate { bytes_per_second_min: 100, grace: Duration::from_secs(10) };

    /// Sends `bytes` every `gap` seconds; how many parts came before it was too slow.
    fn parts(bytes: u64, gap: u64, wanted: usize) -> usize {
        let mut pace = MinRate::new(RATE);
        let mut now = Instant::now();
        (0..wanted)
            .take_while(|_| {
                pace.waiting_since = Some(now);
                let in_time = Duration::from_secs(gap) <= pace.left;
                now += Duration::from_secs(gap);
                pace.came(bytes, now);
                in_time
            })
            .count()
    }

    #[test]
    fn a_body_at_the_least_rate_may_go_on_for_ever_and_a_slower_one_may_not() {
        assert_eq!(parts(100, 1, 1000), 1000);
        assert_eq!(parts(1000, 10, 1000), 1000, "in rare large parts");
        assert_eq!(parts(50, 1, 1000), 19, "half of the rate uses up the grace in about twice its time");
        assert_eq!(parts(1, 11, 1000), 0);
    }

    #[test]
    fn a_fast_start_does_not_buy_a_slow_end() {
        let mut pace = MinRate::new(RATE);
        pace.came(1 << 40, Instant::now());
        assert_eq!(pace.left, RATE.grace);
    }

    #[tokio::test]
    async fn waiting_is_paid_for_and_our_own_delay_is_not() {
        let grace = Duration::from_millis(100);
        let mut pace = MinRate::new(BodyRate { grace, ..RATE });
        // The upstream takes its time: the client is not waited for.
        pace.came(1, Instant::now() + Duration::from_secs(100));
        assert_eq!(pace.left, grace);
        let before = Instant::now();
        std::future::poll_fn(|cx| pace.poll_waiting(cx)).await;
        assert!(before.elapsed() >= grace);
    }

    #[test]
    fn the_largest_body_is_still_taken() {
        let mut meter = BodyLimit::of(&Limits { body_bytes_max: Some(10), ..Limits::default() }).unwrap();
        assert_eq!((meter.came(4), meter.came(6), meter.came(0)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(meter.came(1), Err(BodyFault::TooLarge));
        assert!(BodyLimit::of(&Limits::default()).is_none());
    }
}
