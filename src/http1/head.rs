//! Heads of requests and answers, from bytes.
//!
//! Every line is kept, in its order, and nothing is repaired: a length beside a coding, or two lengths, stay in the head for
//! admission to refuse. What has no reading at all (no number where a length should be, a last coding that is not
//! `chunked`) is an error here.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use httparse::{Error as ParseError, Header, Status};
use smallvec::SmallVec;

/// The most header lines that are parsed, whatever the limits say; a bound of the stack.
pub const HEADERS_MAX: usize = 256;

/// Room for the headers that a proxy adds, so that a map does not grow for them.
const HEADERS_OF_OURS: usize = 6;

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
    /// There are more lines or bytes than there may be.
    #[error("found a head with more lines or bytes than it may have")]
    TooLarge,
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
    /// After so many bytes.
    Exact(u64),
    /// After the last chunk.
    Chunked,
    /// When the connection is closed.
    UntilClose,
}

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target. A fragment is not part of it; see [`fragment`](Self::fragment).
    pub uri: Uri,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All lines.
    pub headers: HeaderMap,
    /// How long the body is, if the head has one reading.
    pub body: BodyLength,
    /// Whether the target had a fragment, which a [`Uri`] drops.
    pub fragment: bool,
    /// Whether another request may follow (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// Whether the client waits to be told to send the body.
    pub expects_continue: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status; never 1xx but for 101.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All lines.
    pub headers: HeaderMap,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether another request may follow (RFC 9112, 9.3).
    pub keep_alive: bool,
}

/// Where a header line stands in the bytes of its head.
#[derive(Clone, Copy)]
struct Place {
    name: (u32, u32),
    value: (u32, u32),
}

/// Where the header lines of a head stand; most have fewer than this.
struct Places(SmallVec<[Place; 24]>);

impl Places {
    fn of(bytes: &[u8], headers: &[Header<'_>]) -> Self {
        let place = |header: &Header<'_>| Place {
            name: place_in(bytes, header.name.as_bytes()),
            value: place_in(bytes, header.value),
        };
        Self(headers.iter().map(place).collect())
    }

    /// The headers, of the bytes of the head, and what they say of its framing.
    fn headers(&self, head: &Bytes) -> Result<(HeaderMap, Framing), HeadError> {
        let mut headers = HeaderMap::with_capacity(self.0.len() + HEADERS_OF_OURS);
        let mut framing = Framing::default();
        for place in &self.0 {
            let name = HeaderName::from_bytes(slice(head, place.name)).map_err(|_invalid| HeadError::Header)?;
            let (start, end) = place.value;
            let value = HeaderValue::from_maybe_shared(head.slice(start as usize..end as usize));
            let value = value.map_err(|_invalid| HeadError::Header)?;
            framing.note(&name, value.as_bytes());
            headers.append(name, value);
        }
        Ok((headers, framing))
    }
}

/// What the lines of a head say of its framing and its connection, noted while they pass: to ask the map for each of these
/// names afterwards costs more than to look at every name once.
#[derive(Default)]
struct Framing {
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

impl Framing {
    fn note(&mut self, name: &HeaderName, value: &[u8]) {
        if name == CONTENT_LENGTH {
            let length = number(value).map_or(Length::Nonsense, Length::Bytes);
            let before = self.length.unwrap_or(length);
            self.length = Some(if before == length { length } else { Length::Nonsense });
        } else if name == TRANSFER_ENCODING {
            let coding = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            self.chunked = Some(coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        } else if name == CONNECTION {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name == EXPECT {
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

    /// Whether the connection stays (RFC 9112, 9.3). What asks for its end on one line is not undone by another. Whoever
    /// sends a length beside a coding may have meant either, and HTTP/1.0 knows no codings (6.1), so nothing may follow.
    fn keeps_alive(&self, version: Version) -> bool {
        let doubtful = self.chunked.is_some() && (self.length.is_some() || version != Version::HTTP_11);
        !self.close && !doubtful && (self.keep || version == Version::HTTP_11)
    }
}

/// Where `part`, which is a slice of `whole`, begins and ends in it.
fn place_in(whole: &[u8], part: &[u8]) -> (u32, u32) {
    let start = (part.as_ptr().addr()).saturating_sub(whole.as_ptr().addr());
    // A head is far smaller than 4 GiB: it is parsed only up to its limit.
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    (at(start), at(start + part.len()))
}

fn slice(head: &Bytes, (start, end): (u32, u32)) -> &[u8] {
    &head[start as usize..end as usize]
}

/// Takes the head of a request off the front of `bytes`; `None` if it is not whole.
///
/// # Errors
/// When it cannot become one, or is too large.
pub fn request(bytes: &mut BytesMut, limits: HeadLimits) -> Result<Option<RequestHead>, HeadError> {
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
    let target = place_in(bytes, path.as_bytes());
    let fragment = path.as_bytes().contains(&b'#');
    let places = Places::of(bytes, parsed.headers);
    let head = bytes.split_to(length).freeze();
    let target = head.slice(target.0 as usize..target.1 as usize);
    let uri = Uri::from_maybe_shared(target).map_err(|_invalid| HeadError::Target)?;
    let (headers, framing) = places.headers(&head)?;
    Ok(Some(RequestHead {
        method,
        uri,
        version,
        headers,
        body: framing.body()?.unwrap_or(BodyLength::Exact(0)),
        fragment,
        keep_alive: framing.keeps_alive(version),
        expects_continue: framing.expects_continue && version == Version::HTTP_11,
    }))
}

/// Takes the head of the answer to a request, `to_head` or not, off the front of `bytes`, and the interim answers before
/// it; `None` if it is not whole.
///
/// # Errors
/// When it cannot become one, or is too large.
pub fn response(bytes: &mut BytesMut, to_head: bool, limits: HeadLimits) -> Result<Option<ResponseHead>, HeadError> {
    loop {
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some((mut head, framing)) = any_response(bytes, limits)? else { return Ok(None) };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            head.keep_alive = false;
            return Ok(Some(head));
        }
        if head.status.is_informational() {
            continue;
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
        return Ok(Some(head));
    }
}

/// As [`response`], whatever its status is; its body is not known yet.
fn any_response(bytes: &mut BytesMut, limits: HeadLimits) -> Result<Option<(ResponseHead, Framing)>, HeadError> {
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
    let places = Places::of(bytes, parsed.headers);
    let head = bytes.split_to(length).freeze();
    let (headers, framing) = places.headers(&head)?;
    let keep_alive = framing.keeps_alive(version);
    Ok(Some((ResponseHead { status, version, headers, body: BodyLength::Exact(0), keep_alive }, framing)))
}

impl From<ParseError> for HeadError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::HeaderName | ParseError::HeaderValue | ParseError::NewLine => Self::Header,
            ParseError::Status => Self::Status,
            ParseError::Token => Self::Header,
            ParseError::TooManyHeaders => Self::TooLarge,
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
