//! How far a simulation is, on a terminal: a plan with many users takes minutes, and silence looks like a hang.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::text::thousands;
use crate::simulation::release_batch::BatchWatch;

/// How long nothing is said: most simulations are over by then.
const SILENT: Duration = Duration::from_secs(1);

/// Time between two looks at the count.
const LOOK: Duration = Duration::from_millis(100);

/// Does `work` on these many releases, and says on standard error how far it is if that is a terminal.
pub(crate) fn told<T>(watch: &BatchWatch, all: u64, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| Telling { watch, over: &over, all }.tell(SILENT, &mut std::io::stderr()));
        let result = work();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// A simulation that is told of until it is over.
struct Telling<'a> {
    watch: &'a BatchWatch,
    over: &'a AtomicBool,
    all: u64,
}

impl Telling<'_> {
    fn tell(&self, silent: Duration, out: &mut impl Write) {
        let (begun, mut told) = (Instant::now(), None);
        while !self.over.load(Ordering::Relaxed) {
            let done = self.watch.done();
            if begun.elapsed() >= silent && told != Some(done) {
                // A terminal that is gone is no reason to stop.
                write!(out, "\r{} of {} releases simulated", thousands(done), thousands(self.all)).ok();
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
    use std::io;
    use std::sync::mpsc;

    use super::*;

    /// A terminal whose text is looked at while it is written.
    struct Told(mpsc::Sender<Vec<u8>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is said of a simulation that lasts until something is said, or is over at once if nothing ever is.
    fn said(silent: Duration) -> String {
        let (watch, over) = (BatchWatch::default(), AtomicBool::new(false));
        (0..7).for_each(|_| watch.add());
        let telling = Telling { watch: &watch, over: &over, all: 1_000 };
        let (out, told) = mpsc::channel();
        let mut out = Told(out);
        thread::scope(|scope| {
            scope.spawn(|| {
                telling.tell(silent, &mut out);
                drop(out);
            });
            let first = if silent.is_zero() { told.recv().expect("it is said") } else { Vec::new() };
            over.store(true, Ordering::Relaxed);
            String::from_utf8(told.iter().fold(first, |said, more| [said, more].concat())).expect("text")
        })
    }

    #[test]
    fn it_is_told_after_a_while_and_taken_away_at_the_end() {
        assert_eq!(said(Duration::ZERO), "\r7 of 1,000 releases simulated\r\x1b[K");
        assert_eq!(said(Duration::MAX), "");
    }
}
