//! How far a simulation is, on a terminal: a plan with many users takes minutes, and silence looks like a hang.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::text::thousands;

/// How long nothing is said: most simulations are over by then.
const SILENT: Duration = Duration::from_secs(1);

/// Time between two looks at the count.
const LOOK: Duration = Duration::from_millis(100);

/// How many releases are done.
#[derive(Debug, Default)]
pub(crate) struct SimulationProgress {
    done: AtomicU64,
    over: AtomicBool,
}

impl SimulationProgress {
    /// One more is done.
    pub(crate) fn add(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Does `work` on these many releases, and says on standard error how far it is if that is a terminal.
    pub(crate) fn told<T>(&self, all: u64, work: impl FnOnce() -> T) -> T {
        if !std::io::stderr().is_terminal() {
            return work();
        }
        thread::scope(|scope| {
            scope.spawn(|| self.tell(all, &mut std::io::stderr()));
            let result = work();
            self.over.store(true, Ordering::Relaxed);
            result
        })
    }

    fn tell(&self, all: u64, out: &mut impl Write) {
        let (begun, mut told) = (Instant::now(), None);
        while !self.over.load(Ordering::Relaxed) {
            let done = self.done.load(Ordering::Relaxed);
            if begun.elapsed() >= SILENT && told != Some(done) {
                // A terminal that is gone is no reason to stop.
                write!(out, "\r{} of {} releases simulated", thousands(done), thousands(all)).ok();
                out.flush().ok();
                told = Some(done);
            }
            thread::sleep(LOOK);
        }
        if told.is_some() {
            write!(out, "\r\x1b[K").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lasting: Duration) -> String {
        let progress = SimulationProgress::default();
        (0..7).for_each(|_| progress.add());
        thread::scope(|scope| {
            let telling = scope.spawn(|| {
                let mut out = Vec::new();
                progress.tell(1_000, &mut out);
                String::from_utf8(out).expect("text")
            });
            thread::sleep(lasting);
            progress.over.store(true, Ordering::Relaxed);
            telling.join().expect("no panic")
        })
    }

    #[test]
    fn it_is_told_after_a_second_and_taken_away_at_the_end() {
        assert_eq!(said(Duration::from_millis(1_500)), "\r7 of 1,000 releases simulated\r\x1b[K");
        assert_eq!(said(Duration::from_millis(200)), "");
    }
}
