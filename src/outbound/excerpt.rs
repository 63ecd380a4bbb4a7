//! An excerpt of what others say, fit for one line of a log: they may say megabytes, and anything.

/// What is cut off is marked by this.
const CUT: &str = "…";

/// The beginning of a text, on one line and without control characters.
#[must_use]
pub(crate) fn first(bytes: &[u8], chars_max: usize) -> String {
    let line = one_line(bytes);
    match line.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}{CUT}", &line[..end]),
        None => line,
    }
}

/// The end of a text, likewise.
#[must_use]
pub(crate) fn last(bytes: &[u8], chars_max: usize) -> String {
    let line = one_line(bytes);
    match line.char_indices().nth_back(chars_max.saturating_sub(1)) {
        Some((start, _)) if start > 0 => format!("{CUT}{}", &line[start..]),
        _ => line,
    }
}

/// Lines become one, parted by ` | `.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(|line| {
        let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
}

/// The last bytes of an endless text, in bounded memory.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// How many there were in all.
    seen: u64,
}

impl Tail {
    /// Keeps the last `bytes_max` bytes.
    #[must_use]
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, seen: 0 }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.bytes_max)..];
        let excess = (self.bytes.len() + kept.len()).saturating_sub(self.bytes_max);
        self.bytes.drain(..excess);
        self.bytes.extend_from_slice(kept);
    }

    /// What was kept.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes there were in all.
    #[must_use]
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_becomes_one_short_line() {
        assert_eq!(first(b"a\r\n\n  b\x1b[31m\tc\x00\n", 99), "a | b [31m c");
        assert_eq!(first("äöü".as_bytes(), 2), "äö…");
        assert_eq!(first("äöü".as_bytes(), 3), "äöü");
        assert_eq!(first(b"\xff", 9), "\u{fffd}");
        assert_eq!(last("äöü".as_bytes(), 2), "…öü");
        assert_eq!(last("äöü".as_bytes(), 3), "äöü");
        assert_eq!(last(b"", 5), "");
    }

    #[test]
    fn a_tail_keeps_the_last_bytes() {
        let mut tail = Tail::new(4);
        for bytes in [&b"ab"[..], b"", b"cde", b"f"] {
            tail.push(bytes);
        }
        assert_eq!((tail.bytes(), tail.seen()), (&b"cdef"[..], 6));
        tail.push(b"0123456789");
        assert_eq!((tail.bytes(), tail.seen()), (&b"6789"[..], 16));
    }
}
