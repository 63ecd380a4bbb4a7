//! The header lines of a message.
//!
//! Text is only ever added, and a line that is removed is forgotten: so a [`HeaderSpan`] stays good as long as its
//! headers do. What is added is written as it will go out, and what came in a head stands there in the same form nearly
//! always (`name: value` and a line end): lines that follow each other in the text go out together, in one copy.

use std::fmt;
use std::slice;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::ascii;
use super::header_set::HeaderSet;
use super::known_headers::KnownHeader;

/// Room for what a proxy adds to a message, so that nothing has to grow for it.
const ADDED_BYTES: usize = 320;

/// The same, in lines.
const ADDED_LINES: usize = 8;

/// Between a name and its value.
const COLON: &[u8] = b": ";

/// After a line.
const LINE_END: &[u8] = b"\r\n";

/// A piece of the text of [`Headers`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeaderSpan {
    start: u32,
    end: u32,
}

impl HeaderSpan {
    /// From byte `start` to the one before `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        // A head is far smaller than 4 GiB, whatever is added to it. One that is not would lose lines, and nothing
        // else.
        let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: at(start), end: at(end) }
    }

    /// Its first `bytes`.
    #[must_use]
    pub fn first(self, bytes: usize) -> Self {
        Self { end: self.end.min(Self::new(0, self.start as usize + bytes).end), ..self }
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where a line stands.
#[derive(Clone, Copy, Debug)]
struct HeaderLine {
    name: HeaderSpan,
    value: HeaderSpan,
    /// Whether it stands there as it is to be written.
    plain: bool,
}

impl HeaderLine {
    /// A line of a head, which its sender may have written with other spaces and line ends.
    fn of(text: &[u8], name: HeaderSpan, value: HeaderSpan) -> Self {
        let plain = HeaderSpan { start: name.end, end: value.start }.of(text) == COLON
            && text.get(value.end as usize..).is_some_and(|rest| rest.starts_with(LINE_END));
        Self { name, value, plain }
    }

    /// Where the next line begins, if this one is plain.
    fn end(self) -> u32 {
        self.value.end.saturating_add(2)
    }
}

/// Header lines in their order, with names in lower case. Values have no byte that a value must not have (RFC 9110,
/// 5.5).
#[derive(Clone, Default)]
pub struct Headers {
    text: Vec<u8>,
    lines: Vec<HeaderLine>,
    header_set: HeaderSet,
}

impl Headers {
    /// No line yet, with room for those of the `section` of a head and for what a proxy adds. The section is all that
    /// follows the start line; its lines are added by [`add`](Self::add).
    #[must_use]
    pub fn of_section(section: &[u8], lines: usize) -> Self {
        let mut text = Vec::with_capacity(section.len() + ADDED_BYTES);
        text.extend_from_slice(section);
        Self { text, lines: Vec::with_capacity(lines + ADDED_LINES), header_set: HeaderSet::NONE }
    }

    /// Adds a line of the section, by the places of its name and its value there, which a parser has found good.
    /// Returns what kind of header it is.
    pub fn add(&mut self, name: HeaderSpan, value: HeaderSpan) -> HeaderSet {
        let Some(text) = self.text.get_mut(name.start as usize..name.end as usize) else { return HeaderSet::NONE };
        ascii::lower_all(text);
        let kind = HeaderSet::kind(text);
        self.header_set = self.header_set | kind;
        self.lines.push(HeaderLine::of(&self.text, name, value));
        kind
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether there may be a header of one of these kinds. "No" is certain; a header that was there may have been
    /// removed.
    #[must_use]
    pub fn has(&self, kinds: HeaderSet) -> bool {
        self.header_set.has(kinds)
    }

    /// The text at a place that [`find`](Self::find) gave, now or before a change.
    #[must_use]
    pub fn text(&self, place: HeaderSpan) -> &[u8] {
        place.of(&self.text)
    }

    /// Whether there is such a line.
    #[must_use]
    pub fn contains(&self, name: KnownHeader) -> bool {
        self.get(name).is_some()
    }

    /// The value of the first line with this name.
    #[must_use]
    pub fn get(&self, name: KnownHeader) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The same as a place, which stays good whatever is added or removed.
    #[must_use]
    pub fn find(&self, name: KnownHeader) -> Option<HeaderSpan> {
        let name = name.as_str().as_bytes();
        self.lines.iter().find(|line| line.name.of(&self.text) == name).map(|line| line.value)
    }

    /// The values of all lines with this name, in their order.
    #[must_use]
    pub fn get_all(&self, name: KnownHeader) -> ValuesOfName<'_> {
        let absent = name.kind() != HeaderSet::NONE && !self.has(name.kind());
        let lines = if absent { &[] } else { &self.lines[..] };
        ValuesOfName { text: &self.text, lines: lines.iter(), name: name.as_str().as_bytes() }
    }

    /// The same for a name from the configuration.
    #[must_use]
    pub fn all_named<'h>(&'h self, name: &'h HeaderName) -> ValuesOfName<'h> {
        ValuesOfName { text: &self.text, lines: self.lines.iter(), name: name.as_str().as_bytes() }
    }

    /// All lines: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (line.name.of(&self.text), line.value.of(&self.text)))
    }

    /// Adds a line at the end. A value with a byte that none may have is not added: what it would turn the message into
    /// is worse than its absence.
    pub fn append(&mut self, name: KnownHeader, value: impl AsRef<[u8]>) {
        self.push(name.as_str().as_bytes(), value.as_ref(), name.kind());
    }

    /// Adds a line whose name is any. One with a quotation mark, which the codec of HTTP/2 lets through, is no name
    /// (RFC 9110, 5.6.2) and not added.
    pub fn append_named(&mut self, name: &HeaderName, value: &HeaderValue) {
        let name = name.as_str().as_bytes();
        if !name.contains(&b'"') {
            self.push(name, value.as_bytes(), HeaderSet::kind(name));
        }
    }

    /// The same with a value of any bytes; as with [`append`](Self::append), one that none may have is not added.
    pub fn append_text(&mut self, name: &HeaderName, value: &[u8]) {
        let name = name.as_str().as_bytes();
        self.push(name, value, HeaderSet::kind(name));
    }

    /// Removes all lines with this name.
    pub fn remove_named(&mut self, name: &HeaderName) {
        self.retain(|other| other != name.as_str().as_bytes());
    }

    /// Adds a line with the value at a place that [`find`](Self::find) gave.
    pub fn append_copy(&mut self, name: KnownHeader, place: HeaderSpan) {
        let (from, to) = (place.start as usize, place.end as usize);
        if to > self.text.len() || from > to {
            return;
        }
        let start = self.begin(name.as_str().as_bytes(), to - from);
        self.text.extend_from_within(from..to);
        self.finish(start, name.as_str().len(), name.kind());
    }

    /// Adds a line in the place of all with this name.
    pub fn insert(&mut self, name: KnownHeader, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.append(name, value);
    }

    /// Removes all lines with this name. Returns whether there was one.
    pub fn remove(&mut self, name: KnownHeader) -> bool {
        let absent = name.kind() != HeaderSet::NONE && !self.has(name.kind());
        !absent && self.retain(|other| other != name.as_str().as_bytes())
    }

    /// Keeps only the lines whose names are wanted. Returns whether any went.
    pub fn retain(&mut self, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| wanted(line.name.of(&self.text)));
        self.lines.len() != before
    }

    /// Writes all lines as HTTP/1.1 has them, without the empty one that ends them.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut run = HeaderSpan::default();
        for line in &self.lines {
            if line.plain {
                if line.name.start != run.end {
                    out.extend_from_slice(run.of(&self.text));
                    run.start = line.name.start;
                }
                run.end = line.end();
            } else {
                out.extend_from_slice(run.of(&self.text));
                run = HeaderSpan::default();
                for part in [line.name.of(&self.text), COLON, line.value.of(&self.text), LINE_END] {
                    out.extend_from_slice(part);
                }
            }
        }
        out.extend_from_slice(run.of(&self.text));
    }

    /// The same lines as a map.
    #[must_use]
    pub fn into_map(self) -> HeaderMap {
        let text = Bytes::from(self.text);
        let mut map = HeaderMap::with_capacity(self.lines.len());
        for line in &self.lines {
            let (start, end) = (line.value.start as usize, line.value.end as usize);
            let name = HeaderName::from_bytes(line.name.of(&text));
            // Both are good: they were looked at when they came in.
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(text.slice(start..end))) {
                map.append(name, value);
            }
        }
        map
    }

    fn push(&mut self, name: &[u8], value: &[u8], kind: HeaderSet) {
        if is_value(value) {
            let start = self.begin(name, value.len());
            self.text.extend_from_slice(value);
            self.finish(start, name.len(), kind);
        }
    }

    /// Begins a line with a value of this many bytes. Returns where.
    fn begin(&mut self, name: &[u8], value_bytes: usize) -> usize {
        let start = self.text.len();
        self.text.reserve(name.len() + COLON.len() + value_bytes + LINE_END.len());
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(COLON);
        start
    }

    /// Ends a line whose value stands at the end of the text.
    fn finish(&mut self, start: usize, name_bytes: usize, kind: HeaderSet) {
        let name_end = start + name_bytes;
        let value = HeaderSpan::new(name_end + COLON.len(), self.text.len());
        self.text.extend_from_slice(LINE_END);
        self.lines.push(HeaderLine { name: HeaderSpan::new(start, name_end), value, plain: true });
        self.header_set = self.header_set | kind;
    }
}

