//! A second look at the framing of what a client sends, for what hyper's parsed head no longer shows.
//!
//! hyper accepts `Content-Length` together with `Transfer-Encoding`, in either order, and removes the length; equal
//! lengths on several lines become one. RFC 9112 (6.1, 6.3) allows that and it is how request smuggling begins, so such a
//! request must be refused, but its [`Parts`](http::request::Parts) look innocent. So the connection's bytes pass by a
//! [`Tracker`], which follows the messages line by line and counts the framing headers of each head. It never decides
//! what a message is; it only makes the proxy refuse more. Re-parsing whole heads ourselves would be a second parser
//! with opinions; this one knows two header names, a length and the chunk grammar.

use std::collections::VecDeque;

/// The most bytes of a line that are kept: enough for the names and values that matter; longer lines are not framing.
const LINE_BYTES_MAX: usize = 64;

/// What a request line begins with whose answer has no body; methods differ by case (RFC 9110, 9.1).
const HEAD: &[u8] = b"HEAD ";

/// The most heads that wait to be asked for. hyper stops reading far earlier when a client pipelines.
const HEADS_WAITING_MAX: usize = 1024;

/// The framing headers of one head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeadFraming {
    /// Lines that begin with `Content-Length:`.
    pub content_lengths: u8,
    /// Lines that begin with `Transfer-Encoding:`.
    pub transfer_encodings: u8,
    /// Whether the request line has a `#`: a fragment, which the URI type drops without a word.
    pub fragment: bool,
    /// Whether the method is `HEAD`, whose answer has no body.
    pub to_head: bool,
}

/// Follows the bytes of one connection.
#[derive(Debug, Default)]
pub struct Tracker {
    state: State,
    line: Vec<u8>,
    line_is_long: bool,
    /// Whether the byte before was a carriage return.
    after_return: bool,
    head: HeadFraming,
    length: u64,
    chunked: bool,
    /// Whether a framing header was too long to be kept whole, so that its value is not known.
    unknown: bool,
    in_fields: bool,
    /// Whether the last line was an empty one before a request line.
    after_blank: bool,
    heads: VecDeque<HeadFraming>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// In the lines of a head.
    #[default]
    Head,
    /// So many bytes of a body are left.
    Body(u64),
    /// In the line that says how long a chunk is.
    ChunkSize,
    /// So many bytes of a chunk and its line end are left.
    Chunk(u64),
    /// In the lines after the last chunk.
    Trailers,
    /// The framing made no sense; hyper will have refused it.
    Lost,
}

