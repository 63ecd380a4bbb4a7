//! Lines on their way into a file, a pipe or a terminal that may fail at any time.
//!
//! A line is written whole or not at all: if a disk is full in the middle of one, its rest waits, and whole lines after
//! it are dropped. The rest goes out first when there is room again, so that no line is torn for who reads the file
//! later.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

/// So much is gathered before it is written without waiting for a pause, in bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// The pause before a stream that does not block is tried again.
const AGAIN: Duration = Duration::from_millis(10);

/// Where lines are written.
pub struct Sink {
    out: Box<dyn Write + Send>,
    /// Lines that are to be written, each with its end.
    waiting: Vec<u8>,
    /// Whether the first of them is the rest of a line.
    torn: bool,
}

/// What a write left undone.
#[derive(Debug)]
pub struct Unwritten {
    /// Whole lines that were dropped.
    pub lines: u64,
    /// Why.
    pub error: io::Error,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("waiting", &self.waiting.len()).field("torn", &self.torn).finish_non_exhaustive()
    }
}

impl Sink {
    /// Writes to `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, waiting: Vec::new(), torn: false }
    }

    /// Where the next line is appended, with its end.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Whether so much waits that it should be written now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH_BYTES
    }

    /// Whether nothing waits: a flush would do nothing, and its success say nothing about the stream.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Goes on in another file. Returns how many lines are lost by that: the rest of one belongs to the old file.
    pub fn replace(&mut self, out: Box<dyn Write + Send>) -> u64 {
        self.out = out;
        let torn = std::mem::take(&mut self.torn);
        if torn {
            let end = line_end(&self.waiting);
            self.waiting.drain(..end);
        }
        u64::from(torn)
    }

    /// Writes what waits. Waits itself while the stream does not take anything, which only the thread of a log may do.
    ///
    /// # Errors
    /// [`Unwritten`] when the stream fails; the lines it counts are dropped.
    pub fn flush(&mut self) -> Result<(), Unwritten> {
        let mut written = 0;
        let failed = loop {
            if written == self.waiting.len() {
                break None;
            }
            match self.out.write(&self.waiting[written..]) {
                Ok(0) => break Some(ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
                Err(error) => break Some(error),
            }
        };
        let Some(error) = failed else {
            self.waiting.clear();
            self.torn = false;
            return Ok(());
        };
        // Nothing of it written: whether it is torn is as it was before.
        self.torn = written.checked_sub(1).map_or(self.torn, |last| self.waiting[last] != b'\n');
        self.waiting.drain(..written);
        let kept = if self.torn { line_end(&self.waiting) } else { 0 };
        let lines = self.waiting[kept..].iter().filter(|byte| **byte == b'\n').count();
        self.waiting.truncate(kept);
        Err(Unwritten { lines: u64::try_from(lines).unwrap_or(u64::MAX), error })
    }
}

/// Where the first line ends.
fn line_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A disk with so much room, which does not block but says once that it would, and is interrupted once.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<Inner>>);

    #[derive(Default)]
    struct Inner {
        text: Vec<u8>,
        room: usize,
        errors: Vec<ErrorKind>,
    }

    impl Disk {
        fn with_room(bytes: usize) -> Self {
            let disk = Self::default();
            disk.0.lock().unwrap().room = bytes;
            disk
        }

        fn make_room(&self, bytes: usize) {
            self.0.lock().unwrap().room += bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().text.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Inner { text, room, errors } = &mut *self.0.lock().unwrap();
            if let Some(error) = errors.pop() {
                return Err(error.into());
            }
            let count = bytes.len().min(*room).min(7);
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            text.extend(&bytes[..count]);
            *room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_whole_lines_and_tears_none() {
        for room in 0..60 {
            let disk = Disk::with_room(room);
            let mut sink = Sink::new(Box::new(disk.clone()));
            let mut lost = 0;
            for number in 0..6 {
                sink.buffer().extend(format!("line {number}\nline {number}b\n").bytes());
                lost += sink.flush().err().map_or(0, |unwritten| unwritten.lines);
            }
            disk.make_room(1_000);
            sink.buffer().extend(b"the last line\n");
            sink.flush().expect("there is room again");
            let text = disk.text();
            let known = |line: &str| line == "the last line" || line.len() <= 7 && line.starts_with("line ");
            assert!(text.ends_with('\n') && text.lines().all(known), "{room}: {text:?}");
            assert_eq!(text.lines().count() as u64 + lost, 13, "{room}: {text:?}");
        }
    }

    #[test]
    fn a_stream_that_does_not_block_gets_everything() {
        let disk = Disk::with_room(100);
        disk.0.lock().unwrap().errors = vec![ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::WouldBlock];
        let mut sink = Sink::new(Box::new(disk.clone()));
        sink.buffer().extend(b"one line\n");
        sink.flush().expect("it would only have blocked");
        assert_eq!(disk.text(), "one line\n");
    }

    #[test]
    fn another_file_begins_with_a_whole_line() {
        let (old, new) = (Disk::with_room(3), Disk::with_room(100));
        let mut sink = Sink::new(Box::new(old.clone()));
        sink.buffer().extend(b"first\nsecond\n");
        assert_eq!(sink.flush().expect_err("a full disk").lines, 1);
        assert_eq!(sink.replace(Box::new(new.clone())), 1, "the first is torn in the old file");
        sink.buffer().extend(b"third\n");
        sink.flush().expect("room");
        assert_eq!((old.text().as_str(), new.text().as_str()), ("fir", "third\n"));
    }
}
