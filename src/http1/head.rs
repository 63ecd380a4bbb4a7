//! Heads of requests and responses, from bytes.
//!
//! Every line is kept, in its order, and nothing is repaired: a length beside a coding, or two lengths, stay in the
//! head for admission to refuse. What has no reading at all (no number where a length should be, a last coding that is
//! not `chunked`) is an error here.

use std::mem::MaybeUninit;

use bytes::{Buf, BytesMut};
use http::{Extensions, Method, StatusCode, Version};
use httparse::{Error as ParseError, Header, Status};

use crate::message::{self, HeaderSet, HeaderSpan, Headers, RequestTarget};

/// The most header lines that are parsed, whatever the limits say; a bound of the stack.
pub(crate) const HEADERS_MAX: usize = 256;

/// How large a head may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    /// In bytes, with its start line.
    pub bytes_max: usize,
    /// In header lines, up to [`HEADERS_MAX`].
    pub headers_max: usize,
}

/// Why bytes are no head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    /// The start line begins with no method.
    #[error("found no method at the start of a request")]
    Method,
    /// The target of a request is none.
    #[error("found a target that is not a path or a URI")]
    Target,
    /// It is not HTTP/1.0 or HTTP/1.1.
    #[error("found a version other than HTTP/1.0 and HTTP/1.1")]
    Version,
    /// A line is no header.
    #[error("found a line that is not a header")]
    Header,
    /// A status line has no status.
    #[error("found no status in an answer")]
    Status,
    /// There are more bytes than there may be.
    #[error("found a head with more bytes than it may have")]
    TooLarge,
    /// There are more lines than there may be.
    #[error("found a head with more lines than it may have")]
    TooManyLines,
    /// Where the body ends cannot be told by its length.
    #[error("found a length that is no number, or two lengths")]
    Length,
    /// Where the body ends cannot be told by its coding.
    #[error("found a last transfer coding other than chunked")]
    Coding,
}

/// Where the body of a message ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLength {
    /// After this many bytes.
    Exact(u64),
    /// After the last chunk.
    Chunked,
    /// When the connection is closed.
    UntilClose,
}

/// A request: its head, and what HTTP/1.1 makes of it.
#[derive(Debug)]
pub struct Request {
    /// The head, with all lines.
    pub head: Box<message::RequestHead>,
    /// How long the body is, if the head has one reading.
    pub body: BodyLength,
    /// Whether the target has a fragment.
    pub fragment: bool,
    /// Whether another request may follow (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// Whether the client waits to be told to send the body.
    pub expects_continue: bool,
}

/// The head of a response.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status. Of an [interim](Self::is_interim) response the head is all there is, and the next head follows it.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All lines.
    pub headers: Headers,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether another request may follow (RFC 9112, 9.3).
    pub keep_alive: bool,
}