impl Tracker {
    /// Takes in the next bytes of the connection.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skip = match self.state {
                State::Lost => return,
                State::Body(left) | State::Chunk(left) => left,
                State::Head | State::ChunkSize | State::Trailers => {
                    bytes = self.feed_line(bytes);
                    continue;
                }
            };
            let step = usize::try_from(skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
            bytes = &bytes[step..];
            let left = skip - step as u64;
            self.state = match self.state {
                State::Body(_) if left > 0 => State::Body(left),
                State::Chunk(_) if left > 0 => State::Chunk(left),
                State::Chunk(_) => State::ChunkSize,
                State::Body(_) | State::Head | State::ChunkSize | State::Trailers | State::Lost => State::Head,
            };
        }
    }

    /// Whether a part of a head has come, and not the rest of it.
    #[must_use]
    pub fn within_head(&self) -> bool {
        self.state == State::Head && (self.in_fields || !self.line.is_empty())
    }

    /// Whether all bytes so far are whole messages whose heads were asked for: nothing has come of the next one, not even
    /// an empty line before it.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.state == State::Head && !self.within_head() && !self.after_blank && self.heads.is_empty()
    }

    /// Whether the oldest head that was not asked for, whole or as far as it has come, is that of a `HEAD`.
    #[must_use]
    pub fn is_to_head(&self) -> bool {
        match self.heads.front() {
            Some(head) => head.to_head,
            None if self.in_fields => self.head.to_head,
            None => self.line.starts_with(HEAD),
        }
    }

    /// The framing of the oldest head that was not asked for; `None` if there was no whole head, or the tracker lost
    /// its place, which a proxy must take for a bad request.
    pub fn next_head(&mut self) -> Option<HeadFraming> {
        self.heads.pop_front()
    }

    fn feed_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|b| *b == b'\n');
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        if self.state == State::Head && !self.in_fields {
            // A `#` in the method is none. A method too long to be kept counts as target: refusing it is safe.
            let in_target = self.line_is_long || self.line.contains(&b' ');
            let start = if in_target { Some(0) } else { part.iter().position(|b| *b == b' ') };
            self.head.fragment |= start.is_some_and(|start| part[start..].contains(&b'#'));
        }
        let before_last = part.len().checked_sub(2).map(|at| part[at] == b'\r');
        let ends_bare = end.is_some() && !before_last.unwrap_or(self.after_return);
        self.after_return = part.ends_with(b"\r");
        if ends_bare && self.state != State::Head {
            // hyper takes a bare line feed for the end of a line in heads only. What it makes of the rest is not known.
            self.state = State::Lost;
            return &[];
        }
        if end.is_some() && self.line.is_empty() && !self.line_is_long {
            // The usual case: the whole line is here, nothing has to be kept.
            self.end_line(part);
            return rest;
        }
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line_is_long |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.end_line(&line);
            self.line = line;
            self.line.clear();
            self.line_is_long = false;
        }
        rest
    }

    fn end_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.state {
            State::Head if line.is_empty() && self.in_fields => self.end_head(),
            // Empty lines before a request line are skipped (RFC 9112, 2.2).
            State::Head if !self.in_fields => {
                self.in_fields = !line.is_empty();
                self.head.to_head = line.starts_with(HEAD);
                self.after_blank = line.is_empty();
            }
            State::Head => self.field(line),
            State::ChunkSize => {
                // Cut digits are another number.
                let whole = !self.line_is_long || line.contains(&b';');
                let size = chunk_size(line).filter(|_| whole);
                self.state = match size {
                    Some(0) => State::Trailers,
                    Some(size) => size.checked_add(2).map_or(State::Lost, State::Chunk),
                    None => State::Lost,
                };
            }
            State::Trailers if line.is_empty() => self.state = State::Head,
            State::Trailers | State::Body(_) | State::Chunk(_) | State::Lost => {}
        }
    }

    fn field(&mut self, line: &[u8]) {
        // One look at the first letter spares most lines the rest.
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => {
                if let Some(value) = value_of(line, b"content-length:") {
                    self.head.content_lengths = self.head.content_lengths.saturating_add(1);
                    self.length = parse_length(value).unwrap_or(0);
                    self.unknown |= self.line_is_long;
                }
            }
            Some(b't') => {
                if let Some(value) = value_of(line, b"transfer-encoding:") {
                    self.head.transfer_encodings = self.head.transfer_encodings.saturating_add(1);
                    self.chunked = value.trim_ascii_end().to_ascii_lowercase().ends_with(b"chunked");
                    self.unknown |= self.line_is_long;
                }
            }
            _ => {}
        }
    }

    fn end_head(&mut self) {
        self.state = match (self.chunked, self.length) {
            (true, _) => State::ChunkSize,
            (false, 0) => State::Head,
            (false, length) => State::Body(length),
        };
        if self.unknown {
            // Padded with white space and cut by a packet: nobody does that in good faith, and guessing where the body
            // ends would let the tracker take a body for heads.
            self.state = State::Lost;
        } else if self.heads.len() < HEADS_WAITING_MAX {
            self.heads.push_back(self.head);
        } else {
            self.state = State::Lost;
        }
        (self.head, self.length, self.chunked, self.in_fields) = (HeadFraming::default(), 0, false, false);
    }
}