/// Whether a value may be this: any bytes but control characters, and of them the tab.
fn is_value(value: &[u8]) -> bool {
    !ascii::has_control(value) || value.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t')
}

/// The values of a name. See [`Headers::get_all`].
#[derive(Clone, Debug)]
pub struct ValuesOfName<'h> {
    text: &'h [u8],
    lines: slice::Iter<'h, HeaderLine>,
    name: &'h [u8],
}

impl<'h> Iterator for ValuesOfName<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let (text, name) = (self.text, self.name);
        self.lines.find(|line| line.name.of(text) == name).map(|line| line.value.of(text))
    }
}

impl DoubleEndedIterator for ValuesOfName<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (text, name) = (self.text, self.name);
        self.lines.rfind(|line| line.name.of(text) == name).map(|line| line.value.of(text))
    }
}

impl From<&HeaderMap> for Headers {
    fn from(map: &HeaderMap) -> Self {
        let bytes: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut headers = Self {
            text: Vec::with_capacity(bytes + ADDED_BYTES),
            lines: Vec::with_capacity(map.len() + ADDED_LINES),
            header_set: HeaderSet::NONE,
        };
        for (name, value) in map {
            headers.append_named(name, value);
        }
        headers
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Headers {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(lines: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in lines {
            headers.append_named(&name, &value);
        }
        headers
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        formatter.debug_list().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::known_headers::{CONNECTION, CONTENT_LENGTH, HOST, VIA};
    use super::*;

    /// The headers of a head without its start line.
    fn parsed(section: &str) -> Headers {
        let mut lines = [httparse::EMPTY_HEADER; 16];
        let httparse::Status::Complete((_, lines)) =
            httparse::parse_headers(section.as_bytes(), &mut lines).expect("lines")
        else {
            panic!("not whole: {section:?}");
        };
        let place = |part: &[u8]| {
            let start = part.as_ptr().addr() - section.as_ptr().addr();
            HeaderSpan::new(start, start + part.len())
        };
        let mut headers = Headers::of_section(section.as_bytes(), lines.len());
        for line in lines {
            headers.add(place(line.name.as_bytes()), place(line.value));
        }
        headers
    }

    fn written(headers: &Headers) -> String {
        let mut out = Vec::new();
        headers.write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines_are_found_changed_and_written_in_their_order() {
        let mut headers = parsed("Host: a\r\nX-Twice: 1\r\nconnection:close\r\nX-Twice:  2 \r\n\r\n");
        assert_eq!(headers.get(HOST), Some(&b"a"[..]));
        assert!(headers.has(HeaderSet::CONNECTION) && !headers.has(HeaderSet::UPGRADE));
        let twice = HeaderName::from_static("x-twice");
        assert_eq!(headers.all_named(&twice).collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.all_named(&twice).rev().collect::<Vec<_>>(), [b"2", b"1"]);
        let host = headers.find(HOST).expect("it is there");
        headers.append(VIA, "1.1 x");
        headers.insert(CONTENT_LENGTH, "3");
        headers.insert(CONTENT_LENGTH, "4");
        assert!(headers.remove(CONNECTION) && !headers.remove(CONNECTION));
        headers.insert(HOST, "b");
        headers.append_copy(VIA, host);
        let all = "x-twice: 1\r\nx-twice: 2\r\nvia: 1.1 x\r\ncontent-length: 4\r\nhost: b\r\nvia: a\r\n";
        assert_eq!(written(&headers), all);
        assert_eq!(
            (headers.text(host), headers.text(host.first(9)), headers.text(host.first(0))),
            (&b"a"[..], &b"a"[..], &b""[..])
        );
        assert_eq!(headers.len(), 6);
        assert_eq!(Headers::from(&headers.clone().into_map()).len(), 6);
        assert!(headers.retain(|name| name != b"via") && !headers.contains(VIA));
    }

    #[test]
    fn no_value_can_begin_another_line() {
        let mut headers = Headers::default();
        for value in ["a\r\nb: c", "\n", "\0", "\x7f"] {
            headers.append(VIA, value);
        }
        assert!(headers.is_empty());
        headers.append(VIA, b"\xff\t ");
        assert_eq!(headers.get(VIA), Some(&b"\xff\t "[..]));
    }

    #[test]
    fn what_is_no_token_is_no_name() {
        let name = HeaderName::from_lowercase(b"a\"b").expect("the codec of HTTP/2 takes it");
        let headers = Headers::from_iter([(name, HeaderValue::from(1)), (http::header::HOST, HeaderValue::from(2))]);
        assert_eq!((headers.len(), headers.clone().into_map().len()), (1, 1), "{headers:?}");
    }

    #[test]
    fn a_place_that_is_none_is_empty() {
        let mut headers = parsed("a: b\r\n\r\n");
        assert_eq!(headers.text(HeaderSpan::new(3, 99)), b"");
        assert_eq!(headers.text(HeaderSpan::new(3, 1)), b"");
        headers.append_copy(VIA, HeaderSpan::new(3, 99));
        assert_eq!(headers.add(HeaderSpan::new(90, 99), HeaderSpan::new(0, 1)), HeaderSet::NONE);
        assert_eq!(headers.len(), 1);
    }

    proptest::proptest! {
        /// Whatever is between names, values and line ends, what is written is what a map of the same lines would be.
        #[test]
        fn what_is_written_is_what_was_read(
            lines in proptest::collection::vec(("[a-cA-C_-]{1,3}", "[ \t]{0,2}", "([!-~]([!-~ ]{0,3}[!-~])?)?", "[ \t]{0,1}\r?\n"), 0..9),
            gone in "[a-c]{1,2}",
        ) {
            let section: String = lines.iter().map(|(name, space, value, end)| format!("{name}:{space}{value}{end}")).collect();
            let mut headers = parsed(&format!("{section}\r\n"));
            headers.retain(|name| name != gone.as_bytes());
            headers.append(VIA, "1.1 x");
            let kept = lines.iter().filter(|(name, ..)| !name.eq_ignore_ascii_case(&gone));
            let wanted: String = kept.map(|(name, _, value, _)| format!("{}: {value}\r\n", name.to_ascii_lowercase())).collect();
            proptest::prop_assert_eq!(written(&headers), wanted + "via: 1.1 x\r\n");
            let back = Headers::from(&headers.clone().into_map());
            let sorted = |headers: &Headers| {
                let mut lines: Vec<_> = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                lines.sort_by(|one, other| one.0.cmp(&other.0));
                lines
            };
            proptest::prop_assert_eq!(sorted(&back), sorted(&headers));
        }
    }
}
