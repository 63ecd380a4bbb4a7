//! The counters of a worker that belong to no version.

use super::labels::{FlagCallOutcome, JwtOutcome, RejectReason, TlsHandshake};
use crate::shared::count::Count;

/// One worker's own counters.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    refusals: [Count; RejectReason::ALL.len()],
    connections: Count,
    connections_parked: Count,
    connections_accepted: Count,
    accept_pauses: Count,
    log_dropped: Count,
    handshakes: [Count; TlsHandshake::ALL.len()],
    tokens: [Count; JwtOutcome::ALL.len()],
    flag_calls: [Count; FlagCallOutcome::ALL.len()],
    flag_streams: Count,
}

/// By hand, because the library's own for arrays ends at 32 elements.
impl Default for WorkerStats {
    fn default() -> Self {
        Self {
            refusals: std::array::from_fn(|_| Count::default()),
            connections: Count::default(),
            connections_parked: Count::default(),
            connections_accepted: Count::default(),
            accept_pauses: Count::default(),
            log_dropped: Count::default(),
            handshakes: std::array::from_fn(|_| Count::default()),
            tokens: std::array::from_fn(|_| Count::default()),
            flag_calls: std::array::from_fn(|_| Count::default()),
            flag_streams: Count::default(),
        }
    }
}

impl WorkerStats {
    /// Counts a refusal.
    pub fn refused(&self, reason: RejectReason) {
        self.refusals[reason as usize].add(1);
    }

    /// Counts a client's connection in.
    pub fn connected(&self) {
        self.connections.add(1);
        self.connections_accepted.add(1);
    }

    /// Counts a client's connection out.
    pub fn disconnected(&self) {
        self.connections.sub(1);
    }

    /// Counts a connection in that has not said yet whose it is, so that a worker that drains waits for it.
    pub fn arriving(&self) {
        self.connections.add(1);
    }

    /// Counts a connection in that is parked.
    pub fn parked(&self) {
        self.connections_parked.add(1);
    }

    /// Counts a parked connection out.
    pub fn unparked(&self) {
        self.connections_parked.sub(1);
    }

    /// Client connections that are open on this worker.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.value()
    }

    /// Counts a time without accepting.
    pub fn accept_paused(&self) {
        self.accept_pauses.add(1);
    }

    /// Counts a TLS handshake that succeeded.
    pub fn shook_hands(&self, kind: TlsHandshake) {
        self.handshakes[kind as usize].add(1);
    }

    /// Counts a token of a user.
    pub fn judged_token(&self, outcome: JwtOutcome) {
        self.tokens[outcome as usize].add(1);
    }

    /// Counts a call for flags.
    pub fn called_for_flags(&self, outcome: FlagCallOutcome) {
        self.flag_calls[outcome as usize].add(1);
    }

    /// The clients that wait for changes of flags.
    #[must_use]
    pub fn flag_streams(&self) -> &Count {
        &self.flag_streams
    }

    /// Counts a line of the access log that found no room.
    pub fn log_dropped(&self) {
        self.log_dropped.add(1);
    }

    /// Adds what was counted so far to `totals`.
    pub fn add_to(&self, totals: &mut WorkerTotals) {
        for (total, count) in totals.refusals.iter_mut().zip(&self.refusals) {
            *total += count.value();
        }
        totals.connections += self.connections.value();
        totals.connections_parked += self.connections_parked.value();
        totals.connections_accepted += self.connections_accepted.value();
        totals.accept_pauses += self.accept_pauses.value();
        totals.log_dropped += self.log_dropped.value();
        for (total, count) in totals.handshakes.iter_mut().zip(&self.handshakes) {
            *total += count.value();
        }
        for (total, count) in totals.tokens.iter_mut().zip(&self.tokens) {
            *total += count.value();
        }
        for (total, count) in totals.flag_calls.iter_mut().zip(&self.flag_calls) {
            *total += count.value();
        }
        totals.flag_streams += self.flag_streams.value();
    }
}

/// The sums of all workers at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerTotals {
    /// Refusals, in the order of [`RejectReason::ALL`].
    pub refusals: [u64; RejectReason::ALL.len()],
    /// Open client connections.
    pub connections: u64,
    /// Those of them that are parked.
    pub connections_parked: u64,
    /// Client connections since the start.
    pub connections_accepted: u64,
    /// Times that a worker stopped accepting.
    pub accept_pauses: u64,
    /// Lines of the access log that were dropped.
    pub log_dropped: u64,
    /// TLS handshakes, in the order of [`TlsHandshake::ALL`].
    pub handshakes: [u64; TlsHandshake::ALL.len()],
    /// Tokens of users, in the order of [`JwtOutcome::ALL`].
    pub tokens: [u64; JwtOutcome::ALL.len()],
    /// Calls for flags, in the order of [`FlagCallOutcome::ALL`].
    pub flag_calls: [u64; FlagCallOutcome::ALL.len()],
    /// Clients that wait for changes of flags.
    pub flag_streams: u64,
}

impl Default for WorkerTotals {
    fn default() -> Self {
        Self {
            refusals: [0; RejectReason::ALL.len()],
            connections: 0,
            connections_parked: 0,
            connections_accepted: 0,
            accept_pauses: 0,
            log_dropped: 0,
            handshakes: [0; TlsHandshake::ALL.len()],
            tokens: [0; JwtOutcome::ALL.len()],
            flag_calls: [0; FlagCallOutcome::ALL.len()],
            flag_streams: 0,
        }
    }
}