impl ResponseHead {
    /// Whether another response to the same request follows (RFC 9110, 15.2). 101 is the last one that is HTTP.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// The `lines` of a head of `length` bytes, and what they say of its framing.
fn headers(bytes: &[u8], length: usize, lines: &[Header<'_>]) -> (Headers, HeadFraming) {
    let start = lines.first().map_or(length, |first| place_in(bytes, first.name.as_bytes()).0);
    let section = bytes.get(start..length).unwrap_or_default();
    let place = |part: &[u8]| {
        let (start, end) = place_in(section, part);
        HeaderSpan::new(start, end)
    };
    let mut headers = Headers::of_section(section, lines.len());
    let mut framing = HeadFraming::default();
    for line in lines {
        let kind = headers.add(place(line.name.as_bytes()), place(line.value));
        if kind.has(FRAMING) {
            framing.note(kind, line.value);
        }
    }
    (headers, framing)
}

/// What says something of the framing or the connection.
const FRAMING: HeaderSet =
    HeaderSet::CONTENT_LENGTH.with(HeaderSet::TRANSFER_ENCODING).with(HeaderSet::CONNECTION).with(HeaderSet::EXPECT);

/// What the lines of a head say of its framing and its connection, noted while they pass.
#[derive(Default)]
struct HeadFraming {
    length: Option<Length>,
    /// Whether the last coding is `chunked`.
    chunked: Option<bool>,
    /// Whether a line asks for the end of the connection.
    close: bool,
    /// Whether a line asks for the connection to stay.
    keep: bool,
    expects_continue: bool,
}

/// What lines of `Content-Length` say together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Nonsense,
}

impl HeadFraming {
    fn note(&mut self, kind: HeaderSet, value: &[u8]) {
        if kind == HeaderSet::CONTENT_LENGTH {
            let length = number(value).map_or(Length::Nonsense, Length::Bytes);
            let before = self.length.unwrap_or(length);
            self.length = Some(if before == length { length } else { Length::Nonsense });
        } else if kind == HeaderSet::TRANSFER_ENCODING {
            let coding = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            self.chunked = Some(coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        } else if kind == HeaderSet::CONNECTION {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if kind == HeaderSet::EXPECT {
            self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        }
    }

    /// RFC 9112, 6.3. A length beside a coding is not used; whether it may be there is not decided here.
    fn body(&self) -> Result<Option<BodyLength>, HeadError> {
        match (self.chunked, self.length) {
            (Some(true), _) => Ok(Some(BodyLength::Chunked)),
            (None, Some(Length::Bytes(length))) => Ok(Some(BodyLength::Exact(length))),
            (None, None) => Ok(None),
            (Some(false), _) => Err(HeadError::Coding),
            (None, Some(Length::Nonsense)) => Err(HeadError::Length),
        }
    }

    /// Whether the connection stays (RFC 9112, 9.3). What asks for its end on one line is not undone by another. A
    /// client that sends a length beside a coding may have meant either, and HTTP/1.0 knows no codings (6.1), so
    /// nothing may follow.
    fn keeps_alive(&self, version: Version) -> bool {
        let doubtful = self.chunked.is_some() && (self.length.is_some() || version != Version::HTTP_11);
        !self.close && !doubtful && (self.keep || version == Version::HTTP_11)
    }
}

/// Where `part`, which is a slice of `whole`, begins and ends in it.
fn place_in(whole: &[u8], part: &[u8]) -> (usize, usize) {
    let start = (part.as_ptr().addr()).saturating_sub(whole.as_ptr().addr());
    (start, start + part.len())
}

/// Takes the head of a request off the front of `bytes`; `None` if it is not whole.
///
/// # Errors
/// When it cannot become one, or is too large.
pub(crate) fn request(bytes: &mut BytesMut, limits: HeadLimits) -> Result<Option<Request>, HeadError> {
    let read = match any_request(bytes, bytes, limits) {
        // The parser of lines wants targets to be UTF-8.
        Err(HeadError::Target) => {
            let plain = with_plain_target(bytes).ok_or(HeadError::Target)?;
            any_request(&plain, bytes, limits)
        }
        read => read,
    };
    let Some((request, length)) = read? else { return Ok(None) };
    // Not before all is good: a head that is refused is told of by its first line.
    bytes.advance(length);
    Ok(Some(request))
}

/// The head at the front of `bytes`, and how long it is. `given` is the same, as it came: the target is from there.
fn any_request(bytes: &[u8], given: &[u8], limits: HeadLimits) -> Result<Option<(Request, usize)>, HeadError> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let lines = &mut lines[..limits.headers_max.min(HEADERS_MAX)];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, lines) {
        Ok(Status::Complete(length)) if length <= limits.bytes_max => length,
        Ok(Status::Partial) if bytes.len() < limits.bytes_max => return Ok(None),
        Ok(_) => return Err(HeadError::TooLarge),
        Err(ParseError::Token) if parsed.method.is_none() => return Err(HeadError::Method),
        Err(ParseError::Token) => return Err(HeadError::Target),
        Err(error) => return Err(error.into()),
    };
    let (method, path) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let method = Method::from_bytes(method.as_bytes()).map_err(|_invalid| HeadError::Method)?;
    let version = version(parsed.version);
    let (start, end) = place_in(bytes, path.as_bytes());
    let path = given.get(start..end).unwrap_or_default();
    let fragment = path.contains(&b'#');
    let target = RequestTarget::parse(path).ok_or(HeadError::Target)?;
    let (headers, framing) = headers(bytes, length, parsed.headers);
    let request = Request {
        head: Box::new(message::RequestHead { method, target, version, headers, extensions: Extensions::new() }),
        body: framing.body()?.unwrap_or(BodyLength::Exact(0)),
        fragment,
        keep_alive: framing.keeps_alive(version),
        expects_continue: framing.expects_continue && version == Version::HTTP_11,
    };
    Ok(Some((request, length)))
}

/// The same bytes with other ones in the place of those of the target that are not ASCII; `None` if there are none.
fn with_plain_target(bytes: &[u8]) -> Option<Vec<u8>> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let line = bytes[start..].split(|byte| *byte == b'\n').next()?;
    let first = start + line.iter().position(|byte| *byte == b' ')?;
    let last = start + line.iter().rposition(|byte| *byte == b' ')?;
    // The version may not have come yet.
    let end = if last == first { start + line.len() } else { last };
    let mut plain = bytes.to_vec();
    let target = &mut plain[first..end];
    if target.is_ascii() {
        return None;
    }
    target.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'x');
    Some(plain)
}