/// What follows `name` (in lower case, with its colon), if the line begins with it in any case.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

fn parse_length(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

/// The size in a chunk's first line, without its extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|b| *b == b';').next()?.trim_ascii();
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in parts of `step` and returns `(lengths, encodings)` of each head.
    fn heads(bytes: &[u8], step: usize) -> Vec<(u8, u8)> {
        let mut tracker = Tracker::default();
        bytes.chunks(step).for_each(|part| tracker.feed(part));
        std::iter::from_fn(|| tracker.next_head()).map(|h| (h.content_lengths, h.transfer_encodings)).collect()
    }

    #[test]
    fn framing_headers_are_counted_however_the_bytes_are_cut() {
        let stream = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Lengthy: 7\r\n\r\n\
            POST / HTTP/1.1\r\ncontent-LENGTH: 31\r\nTransfer-Encoding: chunked\r\n\r\n\
            5;x=\"Content-Length: 1\"\r\nTransf\r\n10\r\nContent-Length: \r\n0\r\nContent-Length: 5\r\n\r\n\
            POST / HTTP/1.1\nContent-Length: 18\nContent-Length:18\n\nContent-Length: 1\n\
            GET / HTTP/1.1\r\n\r\n";
        // The chunk above is 5 bytes long, so the sixth and what follows break its grammar.
        assert_eq!(heads(stream, 7), [(0, 0), (1, 1)]);
        let stream = b"POST / HTTP/1.1\r\ncontent-LENGTH: 31\r\nTransfer-Encoding: chunked\r\n\r\n\
            6;x=\"Content-Length: 1\"\r\nTransf\r\n10\r\nContent-Length: \r\n0\r\nContent-Length: 5\r\n\r\n\
            POST / HTTP/1.1\nContent-Length: 18\nContent-Length:18\n\nContent-Length: 1\n\
            GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n";
        for step in 1..stream.len() {
            assert_eq!(heads(stream, step), [(1, 1), (2, 0), (0, 0)], "in parts of {step}");
        }
    }

    #[test]
    fn a_chunked_body_that_only_we_would_end_here_loses_the_place() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let zeros = "0".repeat(LINE_BYTES_MAX);
        let decoy = "\r\nGET /decoy HTTP/1.1\r\n\r\n";
        let padded = format!("{head}{zeros}{:x}\r\n{decoy}\r\n0\r\n\r\n{head}", decoy.len());
        // hyper looks for CR LF only: to it, all of these are one trailer section that goes on.
        let (short, long) = ("X: y\n", format!("X: {}\n", "y".repeat(LINE_BYTES_MAX)));
        let trailers = [format!("{short}\n"), "\n".to_owned(), format!("{short}\r\n"), format!("{long}\r\n")];
        let streams = trailers.map(|trailers| format!("{head}0\r\n{trailers}GET /decoy HTTP/1.1\r\n\r\n"));
        for stream in streams {
            for step in 1..=stream.len() {
                assert_eq!(heads(stream.as_bytes(), step), [(0, 1)], "{stream:?} in parts of {step}");
            }
        }
        assert_eq!(heads(padded.as_bytes(), padded.len()), [(0, 1), (0, 1)]);
        assert_eq!(heads(padded.as_bytes(), 20), [(0, 1)]);
        let long = format!("{head}0\r\nX: {}\r\n\r\n{head}", "y".repeat(LINE_BYTES_MAX));
        for step in 1..=long.len() {
            assert_eq!(heads(long.as_bytes(), step), [(0, 1), (0, 1)], "in parts of {step}");
        }
    }

    #[test]
    fn the_place_between_messages_is_known() {
        let head = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        for message in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", &format!("\r\n{head}hi"), chunked] {
            let mut tracker = Tracker::default();
            for _ in 0..2 {
                assert!(tracker.is_between_messages());
                for byte in message.as_bytes() {
                    tracker.feed(&[*byte]);
                    assert!(!tracker.is_between_messages(), "within {message:?}");
                }
                assert!(tracker.next_head().is_some());
            }
            assert!(tracker.is_between_messages());
        }
        let mut lost = Tracker::default();
        lost.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
        assert!(lost.next_head().is_some() && !lost.is_between_messages());
    }

    #[test]
    fn a_fragment_is_found_in_the_target_only() {
        let long = "M".repeat(2 * LINE_BYTES_MAX);
        let lines = [("GET /a#b HTTP/1.1", true), ("M#TH /a HTTP/1.1", false), ("M#TH /# HTTP/1.1", true)];
        let long_lines = [(format!("{long} /a#b HTTP/1.1"), true), (format!("{long} /a HTTP/1.1"), false)];
        let lines = lines.into_iter().map(|(line, found)| (line.to_owned(), found)).chain(long_lines);
        for (line, found) in lines {
            let head = format!("{line}\r\nX: #\r\n\r\n");
            for step in 1..=head.len() {
                let mut tracker = Tracker::default();
                head.as_bytes().chunks(step).for_each(|part| tracker.feed(part));
                assert_eq!(tracker.next_head().map(|head| head.fragment), Some(found), "{line:?} in parts of {step}");
            }
        }
    }

    #[test]
    fn the_head_that_is_refused_may_be_that_of_a_head() {
        let after = |bytes: &str, asked: usize| {
            let mut tracker = Tracker::default();
            bytes.as_bytes().chunks(3).for_each(|part| tracker.feed(part));
            for _ in 0..asked {
                tracker.next_head().expect("a whole head");
            }
            tracker.is_to_head()
        };
        let (get, head) = ("GET / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n");
        assert!(after("HEAD /lo", 0) && after("\r\nHEAD / HTTP/1.1\r\nHost", 0) && after(head, 0));
        assert!(!after("", 0) && !after("HEA", 0) && !after("head / HTTP/1.1\r\n", 0) && !after("HEADS / ", 0));
        let both = format!("{get}{head}{get}");
        assert!(!after(&both, 0) && after(&both, 1) && !after(&both, 2) && !after(&both, 3), "each by itself");
        assert!(after(&format!("{get}{head}HEAD"), 1) && !after(&format!("{head}GET /"), 1));
    }

    #[test]
    fn a_framing_header_that_is_not_known_whole_loses_the_place() {
        let pad = " ".repeat(LINE_BYTES_MAX);
        let padded = format!("POST / HTTP/1.1\r\nContent-Length:{pad}5\r\n\r\nhello");
        assert_eq!(heads(padded.as_bytes(), padded.len()), [(1, 0)]);
        assert_eq!(heads(padded.as_bytes(), 20), []);
        let padded = format!("POST / HTTP/1.1\r\nTransfer-Encoding:{pad}chunked\r\n\r\n0\r\n\r\n");
        assert_eq!(heads(padded.as_bytes(), 20), []);
        let long = format!("GET / HTTP/1.1\r\nCookie:{pad}5\r\n\r\n");
        assert_eq!(heads(long.as_bytes(), 20), [(0, 0)]);
    }

    proptest::proptest! {
        #[test]
        fn bodies_are_never_taken_for_heads(bodies: Vec<(bool, Vec<u8>)>, step in 1..40_usize) {
            let mut stream = Vec::new();
            for (chunked, body) in &bodies {
                if *chunked {
                    stream.extend_from_slice(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
                    for part in body.chunks(9) {
                        stream.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                        stream.extend_from_slice(part);
                        stream.extend_from_slice(b"\r\n");
                    }
                    stream.extend_from_slice(b"0\r\n\r\n");
                } else {
                    stream.extend_from_slice(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
                    stream.extend_from_slice(body);
                }
            }
            let expected: Vec<_> = bodies.iter().map(|(chunked, _)| if *chunked { (0, 1) } else { (1, 0) }).collect();
            proptest::prop_assert_eq!(heads(&stream, step), expected);
        }
    }
}
