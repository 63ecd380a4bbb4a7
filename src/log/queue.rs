//! The queue of a process's own log, and the thread that empties it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::time::Instant;

use super::losses::Losses;
use super::sink::{Sink, Unwritten};
use crate::supervise::{Part, panic_text};

/// Lines that may wait.
const LINES_MAX: usize = 8 * 1024;

/// Bytes of all lines that may wait: a minute of a busy log, and no more than a dozen connections cost.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest line. A backtrace fits, an answer of another server does not.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// How often it is told at the most how many lines were lost.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether everything is written, at the end.
const LOOK: Duration = Duration::from_millis(2);

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The process's own log; clones write to the same one. Nothing here waits or fails.
#[derive(Clone, Debug)]
pub struct Log {
    lines: SyncSender<Vec<u8>>,
    format: Format,
    /// Bytes of the lines that are not written yet.
    waiting: Arc<AtomicUsize>,
    losses: Arc<Losses>,
}

impl Log {
    /// Starts the thread that writes to `sink`. It lives as long as the process.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(sink: Sink, format: Format, part: Part) -> io::Result<Self> {
        let (lines, queue) = sync_channel(LINES_MAX);
        let log = Self { lines, format, waiting: Arc::default(), losses: Arc::default() };
        let (waiting, losses) = (Arc::clone(&log.waiting), Arc::clone(&log.losses));
        let mut writer =
            LogWriter { queue, sink, format, waiting, held: None, taken: 0, losses, part, told: 0, told_at: None };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            // A bug in here must not cost the log for ever.
            while let Err(panic) = catch_unwind(AssertUnwindSafe(|| writer.run())) {
                let Some(pause) = writer.part.ended(&panic_text(&*panic)) else { return };
                std::thread::sleep(pause);
                writer.part.runs_again();
            }
        })?;
        Ok(log)
    }

    /// Says something, as it is.
    pub fn say(&self, text: &str) {
        self.send(format!("{text}\n").into_bytes());
    }

    /// What was lost.
    #[must_use]
    pub fn losses(&self) -> Arc<Losses> {
        Arc::clone(&self.losses)
    }

    /// Waits until everything is written, or cannot be, for `within` at the most: at the end of the process.
    pub fn finish(&self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.waiting.load(Relaxed) > 0 && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }

    fn send(&self, mut line: Vec<u8>) {
        if line.len() > LINE_BYTES_MAX {
            line = self.format.cut(&line, jiff::Timestamp::now());
        }
        let bytes = line.len();
        let room = self.waiting.fetch_add(bytes, Relaxed) + bytes <= BYTES_MAX;
        if !room || self.lines.try_send(line).is_err() {
            self.waiting.fetch_sub(bytes, Relaxed);
            self.losses.add(1);
        }
    }
}

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The other end of the queue.
struct LogWriter {
    queue: Receiver<Vec<u8>>,
    sink: Sink,
    format: Format,
    waiting: Arc<AtomicUsize>,
    /// A line that was taken from the queue and is nowhere else.
    held: Option<Vec<u8>>,
    /// Bytes of those that were taken from the queue.
    taken: usize,
    losses: Arc<Losses>,
    part: Part,
    /// Lost lines that were told, and when.
    told: u64,
    told_at: Option<Instant>,
}

impl LogWriter {
    /// Writes until no thread can say anything any more.
    fn run(&mut self) {
        // What a panic has left.
        self.done();
        loop {
            let owed = self.losses.lines() > self.told;
            // What is owed is told also if nothing more is said.
            if self.held.is_none() {
                self.part.idle();
                let next = match owed {
                    true => self.queue.recv_timeout(TELL_EVERY),
                    false => self.queue.recv().map_err(RecvTimeoutError::from),
                };
                self.held = match next {
                    Ok(line) => Some(line),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
            }
            self.part.beat();
            if owed {
                self.tell_losses();
            }
            self.gather();
            // Where nothing waits, nothing is written: that says nothing about the stream.
            if !self.sink.is_empty() {
                let written = self.sink.flush();
                self.note(written);
            }
            self.done();
        }
    }

    /// Takes what waits.
    fn gather(&mut self) {
        let mut next = self.held.take();
        while let Some(line) = next {
            self.taken += line.len();
            self.sink.buffer().extend(line);
            next = if self.sink.is_full() { None } else { self.queue.try_recv().ok() };
        }
    }

    /// What was taken does not wait any more.
    fn done(&mut self) {
        self.waiting.fetch_sub(std::mem::take(&mut self.taken), Relaxed);
    }

    /// Tells how many lines were lost since that was told last; again later, if it cannot be written now.
    fn tell_losses(&mut self) {
        if self.told_at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        let lost = self.losses.lines();
        let line = self.format.lost(lost - self.told, jiff::Timestamp::now());
        self.sink.buffer().extend(line.into_bytes());
        let written = self.sink.flush();
        self.told_at = Some(Instant::now());
        match written {
            Ok(()) => self.told = lost,
            // Not a line that a caller said.
            Err(Unwritten { error, .. }) => self.note(Err(Unwritten { lines: 0, error })),
        }
    }

    fn note(&self, written: Result<(), Unwritten>) {
        match written {
            Ok(()) => self.losses.set_problem(None),
            Err(Unwritten { lines, error }) => {
                self.losses.add(lines);
                self.losses.set_problem(Some(error.to_string()))
            }
        };
    }
}

impl Format {
    /// The beginning of a line that is too long, as one that readers of this format can read.
    fn cut(self, line: &[u8], now: jiff::Timestamp) -> Vec<u8> {
        let beginning = |bytes: usize| {
            let whole = line[..bytes].utf8_chunks().next();
            whole.map_or("", |chunk| chunk.valid())
        };
        match self {
            Self::Text => format!("{}\n", beginning(LINE_BYTES_MAX - 1)).into_bytes(),
            Self::Json => {
                // Each of its quotes takes two bytes in a text of JSON, and the rest of the line has to fit, too.
                let fields = serde_json::json!({
                    "message": "a line was too long for this log", "bytes": line.len(),
                    "beginning": beginning(LINE_BYTES_MAX / 2 - 512),
                });
                let at = format!("{now:.6}");
                let line = serde_json::json!({ "timestamp": at, "level": "WARN", "fields": fields });
                format!("{line}\n").into_bytes()
            }
        }
    }