/// Takes the head of the response to a request, `to_head` or not, off the front of `bytes`; `None` if it is not whole.
/// An interim response is one by itself.
///
/// # Errors
/// When it cannot become one, or is too large.
pub(crate) fn response(
    bytes: &mut BytesMut,
    to_head: bool,
    limits: HeadLimits,
) -> Result<Option<ResponseHead>, HeadError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let Some((mut head, framing)) = any_response(bytes, limits)? else { return Ok(None) };
    if head.status.is_informational() {
        head.keep_alive &= head.is_interim();
        return Ok(Some(head));
    }
    let bodiless = to_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // An origin of HTTP/1.0 knows no codings: what it means by one is a guess (RFC 9112, 6.1).
    head.keep_alive &= head.version == Version::HTTP_11 || framing.chunked.is_none();
    if bodiless {
        head.body = BodyLength::Exact(0);
    } else if let Some(length) = framing.body()? {
        head.body = length;
    } else {
        (head.body, head.keep_alive) = (BodyLength::UntilClose, false);
    }
    Ok(Some(head))
}

/// As [`response`], whatever its status is; its body is not known yet.
fn any_response(bytes: &mut BytesMut, limits: HeadLimits) -> Result<Option<(ResponseHead, HeadFraming)>, HeadError> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let lines = &mut lines[..limits.headers_max.min(HEADERS_MAX)];
    let mut parsed = httparse::Response::new(&mut []);
    let parse = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, lines);
    let length = match parse {
        Ok(Status::Complete(length)) if length <= limits.bytes_max => length,
        Ok(Status::Partial) if bytes.len() < limits.bytes_max => return Ok(None),
        Ok(_) => return Err(HeadError::TooLarge),
        Err(error) => return Err(error.into()),
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_invalid| HeadError::Status)?;
    let version = version(parsed.version);
    let (headers, framing) = headers(bytes, length, parsed.headers);
    bytes.advance(length);
    let keep_alive = framing.keeps_alive(version);
    Ok(Some((ResponseHead { status, version, headers, body: BodyLength::Exact(0), keep_alive }, framing)))
}

impl From<ParseError> for HeadError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::HeaderName | ParseError::HeaderValue | ParseError::NewLine => Self::Header,
            ParseError::Status => Self::Status,
            ParseError::Token => Self::Header,
            ParseError::TooManyHeaders => Self::TooManyLines,
            ParseError::Version => Self::Version,
        }
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 }
}

/// Digits only: no sign, no list (RFC 9110, 8.6).
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    // The two highest numbers stand for other things in other codecs of ours.
    text.iter().filter(|_| digits).try_fold(0, add).filter(|length| digits && *length < u64::MAX - 1)
}
