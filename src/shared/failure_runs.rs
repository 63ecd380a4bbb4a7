//! For how long users have had nothing but failures.
//!
//! A user whose every request fails is a draw of its own beside the one of his first failure: while one request in five
//! fails, every user has a failure within seconds, and in an hour hardly one of them eight in a row (at three in a row
//! it would be all of them). The eight have to be further apart than a tolerated burst, which makes many users fail
//! together and says nothing.
//!
//! Two bytes for each slot of the key space, from the first failure on. Two workers may lose a step of a run against
//! each other, which makes it found a request later.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use super::slot_set::SLOTS;

/// This many failures in a row are no accident.
const FAILURES: u16 = 8;

/// The bits of a run that say when it began; those above count its failures up to [`FAILURES`].
const SINCE_BITS: u32 = 12;

/// When runs begin, in ticks, modulo this: seventeen minutes.
const TICKS: u16 = 1 << SINCE_BITS;

/// The runs of all slots.
#[derive(Default)]
pub(crate) struct FailureRuns(OnceLock<Box<[AtomicU16]>>);

impl std::fmt::Debug for FailureRuns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = self.0.get().map_or(0, |runs| runs.iter().filter(|run| run.load(Relaxed) != 0).count());
        write!(f, "FailureRuns({runs})")
    }
}

impl FailureRuns {
    /// Notes how a request of `slot` ended in a tick. Returns whether eight of its requests or more have failed in a
    /// row, and the first of them `span` ticks ago or longer.
    pub(crate) fn note(&self, slot: u32, failed: bool, tick: u32, span: u16) -> bool {
        if !failed {
            let run = self.0.get().and_then(|runs| runs.get(slot as usize));
            if let Some(run) = run.filter(|run| run.load(Relaxed) != 0) {
                run.store(0, Relaxed);
            }
            return false;
        }
        let runs = self.0.get_or_init(|| (0..SLOTS).map(|_| AtomicU16::new(0)).collect());
        let Some(run) = runs.get(slot as usize) else { return false };
        #[expect(clippy::cast_possible_truncation, reason = "times are kept modulo seventeen minutes")]
        let now = tick as u16 % TICKS;
        let (failures, since) = match (run.load(Relaxed) >> SINCE_BITS, run.load(Relaxed) % TICKS) {
            (0, _) => (1, now),
            (failures, since) => ((failures + 1).min(FAILURES), since),
        };
        run.store(failures << SINCE_BITS | since, Relaxed);
        failures == FAILURES && now.wrapping_sub(since) % TICKS >= span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these ticks, in each of which a request of the slot fails.
    fn said(runs: &FailureRuns, slot: u32, ticks: &[u32], span: u16) -> Vec<bool> {
        ticks.iter().map(|tick| runs.note(slot, true, *tick, span)).collect()
    }

    #[test]
    fn eight_in_a_row_that_last_longer_than_a_burst() {
        let runs = FailureRuns::default();
        assert!(!runs.note(1, false, 0, 6), "nothing is kept of those who are well");
        assert_eq!(said(&runs, 1, &[10; 9], 6), [false; 9], "within a tick");
        assert_eq!(said(&runs, 1, &[15, 16, 17], 6), [false, true, true]);
        assert!(!runs.note(1, false, 18, 6));
        assert_eq!(said(&runs, 1, &[19, 30, 40, 50, 60, 70, 80], 6), [false; 7], "seven");
        assert!(runs.note(1, true, 81, 6) && !runs.note(2, true, 81, 6), "each for itself");
        assert!(!runs.note(100_000, true, 50, 6), "no slot");
    }

    #[test]
    fn time_wraps_and_without_a_burst_eight_do() {
        let runs = FailureRuns::default();
        assert_eq!(said(&runs, 7, &[4_092; 8], 6), [false; 8]);
        assert_eq!(said(&runs, 7, &[4_097, 4_098], 6), [false, true]);
        assert_eq!(said(&runs, 8, &[5; 8], 0)[6..], [false, true]);
    }
}