    /// The line that tells of others that were lost, as `tracing` would write it.
    fn lost(self, lines: u64, now: jiff::Timestamp) -> String {
        let what = if lines == 1 { "1 line was lost".to_owned() } else { format!("{lines} lines were lost") };
        let message = format!("{what}: this log could not be written, or not as fast as it came");
        match self {
            Self::Text => format!("{now:.6}  WARN {message}\n"),
            Self::Json => {
                let fields = serde_json::json!({ "message": message, "lines": lines });
                let at = format!("{now:.6}");
                serde_json::json!({ "timestamp": at, "level": "WARN", "fields": fields }).to_string() + "\n"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::AtomicBool;
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A stream that takes nothing until it is told to, and then everything.
    #[derive(Clone, Default)]
    struct Gate(Arc<Inner>);

    #[derive(Default)]
    struct Inner {
        /// The writer has come to it.
        reached: AtomicBool,
        open: Mutex<bool>,
        opened: Condvar,
        text: Mutex<Vec<u8>>,
    }

    impl Gate {
        fn open(&self) {
            *self.0.open.lock().unwrap() = true;
            self.0.opened.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.text.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.reached.store(true, Relaxed);
            drop(self.0.opened.wait_while(self.0.open.lock().unwrap(), |open| !*open).unwrap());
            self.0.text.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn eventually(what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A full disk, which counts the attempts to write to it.
    #[derive(Clone, Default)]
    struct Full(Arc<AtomicUsize>);

    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Relaxed);
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_stays_the_reason_while_nothing_more_is_said() {
        let full = Full::default();
        let log = Log::start(Sink::new(Box::new(full.clone())), Format::Text, Part::alone("log")).unwrap();
        log.say("a line");
        eventually("the line is lost", || log.losses().problem().is_some());
        eventually("what was lost is told again and again", || {
            assert!(log.losses().problem().is_some(), "nothing was written since");
            full.0.load(Relaxed) >= 3
        });
    }

    #[test]
    fn a_stream_that_nobody_reads_stops_nobody_and_what_it_lost_is_told() {
        let gate = Gate::default();
        let log = Log::start(Sink::new(Box::new(gate.clone())), Format::Text, Part::alone("log")).unwrap();
        // The writer stands at the gate before the rest comes: what it takes with it and tells would be chance
        // otherwise.
        log.say("line first");
        eventually("the writer waits", || gate.0.reached.load(Relaxed));
        let said = LINES_MAX as u64 + 5_000;
        // Who waited would wait for ever: the gate is closed until all of it is said.
        (0..said).for_each(|number| log.say(&format!("line {number}")));
        log.finish(Duration::from_millis(20));
        let lost = log.losses().lines();
        assert_eq!(lost, 5_000);
        gate.open();
        let told = format!(" WARN {lost} lines were lost: ");
        eventually("the loss is told", || gate.text().contains(&told));
        log.finish(Duration::from_secs(10));
        assert_eq!(gate.text().lines().filter(|line| line.starts_with("line ")).count() as u64, said + 1 - lost);
        log.say("and on it goes");
        eventually("it goes on", || gate.text().ends_with("and on it goes\n"));
    }

    #[test]
    fn bytes_are_bounded_too_and_a_long_line_is_cut() {
        let gate = Gate::default();
        let log = Log::start(Sink::new(Box::new(gate.clone())), Format::Text, Part::alone("log")).unwrap();
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        (0..1_000).for_each(|_| log.say(&long));
        assert!(log.waiting.load(Relaxed) <= BYTES_MAX);
        assert!(log.losses().lines() >= 1_000 - BYTES_MAX.div_ceil(LINE_BYTES_MAX) as u64);
        gate.open();
        log.finish(Duration::from_secs(10));
        assert!(gate.text().lines().all(|line| line.len() <= LINE_BYTES_MAX));
    }

    #[test]
    fn a_line_that_is_cut_can_be_read() {
        let (at, quotes) = (jiff::Timestamp::UNIX_EPOCH, "\"é".repeat(LINE_BYTES_MAX));
        let text = String::from_utf8(Format::Text.cut(quotes.as_bytes(), at)).unwrap();
        assert!((LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).contains(&text.len()) && text.ends_with('\n'), "{}", text.len());
        let json = Format::Json.cut(quotes.as_bytes(), at);
        assert!(json.len() <= LINE_BYTES_MAX && json.ends_with(b"}\n"), "{}", json.len());
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&json["level"], &json["fields"]["bytes"]), (&"WARN".into(), &quotes.len().into()));
        assert!(
            json["fields"]["beginning"].as_str().is_some_and(|text| quotes.starts_with(text) && text.len() > 7_000)
        );
    }

    #[test]
    fn losses_are_told_in_the_format_of_the_log() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let text = Format::Text.lost(1, at);
        assert!(text.starts_with("1970-01-01T00:00:00.000000Z  WARN 1 line was lost: "), "{text}");
        let json: serde_json::Value = serde_json::from_str(&Format::Json.lost(7, at)).unwrap();
        assert_eq!((&json["level"], &json["fields"]["lines"]), (&"WARN".into(), &7.into()));
    }
}
